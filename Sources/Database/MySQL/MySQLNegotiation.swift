/// MySQL's and MariaDB's protocol from the greeting to the end of the login ("Connection Phase"): the greeting is
/// rewritten for the client, TLS is begun with the server, and both sides count packets on their own.
public struct MySQLNegotiation: Sendable {
    private enum State: Equatable {
        /// The server speaks first. Next: greeting.
        case dialling
        /// The server's greeting. Next: responding, refusing.
        case greeting
        /// The client's response. Next: securingClient, requesting.
        case responding
        /// TLS with the client begins. Next: responding.
        case securingClient
        /// SSLRequest is to be sent. Next: securingServer.
        case requesting
        /// TLS with the server begins. Next: introducing.
        case securingServer
        /// The client's response is to be sent. Next: authenticating.
        case introducing
        /// Packets go back and forth until OK or ERR. Next: answeringKey, relaying.
        case authenticating
        /// The client asked for a key to encrypt its password with, and got ours. Next: decrypting.
        case awaitingPassword
        /// The encrypted password is being opened. Next: authenticating.
        case decrypting([UInt8]?)
        case relaying
        case refusing([UInt8])
    }

    /// What a client sends to be given the server's key.
    private static let keyRequests: [String: UInt8] = ["caching_sha2_password": 2, "sha256_password": 1]
    private static let fullAuthentication: [UInt8] = [MySQLPacket.moreData, 4]

    private let settings: NegotiationSettings
    private var state = State.dialling
    private var greeting: MySQLGreeting?
    private var response: MySQLResponse?
    private var plugin = ""
    private var salt: [UInt8] = []
    private var clientIsSecured = false
    /// The last packet's number on each side.
    private var clientSequence: UInt8 = 0
    private var serverSequence: UInt8 = 0
    private var clientHasSpoken = false
    private var wantsKey = false
    /// The user of the client's response.
    public private(set) var user: String?
    /// Why it was refused.
    public private(set) var failure: NegotiationFailure?

    /// Begins with a client that has just connected.
    public init(_ settings: NegotiationSettings) { self.settings = settings }

    mutating func next(client: Span<UInt8>, server: Span<UInt8>) -> NegotiationTurn {
        switch state {
        case .dialling:
            guard client.count == 0 else { return refuse(.client, "the client spoke before the greeting") }
            return NegotiationTurn(.dial)
        case .greeting: return greet(client, server)
        case .responding: return takeResponse(client)
        case .securingClient: return NegotiationTurn(.secure(.client, .direct))
        case .requesting: return request()
        case .securingServer: return NegotiationTurn(.secure(.server, .direct))
        case .introducing: return introduce()
        case .authenticating: return authenticate(client, server)
        case .awaitingPassword: return takePassword(client)
        case .decrypting(let password): return sendPassword(password)
        case .relaying: return NegotiationTurn(.relay)
        case .refusing(let bytes): return NegotiationTurn(.refuse(bytes), fromClient: client.count)
        }
    }

    /// SSLRequest is followed by the TLS handshake without a pause: not a byte of that may be read here.
    func clientLimit(_ waiting: Span<UInt8>) -> Int? {
        guard state == .responding, settings.hasCertificate, !clientIsSecured else { return nil }
        guard waiting.count >= MySQLPacket.headerSize else { return MySQLPacket.headerSize - waiting.count }
        let length = Int(waiting[0]) | Int(waiting[1]) << 8 | Int(waiting[2]) << 16
        return max(1, MySQLPacket.headerSize + min(length, MySQLPacket.most) - waiting.count)
    }

    mutating func dialled() { if state == .dialling { state = .greeting } }

    mutating func secured(_ side: Side, alpn _: String?) {
        switch side {
        case .client:
            clientIsSecured = true
            state = .responding
        case .server: state = .introducing
        }
    }

    mutating func decrypted(_ bytes: [UInt8]?) { state = .decrypting(bytes) }

    mutating func failed(_ failure: NegotiationFailure) { refuse(failure.side, failure.reason) }

    // MARK: the greeting

