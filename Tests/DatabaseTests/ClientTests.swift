import Database
import Testing

/// A server's bytes, piece by piece, and what a client makes of them.
private struct Talk {
    var client: DatabaseClient
    var waiting: [UInt8] = []
    var sent: [[UInt8]] = []

    init(_ client: DatabaseClient) { self.client = client }

    private static func next(_ client: inout DatabaseClient, _ bytes: [UInt8]) -> ClientTurn { client.next(bytes.span) }

    /// Feeds bytes and goes on until the client wants more, is ready, or has something to say.
    mutating func hear(_ bytes: [UInt8]) -> ClientStep {
        waiting += bytes
        for _ in 0..<100_000 {
            let turn = Self.next(&client, waiting)
            #expect(turn.used <= waiting.count)
            waiting.removeFirst(min(turn.used, waiting.count))
            switch turn.step {
            case .proceed: continue
            case .send(let bytes): sent.append(bytes)
            case .read, .ready, .answer, .refused, .failed: return turn.step
            }
        }
        Issue.record("steps without end")
        return .read
    }

    /// The same, byte by byte; the last step that is no wish for more.
    mutating func hearSlowly(_ bytes: [UInt8]) -> ClientStep {
        for byte in bytes {
            let step = hear([byte])
            if step != .read { return step }
        }
        return .read
    }
}

private struct FixedHashing: LoginHashing {
    func md5(_ message: [UInt8]) -> [UInt8]? { [UInt8](repeating: 0xAB, count: 16) }
    func sha1(_ message: [UInt8]) -> [UInt8]? { [UInt8](repeating: 2, count: 20) }
    func sha256(_ message: [UInt8]) -> [UInt8]? { [UInt8](repeating: 3, count: 32) }
    func hmac(key: [UInt8], _ message: [UInt8]) -> [UInt8]? { [UInt8](repeating: 4, count: 32) }
    func pbkdf2(password: [UInt8], salt: [UInt8], rounds: Int) -> [UInt8]? { [UInt8](repeating: 5, count: 32) }
    func random(_ count: Int) -> [UInt8]? { [UInt8](repeating: 0, count: count) }
}

private enum TDS {
    static func message(_ payload: [UInt8], type: UInt8 = 4) -> [UInt8] {
        [type, 1, UInt8((payload.count + 8) >> 8), UInt8((payload.count + 8) & 255), 0, 0, 1, 0] + payload
    }

    static func utf16(_ text: String) -> [UInt8] { text.utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] } }
    static func short(_ value: Int) -> [UInt8] { [UInt8(value & 255), UInt8(value >> 8)] }
    static func done(_ status: UInt8 = 0) -> [UInt8] { [0xFD, status, 0, 0, 0] + [UInt8](repeating: 0, count: 8) }

    static func error(_ number: Int, _ text: String) -> [UInt8] {
        let body =
            short(number) + [0, 0, 1, 16] + short(text.utf16.count) + utf16(text) + [0, 0] + [1, 0, 0, 0]
        return [0xAA] + short(body.count) + body
    }

    static func change(_ kind: UInt8, _ rest: [UInt8]) -> [UInt8] { [0xE3] + short(rest.count + 1) + [kind] + rest }
    static let acknowledged: [UInt8] = [0xAD, 10, 0, 1, 0x74, 0, 0, 4, 0, 15, 0, 0, 0]
    static let login = message(change(4, [4] + utf16("8000") + [0]) + acknowledged + done())
    static let collation: [UInt8] = [9, 4, 0xD0, 0, 0x34]

    static func column(_ name: String, _ type: [UInt8]) -> [UInt8] {
        [0, 0, 0, 0, 9, 0] + type + [UInt8(name.utf16.count)] + utf16(name)
    }

    /// One of each type that is read.
    static let columns: [UInt8] =
        [0x81, 9, 0] + column("i", [0x26, 4]) + column("t", [0x30]) + column("s", [0x34]) + column("l", [0x7F])
        + column("b", [0x68, 1]) + column("f", [0x6D, 8]) + column("r", [0x3B])
        + column("n", [0xE7, 0x40, 0] + collation) + column("x", [0xA5, 8, 0])
    static let row: [UInt8] =
        [0xD1, 4, 0xFF, 0xFF, 0xFF, 0xFF, 200, 0xFE, 0xFF] + [UInt8](repeating: 0xFF, count: 8) + [1, 1]
        + [8, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F] + [0, 0, 0xC0, 0x3F] + [4, 0, 0x41, 0, 0xAC, 0x20] + [2, 0, 0x0A, 0xBC]
    /// The first, fifth, sixth, eighth and ninth are NULL.
    static let sparseRow: [UInt8] =
        [0xD2, 0b1011_0001, 1, 7, 1, 0] + [UInt8](repeating: 0, count: 8) + [0, 0, 0, 0]
    static let answer = message(columns + row + sparseRow + [0xA9, 2, 0, 1, 0] + done(0x10))
}

