import Foundation
import Platform
import Support
import Testing

/// What a child that was broken into could do, with one layer of its sandbox alone, with all, and with none.
@Suite("The sandbox") struct SandboxTests {
    private let folder: TemporaryFolder
    private let server: Listener
    private let other: Listener

    init() throws {
        folder = try TemporaryFolder()
        server = try Listener()
        other = try Listener()
        let trust = try TestTrust()
        try trust.write(to: folder)
        try File.makeFolder("\(folder.path)/www")
        try folder.write("www/page.txt", "page")
        for path in [folder.path, "\(folder.path)/www"] { chmod(path, 0o755) }
        chmod("\(folder.path)/www/page.txt", 0o644)
        try folder.write(
            "everyhop.toml",
            """
            [server]
            workers = 1
            user = "nobody"
            [certificate.portal]
            chain = "portal.pem"
            key = "portal.key"
            [[site]]
            name = "portal"
            upstream = "app"
            [[site.binding]]
            ip = "127.0.0.1"
            port = 443
            certificate = "portal"
            [[site.route]]
            path = "/files"
            root = "www"
            plaintext_root = true
            [[upstream]]
            name = "app"
            servers = ["127.0.0.1:\(server.port)"]
            server_name = "app.internal"
            trust = { pins = ["\(try trust.pin())"] }
            """
        )
    }

    private enum Outcome: Equatable {
        case done
        case stopped
        case killed
    }

    /// Makes an attempt in a child's sandbox, or in a part of it.
    private func attempt(
        _ what: SandboxAttempt,
        _ target: String = "",
        layers: String,
        child: String = "worker"
    ) throws -> Outcome {
        let result = try Shell.run([
            "env", "SWIFT_BACKTRACE=enable=no", EveryhopProcess.program, "sandbox-probe", what.rawValue, "--config",
            "\(folder.path)/everyhop.toml", "--layers", layers, "--child", child, "--target", target,
        ])
        switch result.status {
        case 0: return .done
        case 3: return .stopped
        case -31: return .killed
        default: throw DeadlinePassed(description: "\(what.rawValue): \(result.status) \(result.text)")
        }
    }

    /// One attempt without a sandbox, with single layers, and with all of it.
    private func expect(
        _ what: SandboxAttempt,
        _ target: String = "",
        alone: [String: Outcome],
        all: Outcome
    ) throws {
        #expect(try attempt(what, target, layers: "none") == .done, "\(what) without a sandbox")
        for (layers, outcome) in alone {
            #expect(try attempt(what, target, layers: layers) == outcome, "\(what) with \(layers)")
        }
        #expect(try attempt(what, target, layers: "all") == all, "\(what) with all layers")
    }

    @Test func `no file is opened but beneath the folders that are served`() throws {
        let key = "\(folder.path)/portal.key"
        try expect(
            .openFile,
            key,
            alone: ["user,capabilities": .stopped, "privileges,files": .stopped, "calls": .stopped],
            all: .stopped
        )
        // A file that everybody may read.
        let page = "\(folder.path)/www/page.txt"
        try expect(.openFile, page, alone: ["privileges,files": .done, "calls": .stopped], all: .stopped)
        try expect(.openFile, "/etc/hostname", alone: ["privileges,files": .stopped, "calls": .stopped], all: .stopped)
        try expect(.openBeneath, "page.txt", alone: [:], all: .done)
        #expect(try attempt(.openBeneath, "page.txt", layers: "all", child: "monitor") == .stopped)
        try expect(
            .makeFile,
            "\(folder.path)/www/new",
            alone: ["user,capabilities": .stopped, "privileges,files": .stopped, "calls": .stopped],
            all: .stopped
        )
    }

    @Test func `no program and no process is started`() throws {
        try expect(.execute, "/bin/true", alone: ["privileges,files": .stopped, "calls": .killed], all: .killed)
        try expect(.fork, alone: ["calls": .killed], all: .killed)
        try expect(.namespace, alone: ["calls": .killed], all: .killed)
    }

    @Test func `nothing is reached but the ports of servers`() throws {
        try expect(.connect, "\(server.port)", alone: ["privileges,ports": .done, "calls": .done], all: .done)
        try expect(.connect, "\(other.port)", alone: ["privileges,ports": .stopped], all: .stopped)
        // Landlock alone lets this through.
        try expect(.fastOpen, "\(other.port)", alone: ["privileges,ports": .done, "calls": .killed], all: .killed)
        try expect(.multipath, alone: ["calls": .killed], all: .killed)
        try expect(.datagrams, alone: ["calls": .killed], all: .killed)
        try expect(.localSocket, alone: ["calls": .killed], all: .killed)
        let port = try freePort()
        try expect(.listen, "\(port)", alone: ["privileges,ports": .stopped, "calls": .killed], all: .killed)
        #expect(try attempt(.datagrams, layers: "all", child: "resolver") == .done)
        #expect(try attempt(.connect, "\(server.port)", layers: "all", child: "resolver") == .stopped)
        #expect(try attempt(.connect, "\(server.port)", layers: "all", child: "watcher") == .killed)
    }

