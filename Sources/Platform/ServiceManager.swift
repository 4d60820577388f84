import Bytes
import CLinux
import Glibc

/// Whoever has started this program and wants to know how it fares (sd_notify(3)); most often nobody.
public enum ServiceManager {
    /// The socket that it listens on; nil when there is nobody.
    public static var socketName: String? { getenv("NOTIFY_SOCKET").map { String(cString: $0) } }

    /// Sends assignments such as `READY=1`; without a socket, or on any failure, nothing happens.
    public static func notify(_ state: String, to name: String? = socketName) {
        guard let socket = connected(to: name) else { return }
        send(state, over: socket)
    }

    /// Waits until everything that was sent has been taken in: from a process that is gone, nothing is believed.
    public static func waitUntilTaken(milliseconds: CInt = 5000, to name: String? = socketName) {
        guard let socket = connected(to: name), var pipe = try? File.pipe() else { return }
        let reading = pipe.takeFirst()
        do {
            let writing = pipe.takeSecond()
            send("BARRIER=1", over: socket, copyOf: writing.raw)
        }
        // It closes the other end when it comes to it.
        var entry = pollfd(fd: reading.raw, events: 0, revents: 0)
        _ = poll(&entry, 1, milliseconds)
    }

    private static func connected(to name: String?) -> FileDescriptor? {
        guard let name else { return nil }
        var path = Array(name.utf8)
        // `@` stands for the zero of an abstract name.
        if path.first == 0x40 { path[0] = 0 }
        var address = sockaddr_un()
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard !path.isEmpty, path.count < room else { return nil }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let type = CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let raw = socket(AF_UNIX, type, 0)
        guard raw >= 0 else { return nil }
        let descriptor = FileDescriptor(owning: raw)
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor.raw, $0, length) }
        }
        guard result == 0 else { return nil }
        return descriptor
    }

    private static func send(_ state: String, over socket: borrowing FileDescriptor, copyOf descriptor: CInt = -1) {
        let bytes = Array(state.utf8)
        _ = bytes.withUnsafeBufferPointer {
            everyhop_send_descriptor(socket.raw, $0.baseAddress, $0.count, descriptor)
        }
    }

    /// How often it wants to hear that all is well, in milliseconds: half of the time after which it would start this
    /// program again; nil when it does not ask, or asks another process.
    public static var watchdogInterval: UInt64? {
        guard let microseconds = number("WATCHDOG_USEC"), microseconds > 0 else { return nil }
        if getenv("WATCHDOG_PID") != nil, number("WATCHDOG_PID") != UInt64(getpid()) { return nil }
        return max(1, microseconds / 2000)
    }

    /// What a variable of the environment says, in digits and nothing else.
    static func number(_ variable: String) -> UInt64? {
        getenv(variable).flatMap { ASCII.decimal(Array(String(cString: $0).utf8).span) }
    }

    /// A reload begins; `READY=1` ends it.
    public static func notifyReloading() { notify("RELOADING=1\nMONOTONIC_USEC=\(Clock.monotonicMicroseconds())") }
}
