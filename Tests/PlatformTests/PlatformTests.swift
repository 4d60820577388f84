import Bytes
import Glibc
import Platform
import Testing

@Suite("Socket addresses") struct SocketAddressTests {
    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1:443", false), ("127.8.9.1", "127.8.9.1:443", true), ("::1", "[::1]:443", true),
        ("2001:db8::1", "[2001:db8::1]:443", false), ("::", "[::]:443", false),
    ])
    func `an address is read and written in its text form`(_ text: String, _ written: String, _ local: Bool) throws {
        let address = try #require(SocketAddress(ip: text, port: 443))
        #expect(address.description == written)
        #expect(address.isLocal == local)
    }

    @Test func `IPv4 inside IPv6 is IPv4`() throws {
        let address = try #require(SocketAddress(ip: "::ffff:127.0.0.1", port: 80))
        #expect(address.unmapped.description == "127.0.0.1:80")
        #expect(address.isLocal)
        #expect(try #require(SocketAddress(ip: "::ffff:192.0.2.1", port: 80)).isLocal == false)
    }

    @Test(arguments: ["", "localhost", "1.2.3", "256.0.0.1", ":::", "1.2.3.4/8"])
    func `what is no address is refused`(_ text: String) {
        #expect(SocketAddress(ip: text, port: 1) == nil)
    }
}

@Suite("Service manager") struct ServiceManagerTests {
    @Test(arguments: ["/tmp/everyhop-notify-", "@everyhop-notify-"])
    func `a state arrives at the socket that is named`(_ prefix: String) throws {
        let name = prefix + "\(getpid())"
        let raw = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        let manager = FileDescriptor(owning: raw)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(name.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) {
            $0.copyBytes(from: path)
            if path[0] == 0x40 { $0[0] = 0 }
        }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(manager.raw, $0, length) }
        }
        defer { File.remove(name) }
        #expect(bound == 0)
        ServiceManager.notify("READY=1", to: name)
        var bytes = [UInt8](repeating: 0, count: 100)
        let count = recv(manager.raw, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        #expect(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self) == "READY=1")
        // Nobody there, or no name at all: nothing happens.
        ServiceManager.notify("READY=1", to: nil)
        ServiceManager.notify("READY=1", to: "/nowhere/\(name)")
        ServiceManager.notify("READY=1", to: String(repeating: "x", count: 200))
    }
}

@Suite("Timer wheel") struct TimerWheelTests {
    @Test func `a deadline is named once, never early and at most two slots late`() {
        var wheel = TimerWheel(now: 1000)
        var slab = Slab<Int>()
        var expected: [UInt64: Int] = [:]
        var deadlines: [UInt64: UInt64] = [:]
        for delay in [1, 31, 32, 33, 500, 5000, 32_768, 40_000, 100_000] as [UInt64] {
            let token = slab.insert(0)
            wheel.arm(token, deadline: 1000 + delay)
            expected[token.rawValue] = 1
            deadlines[token.rawValue] = 1000 + delay
        }
        var now: UInt64 = 1000
        while now < 110_000 {
            now += 7
            for token in wheel.expire(now: now) {
                expected[token.rawValue, default: 0] -= 1
                let deadline = deadlines[token.rawValue] ?? 0
                #expect(now >= deadline && now <= deadline + 2 * TimerWheel.resolution + 7)
            }
        }
        #expect(expected.values.allSatisfy { $0 == 0 })
        #expect(wheel.count == 0)
        let waiting = wheel.timeout(now: now)
        #expect(waiting == -1)
    }

    @Test func `waiting until the timeout brings the deadline`() {
        var wheel = TimerWheel(now: 0)
        var slab = Slab<Int>()
        wheel.arm(slab.insert(0), deadline: 20_000)
        var now: UInt64 = 0
        var rounds = 0
        while wheel.expire(now: now).isEmpty {
            now += UInt64(max(1, wheel.timeout(now: now)))
            rounds += 1
            if rounds > 10 { break }
        }
        #expect(rounds <= 3)
        #expect(now >= 20_000 && now < 20_100)
    }

    @Test func `a long pause loses no deadline`() {
        var wheel = TimerWheel(now: 0)
        var slab = Slab<Int>()
        for delay in 0..<3000 { wheel.arm(slab.insert(0), deadline: UInt64(delay) * 50) }
        #expect(wheel.expire(now: 10_000_000).count == 3000)
    }
}

@Suite("Control channel") struct ControlChannelTests {
    @Test func `messages larger than the socket's buffer arrive whole and in order, with their descriptors`() throws {
        var pair = try ControlChannel.pair()
        var sender = ControlChannel(pair.takeFirst())
        var receiver = ControlChannel(pair.takeSecond())
        let big = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var pipe = try File.pipe()
        let writing = pipe.takeSecond()
        try sender.send(kind: 1, [1, 2, 3])
        try sender.send(kind: 2, big, copyOf: writing.raw)
        try sender.send(kind: 3, [], copyOf: writing.raw)
        try sender.send(kind: 4)
        var kinds: [UInt8] = []
        var rounds = 0
        while kinds.count < 4, rounds < 100_000 {
            rounds += 1
            try sender.flush()
            guard var message = try receiver.receive() else { continue }
            kinds.append(message.kind)
            let along = message.takeDescriptor()
            switch message.kind {
            case 1: #expect(message.payload == [1, 2, 3])
            case 2: #expect(message.payload == big)
            default: #expect(message.payload == [])
            }
            let carried = along != nil
            #expect(carried == (message.kind == 2 || message.kind == 3))
            if let along { try File.writeAll([message.kind], to: along.raw) }
        }
        #expect(kinds == [1, 2, 3, 4])
    }

