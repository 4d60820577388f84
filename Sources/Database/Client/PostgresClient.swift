/// A client of PostgreSQL: protocol 3.0, logins by password, MD5 and SCRAM-SHA-256 with or without channel binding,
/// simple queries.
public struct PostgresClient: Sendable {
    private enum State: Equatable {
        /// The startup message is to be sent. Next: authenticating.
        case introducing
        /// Next: starting, ended.
        case authenticating
        /// Logged in; the server tells its parameters. Next: ready.
        case starting
        /// Next: asking.
        case ready
        /// A query is to be sent. Next: answering.
        case asking(String)
        /// Next: ready, ended.
        case answering
        case ended(ClientStep)
    }

    /// The longest message of an answer.
    private static let longestMessage = 1 << 20

    private let login: ClientLogin
    private let hashing: any LoginHashing
    private let channelBinding: [UInt8]?
    private var state = State.introducing
    private var scram: ScramExchange?
    private var isProved = false
    private var results: [SQLResult] = []
    private var error: ServerError?
    private var taken = 0
    private var rowCount = 0

    /// Begins when TLS stands.
    ///
    /// - Parameter channelBinding: `tls-server-end-point` of the connection (RFC 5929 §4); nil for none.
    public init(_ login: ClientLogin, hashing: any LoginHashing, channelBinding: [UInt8]?) {
        self.login = login
        self.hashing = hashing
        self.channelBinding = channelBinding
    }

    mutating func next(_ server: Span<UInt8>) -> ClientTurn {
        switch state {
        case .introducing: return introduce()
        case .authenticating, .starting, .answering: return take(server)
        case .ready: return ClientTurn(.ready)
        case .asking(let statement):
            state = .answering
            return ClientTurn(.send(PostgresMessage.message(0x51, Array(statement.utf8.filter { $0 != 0 }) + [0])))
        case .ended(let step): return ClientTurn(step)
        }
    }

    var isReady: Bool { state == .ready }

    mutating func ask(_ statement: String) {
        guard state == .ready else { return }
        (results, error, taken, rowCount) = ([], nil, 0, 0)
        state = .asking(statement)
    }

    private mutating func introduce() -> ClientTurn {
        let database = login.database ?? login.user
        guard !login.user.utf8.contains(0), !database.utf8.contains(0), !login.password.contains(0) else {
            return ClientTurn(end(.failed("the user, the password or the database holds a zero")))
        }
        let parameters = [
            "user", login.user, "database", database, "application_name", "everyhop", "client_encoding", "UTF8",
        ]
        var body: [UInt8] = []
        for text in parameters { body += Array(text.utf8) + [0] }
        body.append(0)
        guard body.count + 8 <= PostgresMessage.longestStartup else {
            return ClientTurn(end(.failed("the user or the database has too long a name")))
        }
        var message: [UInt8] = []
        message.appendBigEndian(body.count + 8, count: 4)
        message.appendBigEndian(196_608, count: 4)
        state = .authenticating
        return ClientTurn(.send(message + body))
    }

    // MARK: messages

    private mutating func take(_ server: Span<UInt8>) -> ClientTurn {
        guard server.count >= 5 else { return ClientTurn(.read) }
        let length = (1..<5).reduce(0) { $0 << 8 | Int(server[$1]) }
        let limit = state == .answering ? Self.longestMessage : PostgresMessage.longestMessage
        guard length >= 4, length <= limit else {
            return ClientTurn(end(.failed("the server does not speak PostgreSQL")))
        }
        guard server.count > length else { return ClientTurn(.read) }
        taken += length
        guard taken <= DatabaseClient.mostBytes else { return ClientTurn(end(.failed("the server sends without end"))) }
        let body = [UInt8](copying: server, from: 5, count: length - 4)
        do throws(MessageReader.Truncated) {
            return ClientTurn(try handle(server[0], body), used: length + 1)
        } catch { return ClientTurn(end(.failed("the server sent a malformed message"))) }
    }

    private mutating func handle(_ type: UInt8, _ body: [UInt8]) throws(MessageReader.Truncated) -> ClientStep {
        switch (type, state) {
        // ParameterStatus, NoticeResponse, NotificationResponse come whenever they like.
        case (0x53, _), (0x4E, _), (0x41, _): return .proceed
        case (0x45, .authenticating), (0x45, .starting): return end(.refused(try Self.error(body)))
        case (0x45, .answering):
            if error == nil { error = try Self.error(body) }
            return .proceed
        case (0x52, .authenticating): return try authenticate(body)
        // BackendKeyData
        case (0x4B, .starting): return .proceed
        case (0x5A, .starting):
            state = .ready
            return .proceed
        case (0x5A, .answering):
            state = .ready
            return error.map { .refused($0) } ?? .answer(results)
        case (0x54, .answering): return try readColumns(body)
        case (0x44, .answering): return try readRow(body)
        // CommandComplete, EmptyQueryResponse
        case (0x43, .answering), (0x49, .answering): return .proceed
        default: return end(.failed("the server sent a message that does not belong here"))
        }
    }