    @Test func `no other process is traced, read, or ended`() throws {
        let victim = try Victim()
        for what in [SandboxAttempt.trace, .readMemory] {
            try expect(
                what,
                "\(victim.process)",
                alone: [
                    "user,capabilities": .stopped, "capabilities": .stopped, "privileges,files": .stopped,
                    "calls": .killed,
                ],
                all: .killed
            )
        }
        try expect(
            .signal,
            "\(victim.process)",
            alone: ["user,capabilities": .stopped, "privileges,scope": .stopped, "calls": .killed],
            all: .killed
        )
    }

    @Test func `an abstract socket of another is not reached`() throws {
        let name = "everyhop-\(folder.path.hashValue)"
        let listener = try Listener(abstract: name)
        _ = listener
        try expect(.abstractSocket, name, alone: ["privileges,scope": .stopped, "calls": .killed], all: .killed)
    }

    @Test func `no right is gained`() throws {
        try expect(.becomeRoot, alone: ["user,capabilities": .stopped, "calls": .killed], all: .killed)
        try expect(
            .gainCapability,
            alone: ["capabilities": .stopped, "user": .stopped, "calls": .killed],
            all: .killed
        )
    }

    @Test func `no memory becomes executable`() throws {
        for what in [SandboxAttempt.makeExecutable, .mapExecutable] {
            try expect(what, alone: ["code": .stopped, "calls": .killed], all: .killed)
        }
    }

    @Test func `system calls have no other numbers`() throws {
        #expect(try attempt(.otherInterface, layers: "all") == .killed)
    }

    @Test func `no core is written`() throws {
        #expect(try crash(layers: "none"))
        #expect(try !crash(layers: "memory"))
        #expect(try !crash(layers: "all"))
    }

    /// Whether the kernel has written a core file of a child that ended itself.
    private func crash(layers: String) throws -> Bool {
        let process = try ChildProcess.spawn(
            "/bin/sh",
            arguments: [
                "sh", "-c", "cd \"$0\"; ulimit -c unlimited; exec \"$@\" 2>/dev/null", folder.path,
                EveryhopProcess.program, "sandbox-probe", "dump-core", "--config", "everyhop.toml", "--layers", layers,
            ],
            environment: ChildProcess.currentEnvironment() + ["SWIFT_BACKTRACE=enable=no"],
            descriptors: []
        )
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        #expect(status & 0x7F == SIGABRT)
        return status & 0x80 != 0
    }

    @Test func `where every layer is required, none may be missing`() throws {
        let text = try String(contentsOfFile: "\(folder.path)/everyhop.toml", encoding: .utf8)
        let strict = text.replacingOccurrences(of: "workers = 1", with: "workers = 1\nsandbox = \"required\"")
        let check = { (text: String) in
            let file = try folder.write("required.toml", text)
            return try Shell.run([EveryhopProcess.program, "check", "--config", file], merged: true)
        }
        let whole = try check(strict)
        #expect(whole.status == (Sandbox.unavailable().isEmpty ? 0 : 1), "\(whole.text)")
        let asRoot = try check(strict.replacingOccurrences(of: "user = \"nobody\"\n", with: ""))
        #expect(asRoot.status == 1 && asRoot.text.contains("the sandbox lacks unprivileged user"), "\(asRoot.text)")
    }

    @Test func `computing goes on`() throws {
        for child in ["worker", "monitor", "prober", "resolver", "watcher"] {
            #expect(try attempt(.nothing, layers: "all", child: child) == .done)
        }
    }
}

/// A process to be attacked.
private final class Victim {
    let process: Int32

    init() throws {
        process = try ChildProcess.spawn("/bin/sleep", arguments: ["sleep", "600"], environment: [], descriptors: [])
    }

    deinit {
        kill(process, SIGKILL)
        _ = ChildProcess.wait(for: process)
    }
}

/// Somebody who listens and says nothing.
private final class Listener {
    let port: UInt16
    private let descriptor: FileDescriptor

    init() throws {
        let socket = try Socket.listen(on: SocketAddress(ip: "127.0.0.1", port: 0) ?? .unix(path: ""), sharePort: false)
        // As the kernel sends data along with the first packet only to who takes it.
        port = Socket.localAddress(socket)?.port ?? 0
        descriptor = socket
    }

    init(abstract name: String) throws {
        let raw = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { room in
            for (index, byte) in name.utf8.enumerated() { room[index + 1] = byte }
        }
        let size = socklen_t(MemoryLayout<sa_family_t>.size + 1 + name.utf8.count)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, $0, size) }
        }
        guard raw >= 0, bound == 0, listen(raw, 8) == 0 else { throw Errno(in: "bind") }
        descriptor = FileDescriptor(owning: raw)
        port = 0
    }
}
