/// PostgreSQL from the first byte to authentication (protocol chapter, "Message Flow"): in plain or TLS from the
/// client, SSLRequest and TLS towards the server.
public struct PostgresNegotiation: Sendable {
    private enum State: Equatable {
        /// The client's requests and its startup message. Next: greetingClient, dialling, ended.
        case opening
        /// TLS with the client begins. Next: opening.
        case securingClient
        /// The startup message waits for a server. Next: asking.
        case dialling
        /// SSLRequest is to be sent. Next: awaitingAnswer.
        case asking
        /// The server's one byte. Next: securingServer, refusing.
        case awaitingAnswer
        /// TLS with the server begins. Next: introducing.
        case securingServer
        /// The startup message is to be sent. Next: authenticating, or relaying for a cancel request.
        case introducing
        /// What the server asks for. Next: choosing, relaying.
        case authenticating
        /// Which mechanism the client chose; only where it speaks TLS. Next: relaying.
        case choosing
        case relaying
        case refusing([UInt8])
    }

    private let settings: NegotiationSettings
    private var state = State.opening
    private var clientIsSecured = false
    private var began = false
    private var askedForTLS = false
    private var askedForGSS = false
    private var startup: [UInt8] = []
    private var isCancel = false
    /// The user of the startup message.
    public private(set) var user: String?
    /// Why it was refused.
    public private(set) var failure: NegotiationFailure?

    /// Begins with a client that has just connected.
    public init(_ settings: NegotiationSettings) { self.settings = settings }

    mutating func next(client: Span<UInt8>, server: Span<UInt8>) -> NegotiationTurn {
        switch state {
        case .opening: return open(client)
        case .securingClient: return NegotiationTurn(.secure(.client, .direct))
        case .dialling: return NegotiationTurn(.dial)
        case .asking:
            state = .awaitingAnswer
            return NegotiationTurn(.send(.server, PostgresMessage.sslRequest))
        case .awaitingAnswer: return takeAnswer(server)
        case .securingServer: return NegotiationTurn(.secure(.server, .direct))
        case .introducing:
            state = isCancel ? .relaying : .authenticating
            return NegotiationTurn(.send(.server, startup))
        case .authenticating: return authenticate(server)
        case .choosing: return choose(client)
        case .relaying: return NegotiationTurn(.relay)
        case .refusing(let bytes): return NegotiationTurn(.refuse(bytes), fromClient: client.count)
        }
    }

    mutating func dialled() { if state == .dialling { state = .asking } }

    mutating func secured(_ side: Side, alpn: String?) {
        switch side {
        case .client:
            clientIsSecured = true
            state = .opening
            // Direct TLS carries the protocol's name, so that no other protocol's client can be led here.
            if !askedForTLS, alpn != "postgresql" {
                refuse(.client, "direct TLS without ALPN postgresql", code: "08P01")
            }
        case .server: state = .introducing
        }
    }

    mutating func decrypted(_: [UInt8]?) {}

    mutating func failed(_ failure: NegotiationFailure) {
        refuse(failure.side, failure.reason, code: "08001")
    }

    // MARK: the client's opening

    private mutating func open(_ client: Span<UInt8>) -> NegotiationTurn {
        guard client.count > 0 else { return NegotiationTurn(.read(client: true, server: false)) }
        if client[0] == 0x16, !clientIsSecured, !began {
            began = true
            guard settings.hasCertificate else {
                return hangUp("the client speaks TLS, and the binding has no certificate")
            }
            state = .securingClient
            return NegotiationTurn(.secure(.client, .direct))
        }
        guard client.count >= 8 else { return NegotiationTurn(.read(client: true, server: false)) }
        began = true
        let head = [UInt8](copying: client, count: 8)
        let length = head[0..<4].reduce(0) { $0 << 8 | Int($1) }
        let code = head[4..<8].reduce(0) { $0 << 8 | Int($1) }
        guard length >= 8, length <= PostgresMessage.longestStartup else {
            return hangUp("the client does not speak PostgreSQL")
        }
        switch code {
        case PostgresMessage.sslRequestCode: return answerSSL(length, client)
        case PostgresMessage.gssRequestCode: return answerGSS(length)
        case PostgresMessage.cancelRequestCode, 0x30000...0x3FFFF: break
        default: return refuse(.client, "protocol \(code >> 16).\(code & 0xFFFF) is not supported", code: "0A000")
        }
        guard client.count >= length else { return NegotiationTurn(.read(client: true, server: false)) }
        guard client.count == length else { return hangUp("bytes behind the startup message") }
        return start([UInt8](copying: client, count: length), isCancel: code == PostgresMessage.cancelRequestCode)
    }

    private mutating func answerSSL(_ length: Int, _ client: Span<UInt8>) -> NegotiationTurn {
        guard length == 8, !askedForTLS, !clientIsSecured else { return hangUp("a misplaced SSLRequest") }
        askedForTLS = true
        guard settings.hasCertificate else { return NegotiationTurn(.send(.client, [0x4E]), fromClient: 8) }
        // Bytes that came before the handshake would be taken for encrypted ones afterwards (CVE-2021-23214).
        guard client.count == 8 else { return hangUp("bytes between SSLRequest and the TLS handshake") }
        state = .securingClient
        return NegotiationTurn(.send(.client, [0x53]), fromClient: 8)
    }

    private mutating func answerGSS(_ length: Int) -> NegotiationTurn {
        guard length == 8, !askedForGSS, !clientIsSecured else { return hangUp("a misplaced GSSENCRequest") }
        askedForGSS = true
        return NegotiationTurn(.send(.client, [0x4E]), fromClient: 8)
    }

