/// Asks a database server whether it would let somebody log in without encryption; nobody logs in.
///
/// The question goes as far as the server's first word about how to prove who one is, and not further.
public struct PlainLogin: Sendable {
    /// What to do next.
    public enum Step: Equatable, Sendable {
        /// More bytes of the server.
        case read
        /// Send these.
        case send([UInt8])
        /// The server goes on without encryption; what it said.
        case accepts(String)
        /// The server insists on encryption; what it said.
        case refuses(String)
        /// Its answer says neither.
        case unclear(String)
    }

    /// ER_SECURE_TRANSPORT_REQUIRED of MySQL, and MariaDB's number for it.
    private static let secureTransportRequired: Set<Int> = [3159, 4166]

    private let kind: ServerOpening.Kind
    private let user: String
    private let catalog: String
    private var hasAsked = false

    /// Begins with a connection that stands.
    ///
    /// - Parameters:
    ///   - user: who is said to want in: servers may decide by name.
    ///   - catalog: the name of the database on the server.
    public init(_ kind: ServerOpening.Kind, user: String, catalog: String) {
        self.kind = kind
        self.user = user
        self.catalog = catalog
    }

    /// What is next.
    ///
    /// - Parameters:
    ///   - server: every byte that the server has sent.
    ///   - isEnd: whether nothing more comes.
    public mutating func next(_ server: Span<UInt8>, isEnd: Bool) -> Step {
        let step =
            switch kind {
            case .postgres: postgres(server)
            case .tds, .strict: tds(server)
            case .mysql: mysql(server)
            }
        guard step == .read, isEnd else { return step }
        // To hang up is an answer: nothing is said to somebody in plain. But MySQL speaks first, before it is asked.
        let said = "the server closed the connection"
        return kind == .mysql ? .unclear(said) : .refuses(said)
    }

    private mutating func postgres(_ server: Span<UInt8>) -> Step {
        if ask() { return .send(startup) }
        guard server.count >= 5 else { return .read }
        var reader = MessageReader([UInt8](copying: server, from: 1, count: 4))
        let length = (try? reader.bigEndian(4)) ?? 0
        guard (4...PostgresMessage.longestMessage).contains(length) else {
            return .unclear("the server does not speak PostgreSQL")
        }
        guard server.count >= 1 + length else { return .read }
        let body = [UInt8](copying: server, from: 5, count: length - 4)
        switch server[0] {
        case 0x52: return .accepts(Self.authentication(body))
        case 0x45: return Self.postgresError(body)
        default: return .unclear("the server does not speak PostgreSQL")
        }
    }

    /// StartupMessage of protocol 3.0.
    private var startup: [UInt8] {
        var body: [UInt8] = [0, 3, 0, 0]
        for text in ["user", user, "database", catalog, "application_name", "everyhop audit"] {
            body += text.utf8.filter { $0 != 0 }
            body.append(0)
        }
        body.append(0)
        var message: [UInt8] = []
        message.appendBigEndian(body.count + 4, count: 4)
        return message + body
    }

    private static func authentication(_ body: [UInt8]) -> String {
        var reader = MessageReader(body)
        switch try? reader.bigEndian(4) {
        case 0: return "it asks for no password at all"
        case 3: return "it asks for the password in clear text"
        case 5: return "it asks for the password as MD5"
        case 10: return "it asks for the password by SCRAM"
        case let other: return "it asks for authentication of the kind \(other ?? -1)"
        }
    }

    /// 28000 is what a missing line of pg_hba.conf says; other errors come before that question, or after it.
    ///
    /// So does a method that asks the client nothing, such as ident, when it fails: then a line was found, and not by
    /// encryption.
    private static func postgresError(_ body: [UInt8]) -> Step {
        var reader = MessageReader(body)
        var state = ""
        var text = ""
        var routine = ""
        while let type = try? reader.byte(), type != 0, let value = try? reader.zeroTerminated() {
            if type == 0x43 { state = PeerText.readable(value) }
            if type == 0x4D { text = PeerText.readable(value) }
            if type == 0x52 { routine = PeerText.readable(value) }
        }
        // invalid_authorization_specification
        guard state == "28000" else { return .unclear("\(state) \(text)") }
        if routine == "auth_failed" { return .accepts("it looks for another proof of who comes: \(text)") }
        // The file's name stands in every language's message.
        return routine == "ClientAuthentication" || text.contains("pg_hba") ? .refuses(text) : .unclear(text)
    }