    @Test func `a turn ends after so many messages or bytes, and what has come by then is for the next`() throws {
        var pair = try ControlChannel.pair()
        var sender = ControlChannel(pair.takeFirst())
        var receiver = ControlChannel(pair.takeSecond())
        for number in 0..<10 { try sender.send(kind: UInt8(number), [1, 2, 3]) }
        var taken: [[UInt8]] = []
        for turn in [ControlChannel.Turn(messages: 4), ControlChannel.Turn(bytes: 10), ControlChannel.Turn()] {
            var turn = turn
            var kinds: [UInt8] = []
            while let message = try receiver.receive(within: &turn) { kinds.append(message.kind) }
            taken.append(kinds)
            #expect(turn.isOver == (taken.count < 3))
        }
        #expect(taken == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]])
    }

    @Test func `the other end's death is an error`() throws {
        var pair = try ControlChannel.pair()
        var receiver = ControlChannel(pair.takeFirst())
        do {
            let other = pair.takeSecond()
            _ = consume other
        }
        #expect(throws: Errno.self) { _ = try receiver.receive()?.kind }
    }
}

@Suite("Sockets") struct SocketTests {
    @Test(arguments: ["127.0.0.1", "::1"])
    func `a connection carries bytes both ways and reports its end`(_ host: String) throws {
        let listener = try Socket.listen(on: try #require(SocketAddress(ip: host, port: 0)), sharePort: true)
        let bound = Socket.localAddress(listener)
        let address = try #require(bound)
        let attempt = try Socket.connect(to: address)
        var accepted: FileDescriptor?
        for _ in 0..<100_000 {
            guard let connection = try Socket.accept(from: listener) else { continue }
            #expect(connection.peer.isLocal)
            // What is set for each connection is set once, at the listener.
            for (level, option) in [(CInt(IPPROTO_TCP), TCP_NODELAY), (SOL_SOCKET, SO_KEEPALIVE)] {
                var value: CInt = 0
                var length = socklen_t(MemoryLayout<CInt>.size)
                #expect(getsockopt(connection.descriptor.raw, level, option, &value, &length) == 0)
                #expect(value != 0, "option \(option)")
            }
            accepted = connection.takeDescriptor()
            break
        }
        guard let server = accepted else {
            Issue.record("no connection came")
            return
        }
        try Socket.connectResult(attempt.descriptor)
        let written = try Socket.write(attempt.descriptor, [1, 2, 3].span)
        #expect(written == 3)
        Socket.shutdownWriting(attempt.descriptor)
        let bytes = try readAll(server)
        #expect(bytes == [1, 2, 3])
    }

    @Test func `a refused connection says so`() throws {
        let address: SocketAddress
        do {
            let listener = try Socket.listen(
                on: try #require(SocketAddress(ip: "127.0.0.1", port: 0)),
                sharePort: false
            )
            let bound = Socket.localAddress(listener)
            address = try #require(bound)
        }
        #expect(throws: Errno(111, in: "connect")) {
            let attempt = try Socket.connect(to: address)
            try Socket.connectResult(attempt.descriptor)
        }
    }

    private func readAll(_ descriptor: borrowing FileDescriptor) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 100)
        for _ in 0..<1_000_000 {
            let count = try room.withUnsafeMutableBufferPointer { try Socket.read(descriptor.raw, into: $0) }
            guard let count else { continue }
            if count == 0 { return bytes }
            bytes.append(contentsOf: room.prefix(count))
        }
        return bytes
    }
}

@Suite("Processes") struct ChildProcessTests {
    @Test func `a child finds its descriptors from three on and nothing else`() throws {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        let writing = pipe.takeSecond()
        let child = try ChildProcess.spawn(
            "/bin/sh",
            arguments: ["sh", "-c", "echo hello >&3; ls /proc/self/fd | wc -l | tr -d ' ' >&3"],
            environment: [],
            descriptors: [writing.raw]
        )
        #expect(ChildProcess.wait(for: child) == 0)
        _ = consume writing
        let text = String(decoding: try File.readAll(reading, limit: 1000), as: UTF8.self)
        // Standard input, output and error, the pipe at 3, and what `ls` opened.
        #expect(text == "hello\n5\n")
    }

    @Test func `a child's exit status and the signal that ended it are told`() throws {
        let path = "/bin/sh"
        let exits = try ChildProcess.spawn(path, arguments: ["sh", "-c", "exit 7"], environment: [], descriptors: [])
        #expect(ChildProcess.wait(for: exits) == 7)
        let dies = try ChildProcess.spawn(
            path,
            arguments: ["sh", "-c", "kill -9 $$"],
            environment: [],
            descriptors: []
        )
        #expect(ChildProcess.wait(for: dies) == -9)
    }
}
