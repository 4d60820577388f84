import Foundation
import Platform
import Support
import TLS
import Testing

/// Applications that send rubbish, or half of a message, or nothing: no byte of it reaches a server.
@Suite("Hostile applications at the database bindings", .serialized) struct HostileApplicationTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func start(_ kind: String, _ server: UInt16, connect: String = "5s", more: String = "") throws
        -> EveryhopProcess
    {
        let port = try freePort()
        return try EveryhopProcess(
            folder,
            port: port,
            configuration: trust.configuration(
                databases: """
                    [[database]]
                    name = "ehr"
                    protocol = "\(kind)"
                    server = "127.0.0.1:\(server)"
                    trust = { pins = ["\(try trust.pin())"] }
                    \(more)
                    [database.timeouts]
                    connect = "\(connect)"
                    [[database.binding]]
                    port = \(port)
                    """
            )
        )
    }

    private static let startup: [UInt8] = [0, 0, 0, 20, 0, 3, 0, 0] + Array("user\0alice\0\0".utf8)

    /// First messages of each protocol's client.
    private static let firsts: [(kind: String, message: [UInt8])] = [
        ("postgres", startup), ("tds", TDSBytes.prelogin(encryption: 2)),
        ("tds", TDSBytes.login(user: "sa", password: "s3cret-Password")),
    ]

    @Test(arguments: 0..<3)
    func `a first message that is cut off anywhere never reaches a server`(_ index: Int) throws {
        let (kind, message) = Self.firsts[index]
        let server = try PeerServer(trust, script: "tds_server.py")
        let tap = try Tap(to: server.port)
        let everyhop = try start(kind, tap.port)
        for count in 0..<message.count {
            let client = try Connection(to: everyhop.port, nil)
            try client.send(Array(message.prefix(count)))
            client.endWriting()
            _ = client.receiveAll()
        }
        #expect(tap.connections.isEmpty)
        try everyhop.waitForAccess("the client closed before the login was decided")
        #expect(try everyhop.workers().count == 1)
    }

    @Test func `a response of MySQL that is cut off anywhere never reaches a server`() throws {
        let server = try PeerServer(trust, script: "mysql_server.py")
        let tap = try Tap(to: server.port)
        let everyhop = try start("mysql", tap.port)
        let head: [UInt8] = [0, 0xA2, 8, 0, 0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23)
        let payload = head + Array("bob\0".utf8) + [20] + [UInt8](repeating: 7, count: 20)
        let message = [UInt8(payload.count), 0, 0, 1] + payload
        for count in 0..<message.count {
            let client = try Connection(to: everyhop.port, nil)
            _ = try client.receive()
            try client.send(Array(message.prefix(count)))
            client.endWriting()
            _ = client.receiveAll()
        }
        #expect(tap.connections.count == message.count)
        #expect(tap.connections.filter { !$0.isEmpty }.isEmpty)
    }

    @Test(arguments: ["postgres", "tds", "mysql"])
    func `rubbish reaches no server, and kills no worker`(_ kind: String) throws {
        let server = try PeerServer(trust, script: "mysql_server.py")
        let tap = try Tap(to: server.port)
        let everyhop = try start(kind, tap.port)
        let worker = try everyhop.workers()
        var generator = SystemRandomNumberGenerator()
        for round in 0..<300 {
            let client = try Connection(to: everyhop.port, nil)
            let first: [UInt8] = [[], [0x12, 1], [0, 0, 0, 20, 0, 3, 0, 0], [0x16, 3, 1]][round % 4]
            try? client.send(
                first + (0..<Int.random(in: 1...200)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            )
            client.endWriting()
            _ = client.receiveAll()
        }
        // PostgreSQL's startup message may be made of anything: then the server is asked for TLS, and for nothing else.
        let sslRequest: [UInt8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F]
        for sent in tap.connections { #expect(sent.isEmpty || sent == sslRequest || sent.first == 0x12) }
        #expect(try everyhop.workers() == worker)
        #expect(!server.log.contains("user"))
    }

    @Test(arguments: ["postgres", "tds", "mysql"])
    func `an application that says nothing, or a byte at a time, is given up on`(_ kind: String) throws {
        let server = try PeerServer(trust, script: "mysql_server.py")
        let everyhop = try start(kind, server.port, connect: "500ms")
        let client = try Connection(to: everyhop.port, nil)
        if kind != "mysql" { try client.send([kind == "tds" ? 0x12 : 0]) }
        _ = client.receiveAll()
        try everyhop.waitForAccess("the client's login did not come in time")
    }

    @Test func `a server that says nothing is an error in time`() throws {
        let silent = try ScriptedServer(certificate: nil) { connection in
            while try connection.receive() != nil {}
        }
        let everyhop = try start("postgres", silent.port, connect: "500ms")
        let client = try Connection(to: everyhop.port, nil)
        try client.send(Self.startup)
        #expect(client.receiveAll().contains("everyhop: the server did not answer in time"))
        try everyhop.waitForAccess("the server did not answer in time", "\"established\":false")
    }

    @Test(arguments: ["tds login", "mysql greeting", "mysql login"])
    func `a server that says nothing where it should speak is told of in its own protocol`(_ moment: String) throws {
        let kind = moment.hasPrefix("tds") ? "tds" : "mysql"
        let silent = try ScriptedServer(certificate: nil) { connection in
            while try connection.receive() != nil {}
        }
        let mute = try PeerServer(trust, script: "\(kind)_server.py", "--hang")
        let everyhop = try start(kind, moment == "mysql greeting" ? silent.port : mute.port, connect: "700ms")
        let client = try Connection(to: everyhop.port, nil)
        if kind == "tds" {
            try client.send(TDSBytes.prelogin(encryption: 2))
            _ = try client.receive()
            try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password"))
        } else if moment == "mysql login" {
            _ = try client.receive()
            let head: [UInt8] = [0, 0xA2, 8, 0, 0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23)
            let payload = head + Array("bob\0".utf8) + [20] + [UInt8](repeating: 7, count: 20)
            try client.send([UInt8(payload.count), 0, 0, 1] + payload)
        }
        let answer = client.receiveAll().replacing("\0", with: "")
        #expect(answer.contains("everyhop: the server did not answer in time"))
        try everyhop.waitForAccess("the server did not answer in time", "\"established\":false")
    }

    /// CVE-2021-23222 and its kin: whoever sits between could otherwise have what is said next in clear.
    @Test func `a server of MySQL that refuses before TLS gets not a byte, whatever the client says`() throws {
        let error: [UInt8] = [0xFF, 0x10, 0x04] + Array("Too many connections".utf8)
        let refusing = try ScriptedServer(certificate: nil) { connection in
            try connection.send([UInt8(error.count), 0, 0, 0] + error)
            while try connection.receive() != nil {}
        }
        let tap = try Tap(to: refusing.port)
        let everyhop = try start("mysql", tap.port)
        let client = try Connection(to: everyhop.port, nil)
        let answer = String(decoding: try client.receive() ?? [], as: UTF8.self)
        #expect(answer.contains("Too many connections"))
        try? client.send(Array("the password".utf8))
        client.endWriting()
        _ = client.receiveAll()
        try everyhop.waitForAccess("the server refuses the connection: Too many connections", "\"established\":false")
        #expect(tap.connections == [[]])
    }

    @Test func `an application that ends its stream still gets the whole answer`() throws {
        let server = try PeerServer(trust, script: "tds_server.py")
        let everyhop = try start("tds", server.port)
        let client = try Connection(to: everyhop.port, nil)
        try client.send(TDSBytes.prelogin(encryption: 2))
        _ = try client.receive()
        try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password"))
        _ = try client.receive()
        try client.send(TDSBytes.batch("SELECT volume 500"))
        client.endWriting()
        // Packets have numbers, and some of those are an x, too.
        #expect(client.receiveAll().count(where: { $0 == "x" }) >= 2_000_000)
        try everyhop.waitForAccess("\"established\":true")
        #expect(!everyhop.access.joined().contains("\"error\""))
    }

    @Test func `metrics tell of each database apart`() throws {
        let server = try PeerServer(trust, script: "tds_server.py")
        let admin = try freePort()
        let port = try freePort()
        let stranger = try freePort()
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: trust.configuration(
                databases: """
                    [[database]]
                    name = "ehr"
                    protocol = "tds"
                    server = "127.0.0.1:\(server.port)"
                    trust = { pins = ["\(try trust.pin())"] }
                    legacy = true
                    [[database.binding]]
                    port = \(port)
                    [[database]]
                    name = "stranger"
                    protocol = "tds"
                    server = "127.0.0.1:\(server.port)"
                    trust = { pins = ["sha256/AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="] }
                    [[database.binding]]
                    port = \(stranger)
                    """
            ).replacing("[server]\n", with: "[server]\nadmin = \"127.0.0.1:\(admin)\"\n")
        )
        for place in [port, stranger] {
            let client = try Connection(to: place, nil)
            try client.send(TDSBytes.prelogin(encryption: 2))
            _ = try client.receive()
            try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password"))
            _ = try client.receive()
            client.endWriting()
            _ = client.receiveAll()
        }
        try everyhop.waitForAccess("\"established\":true", "\"server_legacy\":true")
        try everyhop.waitForAccess("pin mismatch")
        let wanted = [
            "sessions_total{database=\"ehr\"} 1", "sessions_established_total{database=\"ehr\"} 1",
            "failures_total{database=\"ehr\"} 0", "legacy{database=\"ehr\"} 1", "sessions{database=\"ehr\"} 0",
            "sessions_established_total{database=\"stranger\"} 0", "failures_total{database=\"stranger\"} 1",
            "verification_failures_total{database=\"stranger\"} 1", "legacy{database=\"stranger\"} 0",
        ]
        try waitUntil("metrics of both databases") {
            let text = try Shell.run(["curl", "-sS", "http://127.0.0.1:\(admin)/metrics"]).text
            return wanted.allSatisfy { text.contains("everyhop_database_\($0)\n") }
        }
    }

    @Test func `an established session that idles is ended when the configuration says so, and not before`() throws {
        let server = try PeerServer(trust, script: "tds_server.py")
        let everyhop = try start("tds", server.port, connect: "5s\"\nidle = \"700ms")
        let client = try Connection(to: everyhop.port, nil)
        try client.send(TDSBytes.prelogin(encryption: 2))
        _ = try client.receive()
        try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password"))
        #expect(try client.receive() != nil)
        _ = client.receiveAll()
        try everyhop.waitForAccess("idle for too long", "\"established\":true")
    }

    @Test func `more sessions than allowed are refused with the reason, and the next one after an end is served`()
        throws
    {
        let server = try PeerServer(trust, script: "tds_server.py")
        let everyhop = try start("tds", server.port, more: "maximum_connections = 2")
        func session() throws -> (Connection, [UInt8]?) {
            let client = try Connection(to: everyhop.port, nil)
            try client.send(TDSBytes.prelogin(encryption: 2))
            _ = try client.receive()
            try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password"))
            return (client, try client.receive())
        }
        var kept = [try session(), try session()]
        let (_, refused) = try session()
        #expect(String(decoding: refused ?? [], as: UTF8.self).contains("l\0i\0m\0i\0t\0"))
        kept.removeLast().0.endWriting()
        try waitUntil("room for another session") {
            let (_, answer) = try session()
            return answer?.dropFirst(8).first == 0xE3
        }
        withExtendedLifetime(kept) {}
    }

    @Test func `sessions live through a reload, and end with the program`() throws {
        let server = try PeerServer(trust, script: "tds_server.py")
        let everyhop = try start("tds", server.port)
        let client = try Connection(to: everyhop.port, nil)
        try client.send(TDSBytes.prelogin(encryption: 2))
        _ = try client.receive()
        try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password"))
        _ = try client.receive()
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        try client.send(TDSBytes.batch("SELECT encrypt_option"))
        #expect(String(decoding: try client.receive() ?? [], as: UTF8.self).contains("T\0R\0U\0E\0"))
        #expect(try everyhop.workers().count == 2)
        everyhop.signal(SIGTERM)
        // The drain of this configuration is five seconds.
        #expect(client.receiveAll().isEmpty)
        #expect(try everyhop.waitForEnd() == 0)
        try everyhop.waitForAccess("outlived its worker", "\"user\":\"sa\"", "\"established\":true")
    }

    @Test(arguments: ["tds", "tds-strict", "postgres", "mysql"])
    func `pin shows the key of a database server`(_ kind: String) throws {
        let port: UInt16
        var server: ServerProgram?
        switch kind {
        case "tds": server = try PeerServer(trust, script: "tds_server.py", "--tls", "1.2")
        case "tds-strict": server = try PeerServer(trust, script: "tds_server.py", "--encryption", "strict")
        case "mysql": server = try PeerServer(trust, script: "mysql_server.py")
        default: server = try PostgresServer(trust)
        }
        port = server?.port ?? 0
        let result = try Shell.run(
            [EveryhopProcess.program, "pin", "127.0.0.1:\(port)", "--protocol", kind],
            merged: true
        )
        #expect(result.status == 0)
        #expect(result.text.contains("trust = { pins = [\"\(try trust.pin())\"] }"))
        server = nil
    }

    @Test func `pin says why there is none`() throws {
        let old = try PeerServer(trust, script: "tds_server.py", "--tls", "1.0")
        let plain = try PeerServer(trust, script: "tds_server.py", "--encryption", "not_sup")
        func pin(_ arguments: String...) throws -> ProgramResult {
            try Shell.run([EveryhopProcess.program, "pin"] + arguments, merged: true)
        }
        #expect(try pin("127.0.0.1:\(old.port)", "--protocol", "tds").status != 0)
        #expect(try pin("127.0.0.1:\(old.port)", "--protocol", "tds", "--legacy").text.contains(trust.pin()))
        #expect(try pin("127.0.0.1:\(plain.port)", "--protocol", "tds").text.contains("the server refuses TLS"))
        #expect(
            try pin("127.0.0.1:\(plain.port)", "--protocol", "oracle").text.contains("protocol oracle is not known")
        )
    }
}