    private mutating func greet(_ client: Span<UInt8>, _ server: Span<UInt8>) -> NegotiationTurn {
        guard client.count == 0 else { return refuse(.client, "the client spoke before the greeting") }
        do throws(MySQLPacket.Malformed) {
            guard let packet = try MySQLPacket.read(server) else {
                return NegotiationTurn(.read(client: true, server: true))
            }
            if packet.payload[0] == MySQLPacket.error {
                // Too many connections, or a blocked host: the server's own words, and the end. TLS has not begun.
                let text = PeerText.readable(Array(packet.payload.dropFirst(3)))
                failure = NegotiationFailure(.server, "the server refuses the connection: \(text)")
                state = .refusing(packet.bytes)
                return NegotiationTurn(.refuse(packet.bytes), fromServer: packet.size)
            }
            let greeting = try MySQLGreeting(packet.payload)
            guard server.count == packet.size else {
                throw MySQLPacket.Malformed(reason: "bytes before the TLS handshake")
            }
            guard greeting.capabilities & MySQLPacket.clientProtocol41 != 0 else {
                throw MySQLPacket.Malformed(reason: "a greeting of before MySQL 4.1")
            }
            guard greeting.capabilities & MySQLPacket.clientSSL != 0 else {
                return refuse(.server, "the server offers no TLS; set ssl_cert and ssl_key on it")
            }
            self.greeting = greeting
            plugin = greeting.plugin
            salt = greeting.salt
            clientSequence = packet.sequence
            state = .responding
            let changed = MySQLPacket(packet.sequence, greeting.offering(tls: settings.hasCertificate))
            return NegotiationTurn(.send(.client, changed.bytes), fromServer: packet.size)
        } catch { return refuse(.server, "the server sent \(error.reason)") }
    }

    // MARK: the client's response

    private mutating func takeResponse(_ client: Span<UInt8>) -> NegotiationTurn {
        do throws(MySQLPacket.Malformed) {
            guard let packet = try MySQLPacket.read(client) else {
                return NegotiationTurn(.read(client: true, server: false))
            }
            guard packet.sequence == clientSequence &+ 1 else {
                throw MySQLPacket.Malformed(reason: "a packet out of order")
            }
            clientSequence = packet.sequence
            clientHasSpoken = true
            guard let capabilities = MySQLResponse.capabilities(packet.payload),
                capabilities & MySQLPacket.clientProtocol41 != 0
            else { throw MySQLPacket.Malformed(reason: "a response of before MySQL 4.1") }
            let wantsTLS = capabilities & MySQLPacket.clientSSL != 0
            if packet.payload.count == MySQLResponse.headSize, wantsTLS, !clientIsSecured {
                return beginTLS(packet, client)
            }
            if clientIsSecured != settings.hasCertificate {
                return refuse(.client, "this binding speaks TLS only; connect with TLS required")
            }
            guard client.count == packet.size else { throw MySQLPacket.Malformed(reason: "bytes behind its response") }
            let response = try MySQLResponse(packet.payload)
            user = response.user
            self.response = response
            // The server, in TLS, would take the request for the password.
            if response.asksForKey, !clientIsSecured, !settings.isUnixSocket {
                return refuse(
                    .client,
                    "sha256_password needs a secure connection; use caching_sha2_password, connect through a unix socket, or give the binding a certificate"
                )
            }
            state = .requesting
            return NegotiationTurn(.proceed, fromClient: packet.size)
        } catch { return refuse(.client, "the client sent \(error.reason)") }
    }

    private mutating func beginTLS(_ packet: MySQLPacket, _ client: Span<UInt8>) -> NegotiationTurn {
        guard settings.hasCertificate else {
            return refuse(.client, "the client asks for TLS, and the binding has no certificate")
        }
        guard client.count == packet.size else {
            return refuse(.client, "bytes between SSLRequest and the TLS handshake")
        }
        state = .securingClient
        return NegotiationTurn(.secure(.client, .direct), fromClient: packet.size)
    }

    private mutating func request() -> NegotiationTurn {
        serverSequence = 1
        state = .securingServer
        return NegotiationTurn(.send(.server, MySQLPacket(1, response?.sslRequest ?? []).bytes))
    }

    private mutating func introduce() -> NegotiationTurn {
        serverSequence = 2
        state = .authenticating
        return NegotiationTurn(.send(.server, MySQLPacket(2, response?.payload ?? []).bytes))
    }

    // MARK: authentication

