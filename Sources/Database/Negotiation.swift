/// One end of a session.
public enum Side: Equatable, Sendable {
    /// The application that dialled the binding.
    case client
    /// The database server.
    case server
}

/// How TLS begins on a connection.
public enum HandshakeForm: Equatable, Sendable {
    /// Records go straight onto the connection.
    case direct
    /// Until the handshake ends, records travel inside PRELOGIN packets (MS-TDS 2.2.6.5).
    case enveloped
}

/// What a negotiation wants done next.
public enum NegotiationStep: Equatable, Sendable {
    /// More bytes of these sides; nothing else can happen before.
    case read(client: Bool, server: Bool)
    /// Nothing: ask again.
    case proceed
    /// Connect to the server; then `dialled`.
    case dial
    /// Shake hands on a side, as the server towards the client and as the client towards the server; then `secured`.
    case secure(Side, HandshakeForm)
    /// Write these bytes to a side; inside TLS once it is secured.
    case send(Side, [UInt8])
    /// Go back to plain with the client, after what has been read so far.
    case unsecureClient
    /// Open what was encrypted with the binding's password key; then `decrypted`.
    case decrypt([UInt8])
    /// The negotiation is over: bytes flow both ways, unread.
    case relay
    /// Write these bytes to the client, then end both sides.
    case refuse([UInt8])
}

/// A step, and how many waiting bytes of each side it has used up.
public struct NegotiationTurn: Equatable, Sendable {
    /// What to do.
    public var step: NegotiationStep
    /// Bytes of the client that are dealt with.
    public var fromClient: Int
    /// Bytes of the server that are dealt with.
    public var fromServer: Int

    init(_ step: NegotiationStep, fromClient: Int = 0, fromServer: Int = 0) {
        self.step = step
        self.fromClient = fromClient
        self.fromServer = fromServer
    }
}

/// What a negotiation has to know about its binding and its server.
public struct NegotiationSettings: Sendable {
    /// A server that another configured database leads to, and where its binding is.
    public struct Detour: Sendable, Equatable {
        /// As the configuration names the server, in small letters.
        public var server: String
        /// The server's port.
        public var port: UInt16
        /// The binding's address.
        public var bindingHost: String
        /// The binding's port.
        public var bindingPort: UInt16

        /// Names both ends.
        public init(server: String, port: UInt16, bindingHost: String, bindingPort: UInt16) {
            self.server = server
            self.port = port
            self.bindingHost = bindingHost
            self.bindingPort = bindingPort
        }
    }

    /// Whether the binding has a certificate; then the client has to speak TLS.
    public var hasCertificate = false
    /// Whether the binding is loopback or a unix socket.
    public var isLocal = true
    /// TDS: a client that asks for it has only its login encrypted; for bindings on this host.
    public var allowsLoginOnly = false
    /// TDS 8.0: TLS comes first towards the server.
    public var strictServer = false
    /// MySQL: the client came through a unix socket, which clients take for secure.
    public var isUnixSocket = false
    /// MySQL: the public key, as PEM, that clients encrypt their password with; nil when none can be offered.
    public var passwordKeyPEM: [UInt8]?
    /// TDS: where a server's redirect may lead.
    public var detours: [Detour] = []

    /// Plain in, TLS out.
    public init() {}
}

/// Why a session is not carried on: for the log, and in the client's own protocol for the application.
public struct NegotiationFailure: Error, Equatable, Sendable {
    /// Who is at fault.
    public var side: Side
    /// One sentence.
    public var reason: String

    /// Names both.
    public init(_ side: Side, _ reason: String) {
        self.side = side
        self.reason = reason
    }
}

/// The negotiation of one session, whatever its protocol: told what has come, it says what is next.
///
/// It performs no I/O and owns no bytes but those it holds back.
///
/// No byte that the client said is sent to the server before the server is secured; each machine's tests prove it.
public enum Negotiation: Sendable {
    /// SQL Server.
    case tds(TDSNegotiation)
    /// PostgreSQL.
    case postgres(PostgresNegotiation)
    /// MySQL and MariaDB.
    case mysql(MySQLNegotiation)

    /// The most bytes of one side that any negotiation has to see at once: a LOGIN7 message with its packet headers.
    public static let mostBytes = 192 * 1024

    /// What is next.
    ///
    /// - Parameters:
    ///   - client: every byte of the client that waits.
    ///   - server: every byte of the server that waits.
    public mutating func next(client: Span<UInt8>, server: Span<UInt8>) -> NegotiationTurn {
        switch self {
        case .tds(var machine):
            let turn = machine.next(client: client, server: server)
            self = .tds(machine)
            return turn
        case .postgres(var machine):
            let turn = machine.next(client: client, server: server)
            self = .postgres(machine)
            return turn
        case .mysql(var machine):
            let turn = machine.next(client: client, server: server)
            self = .mysql(machine)
            return turn
        }
    }

    /// The connection to the server stands, not yet secured.
    public mutating func dialled() {
        switch self {
        case .tds(var machine):
            machine.dialled()
            self = .tds(machine)
        case .postgres(var machine):
            machine.dialled()
            self = .postgres(machine)
        case .mysql(var machine):
            machine.dialled()
            self = .mysql(machine)
        }
    }

    /// TLS stands on a side; the server's is verified.
    ///
    /// - Parameter alpn: the application protocol that was agreed on.
    public mutating func secured(_ side: Side, alpn: String?) {
        switch self {
        case .tds(var machine):
            machine.secured(side, alpn: alpn)
            self = .tds(machine)
        case .postgres(var machine):
            machine.secured(side, alpn: alpn)
            self = .postgres(machine)
        case .mysql(var machine):
            machine.secured(side, alpn: alpn)
            self = .mysql(machine)
        }
    }

    /// What `decrypt` asked for; nil when it cannot be opened.
    public mutating func decrypted(_ bytes: [UInt8]?) {
        switch self {
        case .tds(var machine):
            machine.decrypted(bytes)
            self = .tds(machine)
        case .postgres(var machine):
            machine.decrypted(bytes)
            self = .postgres(machine)
        case .mysql(var machine):
            machine.decrypted(bytes)
            self = .mysql(machine)
        }
    }

    /// Something outside failed: the steps that follow tell the client, and end with `refuse`.
    public mutating func failed(_ failure: NegotiationFailure) {
        switch self {
        case .tds(var machine):
            machine.failed(failure)
            self = .tds(machine)
        case .postgres(var machine):
            machine.failed(failure)
            self = .postgres(machine)
        case .mysql(var machine):
            machine.failed(failure)
            self = .mysql(machine)
        }
    }

    /// How many bytes of the client may be read now, where what follows belongs to TLS; nil for any number.
    public func clientLimit(_ waiting: Span<UInt8>) -> Int? {
        guard case .mysql(let machine) = self else { return nil }
        return machine.clientLimit(waiting)
    }

    /// Why the session was refused, once it was.
    public var failure: NegotiationFailure? {
        switch self {
        case .tds(let machine): machine.failure
        case .postgres(let machine): machine.failure
        case .mysql(let machine): machine.failure
        }
    }

    /// The database user, once the client has named one in clear.
    public var user: String? {
        switch self {
        case .tds(let machine): machine.user
        case .postgres(let machine): machine.user
        case .mysql(let machine): machine.user
        }
    }

    /// What the operator should know although the session goes on.
    public var notice: String? {
        switch self {
        case .tds(let machine): machine.notice
        case .postgres, .mysql: nil
        }
    }
}
