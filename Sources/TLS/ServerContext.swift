import COpenSSL

/// What one binding shows to clients: its certificates, side by side, and the rules.
public final class ServerContext {
    let handle: ContextHandle
    let tickets: TicketKeys
    /// The binding's number, to be read from the connection afterwards.
    let tag: Int
    let policy: TLSPolicy
    /// How clients are verified; nil when none is asked for a certificate.
    let clients: ClientVerification?
    /// What the callback found during the handshake step that runs now.
    var failure: VerificationFailure?
    /// The application protocols, the preferred one first.
    let alpn: [[UInt8]]
    /// What handshakes of our own show, the preferred kind of key first.
    let shown: [ShownIdentity]
    /// What sessions are bound to.
    let sessionRules: [UInt8]
    private let staples: Staples
    /// The leaf of each identity as the library knows it, and its fingerprint.
    private let leaves: [(raw: OpaquePointer, fingerprint: String)]

    /// - Parameters:
    ///   - identities: one for each kind of key, so that old clients get RSA and others ECDSA.
    ///   - alpn: the application protocols spoken, the preferred one first (RFC 7301); empty for no
    ///     negotiation.
    ///   - tag: the binding's number.
    ///   - clients: how clients are verified; nil when none is asked for a certificate.
    ///   - staples: what is shown with the certificates to clients that ask.
    /// - Throws: when the library refuses a certificate or a setting.
    public init(
        identities: [ServerIdentity],
        policy: TLSPolicy,
        alpn: [String],
        tickets: TicketKeys,
        tag: Int,
        clients: ClientVerification? = nil,
        staples: Staples = Staples()
    ) throws(TLSError) {
        handle = try ContextHandle(isServer: true, policy)
        self.tickets = tickets
        self.tag = tag
        self.policy = policy
        self.clients = clients
        self.alpn = alpn.map { Array($0.utf8) }
        self.staples = staples
        leaves = identities.map { ($0.chain[0].raw, $0.facts.fingerprint) }
        for identity in identities { try identity.install(in: handle.raw) }
        // With others beside them, which one is shown is for the library to say.
        let shown = identities.compactMap { ShownIdentity($0) }
        let isSimple = shown.count == identities.count && Set(shown.map { $0.kind }).count == shown.count
        self.shown = isSimple ? shown.sorted { $0.kind == .ecdsa && $1.kind != .ecdsa } : []
        sessionRules = try Self.setSessionContext(handle.raw, identities, tag, clients)
        if let clients {
            try clients.install(in: handle.raw)
            SSL_CTX_set_cert_verify_callback(
                handle.raw,
                { store, owner in
                    guard let store, let owner else { return 0 }
                    return Unmanaged<ServerContext>.fromOpaque(owner)._withUnsafeGuaranteedRef { $0.verify(store) }
                },
                Unmanaged.passUnretained(self).toOpaque()
            )
        }
        Self.setTickets(handle.raw)
        everyhop_ctx_set_status_callback(
            handle.raw,
            { ssl, owner in
                guard let ssl, let owner else { return SSL_TLSEXT_ERR_NOACK }
                return Unmanaged<ServerContext>.fromOpaque(owner)._withUnsafeGuaranteedRef { $0.staple(to: ssl) }
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
        SSL_CTX_set_ex_data(handle.raw, ExtraData.contextOwner, Unmanaged.passUnretained(self).toOpaque())
        SSL_CTX_set_alpn_select_cb(
            handle.raw,
            { _, chosen, length, offered, count, owner in
                guard let owner else { return SSL_TLSEXT_ERR_NOACK }
                return Unmanaged<ServerContext>.fromOpaque(owner)._withUnsafeGuaranteedRef {
                    $0.selectProtocol(chosen, length, offered, count)
                }
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
    }

    /// A session of one binding is not resumed under another, whose site may be a different one, nor under other rules
    /// for clients than it was made under.
    private static func setSessionContext(
        _ context: OpaquePointer,
        _ identities: [ServerIdentity],
        _ tag: Int,
        _ clients: ClientVerification?
    ) throws(TLSError) -> [UInt8] {
        var rules = withUnsafeBytes(of: UInt64(truncatingIfNeeded: tag).littleEndian) { Array($0) }
        for identity in identities { rules += identity.facts.pin.digest }
        if let clients { rules += clients.fingerprint }
        guard let identifier = MessageCode.sha256(key: Array("everyhop sessions".utf8), rules),
            SSL_CTX_set_session_id_context(context, identifier, CUnsignedInt(clamping: identifier.count)) == 1
        else { throw .libraryFailure("the session id context") }
        return identifier
    }

    private func verify(_ store: OpaquePointer) -> CInt {
        failure = clients?.verify(store)
        return failure == nil ? 1 : 0
    }

    /// Shows a client that asks what the authority says of the very certificate that was chosen for it.
    private func staple(to ssl: OpaquePointer) -> CInt {
        guard let chosen = SSL_get_certificate(ssl), let leaf = leaves.first(where: { $0.raw == chosen }),
            let response = staple(of: leaf.fingerprint),
            everyhop_staple(ssl, response, response.count) == 1
        else { return SSL_TLSEXT_ERR_NOACK }
        return SSL_TLSEXT_ERR_OK
    }

    /// The OCSP response about a certificate that may be shown now.
    func staple(of fingerprint: String) -> [UInt8]? { staples.current(fingerprint)?.response }

    static func setTickets(_ context: OpaquePointer) {
        everyhop_ctx_set_session_cache_mode(context, Int(SSL_SESS_CACHE_OFF))
        SSL_CTX_set_num_tickets(context, 1)
        everyhop_ctx_set_ticket_callback(context) { ssl, name, iv, cipher, mac, encrypting in
            guard let owner = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ExtraData.contextOwner) else { return -1 }
            let tickets = Unmanaged<ServerContext>.fromOpaque(owner)._withUnsafeGuaranteedRef { $0.tickets }
            return tickets.withKeys { keys, count in
                everyhop_ticket(ssl, keys, count, name, iv, cipher, mac, encrypting)
            }
        }
    }

    /// RFC 7301 §3.2: our most preferred protocol that is offered; a client that offers only others is refused.
    ///
    /// `offered` is a list of names, each behind its length; the library has checked that they fill it exactly. The
    /// answer points into it, since it has to outlive this call.
    private func selectProtocol(
        _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
        _ length: UnsafeMutablePointer<UInt8>?,
        _ offered: UnsafePointer<UInt8>?,
        _ count: CUnsignedInt
    ) -> CInt {
        if alpn.isEmpty { return SSL_TLSEXT_ERR_NOACK }
        let list = UnsafeBufferPointer(start: offered, count: Int(count))
        for name in alpn {
            var position = 0
            while position < list.count {
                let start = position + 1
                let end = start + Int(list[position])
                guard end <= list.count else { break }
                if end - start == name.count, list[start..<end].elementsEqual(name) {
                    chosen?.pointee = list.baseAddress.map { $0 + start }
                    length?.pointee = list[position]
                    return SSL_TLSEXT_ERR_OK
                }
                position = end
            }
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }
}