    private mutating func authenticate(_ client: Span<UInt8>, _ server: Span<UInt8>) -> NegotiationTurn {
        do throws(MySQLPacket.Malformed) {
            if let packet = try MySQLPacket.read(server) { return takeFromServer(packet) }
        } catch { return refuse(.server, "the server sent \(error.reason)") }
        do throws(MySQLPacket.Malformed) {
            guard let packet = try MySQLPacket.read(client, mayBeEmpty: true) else {
                return NegotiationTurn(.read(client: true, server: true))
            }
            return takeFromClient(packet)
        } catch { return refuse(.client, "the client sent \(error.reason)") }
    }

    private mutating func takeFromServer(_ packet: MySQLPacket) -> NegotiationTurn {
        serverSequence = packet.sequence
        clientSequence &+= 1
        wantsKey = false
        switch packet.payload[0] {
        case MySQLPacket.ok, MySQLPacket.error: state = .relaying
        case MySQLPacket.authSwitch:
            var reader = MessageReader(packet.payload, from: 1)
            if let name = try? reader.zeroTerminated() {
                plugin = PeerText.readable(name)
                salt = Array(reader.zeroTerminatedOrRest().prefix(20))
                wantsKey = plugin == "sha256_password"
            }
        default:
            wantsKey = plugin == "caching_sha2_password" && packet.payload == Self.fullAuthentication
        }
        return NegotiationTurn(
            .send(.client, MySQLPacket(clientSequence, packet.payload).bytes),
            fromServer: packet.size
        )
    }

    private mutating func takeFromClient(_ packet: MySQLPacket) -> NegotiationTurn {
        clientSequence = packet.sequence
        if wantsKey, !clientIsSecured, let request = Self.keyRequests[plugin], packet.payload == [request] {
            return giveKey(packet)
        }
        serverSequence &+= 1
        return NegotiationTurn(
            .send(.server, MySQLPacket(serverSequence, packet.payload).bytes),
            fromClient: packet.size
        )
    }

    /// A client in plain encrypts its password; the server, in TLS, expects it said.
    ///
    /// So the client gets a key of ours.
    private mutating func giveKey(_ packet: MySQLPacket) -> NegotiationTurn {
        guard let key = settings.passwordKeyPEM, salt.count == 20 else {
            return refuse(
                .client,
                "\(plugin) needs a secure connection; connect through a unix socket, or give the binding a certificate"
            )
        }
        clientSequence &+= 1
        state = .awaitingPassword
        return NegotiationTurn(
            .send(.client, MySQLPacket(clientSequence, [MySQLPacket.moreData] + key).bytes),
            fromClient: packet.size
        )
    }

    private mutating func takePassword(_ client: Span<UInt8>) -> NegotiationTurn {
        do throws(MySQLPacket.Malformed) {
            guard let packet = try MySQLPacket.read(client) else {
                return NegotiationTurn(.read(client: true, server: false))
            }
            clientSequence = packet.sequence
            return NegotiationTurn(.decrypt(packet.payload), fromClient: packet.size)
        } catch { return refuse(.client, "the client sent \(error.reason)") }
    }

    private mutating func sendPassword(_ mixed: [UInt8]?) -> NegotiationTurn {
        guard let mixed, !mixed.isEmpty else {
            return refuse(.client, "the password was not encrypted with the key that was given")
        }
        let password = mixed.enumerated().map { $0.element ^ salt[$0.offset % salt.count] }
        guard password.last == 0 else {
            return refuse(.client, "the password was not mixed with the salt that was given")
        }
        serverSequence &+= 1
        state = .authenticating
        return NegotiationTurn(.send(.server, MySQLPacket(serverSequence, password).bytes))
    }

    // MARK: refusing

    @discardableResult
    private mutating func refuse(_ side: Side, _ reason: String) -> NegotiationTurn {
        if case .refusing(let bytes) = state { return NegotiationTurn(.refuse(bytes)) }
        failure = failure ?? NegotiationFailure(side, reason)
        // The first packet of all has number 0.
        let sequence = greeting == nil ? 0 : clientSequence &+ 1
        let packet = MySQLPacket.refusal(sequence, "everyhop: \(reason)", hasState: clientHasSpoken)
        state = .refusing(packet.bytes)
        return NegotiationTurn(.refuse(packet.bytes))
    }
}