@Suite("Client of SQL Server") struct TDSClientTests {
    private func start(_ login: ClientLogin = ClientLogin(user: "sa", password: Array("aé".utf8))) -> Talk {
        var talk = Talk(.tds(TDSClient(login, isStrict: false)))
        #expect(talk.hear([]) == .read)
        return talk
    }

    private func loggedIn() -> Talk {
        var talk = start()
        #expect(talk.hear(TDS.login) == .ready)
        talk.client.ask("SELECT 1")
        #expect(talk.hear([]) == .read)
        return talk
    }

    @Test func `LOGIN7 hides the password as MS-TDS says, and says nothing before`() {
        let talk = start()
        #expect(talk.sent.count == 1)
        let login = talk.sent[0]
        #expect(login[0] == 0x10)
        // 'a' is 61 00: halves changed 16 00, XOR A5: B3 A5; 'é' is E9 00: 9E, 3B A5.
        #expect(login.suffix(from: 8).contains(0xB3))
        let hidden: [UInt8] = [0xB3, 0xA5, 0x3B, 0xA5]
        #expect((0..<login.count - 4).contains { Array(login[$0..<$0 + 4]) == hidden })
        let length = Int(login[8]) | Int(login[9]) << 8
        #expect(length == login.count - 8)
    }

    @Test func `every type that is read, NULL, and a row of each kind`() {
        for isSlow in [false, true] {
            var talk = loggedIn()
            let step = isSlow ? talk.hearSlowly(TDS.answer) : talk.hear(TDS.answer)
            guard case .answer(let results) = step else {
                Issue.record("\(step)")
                continue
            }
            #expect(results.count == 1)
            #expect(results[0].columns == ["i", "t", "s", "l", "b", "f", "r", "n", "x"])
            #expect(results[0].rows[0] == ["-1", "200", "-2", "-1", "1", "1.5", "1.5", "A€", "0x0ABC"])
            #expect(results[0].rows[1] == [nil, "7", "1", "0", nil, nil, "0.0", nil, nil])
            #expect(talk.hear([]) == .ready)
        }
    }

    @Test func `an error is the statement's, and the session goes on`() {
        var talk = loggedIn()
        let answer = TDS.message(TDS.error(33_106, "no key") + TDS.error(5069, "failed.") + TDS.done(2))
        #expect(talk.hear(answer) == .refused(ServerError(code: "33106", message: "no key failed.")))
        talk.client.ask("SELECT 2")
        guard case .answer = talk.hear(TDS.answer) else {
            Issue.record("no answer")
            return
        }
    }

    @Test func `a long statement goes in packets of the size that was agreed on`() {
        var talk = start()
        #expect(talk.hear(TDS.login) == .ready)
        talk.client.ask(String(repeating: "x", count: 10_000))
        #expect(talk.hear([]) == .read)
        let sent = talk.sent[1]
        #expect(Int(sent[2]) << 8 | Int(sent[3]) == 8000)
        #expect(sent[1] == 0)
        #expect(sent.count == 20_022 + 3 * 8)
    }

    private static let hostile: [(payload: [UInt8], text: String)] = [
        ([0x81, 1, 0] + TDS.column("u", [0x24, 16]), "a type that is not read here"),
        ([0x81, 1, 0] + TDS.column("m", [0xE7, 0xFF, 0xFF] + TDS.collation), "a type that is not read here"),
        ([0x81, 0xFE, 0xFF], "more columns"),
        ([0xD1, 1], "a row without columns"),
        (TDS.columns + [0xD1, 5, 0, 0, 0, 0, 0], "a value that is not of its column's type"),
        (TDS.columns + [0xD1, 4, 0], "cut off"),
        ([0x99], "a token that is not known"),
        ([0xAA, 0xFF, 0xFF, 1], "cut off"), ([0xAA, 4, 0, 1, 0, 0, 0], "cut off"),
        ([0xE3, 0, 0], "cut off"), ([0xAE, 1, 0xFF, 0xFF, 0xFF, 0xFF], "cut off"),
    ]

