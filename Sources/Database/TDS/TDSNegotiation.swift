/// SQL Server's protocol from the first byte to the end of the login (MS-TDS 3.2, 3.3): the client and the server each
/// get a PRELOGIN of their own, the server always a fully encrypted session.
public struct TDSNegotiation: Sendable {
    private enum State: Equatable {
        /// The client's first message. Next: securingFirst, dialling, answering.
        case opening
        /// TLS before TDS with the client. Next: opening.
        case securingFirst
        /// The client's wish waits for a server. Next: securingStrict, asking.
        case dialling
        /// TLS before TDS with the server. Next: asking.
        case securingStrict
        /// PRELOGIN is to be sent. Next: awaitingAnswer.
        case asking
        /// The server's PRELOGIN. Next: securingServer, answering.
        case awaitingAnswer
        /// TLS inside PRELOGIN with the server. Next: answering.
        case securingServer
        /// PRELOGIN is to be answered. Next: securingClient, awaitingLogin.
        case answering
        /// TLS inside PRELOGIN with the client. Next: awaitingLogin.
        case securingClient
        /// LOGIN7. Next: returningToPlain, introducing, refusing.
        case awaitingLogin
        /// Only the login was encrypted. Next: introducing.
        case returningToPlain
        /// LOGIN7 is to be sent. Next: loggingIn.
        case introducing
        /// Tokens go back and forth until the server has decided. Next: relaying.
        case loggingIn
        case relaying
        case refusing([UInt8])
    }

    /// Tokens of integrated authentication are shorter.
    private static let longestToken = 65_536

    private let settings: NegotiationSettings
    private var state = State.opening
    private var clientIsStrict = false
    private var clientIsSecured = false
    /// Nil for a client of TDS 7.0, which logs in without PRELOGIN.
    private var wish: PreLogin?
    private var answer: PreLogin?
    private var login: [UInt8] = []
    private var version: UInt8 = 0x74
    /// The SQL user of the login.
    public private(set) var user: String?
    /// Why it was refused.
    public private(set) var failure: NegotiationFailure?
    /// What the operator should know although the session goes on.
    public private(set) var notice: String?

    /// Begins with a client that has just connected.
    public init(_ settings: NegotiationSettings) { self.settings = settings }

    mutating func next(client: Span<UInt8>, server: Span<UInt8>) -> NegotiationTurn {
        switch state {
        case .opening: return open(client)
        case .securingFirst: return NegotiationTurn(.secure(.client, .direct))
        case .dialling: return NegotiationTurn(.dial)
        case .securingStrict: return NegotiationTurn(.secure(.server, .direct))
        case .asking: return ask()
        case .awaitingAnswer: return takeAnswer(server)
        case .securingServer: return NegotiationTurn(.secure(.server, .enveloped))
        case .answering: return answerClient(client)
        case .securingClient: return NegotiationTurn(.secure(.client, .enveloped))
        case .awaitingLogin: return takeLogin(client)
        case .returningToPlain:
            clientIsSecured = false
            if failure == nil { state = .introducing } else { refuseLogin() }
            return NegotiationTurn(.unsecureClient)
        case .introducing:
            state = .loggingIn
            return NegotiationTurn(.send(.server, login))
        case .loggingIn: return carryLogin(client, server)
        case .relaying: return NegotiationTurn(.relay)
        case .refusing(let bytes): return NegotiationTurn(.refuse(bytes), fromClient: client.count)
        }
    }

    mutating func dialled() {
        guard state == .dialling else { return }
        state = settings.strictServer ? .securingStrict : .asking
    }

    mutating func secured(_ side: Side, alpn: String?) {
        switch (side, state) {
        case (.client, .securingFirst):
            clientIsSecured = true
            clientIsStrict = true
            state = .opening
            if alpn != "tds/8.0" { end(.client, "TLS first, but without ALPN tds/8.0") }
        case (.client, _):
            clientIsSecured = true
            state = .awaitingLogin
        case (.server, .securingStrict): state = .asking
        case (.server, _): state = wish == nil ? .introducing : .answering
        }
    }

    mutating func decrypted(_: [UInt8]?) {}

    /// A client reads an error only as the answer to its login: so it may log in, and what it says goes nowhere.
    mutating func failed(_ failure: NegotiationFailure) {
        self.failure = self.failure ?? failure
        switch state {
        case .securingFirst, .securingClient: state = .refusing([])
        case .opening: break
        case .dialling, .securingStrict, .asking, .awaitingAnswer, .securingServer:
            if wish == nil { refuseLogin() } else { state = .answering }
        case .answering, .awaitingLogin: break
        case .returningToPlain, .introducing, .loggingIn: refuseLogin()
        case .relaying, .refusing: break
        }
    }

    // MARK: the client's opening

