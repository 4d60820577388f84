/// A client of MySQL and MariaDB: the login after the greeting, then queries in text.
public struct MySQLClient: Sendable {
    private enum State: Equatable {
        /// The response to the greeting is to be sent. Next: authenticating.
        case responding
        /// Next: ready, ended.
        case authenticating
        /// Next: asking.
        case ready
        /// A query is to be sent. Next: awaitingAnswer.
        case asking(String)
        /// How many columns there are, or that there are none. Next: readingColumns, ready.
        case awaitingAnswer
        /// So many columns are still to come, and then an EOF. Next: readingRows.
        case readingColumns(Int)
        /// Next: ready.
        case readingRows
        case ended(ClientStep)
    }

    /// The longest packet of an answer.
    private static let longestPacket = 1 << 20

    private let login: ClientLogin
    private let hashing: any LoginHashing
    private var state: State
    private var plugin = ""
    private var salt: [UInt8] = []
    private var sequence: UInt8 = 2
    private var result = SQLResult()
    private var taken = 0

    /// The version that the server's greeting tells, such as `8.0.36` or `10.11.6-MariaDB`.
    public private(set) var version = ""

    /// Begins when TLS stands.
    ///
    /// - Parameter greeting: what the server sent before TLS: its greeting and nothing else.
    public init(_ login: ClientLogin, greeting: [UInt8], hashing: any LoginHashing) {
        self.login = login
        self.hashing = hashing
        state = .responding
        do throws(MySQLPacket.Malformed) {
            guard let packet = try MySQLPacket.read(greeting.span), packet.size == greeting.count else {
                throw MySQLPacket.Malformed(reason: "no greeting")
            }
            let greeting = try MySQLGreeting(packet.payload)
            plugin = greeting.plugin
            salt = greeting.salt
            var reader = MessageReader(packet.payload, from: 1)
            version = (try? reader.zeroTerminated()).map { PeerText.readable($0) } ?? ""
        } catch { state = .ended(.failed("the server sent \(error.reason)")) }
    }

    mutating func next(_ server: Span<UInt8>) -> ClientTurn {
        switch state {
        case .responding: return respond()
        case .ready: return ClientTurn(.ready)
        case .asking(let statement):
            state = .awaitingAnswer
            sequence = 1
            return ClientTurn(.send(MySQLPacket(0, [3] + Array(statement.utf8)).bytes))
        case .authenticating, .awaitingAnswer, .readingColumns, .readingRows: return take(server)
        case .ended(let step): return ClientTurn(step)
        }
    }

    var isReady: Bool { state == .ready }

    mutating func ask(_ statement: String) {
        guard state == .ready else { return }
        result = SQLResult()
        taken = 0
        state = .asking(statement)
    }

    private mutating func take(_ server: Span<UInt8>) -> ClientTurn {
        do throws(MySQLPacket.Malformed) {
            let limit = state == .authenticating ? MySQLPacket.most : Self.longestPacket
            guard let packet = try MySQLPacket.read(server, limit: limit) else { return ClientTurn(.read) }
            guard packet.sequence == sequence else { throw MySQLPacket.Malformed(reason: "a packet out of order") }
            sequence &+= 1
            taken += packet.size
            guard taken <= DatabaseClient.mostBytes else { throw MySQLPacket.Malformed(reason: "rows without end") }
            let step: ClientStep
            do throws(MessageReader.Truncated) { step = try handle(packet.payload) } catch {
                throw MySQLPacket.Malformed(reason: "a malformed packet")
            }
            return ClientTurn(step, used: packet.size)
        } catch { return ClientTurn(end(.failed("the server sent \(error.reason)"))) }
    }

    private mutating func handle(_ payload: [UInt8]) throws(MessageReader.Truncated) -> ClientStep {
        switch state {
        case .authenticating: return try authenticate(payload)
        case .awaitingAnswer: return try beginAnswer(payload)
        case .readingColumns(let left): return try readColumn(payload, left)
        case .readingRows: return try readRow(payload)
        case .responding, .ready, .asking, .ended: throw MessageReader.Truncated()
        }
    }

    /// ERR: number, perhaps `#` and the state, text.
    private static func error(_ payload: [UInt8]) throws(MessageReader.Truncated) -> ServerError {
        var reader = MessageReader(payload, from: 1)
        let code = try reader.littleEndian(2)
        var text = try reader.bytes(reader.remaining)
        if text.first == 0x23, text.count >= 6 { text.removeFirst(6) }
        return ServerError(code: String(code), message: PeerText.readable(text, limit: 512))
    }

    // MARK: the login

    private mutating func respond() -> ClientTurn {
        guard let first = answer() else { return ClientTurn(end(noAnswer)) }
        let user = Array(login.user.utf8)
        guard !user.contains(0), user.count <= 256, first.count <= 255 else {
            return ClientTurn(end(.failed("the user or the password is too long, or holds a zero")))
        }
        // The capabilities of SSLRequest, without CONNECT_WITH_DB: everything is asked for by its full name.
        let payload =
            MySQLResponse.bareSSLRequest + user + [0, UInt8(truncatingIfNeeded: first.count)] + first
            + Array(plugin.utf8) + [0]
        state = .authenticating
        sequence = 3
        return ClientTurn(.send(MySQLPacket(2, payload).bytes))
    }