    private mutating func tds(_ server: Span<UInt8>) -> Step {
        if ask() {
            let question = PreLogin(version: [15, 0, 0, 0, 0, 0], .notSupported)
            return .send(TDSPacket.packets(TDSPacket.prelogin, question.payload))
        }
        do throws(TDSPacket.Malformed) {
            guard let message = try TDSPacket.message(server, limit: TDSPacket.mostBeforeLogin) else { return .read }
            guard message.type == TDSPacket.tabularResult else { return .unclear("an answer that is not PRELOGIN's") }
            switch try PreLogin(message.payload).encryption {
            case .notSupported: return .accepts("ENCRYPT_NOT_SUP was answered with ENCRYPT_NOT_SUP")
            case .off: return .accepts("ENCRYPT_NOT_SUP was answered with ENCRYPT_OFF")
            case .on: return .refuses("ENCRYPT_NOT_SUP was answered with ENCRYPT_ON")
            case .required: return .refuses("ENCRYPT_NOT_SUP was answered with ENCRYPT_REQ")
            case .strict: return .refuses("ENCRYPT_NOT_SUP was answered with strict encryption")
            case nil: return .unclear("an unknown ENCRYPTION option")
            }
        } catch {
            // A server of TDS 8.0 answers plain bytes with TLS's alert.
            if server.count > 0, server[0] == 21 { return .refuses("an alert of TLS") }
            return .unclear("the server does not speak TDS: it sent \(error.reason)")
        }
    }

    private mutating func mysql(_ server: Span<UInt8>) -> Step {
        do throws(MySQLPacket.Malformed) {
            guard let greeting = try MySQLPacket.read(server) else { return .read }
            if greeting.payload[0] == MySQLPacket.error { return Self.mysqlError(greeting.payload) }
            if try MySQLGreeting(greeting.payload).capabilities & MySQLPacket.clientSSL == 0 {
                return .accepts("it offers no TLS at all")
            }
            if ask() { return .send(MySQLPacket(greeting.sequence &+ 1, response).bytes) }
            guard let answer = try MySQLPacket.read(server.extracting(greeting.size..<server.count)) else {
                return .read
            }
            switch answer.payload[0] {
            case MySQLPacket.error: return Self.mysqlError(answer.payload)
            case MySQLPacket.ok: return .accepts("it asks for no password at all")
            default: return .unclear(Self.afterPassword)
            }
        } catch { return .unclear("the server does not speak MySQL: it sent \(error.reason)") }
    }

    /// HandshakeResponse41 without TLS, with a method that no server knows: it has to name its own, and that is enough.
    private var response: [UInt8] {
        var payload: [UInt8] = [0x01, 0x82, 0x08, 0x00, 0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23)
        payload += user.utf8.filter { $0 != 0 } + [0, 0]
        return payload + Array("everyhop_no_login".utf8) + [0]
    }

    private static func mysqlError(_ payload: [UInt8]) -> Step {
        var reader = MessageReader(payload, from: 1)
        let code = (try? reader.littleEndian(2)) ?? 0
        let text = "error \(code): \(PeerText.readable(reader.zeroTerminatedOrRest()))"
        return secureTransportRequired.contains(code) ? .refuses(text) : .unclear(text)
    }

    /// MariaDB looks at require_secure_transport, and at REQUIRE SSL of an account, when the password was right.
    private static let afterPassword = "it says only after the password whether it insists on encryption"

    /// Whether the question is still to be asked.
    private mutating func ask() -> Bool {
        defer { hasAsked = true }
        return !hasAsked
    }
}