    @Test(arguments: hostile) func `what breaks the protocol ends it`(_ hostile: (payload: [UInt8], text: String)) {
        var talk = loggedIn()
        let step = talk.hear(TDS.message(hostile.payload))
        guard case .failed(let reason) = step else {
            Issue.record("\(step)")
            return
        }
        #expect(reason.contains(hostile.text), "\(reason)")
        #expect(talk.hear(TDS.answer) == step)
        talk.client.ask("SELECT 1")
        #expect(talk.hear(TDS.answer) == step)
    }

    @Test func `a login that leads elsewhere, wants more or is of an old server is not carried on`() {
        let route = TDS.change(20, [9, 0, 0, 0x99, 5, 1, 0] + TDS.utf16("a") + [0, 0])
        let old: [UInt8] = [0xAD, 10, 0, 1, 0x71, 0, 0, 1, 0, 8, 0, 0, 0]
        let cases: [([UInt8], String)] = [
            (route + TDS.acknowledged + TDS.done(), "redirects to a:1433"),
            ([0xED, 1, 0, 1] + TDS.done(), "another kind of login"),
            (old + [0xFD, 0, 0, 0, 0, 0, 0, 0, 0], "older than SQL Server 2008"),
        ]
        for (payload, text) in cases {
            var talk = start()
            guard case .failed(let reason) = talk.hear(TDS.message(payload)) else {
                Issue.record("carried on: \(text)")
                continue
            }
            #expect(reason.contains(text))
        }
        var talk = start()
        #expect(
            talk.hear(TDS.message(TDS.error(18_456, "Login failed") + TDS.done(2)))
                == .refused(ServerError(code: "18456", message: "Login failed"))
        )
    }

    @Test func `what the server says never steers a terminal`() {
        var talk = loggedIn()
        guard case .refused(let error) = talk.hear(TDS.message(TDS.error(1, "a\u{1B}[2J\nb"))) else {
            Issue.record("no error")
            return
        }
        #expect(error.message == "a\u{FFFD}[2J\u{FFFD}b")
    }
}

private enum Postgres {
    static func message(_ type: Character, _ body: [UInt8]) -> [UInt8] {
        let length = body.count + 4
        return [type.asciiValue ?? 0, 0, 0, UInt8(length >> 8), UInt8(length & 255)] + body
    }

    static func authentication(_ code: UInt8, _ rest: [UInt8] = []) -> [UInt8] { message("R", [0, 0, 0, code] + rest) }
    static let ready = message("Z", [0x49])
    static let login = authentication(0) + message("S", Array("a\0b\0".utf8)) + message("K", [0, 0, 0, 1]) + ready
    static let columns = message(
        "T",
        [0, 2, 0x61, 0] + [UInt8](repeating: 0, count: 18) + [0x62, 0]
            + [UInt8](repeating: 0, count: 18)
    )
    static let row = message("D", [0, 2, 0, 0, 0, 1, 0x41, 0xFF, 0xFF, 0xFF, 0xFF])
    static let answer = columns + row + message("C", Array("SELECT 1\0".utf8)) + ready
    static let offers = authentication(10, Array("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0".utf8))
    /// 18 zeros in Base64.
    static let nonce = "AAAAAAAAAAAAAAAAAAAAAAAA"
    static func first(_ text: String) -> [UInt8] { authentication(11, Array(text.utf8)) }
}

