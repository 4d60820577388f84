public import Bytes
import COpenSSL
import Glibc

/// How far a handshake got.
public enum HandshakeProgress: Sendable {
    /// Complete, and the peer verified.
    case done
    /// Call again when the socket is readable.
    case wantsRead
    /// Call again when the socket is writable.
    case wantsWrite
}

/// What a read brought.
public enum ReadOutcome: Equatable, Sendable {
    /// So many bytes were added to the queue.
    case bytes(Int)
    /// Call again when the socket is readable.
    case wantsRead
    /// Call again when the socket is writable.
    case wantsWrite
    /// The peer has announced the end of its stream (close_notify).
    case closed
    /// The connection ended without an announcement: what came may be cut off (RFC 8446 §6.1).
    case truncated
}

/// What a write achieved.
public enum WriteOutcome: Equatable, Sendable {
    /// So many bytes were taken.
    case bytes(Int)
    /// Call again, with the same bytes first, when the socket is readable.
    case wantsRead
    /// Call again, with the same bytes first, when the socket is writable.
    case wantsWrite
}

/// TLS on one non-blocking socket.
///
/// A plain client's handshake is our own (`ServerHandshake`); the library shakes hands with all others. Where our provider has
/// seen the keys, a `RecordLayer` carries the traffic, and the library's
/// object goes; everywhere else (another process than a worker, FIPS, obsolete suites) the library goes on.
///
/// *Ownership:* owns the SSL object, not the descriptor; whoever owns the descriptor closes it after this.
public struct TLSConnection: ~Copyable {
    /// nil from when `records` carry the traffic.
    private var ssl: OpaquePointer?
    /// On the accepting side, until it is complete or the library's.
    private var opening: ServerHandshake?
    private var socket: HandshakeSocket?
    private var records: RecordLayer?
    private let table: ServerNameTable?
    private let client: ClientContext?
    /// Which server of several `client` connects to.
    private let endpoint: Int
    private var stage = Stage.handshaking
    /// The binding, on the accepting side, from the client's hello on.
    private var choice: ServerNameTable.Choice?
    private var hasSaidGoodbye = false
    /// Why nothing can be written any more, although the peer's bytes can still be read.
    private var writeFailure: TLSError?
    /// Whether the last read found no whole record, so that only the socket can bring more.
    private var isDrained = false
    /// What the handshake agreed on; nil before its end.
    public private(set) var facts: TLSFacts?

    private enum Stage {
        /// Next: any other.
        case handshaking
        /// The peer is the one that is trusted; bytes flow. Next: failed.
        case open
        /// Complete without trust, to look at the peer's certificate; carries nothing. The end.
        case looking
        /// What broke it is what every later call answers. The end.
        case failed(TLSError)
    }

    /// Begins as the server on an accepted socket.
    ///
    /// - Parameters:
    ///   - pool: where records take their memory from.
    ///   - isEnveloped: whether the handshake travels inside TDS's PRELOGIN packets.
    public init(
        accepting table: ServerNameTable,
        descriptor: CInt,
        pool: BufferPool = BufferPool(keep: 1),
        isEnveloped: Bool = false
    ) throws(TLSError) {
        let socket = Self.makeSocket(descriptor, pool, isEnveloped)
        self.socket = socket
        self.table = table
        client = nil
        endpoint = 0
        if table.shakesHands, !isEnveloped {
            opening = ServerHandshake(table, socket)
        } else {
            ssl = try Self.accept(table, socket)
        }
    }

    /// The library as the server.
    private static func accept(_ table: ServerNameTable, _ socket: HandshakeSocket) throws(TLSError) -> OpaquePointer {
        let ssl = try make(table.base.raw, socket)
        if socket.isEnvelope {
            // With TLS 1.3, tickets would follow the handshake, and nobody says whether still in an envelope.
            SSL_set_num_tickets(ssl, 0)
            if table.policy != .modern { _ = everyhop_set_newest(ssl, TLS1_2_VERSION) }
        }
        SSL_set_accept_state(ssl)
        return ssl
    }

