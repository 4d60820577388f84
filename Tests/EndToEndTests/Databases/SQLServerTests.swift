import Foundation
import Platform
import Support
import TLS
import Testing

/// What clients of SQL Server get, in every mode of both sides.
///
/// The server is `Tests/Peers/tds_server.py`; the first test proves it with the same three clients, without everyhop.
@Suite("SQL Server through everyhop", .serialized) struct SQLServerTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let plain: UInt16
    let encrypted: UInt16
    let loginOnly: UInt16

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        plain = try freePort()
        encrypted = try freePort()
        loginOnly = try freePort()
    }

    private func start(_ server: UInt16, _ more: String = "", pin: String? = nil, others: String = "") throws
        -> EveryhopProcess
    {
        try EveryhopProcess(
            folder,
            port: plain,
            configuration: trust.configuration(
                databases: """
                    [[database]]
                    name = "ehr"
                    protocol = "tds"
                    server = "127.0.0.1:\(server)"
                    server_name = "app.internal"
                    trust = { pins = ["\(try pin ?? trust.pin())"] }
                    \(more)
                    [[database.binding]]
                    port = \(plain)
                    [[database.binding]]
                    port = \(encrypted)
                    certificate = "portal"
                    [[database.binding]]
                    port = \(loginOnly)
                    certificate = "portal"
                    login_only = true
                    \(others)
                    """
            )
        )
    }

    private func server(_ arguments: String...) throws -> PeerServer {
        switch arguments.count {
        case 0: try PeerServer(trust, script: "tds_server.py")
        case 2: try PeerServer(trust, script: "tds_server.py", arguments[0], arguments[1])
        default: try PeerServer(trust, script: "tds_server.py", arguments[0], arguments[1], arguments[2], arguments[3])
        }
    }

    /// What tsql gets: a value, or the message of an error.
    ///
    /// - Parameter encryption: FreeTDS's word: off is NOT_SUP, request is OFF, require is ON.
    private func tsql(
        _ port: UInt16,
        _ encryption: String,
        version: String = "7.4",
        query: String = "SELECT encrypt_option"
    ) throws -> String {
        try folder.write(
            "freetds.conf",
            "[ehr]\nhost = 127.0.0.1\nport = \(port)\nencryption = \(encryption)\ntds version = \(version)\n"
        )
        let text = try Shell.run(
            [
                "bash", "-c",
                "printf '%s\\ngo\\nexit\\n' \"$1\" | FREETDSCONF=\(folder.path)/freetds.conf timeout 20 tsql -S ehr -U sa -P s3cret-Password",
                "bash", query,
            ],
            merged: true
        ).text
        return Self.value(text)
    }

    private static func value(_ text: String) -> String {
        for value in ["TRUE", "FALSE"] where text.contains("\n\(value)\n") { return value }
        guard let start = text.range(of: "everyhop: "), let end = text[start.upperBound...].firstIndex(of: "\"") else {
            return text.contains("connection failed") ? "failed" : text
        }
        return String(text[start.upperBound..<end])
    }

    /// What pymssql and python-tds get.
    private func libraries(_ port: UInt16) throws -> [String: String] {
        try folder.write(
            "freetds.conf",
            ["off", "request", "require"].map {
                "[\($0)]\nhost = 127.0.0.1\nport = \(port)\nencryption = \($0)\ntds version = 7.4\n"
            }.joined()
        )
        let text = try python(
            """
            import pymssql, pytds
            def show(name, connect, **more):
                try:
                    c = connect(user="sa", password="s3cret-Password", login_timeout=10, **more)
                    k = c.cursor(); k.execute("SELECT encrypt_option"); print(name, k.fetchone()[0])
                except Exception: print(name, "failed")
            for mode in ("off", "request", "require"):
                show("pymssql-" + mode, pymssql.connect, server=mode)
            common = dict(dsn="127.0.0.1", port=\(port), disable_connect_retry=True, timeout=10)
            tls = dict(cafile="\(folder.path)/authority.pem", validate_host=False)
            show("pytds-plain", pytds.connect, **common)
            show("pytds-login", pytds.connect, enc_login_only=True, **common, **tls)
            show("pytds-full", pytds.connect, **common, **tls)
            """,
            environment: ["FREETDSCONF=\(folder.path)/freetds.conf", "TDSPORT=\(port)"]
        )
        var found: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2 { found[String(words[0])] = String(words[1]) }
        }
        return found
    }

    @Test func `the test server itself is what three clients take for a SQL Server`() throws {
        let off = try server("--encryption", "off")
        #expect(
            try libraries(off.port) == [
                "pymssql-off": "FALSE", "pymssql-request": "FALSE", "pymssql-require": "TRUE",
                "pytds-plain": "FALSE", "pytds-login": "FALSE", "pytds-full": "TRUE",
            ]
        )
        #expect(try tsql(off.port, "require") == "TRUE")
        #expect(try tsql(off.port, "off", version: "7.0") == "FALSE")
        let forced = try server("--encryption", "on")
        #expect(
            try libraries(forced.port) == [
                "pymssql-off": "failed", "pymssql-request": "TRUE", "pymssql-require": "TRUE",
                "pytds-plain": "failed", "pytds-login": "TRUE", "pytds-full": "TRUE",
            ]
        )
        #expect(try tsql(forced.port, "off") == "failed")
        #expect(try tsql(forced.port, "request") == "TRUE")
    }

    /// Server set to, its TLS, and the configuration that goes with it.
    private static let servers: [(encryption: String, tls: String, more: String)] = [
        ("off", "1.2", ""), ("on", "1.2", ""), ("req", "1.2", ""),
        ("on", "1.3", "minimum_version = \"1.3\""),
        ("strict", "1.2", "tds = \"strict\""), ("strict", "1.3", "tds = \"strict\""),
        ("on", "1.0", "minimum_version = \"1.0\"\nlegacy = true"), ("off", "1.1", "legacy = true"),
    ]

    @Test(arguments: 0..<Self.servers.count)
    func `whatever the server is set to, the session is encrypted, and the server says so`(_ index: Int) throws {
        let mode = Self.servers[index]
        let server = try server("--encryption", mode.encryption, "--tls", mode.tls)
        let tap = try Tap(to: server.port)
        let everyhop = try start(tap.port, mode.more)
        // Plain in: whoever does not insist on encryption.
        #expect(
            try libraries(plain) == [
                "pymssql-off": "TRUE", "pymssql-request": "TRUE", "pymssql-require": "failed",
                "pytds-plain": "TRUE", "pytds-login": "TRUE", "pytds-full": "failed",
            ]
        )
        for version in ["7.4", "7.3", "7.2", "7.1", "7.0"] {
            #expect(try tsql(plain, "off", version: version) == "TRUE")
        }
        #expect(
            try libraries(encrypted) == [
                "pymssql-off": "failed", "pymssql-request": "TRUE", "pymssql-require": "TRUE",
                "pytds-plain": "failed", "pytds-login": "TRUE", "pytds-full": "TRUE",
            ]
        )
        #expect(
            try libraries(loginOnly) == [
                "pymssql-off": "TRUE", "pymssql-request": "TRUE", "pymssql-require": "TRUE",
                "pytds-plain": "TRUE", "pytds-login": "TRUE", "pytds-full": "TRUE",
            ]
        )
        #expect(!server.log.contains("\"tls\": null"))
        for sent in tap.connections where !sent.isEmpty { #expect(Self.isEncrypted(sent)) }
        try everyhop.waitForAccess(
            "\"user\":\"sa\"",
            "\"server_tls_version\":\"TLSv\(mode.tls == "1.0" ? "1" : mode.tls)\""
        )
        #expect(!everyhop.log.contains("s3cret"))
        if mode.more.contains("legacy") {
            #expect(everyhop.log.contains("legacy: TLS"))
            try everyhop.waitForAccess("\"server_legacy\":true")
        }
    }

    /// PRELOGIN packets, the later ones with records inside, then nothing but records; in TDS 8.0, records alone.
    static func isEncrypted(_ sent: [UInt8]) -> Bool {
        var rest = sent[...]
        var isFirst = true
        while rest.first == 0x12 {
            let bytes = Array(rest.prefix(9))
            guard bytes.count == 9 else { return false }
            let length = Int(bytes[2]) << 8 | Int(bytes[3])
            guard length > 8, length <= rest.count else { return false }
            // Only the first may hold options; the others hold a flight, whose packets begin or go on with records.
            if !isFirst, Tap.records(in: rest.prefix(length), after: 8) == nil { return false }
            isFirst = false
            rest = rest.dropFirst(length)
        }
        return Tap.records(in: rest, after: 0) != nil
    }

    @Test func `TDS 8.0 comes in with ALPN tds/8.0, and without it is refused`() throws {
        let server = try server()
        let everyhop = try start(server.port)
        for (alpn, works) in [(["tds/8.0"], true), ([], false)] {
            let context = try ClientContext(
                trust: .init(authoritiesPEM: trust.authority.certificatePEM, pins: []),
                name: "localhost",
                policy: .modern,
                alpn: alpn
            )
            let client = try Connection(to: encrypted, context)
            // As drivers do: "strict", to be heard again, and version 8 in the login.
            try? client.send(TDSBytes.prelogin(encryption: 4))
            let answer = try client.receive()
            #expect(answer?.first == (works ? 0x04 : nil))
            guard works else { continue }
            #expect(answer?.contains(4) == true)
            try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password", version: 8))
            #expect(try client.receive()?.contains(0xAD) == true)
            try client.send(TDSBytes.batch("SELECT encrypt_option"))
            let rows = String(decoding: try #require(try client.receive()), as: UTF8.self)
            #expect(rows.contains("T\0R\0U\0E\0"))
        }
        try everyhop.waitForLog("TLS first, but without ALPN tds/8.0")
    }

    @Test func `tokens of integrated authentication go back and forth`() throws {
        let server = try PeerServer(trust, script: "tds_server.py", "--sspi")
        let everyhop = try start(server.port)
        let client = try Connection(to: plain, nil)
        try client.send(TDSBytes.prelogin(encryption: 2))
        _ = try client.receive()
        try client.send(TDSBytes.login(user: "", password: "s3cret-Password"))
        let challenge = try #require(try client.receive())
        #expect(challenge.suffix(4).elementsEqual("ping".utf8))
        try client.send(TDSBytes.packet(0x11, Array("pong".utf8)))
        #expect(try client.receive()?.first == 0x04)
        try client.send(TDSBytes.batch("SELECT encrypt_option"))
        #expect(String(decoding: try #require(try client.receive()), as: UTF8.self).contains("T\0R\0U\0E\0"))
        withExtendedLifetime(everyhop) {}
    }

    @Test func `volume, packets of any split and an attention pass`() throws {
        let server = try PeerServer(trust, script: "tds_server.py", "--flight", "100")
        let everyhop = try start(server.port)
        for port in [plain, encrypted, loginOnly] {
            let text = try python(
                """
                import pytds
                tls = {} if \(port) == \(plain) else dict(cafile="\(folder.path)/authority.pem", validate_host=False)
                c = pytds.connect(dsn="127.0.0.1", port=\(port), user="sa", password="s3cret-Password", timeout=60,
                                  login_timeout=60, **tls)
                k = c.cursor()
                k.execute("SELECT volume 500")
                print(sum(len(row[0]) for row in k.fetchall()))
                k.execute("SELECT '" + "y" * 300000 + "'")
                print(len(k.fetchone()[0]))
                """
            )
            #expect(text == "2000000\n4000\n")
        }
        let client = try Connection(to: plain, nil)
        for byte in TDSBytes.prelogin(encryption: 2) { try client.send([byte]) }
        _ = try client.receive()
        for byte in TDSBytes.login(user: "sa", password: "s3cret-Password") { try client.send([byte]) }
        _ = try client.receive()
        try client.send(TDSBytes.packet(6, []))
        let done = try #require(try client.receive())
        #expect(done.dropFirst(8).prefix(2).elementsEqual([0xFD, 0x20]))
        withExtendedLifetime(everyhop) {}
    }

    @Test func `several results at a time (MARS) pass, in plain, over TLS and with the login alone encrypted`() throws {
        let server = try server()
        let everyhop = try start(server.port)
        for port in [server.port, plain, encrypted, loginOnly] {
            let tls = port == plain ? "" : "cafile=\"\(folder.path)/authority.pem\", validate_host=False"
            let text = try python(
                """
                import pytds
                c = pytds.connect(dsn="127.0.0.1", port=\(port), user="sa", password="s3cret-Password", timeout=20,
                                  use_mars=True, autocommit=True, \(tls))
                cursors = [c.cursor() for _ in range(5)]
                for i, k in enumerate(cursors): k.execute("SELECT %d" % i)
                print([k.fetchone()[0] for k in reversed(cursors)])
                for k in cursors: k.close()
                """
            )
            #expect(text == "['SELECT 4', 'SELECT 3', 'SELECT 2', 'SELECT 1', 'SELECT 0']\n")
        }
        #expect(server.log.contains("\"smp\": 4"))
        #expect(!server.log.contains("\"tls\": null"))
        withExtendedLifetime(everyhop) {}
    }

    @Test func `a redirect leads to a configured database, or nowhere; a mirror is not told of`() throws {
        let second = try server("--encryption", "on")
        let first = try server("--encryption", "on", "--redirect", "localhost:\(second.port)")
        let third = try freePort()
        let fourth = try freePort()
        let everyhop = try start(
            first.port,
            others: """
                [[database]]
                name = "replica"
                protocol = "tds"
                server = "localhost:\(second.port)"
                trust = { pins = ["\(try trust.pin())"] }
                [[database.binding]]
                port = \(fourth)
                certificate = "portal"
                [[database.binding]]
                port = \(third)
                """
        )
        let client = try Connection(to: plain, nil)
        try client.send(TDSBytes.prelogin(encryption: 2))
        _ = try client.receive()
        try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password"))
        let answer = try #require(try client.receive())
        // ENVCHANGE 20: TCP, the binding's port, the binding's address.
        let host = TDSBytes.wide("127.0.0.1")
        let route: [UInt8] = [0, UInt8(truncatingIfNeeded: third), UInt8(third >> 8), 9, 0] + host + [0, 0]
        #expect(Data(answer).range(of: Data([20, UInt8(route.count - 2), 0] + route)) != nil)
        try everyhop.waitForLog("was led to 127.0.0.1:\(third)")
        #expect(try tsql(third, "off") == "TRUE")
        // Who came in by TLS is led to where TLS is spoken.
        _ = try tsql(encrypted, "require")
        try everyhop.waitForLog("was led to 127.0.0.1:\(fourth)")
    }

    @Test func `a redirect to a stranger is refused with his name, and a mirroring partner is kept back`() throws {
        let stranger = try server("--redirect", "ag.internal:1433")
        let everyhop = try start(stranger.port)
        #expect(try tsql(plain, "off").contains("the server redirects to ag.internal:1433"))
        try everyhop.waitForAccess("redirects to ag.internal:1433")
    }

    @Test func `a mirroring partner is not told of`() throws {
        let mirrored = try server("--partner", "mirror.internal")
        let everyhop = try start(mirrored.port)
        let client = try Connection(to: plain, nil)
        try client.send(TDSBytes.prelogin(encryption: 2))
        _ = try client.receive()
        try client.send(TDSBytes.login(user: "sa", password: "s3cret-Password"))
        let answer = try #require(try client.receive())
        #expect(!String(decoding: answer, as: UTF8.self).contains("m\0i\0r\0r\0o\0r"))
        #expect(answer.contains(0xAD))
        try everyhop.waitForLog("the mirroring partner mirror.internal was kept from the client")
    }

    @Test(arguments: ["accept", "prelogin", "answer", "handshake", "login"])
    func `a server that closes is an error that the application reads`(_ moment: String) throws {
        let server = try server("--die", moment)
        let everyhop = try start(server.port)
        let text = try tsql(plain, "off")
        #expect(text.contains("onnection") || text.contains("clos"), "\(text)")
        try everyhop.waitForAccess("\"established\":false", "\"error\":")
    }

    @Test func `a server without TLS gets no login`() throws {
        let server = try server("--encryption", "not_sup")
        let tap = try Tap(to: server.port)
        let everyhop = try start(tap.port)
        #expect(try tsql(plain, "off") == "the server refuses TLS")
        #expect(try tsql(encrypted, "require") == "the server refuses TLS")
        try everyhop.waitForAccess("the server refuses TLS")
        #expect(!server.log.contains("login"))
        // PRELOGIN, and not a byte more.
        for sent in tap.connections { #expect(sent.count == Int(sent[2]) << 8 | Int(sent[3])) }
    }

    @Test func `a wrong pin is an error with the pin that was seen, and the login stays here`() throws {
        let server = try server()
        let everyhop = try start(server.port, pin: "sha256/AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")
        for (port, encryption) in [(plain, "off"), (encrypted, "require"), (loginOnly, "request")] {
            #expect(try tsql(port, encryption).contains("pin mismatch: the server's key is \(trust.pin())"))
        }
        try everyhop.waitForLog("database server refused")
        #expect(!server.log.contains("login"))
    }

    @Test func `old TLS is refused unless the configuration says legacy`() throws {
        let server = try server("--encryption", "on", "--tls", "1.0")
        let everyhop = try start(server.port)
        #expect(try tsql(plain, "off").contains("see minimum_version and legacy"))
        #expect(!server.log.contains("login"))
        withExtendedLifetime(everyhop) {}
    }

    @Test(arguments: ["00", "0401000904000000ff", "48545450", "0401ffff00000000", "04010008000000000401000800000000"])
    func `garbage instead of an answer is an error`(_ garbage: String) throws {
        let server = try server("--garbage", garbage)
        let everyhop = try start(server.port)
        let text = try tsql(plain, "off")
        #expect(text.contains("the server"), "\(text)")
        #expect(!server.log.contains("login"))
        withExtendedLifetime(everyhop) {}
    }
}

/// Messages of a client that this suite speaks itself (MS-TDS 2.2.6).
enum TDSBytes {
    static func packet(_ type: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let length = payload.count + 8
        return [type, 1, UInt8(length >> 8), UInt8(length & 255), 0, 0, 1, 0] + payload
    }

    static func wide(_ text: String) -> [UInt8] { text.utf8.flatMap { [$0, 0] as [UInt8] } }

    static func prelogin(encryption: UInt8) -> [UInt8] {
        packet(0x12, [0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF] + [9, 0, 0, 0, 0, 0] + [encryption])
    }

    static func login(user: String, password: String, version: UInt8 = 0x74) -> [UInt8] {
        let name = wide(user)
        let secret = wide(password).map { (($0 << 4) | ($0 >> 4)) ^ 0xA5 }
        var payload: [UInt8] = [0, 0, 0, 0, 4, 0, 0, version, 0, 0x10, 0, 0] + [UInt8](repeating: 0, count: 24)
        var offset = 94
        for (index, text) in [[], name, secret, [], [], [], [], [], []].enumerated() {
            payload += [UInt8(offset), 0, UInt8(text.count / 2), 0]
            offset += text.count
            // Behind the database's name comes the client's address.
            if index == 8 { payload += [UInt8](repeating: 0, count: 22) }
        }
        payload += name + secret
        payload[0] = UInt8(payload.count)
        return packet(0x10, payload)
    }

    static func batch(_ query: String) -> [UInt8] {
        packet(1, [4, 0, 0, 0] + wide(query))
    }
}
