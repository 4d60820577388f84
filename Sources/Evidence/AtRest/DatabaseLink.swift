import Bytes
public import Config
public import Database
public import Platform
public import TLS

/// What SQL is asked through.
public protocol SQLSession: AnyObject {
    /// Has the server run a statement.
    ///
    /// - Throws: `ServerError` for what the server refuses, after which more may be asked; anything else ends the session.
    func ask(_ statement: String, patience: Patience) throws -> [SQLResult]
}

extension SQLSession {
    /// The rows of a question that is answered at once.
    func rows(_ statement: String) throws -> [[String?]] { try ask(statement, patience: .question).first?.rows ?? [] }
}

/// How long a statement may take.
public enum Patience: Sendable {
    /// As long as a login.
    case question
    /// As long as rewriting a large table takes: a week.
    case rebuild
}

/// How a database's server is reached.
public struct DatabaseAccess {
    /// What the configuration says of it.
    public let database: Config.Database
    /// Where its server is, in the order of preference.
    public let addresses: [SocketAddress]
    /// How it is verified.
    public let context: ClientContext
    /// How long connecting, and each question, may take.
    public let milliseconds: UInt64

    /// Names all of it.
    public init(database: Config.Database, addresses: [SocketAddress], context: ClientContext, milliseconds: UInt64) {
        self.database = database
        self.addresses = addresses
        self.context = context
        self.milliseconds = milliseconds
    }
}

/// Why a database cannot be asked.
public struct DatabaseFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// One sentence.
    public let description: String

    init(_ description: String) { self.description = description }
}

/// A login at a database's server, over TLS to the server that the configuration trusts; each call waits for its answer.
///
/// *Ownership:* owns the connection.
public final class DatabaseLink: SQLSession {
    private let descriptor: FileDescriptor
    private let poller: Poller
    private var tls: TLSConnection
    private var inbound: ByteQueue
    private var client: DatabaseClient
    private let milliseconds: UInt64
    private var end: UInt64
    private var hasEnded = false
    private static let token = Token(rawValue: 1)
    private static let week: UInt64 = 7 * 24 * 3_600_000

    /// Dials, verifies the server, and logs in.
    ///
    /// - Parameter database: where to begin; nil for the user's own.
    /// - Throws: `DatabaseFailure`.
    public static func open(
        _ access: DatabaseAccess,
        _ credentials: DatabaseCredentials,
        database: String?
    ) throws -> DatabaseLink {
        let login = ClientLogin(user: credentials.user, password: credentials.password, database: database)
        var last: (any Error)?
        for address in access.addresses {
            do { return try DatabaseLink(access, address, login) } catch let error as ServerError {
                // Another address would hear the password again.
                throw DatabaseFailure("the server refuses the login: \(error)")
            } catch { last = error }
        }
        guard let last else { throw DatabaseFailure("the server has no address") }
        throw last as? DatabaseFailure ?? DatabaseFailure("\(access.database.server.value): \(last)")
    }

    private init(_ access: DatabaseAccess, _ address: SocketAddress, _ login: ClientLogin) throws {
        milliseconds = access.milliseconds
        let end = Clock.monotonicMicroseconds() / 1000 + access.milliseconds
        self.end = end
        let poller = try Poller(batch: 1)
        let descriptor = try Socket.connect(to: address).takeDescriptor()
        try poller.add(descriptor, Self.token, .write)
        try Self.wait(poller, until: end)
        try Socket.connectResult(descriptor)
        Socket.keepAlive(descriptor)
        let announcement = Announcement(access.database.sendProxy)
        if let header = announcement.bytes(to: address, from: Socket.localAddress(descriptor)) {
            // A fresh socket takes it as a whole.
            _ = try Socket.write(descriptor, header.span)
        }
        let kind = Self.kind(of: access.database)
        let opened = try Self.open(kind, descriptor, poller, until: end)
        var tls = try TLSConnection(
            connecting: access.context,
            endpoint: 0,
            descriptor: descriptor.raw,
            isEnveloped: opened.form == .enveloped
        )
        try Self.shakeHands(&tls, descriptor, poller, until: end)
        // From here on the server is the one that is trusted, and only now is there a client that knows the password.
        switch kind {
        case .tds, .strict: client = .tds(TDSClient(login, isStrict: kind == .strict))
        case .postgres:
            let binding = tls.endPointBinding()
            client = .postgres(PostgresClient(login, hashing: LibraryHashing(), channelBinding: binding))
        case .mysql: client = .mysql(MySQLClient(login, greeting: opened.received, hashing: LibraryHashing()))
        }
        self.descriptor = descriptor
        self.poller = poller
        self.tls = tls
        inbound = ByteQueue(pool: BufferPool())
        _ = try run()
    }

    deinit {
        guard !hasEnded else { return }
        // Whatever the socket takes at once: nobody waits for this.
        if let farewell = client.farewell { _ = try? tls.write(farewell.span) }
        tls.shutdown()
    }

    /// What the server's greeting calls it; of MySQL and MariaDB only.
    public var version: String? {
        guard case .mysql(let machine) = client else { return nil }
        return machine.version
    }