    private mutating func open(_ client: Span<UInt8>) -> NegotiationTurn {
        guard client.count > 0 else { return NegotiationTurn(.read(client: true, server: false)) }
        switch client[0] {
        case TDSPacket.prelogin: return takePreLogin(client)
        case TDSPacket.login7 where !settings.hasCertificate: return takeBareLogin(client)
        case TDSPacket.login7: return end(.client, "a login in plain on a binding that speaks TLS only")
        case TDSPacket.loginPre70:
            return end(.client, "TDS 4.2 or 5.0, which cannot be encrypted; set the client to TDS 7.0 or later")
        case 0x16 where !clientIsSecured && settings.hasCertificate:
            state = .securingFirst
            return NegotiationTurn(.secure(.client, .direct))
        case 0x16 where !clientIsSecured: return end(.client, "TDS 8.0 (strict), and the binding has no certificate")
        default: return end(.client, "the client does not speak TDS")
        }
    }

    private mutating func takePreLogin(_ client: Span<UInt8>) -> NegotiationTurn {
        let message: TDSPacket.Message?
        let wish: PreLogin
        do throws(TDSPacket.Malformed) {
            message = try TDSPacket.message(client, limit: TDSPacket.mostBeforeLogin)
            guard let message else { return NegotiationTurn(.read(client: true, server: false)) }
            wish = try PreLogin(message.payload)
        } catch { return end(.client, "the client sent \(error.reason)") }
        guard let encryption = wish.encryption, encryption != .strict || clientIsStrict else {
            return end(.client, "an unknown value of ENCRYPTION")
        }
        let size = message?.size ?? 0
        self.wish = wish
        state = failure == nil ? .dialling : .answering
        // Both are told in PRELOGIN, and end there: a server is not needed for it.
        let wantsMore = encryption == .on || encryption == .required
        if !clientIsStrict, wantsMore, !settings.hasCertificate {
            failure = NegotiationFailure(
                .client,
                "the client asks for encryption, and the binding has no certificate; give it one, or connect with Encrypt=false"
            )
            state = .answering
        } else if !clientIsStrict, encryption == .notSupported, settings.hasCertificate, !settings.allowsLoginOnly {
            failure = NegotiationFailure(.client, "the client cannot encrypt, and this binding speaks TLS only")
            state = .answering
        }
        guard client.count == size else { return end(.client, "bytes behind PRELOGIN") }
        return NegotiationTurn(.proceed, fromClient: size)
    }

    private mutating func takeBareLogin(_ client: Span<UInt8>) -> NegotiationTurn {
        do throws(TDSPacket.Malformed) {
            guard let message = try TDSPacket.message(client, limit: Login7.most) else {
                return NegotiationTurn(.read(client: true, server: false))
            }
            try keepLogin(message, client)
            if failure == nil { state = .dialling } else { refuseLogin() }
            return NegotiationTurn(.proceed, fromClient: message.size)
        } catch { return end(.client, "the client sent \(error.reason)") }
    }

    // MARK: the server

    private mutating func ask() -> NegotiationTurn {
        // In TDS 8.0 TLS stands already.
        let encryption: PreLogin.Encryption = settings.strictServer ? .strict : .on
        let question = wish?.saying(encryption) ?? PreLogin(version: [9, 0, 0, 0, 0, 0], encryption)
        state = .awaitingAnswer
        return NegotiationTurn(.send(.server, TDSPacket.packets(TDSPacket.prelogin, question.payload)))
    }

    private mutating func takeAnswer(_ server: Span<UInt8>) -> NegotiationTurn {
        do throws(TDSPacket.Malformed) {
            guard let message = try TDSPacket.message(server, limit: TDSPacket.mostBeforeLogin) else {
                return NegotiationTurn(.read(client: false, server: true))
            }
            guard message.type == TDSPacket.tabularResult else { throw TDSPacket.Malformed(reason: "no answer") }
            let answer = try PreLogin(message.payload)
            guard server.count == message.size else {
                throw TDSPacket.Malformed(reason: "bytes before the TLS handshake")
            }
            self.answer = answer
            if settings.strictServer {
                state = wish == nil ? .introducing : .answering
            } else if answer.encryption == .on || answer.encryption == .required {
                state = .securingServer
            } else {
                failed(NegotiationFailure(.server, "the server refuses TLS"))
            }
            return NegotiationTurn(.proceed, fromServer: message.size)
        } catch {
            failed(NegotiationFailure(.server, "the server sent \(error.reason)"))
            return NegotiationTurn(.proceed, fromServer: server.count)
        }
    }

    // MARK: the answer to the client

    private mutating func answerClient(_ client: Span<UInt8>) -> NegotiationTurn {
        let said = wish?.encryption ?? .notSupported
        let encryption: PreLogin.Encryption
        if clientIsStrict {
            encryption = said
            state = .awaitingLogin
        } else if !settings.hasCertificate {
            encryption = .notSupported
            state = said == .on || said == .required ? .refusing([]) : .awaitingLogin
        } else {
            encryption = towards(said)
            switch encryption {
            case .notSupported: state = .awaitingLogin
            case .required where said == .notSupported: state = .refusing([])
            case .off, .on, .required, .strict: state = .securingClient
            }
        }
        // A client that has sent more than its PRELOGIN would have it taken for what comes inside TLS.
        guard client.count == 0 else { return end(.client, "bytes behind PRELOGIN") }
        let base = answer ?? PreLogin(version: [15, 0, 0, 0, 0, 0], .notSupported)
        let bytes = TDSPacket.packets(TDSPacket.tabularResult, base.saying(encryption).payload)
        if case .refusing = state {
            state = .refusing(bytes)
            return NegotiationTurn(.refuse(bytes))
        }
        return NegotiationTurn(.send(.client, bytes))
    }

