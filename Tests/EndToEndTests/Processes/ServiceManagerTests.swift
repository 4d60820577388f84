import Foundation
import Platform
import Support
import TLS
import Testing

/// The socket of a service manager.
private final class NotifySocket {
    let path: String
    private let descriptor: FileDescriptor
    private var seen: [String] = []

    init(_ folder: TemporaryFolder) throws {
        path = "\(folder.path)/notify"
        descriptor = FileDescriptor(owning: socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor.raw, $0, length) }
        }
        guard bound == 0 else { throw Errno(in: "bind") }
    }

    /// Everything that was said so far; descriptors that came along are closed, as systemd does at a barrier.
    var messages: [String] {
        var bytes = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor.raw, &bytes, bytes.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { return seen }
            seen.append(String(decoding: bytes.prefix(count), as: UTF8.self))
        }
    }

    func wait(for text: String, count: Int = 1) throws {
        try waitUntil("\(text) among \(messages)", seconds: 60) {
            messages.filter { $0.contains(text) }.count >= count
        }
    }
}

@Suite("systemd") struct ServiceManagerSideTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let port: UInt16

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        port = try freePort()
    }

    private func configure(server: String = "", workers: Int = 1) throws {
        let text = try trust.configuration(port: port, upstream: 1, server: server)
        try folder.write(
            "everyhop.toml",
            text.replacingOccurrences(of: "workers = 1", with: "workers = \(workers)")
        )
    }

    private func shakesHands() -> Bool { (try? Connection(to: port, trust.client(), seconds: 10)) != nil }

    @Test func `an upgrade names the new main process before that says that it is ready`() throws {
        let manager = try NotifySocket(folder)
        try configure()
        let everyhop = try InstalledProgram(folder, environment: ["NOTIFY_SOCKET=\(manager.path)"])
        try manager.wait(for: "READY=1")
        try everyhop.upgrade()
        try manager.wait(for: "READY=1", count: 2)
        let said = manager.messages.filter { !$0.hasPrefix("BARRIER") }
        #expect(
            said.map { String($0.prefix { $0 != "=" && $0 != "\n" }) } == ["READY", "RELOADING", "MAINPID", "READY"]
        )
        #expect(said.contains("MAINPID=\(everyhop.process)"))
        try manager.wait(for: "BARRIER=1")
        kill(everyhop.process, SIGTERM)
        try manager.wait(for: "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000")
    }

    @Test func `the watchdog is fed only while most workers answer`() throws {
        let manager = try NotifySocket(folder)
        try configure()
        let everyhop = try InstalledProgram(
            folder,
            environment: ["NOTIFY_SOCKET=\(manager.path)", "WATCHDOG_USEC=400000"]
        )
        try manager.wait(for: "READY=1")
        try manager.wait(for: "WATCHDOG=1", count: manager.messages.count + 3)
        let workers = {
            try Shell.run(["pgrep", "-P", "\(everyhop.process)", "-f", "everyhop worker"]).text.split(separator: "\n")
                .compactMap { Int32($0) }
        }
        let first = try #require(try workers().first)
        kill(first, SIGKILL)
        try everyhop.waitForLog("worker 0 died")
        var next: Int32 = 0
        try waitUntil("the next worker") {
            next = try workers().first { $0 != first } ?? 0
            if next > 0 { kill(next, SIGSTOP) }
            return next > 0
        }
        #expect(everyhop.log.components(separatedBy: "worker 0 serves").count == 2)
        let before = manager.messages.count
        let end = Clock.monotonicMicroseconds() + 1_500_000
        try waitUntil("some time") { Clock.monotonicMicroseconds() > end }
        #expect(manager.messages.count <= before + 1)
        kill(next, SIGCONT)
        try manager.wait(for: "WATCHDOG=1", count: manager.messages.count + 3)
    }

    /// A socket as the service manager opens it: without SO_REUSEPORT.
    private func activated(_ port: UInt16) throws -> FileDescriptor {
        try Socket.listen(on: try #require(SocketAddress(ip: "127.0.0.1", port: port)), sharePort: false)
    }

    @Test func `a socket that is handed over serves for every worker, and through upgrades`() throws {
        try configure(workers: 3)
        let socket = try activated(port)
        let everyhop = try InstalledProgram(
            folder,
            prelude: "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web",
            descriptors: [socket.raw]
        )
        for _ in 0..<8 { #expect(shakesHands()) }
        try everyhop.upgrade()
        try everyhop.waitForLog("all is handed over, and finished")
        for _ in 0..<8 { #expect(shakesHands()) }
        kill(everyhop.process, SIGHUP)
        try everyhop.waitForLog("ready", count: 3)
        #expect(shakesHands())
    }

    @Test func `a socket that nothing is configured for ends the start, and is named`() throws {
        try configure()
        let other = try freePort()
        let socket = try activated(other)
        let everyhop = try InstalledProgram(
            folder,
            prelude: "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=forgotten",
            descriptors: [socket.raw],
            mark: "does not listen on: \"forgotten\" at 127.0.0.1:\(other)"
        )
        #expect(ChildProcess.wait(for: everyhop.first) == 1)
    }

    @Test func `sockets of another process are left alone`() throws {
        try configure()
        let socket = try activated(try freePort())
        let everyhop = try InstalledProgram(
            folder,
            prelude: "export LISTEN_PID=1 LISTEN_FDS=1",
            descriptors: [socket.raw]
        )
        withExtendedLifetime(everyhop) { #expect(shakesHands()) }
    }
}