@Suite("Client of PostgreSQL") struct PostgresClientTests {
    private func start(binding: [UInt8]? = nil) -> Talk {
        let login = ClientLogin(user: "alice", password: Array("secret".utf8), database: "ehr")
        var talk = Talk(.postgres(PostgresClient(login, hashing: FixedHashing(), channelBinding: binding)))
        #expect(talk.hear([]) == .read)
        return talk
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func `rows, NULL, and an error that leaves the session usable`() {
        for isSlow in [false, true] {
            var talk = start()
            #expect((isSlow ? talk.hearSlowly(Postgres.login) : talk.hear(Postgres.login)) == .ready)
            talk.client.ask("SELECT 1")
            #expect(talk.hear([]) == .read)
            let step = isSlow ? talk.hearSlowly(Postgres.answer) : talk.hear(Postgres.answer)
            #expect(step == .answer([SQLResult(columns: ["a", "b"], rows: [["A", nil]])]))
            talk.client.ask("SELECT 2")
            let error = Postgres.message("E", Array("SERROR\0C42501\0Mno\u{7}\0\0".utf8)) + Postgres.ready
            #expect(talk.hear(error) == .refused(ServerError(code: "42501", message: "no\u{FFFD}")))
            #expect(talk.hear([]) == .ready)
        }
    }

    @Test func `MD5 and clear passwords, as the protocol has them`() {
        var talk = start()
        #expect(talk.hear(Postgres.authentication(3)) == .read)
        #expect(text(talk.sent[1]) == "p\0\0\0\u{B}secret\0")
        talk = start()
        #expect(talk.hear(Postgres.authentication(5, [1, 2, 3, 4])) == .read)
        #expect(text(talk.sent[1]) == "p\0\0\0(md5" + String(repeating: "ab", count: 16) + "\0")
    }

    @Test func `SCRAM binds to the channel where both can, and says so where only one can`() {
        var talk = start(binding: [1, 2, 3])
        #expect(talk.hear(Postgres.offers) == .read)
        #expect(text(talk.sent[1]).contains("SCRAM-SHA-256-PLUS\0\0\0\0"))
        #expect(text(talk.sent[1]).hasSuffix("p=tls-server-end-point,,n=,r=\(Postgres.nonce)"))
        talk = start(binding: [1, 2, 3])
        #expect(talk.hear(Postgres.authentication(10, Array("SCRAM-SHA-256\0\0".utf8))) == .read)
        #expect(text(talk.sent[1]).hasSuffix("y,,n=,r=\(Postgres.nonce)"))
        talk = start()
        #expect(talk.hear(Postgres.offers) == .read)
        #expect(text(talk.sent[1]).hasSuffix("n,,n=,r=\(Postgres.nonce)"))
    }

    @Test func `SCRAM ends only with the server's proof`() {
        let proof = "v=" + String(repeating: "BAQE", count: 10) + "BAQ="
        for (final, works) in [(proof, true), ("v=AAAA", false), ("e=other-error", false)] {
            var talk = start()
            _ = talk.hear(Postgres.offers)
            #expect(talk.hear(Postgres.first("r=\(Postgres.nonce)server,s=QQ==,i=4096")) == .read)
            // Client key XOR signature: both are fours here.
            #expect(
                text(talk.sent[2]).hasSuffix("c=biws,r=\(Postgres.nonce)server,p=\(String(repeating: "A", count: 43))=")
            )
            let step = talk.hear(Postgres.authentication(12, Array(final.utf8)) + Postgres.login)
            if works { #expect(step == .ready) } else { #expect(isFailure(step)) }
        }
        var talk = start()
        _ = talk.hear(Postgres.offers)
        _ = talk.hear(Postgres.first("r=\(Postgres.nonce)server,s=QQ==,i=4096"))
        #expect(isFailure(talk.hear(Postgres.login)), "logged in without a proof")
    }

    private func isFailure(_ step: ClientStep) -> Bool {
        if case .failed = step { return true }
        return false
    }

    @Test(arguments: [
        "r=other,s=QQ==,i=4096", "r=AAAAAAAAAAAAAAAAAAAAAAAA,s=QQ==,i=4096", "r=AAAAAAAAAAAAAAAAAAAAAAAAx,s=Q,i=4096",
        "r=AAAAAAAAAAAAAAAAAAAAAAAAx,s=QQ==,i=0", "r=AAAAAAAAAAAAAAAAAAAAAAAAx,s=QQ==,i=9999999",
        "r=AAAAAAAAAAAAAAAAAAAAAAAAx,s=QQ==,i=+1", "r=AAAAAAAAAAAAAAAAAAAAAAAAx,s=QR==,i=1", "", ",,,",
        "m=x,r=AAAAAAAAAAAAAAAAAAAAAAAAx,s=QQ==,i=1",
    ]) func `a first message that is not SCRAM's ends it`(_ message: String) {
        var talk = start()
        _ = talk.hear(Postgres.offers)
        #expect(isFailure(talk.hear(Postgres.first(message))))
    }

    @Test func `messages out of place or out of form end it`() {
        let bytes: [[UInt8]] = [
            Postgres.authentication(11, [1]), Postgres.authentication(12, [1]), Postgres.authentication(7),
            Postgres.authentication(10, [0]), Postgres.authentication(10, [0x41]), Postgres.answer, [0x52, 0, 0, 0, 3],
            [0x52, 0x7F, 0xFF, 0xFF, 0xFF], [0x52, 0x80, 0, 0, 0], Postgres.message("E", [0x43]),
            Array("HTTP/1.1 400".utf8),
        ]
        for bytes in bytes {
            var talk = start()
            #expect(isFailure(talk.hear(bytes)), "\(bytes)")
        }
        let rows: [[UInt8]] = [
            Postgres.row, Postgres.columns + Postgres.message("D", [0, 1, 0, 0, 0, 0]),
            Postgres.columns + Postgres.message("D", [0, 2, 0x7F, 0xFF, 0xFF, 0xFF]),
            Postgres.message("T", [0xFF, 0xFF]),
            Postgres.message("G", [0, 0, 0]),
        ]
        for bytes in rows {
            var talk = start()
            _ = talk.hear(Postgres.login)
            talk.client.ask("SELECT 1")
            _ = talk.hear([])
            #expect(isFailure(talk.hear(bytes)), "\(bytes)")
        }
    }
}

private enum MySQL {
    static func packet(_ sequence: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [UInt8(payload.count & 255), UInt8(payload.count >> 8), 0, sequence] + payload
    }

