/// What a database server has to be told before it shows its certificate; nobody logs in.
public struct ServerOpening: Sendable {
    /// What the server speaks.
    public enum Kind: String, Sendable, CaseIterable {
        /// SQL Server, TDS 7.x.
        case tds
        /// SQL Server, TDS 8.0.
        case strict = "tds-strict"
        /// PostgreSQL.
        case postgres
        /// MySQL and MariaDB.
        case mysql

        /// The application protocols to offer in TLS.
        public var alpn: [String] {
            switch self {
            case .strict: ["tds/8.0"]
            case .postgres: ["postgresql"]
            case .tds, .mysql: []
            }
        }
    }

    /// What to do next.
    public enum Step: Equatable, Sendable {
        /// More bytes of the server.
        case read
        /// Send these.
        case send([UInt8])
        /// Shake hands.
        case secure(HandshakeForm)
        /// The server does not offer TLS, or does not speak the protocol.
        case failed(String)
    }

    /// What comes before TLS and is no part of it would be taken for something the verified server said.
    private static let tooMuch = "the server sent bytes before the TLS handshake"

    private let kind: Kind
    private var hasAsked = false

    /// Begins with a connection that stands.
    public init(_ kind: Kind) { self.kind = kind }

    /// What is next.
    ///
    /// - Parameter server: every byte that the server has sent.
    public mutating func next(_ server: Span<UInt8>) -> Step {
        switch kind {
        case .strict: return .secure(.direct)
        case .postgres: return postgres(server)
        case .tds: return tds(server)
        case .mysql: return mysql(server)
        }
    }

    private mutating func postgres(_ server: Span<UInt8>) -> Step {
        if ask() { return .send(PostgresMessage.sslRequest) }
        guard server.count > 0 else { return .read }
        switch server[0] {
        case 0x53: return server.count == 1 ? .secure(.direct) : .failed(Self.tooMuch)
        case 0x4E, 0x45: return .failed("the server refuses TLS")
        default: return .failed("the server does not speak PostgreSQL")
        }
    }

    private mutating func tds(_ server: Span<UInt8>) -> Step {
        if ask() {
            let question = PreLogin(version: [15, 0, 0, 0, 0, 0], .on)
            return .send(TDSPacket.packets(TDSPacket.prelogin, question.payload))
        }
        do throws(TDSPacket.Malformed) {
            guard let message = try TDSPacket.message(server, limit: TDSPacket.mostBeforeLogin) else { return .read }
            guard message.type == TDSPacket.tabularResult else { throw TDSPacket.Malformed(reason: "no answer") }
            let encryption = try PreLogin(message.payload).encryption
            guard server.count == message.size else { return .failed(Self.tooMuch) }
            return encryption == .on || encryption == .required
                ? .secure(.enveloped) : .failed("the server refuses TLS")
        } catch { return .failed("the server does not speak TDS: it sent \(error.reason)") }
    }

    private mutating func mysql(_ server: Span<UInt8>) -> Step {
        if hasAsked { return .secure(.direct) }
        do throws(MySQLPacket.Malformed) {
            guard let packet = try MySQLPacket.read(server) else { return .read }
            if packet.payload[0] == MySQLPacket.error {
                let text = PeerText.readable(Array(packet.payload.dropFirst(3)))
                return .failed("the server refuses the connection: \(text)")
            }
            let greeting = try MySQLGreeting(packet.payload)
            guard server.count == packet.size else { return .failed(Self.tooMuch) }
            guard greeting.capabilities & MySQLPacket.clientSSL != 0 else { return .failed("the server offers no TLS") }
            hasAsked = true
            return .send(MySQLPacket(packet.sequence &+ 1, MySQLResponse.bareSSLRequest).bytes)
        } catch { return .failed("the server does not speak MySQL: it sent \(error.reason)") }
    }

    /// Whether the question is still to be asked.
    private mutating func ask() -> Bool {
        defer { hasAsked = true }
        return !hasAsked
    }
}