    private static func error(_ body: [UInt8]) throws(MessageReader.Truncated) -> ServerError {
        var reader = MessageReader(body)
        var error = ServerError(code: "", message: "an error without a text")
        while true {
            let field = try reader.byte()
            if field == 0 { return error }
            let text = try reader.zeroTerminated()
            if field == 0x43 { error.code = PeerText.readable(text, limit: 5) }
            if field == 0x4D { error.message = PeerText.readable(text, limit: 512) }
        }
    }

    // MARK: the login

    private mutating func authenticate(_ body: [UInt8]) throws(MessageReader.Truncated) -> ClientStep {
        var reader = MessageReader(body)
        switch try reader.bigEndian(4) {
        case 0:
            // A server that has been given a proof has to give its own: it knows the password, or it is another.
            guard scram == nil || isProved else {
                return end(.failed("the server did not prove that it knows the user"))
            }
            state = .starting
            return .proceed
        case 3: return .send(PostgresMessage.message(0x70, login.password + [0]))
        case 5:
            let salt = try reader.bytes(4)
            guard let inner = hashing.md5(login.password + Array(login.user.utf8)),
                let outer = hashing.md5(Self.hexadecimal(inner) + salt)
            else { return end(.failed("the server wants MD5, which this host forbids")) }
            return .send(PostgresMessage.message(0x70, Array("md5".utf8) + Self.hexadecimal(outer) + [0]))
        case 10: return try beginScram(&reader)
        case 11:
            guard var exchange = scram, let answer = exchange.answer(try reader.bytes(reader.remaining), hashing) else {
                return end(.failed("the server's part of SCRAM is malformed"))
            }
            scram = exchange
            return .send(PostgresMessage.message(0x70, answer))
        case 12:
            guard let exchange = scram, exchange.isProof(try reader.bytes(reader.remaining)) else {
                return end(.failed("the server did not prove that it knows the user"))
            }
            isProved = true
            return .proceed
        default: return end(.failed("the server wants a kind of login that is not known; give the user a password"))
        }
    }

    private mutating func beginScram(_ reader: inout MessageReader) throws(MessageReader.Truncated) -> ClientStep {
        guard scram == nil else { return end(.failed("the server begins SCRAM twice")) }
        var mechanisms: [String] = []
        while true {
            let name = try reader.zeroTerminated()
            if name.isEmpty { break }
            mechanisms.append(String(decoding: name, as: UTF8.self))
            guard mechanisms.count <= 16 else { throw MessageReader.Truncated() }
        }
        let binds = channelBinding != nil && mechanisms.contains("SCRAM-SHA-256-PLUS")
        guard binds || mechanisms.contains("SCRAM-SHA-256") else {
            return end(.failed("the server offers no SCRAM-SHA-256"))
        }
        // Who could bind and is not offered it says so: a server that did offer it then knows that somebody stood between.
        guard let exchange = ScramExchange(login.password, binding: channelBinding, isOffered: binds, hashing) else {
            return end(.failed("no random bytes"))
        }
        scram = exchange
        let first = exchange.first
        var body = Array((binds ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256").utf8) + [0]
        body.appendBigEndian(first.count, count: 4)
        return .send(PostgresMessage.message(0x70, body + first))
    }

    static func hexadecimal(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    }

    // MARK: rows

    private mutating func readColumns(_ body: [UInt8]) throws(MessageReader.Truncated) -> ClientStep {
        var reader = MessageReader(body)
        let count = try reader.bigEndian(2)
        guard count <= DatabaseClient.mostColumns else { throw MessageReader.Truncated() }
        var columns: [String] = []
        for _ in 0..<count {
            columns.append(PeerText.readable(try reader.zeroTerminated()))
            try reader.skip(18)
        }
        results.append(SQLResult(columns: columns))
        return .proceed
    }

    private mutating func readRow(_ body: [UInt8]) throws(MessageReader.Truncated) -> ClientStep {
        var reader = MessageReader(body)
        let count = try reader.bigEndian(2)
        rowCount += 1
        guard let last = results.indices.last, count == results[last].columns.count,
            rowCount <= DatabaseClient.mostRows
        else { throw MessageReader.Truncated() }
        var row: [String?] = []
        for _ in 0..<count {
            let length = try reader.bigEndian(4)
            row.append(length == 0xFFFF_FFFF ? nil : String(decoding: try reader.bytes(length), as: UTF8.self))
        }
        results[last].rows.append(row)
        return .proceed
    }

    private mutating func end(_ step: ClientStep) -> ClientStep {
        state = .ended(step)
        return step
    }
}