    static func greeting(_ plugin: String) -> [UInt8] {
        packet(
            0,
            [10] + Array("8.0.36\0".utf8) + [1, 0, 0, 0] + [UInt8](repeating: 0x41, count: 8) + [
                0, 0, 0x8A, 45, 2, 0, 8,
            ]
                + [0, 21] + [UInt8](repeating: 0, count: 10) + [UInt8](repeating: 0x42, count: 12) + [0]
                + Array("\(plugin)\0".utf8)
        )
    }

    static let ok: [UInt8] = [0, 0, 0, 2, 0, 0, 0]
    static let end: [UInt8] = [0xFE, 0, 0, 2, 0]
    static let column: [UInt8] = [3, 0x64, 0x65, 0x66, 0, 0, 0, 1, 0x61]
    static let answer =
        packet(1, [1]) + packet(2, column) + packet(3, end) + packet(4, [1, 0x41]) + packet(5, [0xFB]) + packet(6, end)
}

@Suite("Client of MySQL and MariaDB") struct MySQLClientTests {
    private func start(_ plugin: String = "mysql_native_password", greeting: [UInt8]? = nil) -> Talk {
        let login = ClientLogin(user: "bob", password: Array("secret".utf8))
        let client = MySQLClient(login, greeting: greeting ?? MySQL.greeting(plugin), hashing: FixedHashing())
        var talk = Talk(.mysql(client))
        _ = talk.hear([])
        return talk
    }

    private func isFailure(_ step: ClientStep) -> Bool {
        if case .failed = step { return true }
        return false
    }

    @Test func `rows and NULL, whole or byte by byte`() {
        for isSlow in [false, true] {
            var talk = start()
            #expect(talk.hear(MySQL.packet(3, MySQL.ok)) == .ready)
            talk.client.ask("SELECT 1")
            #expect(talk.hear([]) == .read)
            #expect(talk.sent[1] == MySQL.packet(0, [3] + Array("SELECT 1".utf8)))
            let step = isSlow ? talk.hearSlowly(MySQL.answer) : talk.hear(MySQL.answer)
            #expect(step == .answer([SQLResult(columns: ["a"], rows: [["A"], [nil]])]))
            talk.client.ask("SELECT 2")
            let error = MySQL.packet(1, [0xFF, 0x15, 4] + Array("#28000no".utf8))
            #expect(talk.hear(error) == .refused(ServerError(code: "1045", message: "no")))
            talk.client.ask("SELECT 3")
            #expect(talk.hear(MySQL.packet(1, MySQL.ok)) == .answer([]))
        }
    }

    @Test func `the answer to the greeting is numbered as after SSLRequest, and hashed`() {
        let talk = start()
        #expect(talk.sent[0][3] == 2)
        // 20 bytes that two equal digests leave of each other.
        #expect(
            Array(talk.sent[0].suffix(21 + 22 + 4).prefix(25)) == Array("bob\0".utf8) + [20]
                + [UInt8](repeating: 0, count: 20)
        )
        #expect(!talk.sent[0].contains(0x73) || !String(decoding: talk.sent[0], as: UTF8.self).contains("secret"))
    }