    private mutating func start(_ message: [UInt8], isCancel: Bool) -> NegotiationTurn {
        if !isCancel {
            user = PostgresMessage.parameter("user", in: message).map { PeerText.readable($0) }
            if settings.hasCertificate, !clientIsSecured {
                return refuse(
                    .client,
                    "this binding speaks TLS only",
                    code: "28000",
                    hint: "Set sslmode=require or stronger."
                )
            }
        } else if settings.hasCertificate, !clientIsSecured, !settings.isLocal {
            // libpq before version 17 sends it in plain whatever its session speaks; inside this host, that may pass.
            return hangUp("a cancel request in plain on a binding that speaks TLS only")
        }
        startup = message
        self.isCancel = isCancel
        state = .dialling
        return NegotiationTurn(.dial, fromClient: message.count)
    }

    // MARK: the server

    private mutating func takeAnswer(_ server: Span<UInt8>) -> NegotiationTurn {
        guard server.count > 0 else { return NegotiationTurn(.read(client: false, server: true)) }
        switch server[0] {
        case 0x53 where server.count == 1:
            state = .securingServer
            return NegotiationTurn(.secure(.server, .direct), fromServer: 1)
        case 0x53:
            // The mirror of the rule above (CVE-2021-23222).
            return refuse(.server, "the server sent bytes before the TLS handshake", code: "08001")
        case 0x4E:
            return refuse(
                .server,
                "the server refuses TLS",
                code: "08001",
                hint: "Set ssl = on in the server's postgresql.conf."
            )
        case 0x45: return refuse(.server, "the server does not know SSLRequest", code: "08001")
        default: return refuse(.server, "the server does not speak PostgreSQL", code: "08001")
        }
    }

    private mutating func authenticate(_ server: Span<UInt8>) -> NegotiationTurn {
        guard server.count >= 5 else { return NegotiationTurn(.read(client: false, server: true)) }
        let head = [UInt8](copying: server, count: 5)
        let length = head[1...].reduce(0) { $0 << 8 | Int($1) }
        guard length >= 4, length <= PostgresMessage.longestMessage else {
            return refuse(.server, "the server sent a malformed message", code: "08P01")
        }
        guard server.count >= length + 1 else { return NegotiationTurn(.read(client: false, server: true)) }
        let message = [UInt8](copying: server, count: length + 1)
        switch head[0] {
        case 0x52: return takeRequest(message)
        case 0x4E, 0x76: return NegotiationTurn(.send(.client, message), fromServer: message.count)
        case 0x45:
            state = .relaying
            return NegotiationTurn(.send(.client, message), fromServer: message.count)
        default: return refuse(.server, "the server sent message \(head[0]) before authentication", code: "08P01")
        }
    }

    /// An authentication request: of SASL, the mechanisms that bind to the channel are kept from the client.
    ///
    /// libpq in
    /// plain refuses a server that names them, and over TLS would bind to our certificate, not the server's.
    private mutating func takeRequest(_ message: [UInt8]) -> NegotiationTurn {
        guard message.count >= 9 else {
            return refuse(.server, "the server sent a malformed authentication request", code: "08P01")
        }
        guard message[5..<9].elementsEqual([0, 0, 0, 10]) else {
            state = .relaying
            return NegotiationTurn(.send(.client, message), fromServer: message.count)
        }
        guard let offered = PostgresMessage.withoutChannelBinding(message) else {
            return refuse(
                .server,
                "the server offers no authentication that passes through a proxy",
                code: "28000",
                hint: "Allow SCRAM-SHA-256 without channel binding."
            )
        }
        state = clientIsSecured ? .choosing : .relaying
        return NegotiationTurn(.send(.client, offered), fromServer: message.count)
    }

    /// A client on TLS that says "y" (RFC 5802 §6) would be refused by the server as downgraded; say why.
    private mutating func choose(_ client: Span<UInt8>) -> NegotiationTurn {
        guard client.count >= 5 else { return NegotiationTurn(.read(client: true, server: false)) }
        let head = [UInt8](copying: client, count: 5)
        let length = head[1...].reduce(0) { $0 << 8 | Int($1) }
        guard length >= 4, length <= PostgresMessage.longestMessage else {
            return refuse(.client, "the client sent a malformed message", code: "08P01")
        }
        guard client.count >= length + 1 else { return NegotiationTurn(.read(client: true, server: false)) }
        let message = [UInt8](copying: client, count: length + 1)
        var reader = MessageReader(message, from: 5)
        if head[0] == 0x70, (try? reader.zeroTerminated()) != nil, (try? reader.skip(4)) != nil,
            let flag = try? reader.byte(), flag != 0x6E
        {
            return refuse(
                .client,
                "channel binding cannot pass through a proxy that ends TLS",
                code: "28000",
                hint: "Set channel_binding=disable in the client."
            )
        }
        state = .relaying
        return NegotiationTurn(.send(.server, message), fromClient: message.count)
    }

    // MARK: refusing

    /// Ends without a word: whoever it is does not speak PostgreSQL, or must not be answered.
    private mutating func hangUp(_ reason: String) -> NegotiationTurn {
        failure = failure ?? NegotiationFailure(.client, reason)
        state = .refusing([])
        return NegotiationTurn(.refuse([]))
    }

    @discardableResult
    private mutating func refuse(
        _ side: Side,
        _ reason: String,
        code: StaticString,
        hint: String = ""
    ) -> NegotiationTurn {
        if case .refusing(let bytes) = state { return NegotiationTurn(.refuse(bytes)) }
        failure = failure ?? NegotiationFailure(side, reason)
        let bytes = isCancel ? [] : PostgresMessage.fatal(code, "everyhop: \(reason)", hint: hint)
        state = .refusing(bytes)
        return NegotiationTurn(.refuse(bytes))
    }
}