    /// Begins as the client on a connected socket.
    ///
    /// - Parameters:
    ///   - endpoint: which server of several this is; sessions are saved for each apart.
    ///   - pool: where records take their memory from.
    ///   - isEnveloped: whether the handshake travels inside TDS's PRELOGIN packets.
    public init(
        connecting context: ClientContext,
        endpoint: Int,
        descriptor: CInt,
        pool: BufferPool = BufferPool(keep: 1),
        isEnveloped: Bool = false
    ) throws(TLSError) {
        let socket = Self.makeSocket(descriptor, pool, isEnveloped)
        let ssl = try Self.make(context.handle.raw, socket)
        do throws(TLSError) {
            try context.prepare(ssl)
        } catch {
            SSL_free(ssl)
            throw error
        }
        self.ssl = ssl
        self.socket = socket
        table = nil
        client = context
        self.endpoint = endpoint
        context.offerSession(to: ssl, endpoint: endpoint)
        SSL_set_connect_state(ssl)
    }

    deinit {
        // Without this, a connection that just ends takes its session with it, and the next one cannot resume.
        if case .open = stage, let ssl { SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN) }
        SSL_free(ssl)
    }

    /// Whether bytes wait inside TLS that a read may bring out: epoll reports nothing for those.
    ///
    /// The beginning of a record does not count once a read has found it to be no more than that.
    public var hasPending: Bool {
        switch records {
        case .some(let records): records.hasPending
        case .none: ssl != nil && !isDrained && (SSL_has_pending(ssl) == 1 || socket?.hasInput == true)
        }
    }

    /// Whether `records` carry the traffic, and not the library.
    var carriesItself: Bool { records != nil }

    /// Goes on with the handshake.
    ///
    /// - Throws: `verification` when the server is not the one that is trusted; nothing may be sent then.
    public mutating func handshake() throws(TLSError) -> HandshakeProgress {
        switch stage {
        case .open, .looking: return .done
        case .failed(let error): throw error
        case .handshaking: break
        }
        if let opening, let progress = try open(opening) { return progress }
        guard let ssl, let socket else { throw fail(.library("a handshake without a library")) }
        client?.failure = nil
        choice?.context.failure = nil
        table?.choice = nil
        everyhop_forget_errors()
        socket.isDrained = false
        let result = socket.secrets.collect { SSL_do_handshake(ssl) }
        let socketError = errno
        if let chosen = table?.choice { choice = chosen }
        let error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, result)
        switch error {
        // The second: a look that ends where the server asks who we are.
        case SSL_ERROR_NONE, SSL_ERROR_WANT_X509_LOOKUP:
            try establish(ssl, socket)
            return .done
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        default:
            if let failure = client?.failure ?? choice?.context.failure {
                ERR_clear_error()
                throw fail(.verification(failure))
            }
            throw fail(TLSError.fromQueue(socketError))
        }
    }

    /// Goes on with a handshake of our own; nil when it is the library's.
    private mutating func open(_ handshake: ServerHandshake) throws(TLSError) -> HandshakeProgress? {
        do throws(TLSError) {
            switch try handshake.step() {
            case .wantsRead: return .wantsRead
            case .wantsWrite: return .wantsWrite
            case .done:
                records = try handshake.takeOver()
                facts = handshake.facts
                stage = .open
                opening = nil
                socket = nil
                return .done
            case .isForLibrary:
                opening = nil
                guard let table, let socket else { return nil }
                ssl = try Self.accept(table, socket)
                return nil
            }
        } catch {
            opening = nil
            throw fail(error)
        }
    }

    /// Reads once, at most one record, into `queue`.
    ///
    /// - Parameter room: so much room is made.
    /// - Throws: the peer's alert or a damaged record as `handshake`, a failed socket as `socket`.
    public mutating func read(into queue: inout ByteQueue, room: Int = 4096) throws(TLSError) -> ReadOutcome {
        try checkOpen()
        if records != nil { return try readRecord(into: &queue, room: room) }
        everyhop_forget_errors()
        let ssl = self.ssl
        var result: CInt = 0
        socket?.isDrained = false
        var count = 0
        var socketError: CInt = 0
        queue.append(atLeast: room) { room in
            result = SSL_read_ex(ssl, room.baseAddress, room.count, &count)
            socketError = errno
            return result == 1 ? count : 0
        }
        isDrained = result != 1
        if result == 1 { return .bytes(count) }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .closed
        default:
            let error = fail(TLSError.fromQueue(socketError))
            if error == .closed { return .truncated }
            throw error
        }
    }

    private mutating func readRecord(into queue: inout ByteQueue, room: Int) throws(TLSError) -> ReadOutcome {
        do throws(TLSError) {
            let outcome = try records?.read(into: &queue, room: room) ?? .closed
            if outcome == .truncated { stage = .failed(.closed) }
            return outcome
        } catch {
            // RFC 5246 §7.2.2: behind a fatal alert, whoever said it, the session is not resumed.
            if case .handshake = error { client?.forgetSessions(endpoint: endpoint) }
            throw fail(error)
        }
    }

    /// Writes as much of `bytes` as the socket takes, a few records at most.
    ///
    /// A peer that takes nothing any more may have sent its last words: what it has sent can still be read.
    ///
    /// - Parameter bytes: after `wantsRead` or `wantsWrite`, the same bytes again; there may be more behind them.
    public mutating func write(_ bytes: Span<UInt8>) throws(TLSError) -> WriteOutcome {
        try checkOpen()
        if let writeFailure { throw writeFailure }
        // The library does not say what becomes of an empty write.
        if bytes.isEmpty { return .bytes(0) }
        if records != nil { return try writeRecords(bytes) }
        everyhop_forget_errors()
        var count = 0
        let ssl = self.ssl
        let result = bytes.withUnsafeBufferPointer { SSL_write_ex(ssl, $0.baseAddress, $0.count, &count) }
        let socketError = errno
        if result == 1 { return .bytes(count) }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_SYSCALL where socketError == EPIPE || socketError == ECONNRESET:
            everyhop_forget_errors()
            writeFailure = .socket(socketError)
            throw .socket(socketError)
        default: throw fail(TLSError.fromQueue(socketError))
        }
    }

    private mutating func writeRecords(_ bytes: Span<UInt8>) throws(TLSError) -> WriteOutcome {
        do throws(TLSError) {
            return try records?.write(bytes) ?? .bytes(0)
        } catch {
            guard error == .socket(EPIPE) || error == .socket(ECONNRESET) else { throw fail(error) }
            writeFailure = error
            throw error
        }
    }

    /// Announces the end of our stream, as far as the socket takes it now; reading stays possible.
    public mutating func shutdown() {
        // A second SSL_shutdown(3) would wait for the peer's announcement, and fail on data that is still under way.
        guard case .open = stage, !hasSaidGoodbye, writeFailure == nil else { return }
        hasSaidGoodbye = true
        if records != nil {
            records?.shutdown()
            return
        }
        everyhop_forget_errors()
        if SSL_shutdown(ssl) < 0 { ERR_clear_error() }
    }

    /// Gives back what was read from the socket and is not TLS any more; the end.
    public mutating func handBack(to queue: inout ByteQueue) {
        records?.handBack(to: &queue)
        socket?.handOver(to: &queue)
        stage = .failed(.closed)
    }

    /// The peer's certificates, the leaf first; for looking at a server.
    ///
    /// None in a worker, where nothing but `facts` outlives the handshake.
    public func peerCertificates() -> [CertificateFacts] {
        guard let ssl, let chain = SSL_get_peer_cert_chain(ssl) else { return [] }
        var list: [CertificateFacts] = []
        for index in 0..<everyhop_chain_count(chain) {
            guard let raw = everyhop_chain_at(chain, index) else { continue }
            X509_up_ref(raw)
            if let facts = try? X509Certificate(owning: raw).facts() { list.append(facts) }
        }
        return list
    }

    /// What a login is bound to this very connection with: `tls-server-end-point` (RFC 5929 §4), the certificate's digest.
    ///
    /// - Returns: nil where the certificate's signature names no digest, as Ed25519's, and in a worker.
    public func endPointBinding() -> [UInt8]? {
        guard let ssl, let leaf = SSL_get0_peer_certificate(ssl) else { return nil }
        var digest: CInt = 0
        guard X509_get_signature_info(leaf, &digest, nil, nil, nil) == 1 else {
            ERR_clear_error()
            return nil
        }
        let algorithm =
            digest == NID_md5 || digest == NID_sha1 ? EVP_sha256() : EVP_get_digestbyname(OBJ_nid2sn(digest))
        guard let algorithm else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: CUnsignedInt = 0
        guard X509_digest(leaf, algorithm, &bytes, &count) == 1 else { return nil }
        return Array(bytes.prefix(Int(count)))
    }

    private mutating func establish(_ ssl: OpaquePointer, _ socket: HandshakeSocket) throws(TLSError) {
        socket.handshakeIsOver()
        var peerPin: PublicKeyPin?
        var visitor: CertificateFacts?
        if let clients = choice?.context.clients {
            do throws(VerificationFailure) {
                visitor = try clients.recheck(ssl)
            } catch { throw fail(.verification(error)) }
        }
        if let client {
            do throws(TLSError) {
                peerPin = try client.recheck(ssl)
            } catch { throw fail(error) }
            client.keepSession(of: ssl)
            client.rememberGroup(of: ssl)
        }
        // A context that trusts nobody only looks: reading and writing stay refused.
        stage = client == nil || client?.trust != nil ? .open : .looking
        facts = TLSFacts(ssl, chosen: choice, peerPin: peerPin, clientCertificate: visitor)
        if case .open = stage { takeOver(ssl, socket) }
        everyhop_forget_errors()
    }

    /// Takes the traffic over from the library, where its keys are known.
    private mutating func takeOver(_ ssl: OpaquePointer, _ socket: HandshakeSocket) {
        guard let start = RecordLayer.Start(after: ssl, socket, isServer: client == nil) else { return }
        let keepsLibrary = start.tickets != nil
        records = RecordLayer(start, socket)
        self.ssl = nil
        self.socket = nil
        if keepsLibrary { return }
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN)
        SSL_free(ssl)
    }

    private mutating func fail(_ error: TLSError) -> TLSError {
        stage = .failed(error)
        return error
    }

    private func checkOpen() throws(TLSError) {
        switch stage {
        case .open: return
        case .handshaking: throw .library("traffic before the end of the handshake")
        case .looking: throw .library("traffic on a connection that only looks")
        case .failed(let error): throw error
        }
    }

    private static func makeSocket(_ descriptor: CInt, _ pool: BufferPool, _ isEnveloped: Bool) -> HandshakeSocket {
        isEnveloped
            ? HandshakeEnvelope(descriptor: descriptor, pool: pool)
            : HandshakeSocket(descriptor: descriptor, pool: pool)
    }

    private static func make(_ context: OpaquePointer, _ socket: HandshakeSocket) throws(TLSError) -> OpaquePointer {
        guard let ssl = SSL_new(context) else { throw .libraryFailure("a TLS connection") }
        guard let bio = socket.makeBIO() else {
            SSL_free(ssl)
            throw .libraryFailure("a TLS connection")
        }
        // One reference serves both directions (SSL_set_bio(3)).
        SSL_set_bio(ssl, bio, bio)
        socket.secrets.countRecords(of: ssl)
        return ssl
    }
}