    @Test func `caching_sha2_password says the password when it is asked to`() {
        var talk = start("caching_sha2_password")
        #expect(talk.hear(MySQL.packet(3, [1, 4])) == .read)
        #expect(talk.sent[1] == MySQL.packet(4, Array("secret\0".utf8)))
        #expect(talk.hear(MySQL.packet(5, MySQL.ok)) == .ready)
        talk = start("caching_sha2_password")
        #expect(talk.hear(MySQL.packet(3, [1, 3]) + MySQL.packet(4, MySQL.ok)) == .ready)
        // Only that plugin is told it so.
        talk = start()
        #expect(isFailure(talk.hear(MySQL.packet(3, [1, 4]))))
        #expect(talk.sent.count == 1)
    }

    @Test func `a plugin that is not known is named, and gets nothing`() {
        var talk = start("client_ed25519")
        let step = talk.hear(MySQL.packet(3, [0xFE] + Array("client_ed25519\0salt".utf8)))
        #expect(isFailure(step) && "\(step)".contains("logs in by client_ed25519"))
        talk = start()
        #expect(isFailure(talk.hear(MySQL.packet(3, [0xFE] + Array("mysql_clear_password\0".utf8)))))
        #expect(talk.sent.count == 1)
    }

    @Test func `packets out of order, files asked for and rows out of form end it`() {
        #expect(isFailure(start(greeting: [1, 2, 3]).last))
        #expect(isFailure(start(greeting: MySQL.greeting("a") + [0]).last))
        for bytes in [MySQL.packet(2, MySQL.ok), MySQL.packet(3, [0x55]), MySQL.packet(3, []), [0xFF, 0xFF, 0xFF, 3]] {
            var talk = start()
            #expect(isFailure(talk.hear(bytes)), "\(bytes)")
        }
        let answers: [[UInt8]] = [
            MySQL.packet(1, [0xFB] + Array("/etc/passwd".utf8)), MySQL.packet(1, [0xFC, 0xFF, 0xFF]),
            MySQL.packet(1, [1]) + MySQL.packet(2, [0xFF]),
            MySQL.packet(1, [1]) + MySQL.packet(2, MySQL.column)
                + MySQL.packet(3, [1, 0x41]),
            MySQL.packet(1, [1]) + MySQL.packet(2, MySQL.column) + MySQL.packet(3, MySQL.end)
                + MySQL.packet(4, [5, 1]),
            MySQL.packet(1, [1]) + MySQL.packet(2, MySQL.column) + MySQL.packet(3, MySQL.end)
                + MySQL.packet(4, [0, 0]),
            MySQL.packet(1, [1]) + MySQL.packet(2, [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0]),
        ]
        for bytes in answers {
            var talk = start()
            _ = talk.hear(MySQL.packet(3, MySQL.ok))
            talk.client.ask("SELECT 1")
            _ = talk.hear([])
            #expect(isFailure(talk.hear(bytes)), "\(bytes)")
        }
    }
}

extension Talk {
    /// What the client wants now.
    fileprivate var last: ClientStep {
        var copy = self
        return copy.hear([])
    }
}

@Suite("Clients of databases and hostile servers") struct HostileServerTests {
    @Test func `no byte of a conversation can be changed so that a client traps or goes on for ever`() {
        let login = ClientLogin(user: "u", password: Array("p".utf8))
        let conversations: [(DatabaseClient, [[UInt8]])] = [
            (.tds(TDSClient(login, isStrict: false)), [TDS.login, TDS.answer]),
            (
                .postgres(PostgresClient(login, hashing: FixedHashing(), channelBinding: nil)),
                [Postgres.login, Postgres.answer]
            ),
            (
                .mysql(MySQLClient(login, greeting: MySQL.greeting("mysql_native_password"), hashing: FixedHashing())),
                [MySQL.packet(3, MySQL.ok), MySQL.answer]
            ),
        ]
        for (client, parts) in conversations {
            for part in parts.indices {
                for place in parts[part].indices {
                    for value: UInt8 in [0, 1, 0x7F, 0x80, 0xFE, 0xFF] {
                        var changed = parts
                        changed[part][place] = value
                        var talk = Talk(client)
                        _ = talk.hear([])
                        _ = talk.hear(changed[0])
                        talk.client.ask("SELECT 1")
                        _ = talk.hear(changed[1])
                    }
                }
            }
        }
    }
}