    private mutating func authenticate(_ payload: [UInt8]) throws(MessageReader.Truncated) -> ClientStep {
        var reader = MessageReader(payload)
        switch try reader.byte() {
        case MySQLPacket.ok:
            state = .ready
            return .proceed
        case MySQLPacket.error: return end(.refused(try Self.error(payload)))
        case MySQLPacket.authSwitch:
            plugin = PeerText.readable(try reader.zeroTerminated())
            salt = Array(reader.zeroTerminatedOrRest().prefix(20))
            guard let answer = answer() else { return end(noAnswer) }
            return send(answer)
        case MySQLPacket.moreData where plugin == "caching_sha2_password":
            switch try reader.byte() {
            // The server had it in its cache; OK follows.
            case 3: return .proceed
            // It has to be told the password, which TLS protects.
            case 4: return send(login.password + [0])
            default: throw MessageReader.Truncated()
            }
        default: throw MessageReader.Truncated()
        }
    }

    private mutating func send(_ payload: [UInt8]) -> ClientStep {
        defer { sequence &+= 1 }
        return .send(MySQLPacket(sequence, payload).bytes)
    }

    private var noAnswer: ClientStep {
        .failed(
            "the user logs in by \(plugin), which is not known here; use a user of mysql_native_password or caching_sha2_password"
        )
    }

    /// What proves the password to the plugin; nil for one that is not known.
    private func answer() -> [UInt8]? {
        let password = login.password
        guard !password.contains(0) else { return nil }
        switch plugin {
        case "", "mysql_native_password":
            if password.isEmpty { return [] }
            guard let once = hashing.sha1(password), let twice = hashing.sha1(once),
                let mixed = hashing.sha1(salt + twice)
            else { return nil }
            return zip(once, mixed).map { $0 ^ $1 }
        case "caching_sha2_password":
            if password.isEmpty { return [] }
            guard let once = hashing.sha256(password), let twice = hashing.sha256(once),
                let mixed = hashing.sha256(twice + salt)
            else { return nil }
            return zip(once, mixed).map { $0 ^ $1 }
        case "sha256_password": return password + [0]
        // The first plugin of the server is not always the user's: saying nothing makes it name that one.
        default: return state == .responding ? [] : nil
        }
    }

    // MARK: rows

    private mutating func beginAnswer(_ payload: [UInt8]) throws(MessageReader.Truncated) -> ClientStep {
        switch payload.first {
        case MySQLPacket.ok?:
            state = .ready
            return .answer([])
        case MySQLPacket.error?:
            state = .ready
            return .refused(try Self.error(payload))
        default:
            var reader = MessageReader(payload)
            // A request for a file of this host (0xFB) is no number.
            guard let count = try reader.lengthEncoded(), (1...DatabaseClient.mostColumns).contains(count),
                reader.remaining == 0
            else { throw MessageReader.Truncated() }
            state = .readingColumns(count)
            return .proceed
        }
    }

    private mutating func readColumn(_ payload: [UInt8], _ left: Int) throws(MessageReader.Truncated) -> ClientStep {
        if left == 0 {
            guard Self.isEnd(payload) else { throw MessageReader.Truncated() }
            state = .readingRows
            return .proceed
        }
        var reader = MessageReader(payload)
        // Catalogue, schema, table and table's first name stand before the column's.
        for _ in 0..<4 { _ = try reader.lengthEncodedText() }
        result.columns.append(PeerText.readable(try reader.lengthEncodedText() ?? []))
        state = .readingColumns(left - 1)
        return .proceed
    }

    private mutating func readRow(_ payload: [UInt8]) throws(MessageReader.Truncated) -> ClientStep {
        if Self.isEnd(payload) {
            state = .ready
            return .answer([result])
        }
        if payload.first == MySQLPacket.error {
            state = .ready
            return .refused(try Self.error(payload))
        }
        guard result.rows.count < DatabaseClient.mostRows else { throw MessageReader.Truncated() }
        var reader = MessageReader(payload)
        var row: [String?] = []
        for _ in result.columns {
            row.append(try reader.lengthEncodedText().map { String(decoding: $0, as: UTF8.self) })
        }
        guard reader.remaining == 0 else { throw MessageReader.Truncated() }
        result.rows.append(row)
        return .proceed
    }

    /// EOF, which a row that begins with a very long text is not.
    private static func isEnd(_ payload: [UInt8]) -> Bool { payload.first == 0xFE && payload.count < 9 }

    private mutating func end(_ step: ClientStep) -> ClientStep {
        state = .ended(step)
        return step
    }
}

extension MessageReader {
    /// A length-encoded number; nil for NULL.
    fileprivate mutating func lengthEncoded() throws(Truncated) -> Int? {
        switch try byte() {
        case 0xFB: return nil
        case 0xFC: return try littleEndian(2)
        case 0xFD: return try littleEndian(3)
        case 0xFE:
            let low = try littleEndian(4)
            guard try littleEndian(4) == 0 else { throw Truncated() }
            return low
        case 0xFF: throw Truncated()
        case let small: return Int(small)
        }
    }

    /// Bytes behind their length; nil for NULL.
    fileprivate mutating func lengthEncodedText() throws(Truncated) -> [UInt8]? {
        guard let count = try lengthEncoded() else { return nil }
        return try bytes(count)
    }
}