    /// Has the server run a statement; see `SQLSession`.
    public func ask(_ statement: String, patience: Patience) throws -> [SQLResult] {
        guard !hasEnded else { throw DatabaseFailure("the connection has ended") }
        guard statement.utf8.count <= DatabaseClient.longestStatement else {
            throw DatabaseFailure("a statement of more than \(DatabaseClient.longestStatement) bytes")
        }
        let time = patience == .question ? milliseconds : Self.week
        end = Clock.monotonicMicroseconds() / 1000 + time
        client.ask(statement)
        return try run()
    }

    /// Does what the client wants until it has an answer, or is ready for a first question.
    private func run() throws -> [SQLResult] {
        while true {
            let turn = client.next(inbound.bytes)
            inbound.consume(turn.used)
            switch turn.step {
            case .proceed: continue
            case .ready: return []
            case .answer(let results): return results
            case .refused(let error): throw error
            case .failed(let reason):
                hasEnded = true
                throw DatabaseFailure(reason)
            case .send(let bytes): try guarded { try self.send(bytes) }
            case .read: try guarded { try self.read() }
            }
        }
    }

    private func guarded(_ body: () throws -> Void) throws {
        do { try body() } catch {
            hasEnded = true
            throw error
        }
    }

    private func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            switch try tls.write(bytes.span.extracting(sent..<bytes.count)) {
            case .bytes(let count): sent += count
            case .wantsRead: try wait(.read)
            case .wantsWrite: try wait(.write)
            }
        }
    }

    private func read() throws {
        guard inbound.count <= DatabaseClient.mostBytes + 65_536 else { throw DatabaseFailure("an answer without end") }
        while true {
            switch try tls.read(into: &inbound) {
            case .bytes: return
            case .wantsRead: try wait(.read)
            case .wantsWrite: try wait(.write)
            case .closed, .truncated: throw DatabaseFailure("the server closed the connection")
            }
        }
    }

    private func wait(_ interest: Interest) throws {
        try poller.change(descriptor, Self.token, interest)
        try Self.wait(poller, until: end)
    }
}

// MARK: - Before the login

extension DatabaseLink {
    private static func kind(of database: Config.Database) -> ServerOpening.Kind {
        switch database.kind {
        case .tds: database.tds == .strict ? .strict : .tds
        case .postgres: .postgres
        case .mysql: .mysql
        }
    }

    /// Says what has to be said before TLS.
    ///
    /// - Returns: how TLS begins, and what the server said.
    private static func open(
        _ kind: ServerOpening.Kind,
        _ descriptor: borrowing FileDescriptor,
        _ poller: Poller,
        until end: UInt64
    ) throws -> (form: HandshakeForm, received: [UInt8]) {
        var opening = ServerOpening(kind)
        var received: [UInt8] = []
        while true {
            switch opening.next(received.span) {
            case .secure(let form): return (form, received)
            case .failed(let reason): throw DatabaseFailure(reason)
            case .send(let bytes):
                var sent = 0
                while sent < bytes.count {
                    if let count = try Socket.write(descriptor, bytes.span.extracting(sent..<bytes.count)) {
                        sent += count
                    } else {
                        try poller.change(descriptor, token, .write)
                        try wait(poller, until: end)
                    }
                }
            case .read:
                try poller.change(descriptor, token, .read)
                try wait(poller, until: end)
                var room = [UInt8](repeating: 0, count: 16_384)
                let socket = descriptor.raw
                guard let count = try room.withUnsafeMutableBufferPointer({ try Socket.read(socket, into: $0) }) else {
                    continue
                }
                guard count > 0 else { throw DatabaseFailure("the server closed the connection") }
                received += room.prefix(count)
                guard received.count <= Negotiation.mostBytes else {
                    throw DatabaseFailure("the server sends without end")
                }
            }
        }
    }

    private static func shakeHands(
        _ tls: inout TLSConnection,
        _ descriptor: borrowing FileDescriptor,
        _ poller: Poller,
        until end: UInt64
    ) throws {
        while true {
            switch try tls.handshake() {
            case .done: return
            case .wantsRead: try poller.change(descriptor, token, .read)
            case .wantsWrite: try poller.change(descriptor, token, .write)
            }
            try wait(poller, until: end)
        }
    }

    private static func wait(_ poller: Poller, until end: UInt64) throws {
        while true {
            let now = Clock.monotonicMicroseconds() / 1000
            guard now < end else { throw DatabaseFailure("the server did not answer in time") }
            if try poller.wait(milliseconds: Int32(clamping: end - now)) > 0 { return }
        }
    }
}

/// Logins as OpenSSL computes them.
struct LibraryHashing: LoginHashing {
    func md5(_ message: [UInt8]) -> [UInt8]? { Digest.md5(message) }
    func sha1(_ message: [UInt8]) -> [UInt8]? { Digest.sha1(message) }
    func sha256(_ message: [UInt8]) -> [UInt8]? { SHA256.digest(message) }
    func hmac(key: [UInt8], _ message: [UInt8]) -> [UInt8]? { MessageCode.sha256(key: key, message) }
    func pbkdf2(password: [UInt8], salt: [UInt8], rounds: Int) -> [UInt8]? {
        Digest.pbkdf2(password: password, salt: salt, rounds: rounds)
    }
    func random(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        return (try? Randomness.fill(&bytes)) == nil ? nil : bytes
    }
}
