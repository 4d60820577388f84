import Database

/// The clients that ask databases how they store their data, and what has to hold whatever a server answers.
enum ClientTarget {
    /// A server's part: the answer to the login, then to a question.
    static let seeds: [[UInt8]] = [
        // TDS: LOGINACK and DONE; then two columns, a row, a sparse row and DONE.
        [0x04, 1, 0, 37, 0, 0, 1, 0, 0xAD, 13, 0, 1, 0x74, 0, 0, 4, 1, 0x41, 0, 15, 0, 0, 0]
            + [0xFD, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8)
            + [0x04, 1, 0, 80, 0, 0, 1, 0, 0x81, 2, 0, 0, 0, 0, 0, 9, 0, 0x26, 4, 1, 0x61, 0]
            + [0, 0, 0, 0, 9, 0, 0xE7, 0x40, 0, 9, 4, 0xD0, 0, 0x34, 1, 0x62, 0]
            + [0xD1, 4, 3, 0, 0, 0, 4, 0, 0x41, 0, 0x42, 0, 0xD2, 2, 4, 1, 0, 0, 0]
            + [0xAB, 2, 0, 1, 2] + [0xFD, 0x10, 0, 0, 0, 2] + [UInt8](repeating: 0, count: 7),
        // PostgreSQL: SCRAM's beginning; or a clear password, then a row.
        [0x52, 0, 0, 0, 23, 0, 0, 0, 10] + Array("SCRAM-SHA-256\0\0".utf8)
            + [0x52, 0, 0, 0, 28, 0, 0, 0, 11] + Array("r=,s=QQ==,i=4096".utf8),
        [0x52, 0, 0, 0, 8, 0, 0, 0, 3, 0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5A, 0, 0, 0, 5, 0x49]
            + [0x54, 0, 0, 0, 26, 0, 1, 0x61, 0] + [UInt8](repeating: 0, count: 18)
            + [0x44, 0, 0, 0, 12, 0, 1, 0, 0, 0, 2, 0x41, 0x42] + [0x43, 0, 0, 0, 6, 0x53, 0]
            + [0x5A, 0, 0, 0, 5, 0x49],
        // MySQL: OK; then one column, EOF, a row, EOF. And a change of plugin.
        [7, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0] + [1, 0, 0, 1, 1] + [6, 0, 0, 2, 0, 0, 0, 0, 1, 0x61]
            + [5, 0, 0, 3, 0xFE, 0, 0, 2, 0] + [3, 0, 0, 4, 2, 0x41, 0x42] + [5, 0, 0, 5, 0xFE, 0, 0, 2, 0],
        [22, 0, 0, 3, 0xFE] + Array("caching_sha2_password".utf8) + [0] + [2, 0, 0, 5, 1, 4] + [1, 0, 0, 7, 0],
    ]

    private static let greeting: [UInt8] =
        [65, 0, 0, 0, 10, 0x38, 0, 7, 0, 0, 0] + [UInt8](repeating: 0x41, count: 8) + [0, 0, 0x8A, 45, 2, 0, 8, 0, 21]
        + [UInt8](repeating: 0, count: 10) + [UInt8](repeating: 0x41, count: 12) + [0]
        + Array("mysql_native_password\0".utf8)

    /// What is wrong with how a client dealt with `input`, or nil.
    ///
    /// - Parameter asked: counts answers that were understood.
    static func check(_ input: [UInt8], asked: inout Int) -> String? {
        let login = ClientLogin(user: "u", password: Array("secret".utf8))
        let hashing = NoHashing()
        for client in [
            DatabaseClient.tds(TDSClient(login, isStrict: false)), .tds(TDSClient(login, isStrict: true)),
            .postgres(PostgresClient(login, hashing: hashing, channelBinding: nil)),
            .mysql(MySQLClient(login, greeting: greeting, hashing: hashing)),
            .mysql(MySQLClient(login, greeting: input, hashing: hashing)),
        ] {
            if let failure = run(client, input, &asked) { return failure }
        }
        return nil
    }

    private static func next(_ client: inout DatabaseClient, _ server: [UInt8]) -> ClientTurn {
        client.next(server.span)
    }

    private static func run(_ client: DatabaseClient, _ input: [UInt8], _ asked: inout Int) -> String? {
        var client = client
        var server = input
        var questions = 0
        for _ in 0..<10_000 {
            let turn = next(&client, server)
            guard turn.used <= server.count else { return "more consumed than there is" }
            server.removeFirst(turn.used)
            switch turn.step {
            case .read, .failed: return nil
            case .refused where questions == 0: return nil
            case .proceed, .refused: continue
            case .send(let bytes):
                if bytes.isEmpty { return "nothing sent" }
            case .ready:
                guard questions < 3 else { return nil }
                questions += 1
                client.ask("SELECT 1")
            case .answer(let results):
                asked += 1
                guard questions > 0 else { return "an answer before a question" }
                let isEven = results.allSatisfy { result in result.rows.allSatisfy { $0.count == result.columns.count }
                }
                if !isEven { return "a row that has not as many values as columns" }
            }
        }
        return "steps without end"
    }
}

/// Digests without meaning: algorithms are not what is tested.
private struct NoHashing: LoginHashing {
    func md5(_ message: [UInt8]) -> [UInt8]? { [UInt8](repeating: 1, count: 16) }
    func sha1(_ message: [UInt8]) -> [UInt8]? { [UInt8](repeating: 2, count: 20) }
    func sha256(_ message: [UInt8]) -> [UInt8]? { [UInt8](repeating: 3, count: 32) }
    func hmac(key: [UInt8], _ message: [UInt8]) -> [UInt8]? { [UInt8](repeating: 4, count: 32) }
    func pbkdf2(password: [UInt8], salt: [UInt8], rounds: Int) -> [UInt8]? { [UInt8](repeating: 5, count: 32) }
    func random(_ count: Int) -> [UInt8]? { [UInt8](repeating: 6, count: count) }
}