    /// What a binding with a certificate answers (the table of MS-TDS 2.2.6.5 for a server with ForceEncryption, or
    /// without it where the login alone may be encrypted).
    private func towards(_ said: PreLogin.Encryption) -> PreLogin.Encryption {
        switch said {
        case .on, .required: .on
        case .off: settings.allowsLoginOnly ? .off : .required
        case .notSupported: settings.allowsLoginOnly ? .notSupported : .required
        // Only said inside TLS, where it is echoed.
        case .strict: .required
        }
    }

    // MARK: the login

    private mutating func takeLogin(_ client: Span<UInt8>) -> NegotiationTurn {
        do throws(TDSPacket.Malformed) {
            guard let message = try TDSPacket.message(client, limit: Login7.most) else {
                return NegotiationTurn(.read(client: true, server: false))
            }
            guard message.type == TDSPacket.login7 else {
                throw TDSPacket.Malformed(reason: "something else than LOGIN7")
            }
            try keepLogin(message, client)
            if clientIsSecured, !clientIsStrict, wish?.encryption == .off, settings.allowsLoginOnly {
                state = .returningToPlain
            } else if failure == nil {
                state = .introducing
            } else {
                refuseLogin()
            }
            return NegotiationTurn(.proceed, fromClient: message.size)
        } catch { return end(.client, "the client sent \(error.reason)") }
    }

    private mutating func keepLogin(_ message: TDSPacket.Message, _ client: Span<UInt8>) throws(TDSPacket.Malformed) {
        let login = try Login7(message.payload)
        guard client.count == message.size else { throw TDSPacket.Malformed(reason: "bytes behind LOGIN7") }
        version = login.version
        user = login.user.isEmpty ? nil : login.user
        self.login = [UInt8](copying: client, count: message.size)
    }

    private mutating func carryLogin(_ client: Span<UInt8>, _ server: Span<UInt8>) -> NegotiationTurn {
        do throws(TDSPacket.Malformed) {
            if let message = try TDSPacket.message(client, limit: Self.longestToken) {
                let bytes = [UInt8](copying: client, count: message.size)
                return NegotiationTurn(.send(.server, bytes), fromClient: message.size)
            }
        } catch { return end(.client, "the client sent \(error.reason)") }
        do throws(TDSPacket.Malformed) {
            guard let message = try TDSPacket.message(server, limit: Self.longestToken) else {
                return NegotiationTurn(.read(client: true, server: true))
            }
            guard message.type == TDSPacket.tabularResult else { throw TDSPacket.Malformed(reason: "no answer") }
            let answer = try LoginAnswer(message.payload, version: version)
            if !answer.asksForMore { state = .relaying }
            let bytes = [UInt8](copying: server, count: message.size)
            return lead(answer, message, bytes)
        } catch {
            failed(NegotiationFailure(.server, "the server sent \(error.reason)"))
            return NegotiationTurn(.proceed, fromServer: server.count)
        }
    }

    /// A client that followed a redirect, or turned to a mirror, would dial past everyhop and in plain.
    private mutating func lead(
        _ answer: LoginAnswer,
        _ message: TDSPacket.Message,
        _ bytes: [UInt8]
    ) -> NegotiationTurn {
        if answer.route == nil, answer.partner == nil {
            return NegotiationTurn(.send(.client, bytes), fromServer: message.size)
        }
        if let partner = answer.partner { notice = "the mirroring partner \(partner) was kept from the client" }
        var detour: LoginAnswer.Route?
        if let route = answer.route {
            guard
                let found = settings.detours.first(where: {
                    $0.server == route.server.lowercased() && Int($0.port) == route.port
                })
            else {
                state = .loggingIn
                failed(
                    NegotiationFailure(
                        .server,
                        "the server redirects to \(route.server):\(route.port), which no [[database]] names; add one with a binding of its own"
                    )
                )
                return NegotiationTurn(.proceed, fromServer: message.size)
            }
            detour = LoginAnswer.Route(server: found.bindingHost, port: Int(found.bindingPort))
            notice =
                "the redirect to \(route.server):\(route.port) was led to \(found.bindingHost):\(found.bindingPort)"
        }
        let payload = answer.rewritten(route: detour)
        return NegotiationTurn(
            .send(.client, TDSPacket.packets(message.type, payload, packetSize: message.packetSize)),
            fromServer: message.size
        )
    }

    // MARK: refusing

    private mutating func refuseLogin() {
        state = .refusing(LoginAnswer.refusal("everyhop: \(failure?.reason ?? "refused")", version: version))
    }

    /// Ends without a word, where TDS has none.
    @discardableResult
    private mutating func end(_ side: Side, _ reason: String) -> NegotiationTurn {
        failure = failure ?? NegotiationFailure(side, reason)
        state = .refusing([])
        return NegotiationTurn(.refuse([]))
    }
}
