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
/// *Ownership:* owns the SSL object, not the descriptor; whoever owns the descriptor closes it after this.
public struct TLSConnection: ~Copyable {
    private let ssl: OpaquePointer
    private let table: ServerNameTable?
    private let client: ClientContext?
    /// After a fatal error the library must not be asked to say goodbye.
    private var hasFailed = false
    private var isEstablished = false
    /// What the handshake agreed on; nil before its end.
    public private(set) var facts: TLSFacts?

    /// Begins as the server on an accepted socket.
    public init(accepting table: ServerNameTable, descriptor: CInt) throws(TLSError) {
        ssl = try Self.make(table.base.raw, descriptor)
        self.table = table
        client = nil
        SSL_set_accept_state(ssl)
    }

    /// Begins as the client on a connected socket.
    ///
    /// - Parameter endpoint: which server of several this is; sessions are saved for each apart.
    public init(connecting context: ClientContext, endpoint: Int, descriptor: CInt) throws(TLSError) {
        let ssl = try Self.make(context.handle.raw, descriptor)
        do throws(TLSError) {
            try context.prepare(ssl)
        } catch {
            SSL_free(ssl)
            throw error
        }
        self.ssl = ssl
        table = nil
        client = context
        context.offerSession(to: ssl, endpoint: endpoint)
        SSL_set_connect_state(ssl)
    }

    deinit {
        // Without this the library forbids the session that this connection has brought (a farewell was not sent);
        // only a failed connection's session deserves that.
        if isEstablished, !hasFailed { SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN) }
        SSL_free(ssl)
    }

    /// Whether bytes wait inside TLS: epoll reports nothing for those.
    public var hasPending: Bool { SSL_has_pending(ssl) == 1 }

    /// Goes on with the handshake.
    ///
    /// - Throws: `verification` when the server is not the one that is trusted; nothing may be sent then.
    public mutating func handshake() throws(TLSError) -> HandshakeProgress {
        if isEstablished { return .done }
        client?.failure = nil
        let result = SSL_do_handshake(ssl)
        guard result != 1 else {
            try establish()
            return .done
        }
        let code = SSL_get_error(ssl, result)
        switch code {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        default:
            let socketError = errno
            hasFailed = true
            if let failure = client?.failure {
                ERR_clear_error()
                throw .verification(failure)
            }
            if code == SSL_ERROR_SYSCALL, ERR_peek_error() == 0 {
                throw socketError == 0 ? .closed : .socket(socketError)
            }
            throw .fromQueue()
        }
    }

    /// Reads once, at most one block, into `queue`.
    public mutating func read(into queue: inout ByteQueue) throws(TLSError) -> ReadOutcome {
        guard isEstablished else { throw .library("read before the handshake") }
        let ssl = self.ssl
        var result: CInt = 0
        var count = 0
        queue.append(atLeast: 4096) { room in
            result = SSL_read_ex(ssl, room.baseAddress, room.count, &count)
            return result == 1 ? count : 0
        }
        if result == 1 { return .bytes(count) }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .closed
        case SSL_ERROR_SYSCALL:
            let code = errno
            hasFailed = true
            ERR_clear_error()
            if code == 0 { return .truncated }
            throw .socket(code)
        default:
            hasFailed = true
            let error = TLSError.fromQueue()
            if error == .closed { return .truncated }
            throw error
        }
    }

    /// Writes as much of `bytes` as the socket takes, at most one record.
    public mutating func write(_ bytes: Span<UInt8>) throws(TLSError) -> WriteOutcome {
        guard isEstablished else { throw .library("write before the handshake") }
        var count = 0
        let ssl = self.ssl
        let result = bytes.withUnsafeBufferPointer { SSL_write_ex(ssl, $0.baseAddress, $0.count, &count) }
        if result == 1 { return .bytes(count) }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_SYSCALL:
            let code = errno
            hasFailed = true
            ERR_clear_error()
            throw code == 0 ? .closed : .socket(code)
        default:
            hasFailed = true
            throw .fromQueue()
        }
    }

    /// Announces the end of our stream, as far as the socket takes it now.
    public mutating func shutdown() {
        guard isEstablished, !hasFailed else { return }
        if SSL_shutdown(ssl) < 0 { ERR_clear_error() }
    }

    /// The peer's certificates, the leaf first; for looking at a server.
    public func peerCertificates() -> [CertificateFacts] {
        guard let chain = SSL_get_peer_cert_chain(ssl) else { return [] }
        var list: [CertificateFacts] = []
        for index in 0..<everyhop_chain_count(chain) {
            guard let raw = everyhop_chain_at(chain, index) else { continue }
            X509_up_ref(raw)
            if let facts = try? X509Certificate(owning: raw).facts() { list.append(facts) }
        }
        return list
    }

    private mutating func establish() throws(TLSError) {
        if let client {
            do throws(TLSError) {
                try client.recheck(ssl)
            } catch {
                hasFailed = true
                throw error
            }
        }
        // A context that trusts nobody only looks: reading and writing stay refused.
        isEstablished = client == nil || client?.trust != nil
        facts = TLSFacts(ssl, tag: bindingTag(), pinMatched: client?.trust.map { !$0.pins.isEmpty } ?? false)
    }

    private func bindingTag() -> Int? {
        guard table != nil, let owner = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ExtraData.contextOwner) else {
            return nil
        }
        return Unmanaged<ServerContext>.fromOpaque(owner)._withUnsafeGuaranteedRef { $0.tag }
    }

    private static func make(_ context: OpaquePointer, _ descriptor: CInt) throws(TLSError) -> OpaquePointer {
        guard let ssl = SSL_new(context) else { throw .libraryFailure("a TLS connection") }
        guard SSL_set_fd(ssl, descriptor) == 1 else {
            SSL_free(ssl)
            throw .libraryFailure("a TLS connection")
        }
        return ssl
    }
}
