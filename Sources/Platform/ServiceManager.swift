import Glibc

/// Whoever has started this program and wants to know how it fares (sd_notify(3)); most often nobody.
public enum ServiceManager {
    /// The socket that it listens on; nil when there is nobody.
    public static var socketName: String? { getenv("NOTIFY_SOCKET").map { String(cString: $0) } }

    /// Sends assignments such as `READY=1`; without a socket, or on any failure, nothing happens.
    public static func notify(_ state: String, to name: String? = socketName) {
        guard let name else { return }
        var path = Array(name.utf8)
        // `@` stands for the zero of an abstract name.
        if path.first == 0x40 { path[0] = 0 }
        var address = sockaddr_un()
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard !path.isEmpty, path.count < room else { return }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let raw = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { return }
        let descriptor = FileDescriptor(owning: raw)
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        let bytes = Array(state.utf8)
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(
                    descriptor.raw,
                    bytes,
                    bytes.count,
                    CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT),
                    $0,
                    length
                )
            }
        }
    }

    /// A reload begins; `READY=1` ends it.
    public static func notifyReloading() { notify("RELOADING=1\nMONOTONIC_USEC=\(Clock.monotonicMicroseconds())") }
}
