import COpenSSL

/// What is expected of a server: by authority and name, by pins, or both; and the sessions saved under this trust.
///
/// Trust never changes inside a context: changed trust is another context, without the sessions and without the
/// connections that were made under the old one.
///
/// *Ownership:* owns the SSL_CTX and the saved sessions; connections hold the context.
public final class ClientContext {
    /// How a server is verified.
    public struct Trust: Sendable {
        /// Authorities as PEM; with them, the name is verified too.
        public var authoritiesPEM: [UInt8]?
        /// Keys of which the server's leaf certificate must bear one; empty when only authorities count.
        public var pins: [PublicKeyPin]
        /// Where certificates of the authorities are looked up; nil for nowhere.
        public var revocation: Revocation?

        /// - Parameters:
        ///   - authoritiesPEM: nil when pins alone decide. Then the certificate's dates, names and issuer do not
        ///     matter: the key does.
        ///   - pins: with authorities, both must hold.
        ///   - revocation: where certificates of the authorities are looked up; nil for nowhere.
        public init(authoritiesPEM: [UInt8]?, pins: [PublicKeyPin], revocation: Revocation? = nil) {
            self.authoritiesPEM = authoritiesPEM
            self.pins = pins
            self.revocation = revocation
        }
    }

    /// Saved sessions per server at most.
    private static let mostSessions = 4

    let handle: ContextHandle
    /// nil only in a context that inspects and therefore carries no traffic.
    let trust: Trust?
    private let policy: TLSPolicy
    private let name: String?
    /// The name to send; an address is never sent (RFC 6066 §3).
    let serverName: String?
    private let verifiesAuthority: Bool
    private var sessions: [Int: [OpaquePointer]] = [:]
    /// The groups offered besides post-quantum ones; the first is the one a key is sent for.
    private var groups = TLSPolicy.groups
    /// What the callback found during the handshake that runs now.
    var failure: VerificationFailure?

    /// - Parameters:
    ///   - name: the DNS name or address that is sent and verified.
    ///   - identity: shown when the server asks for a client certificate.
    ///   - alpn: the application protocols offered, the preferred one first.
    ///   - oldest: the oldest version, if not the policy's.
    ///   - newest: the newest version, if not the policy's.
    /// - Throws: when there is neither an authority nor a pin, or the library refuses a setting.
    public convenience init(
        trust: Trust,
        name: String?,
        identity: ServerIdentity? = nil,
        policy: TLSPolicy,
        alpn: [String],
        oldest: TLSVersion? = nil,
        newest: TLSVersion? = nil
    ) throws(TLSError) {
        guard trust.authoritiesPEM != nil || !trust.pins.isEmpty else { throw .library("a server without trust") }
        // Where anything is spoken, an authority's signature may be forged: only the key itself counts.
        guard policy != .legacy || !trust.pins.isEmpty else { throw .library("a legacy server without a pin") }
        try self.init(optional: trust, name: name, identity: identity, policy: policy, alpn: alpn)
        if let oldest, everyhop_ctx_set_oldest(handle.raw, oldest.raw) != 1 { throw .libraryFailure("TLS versions") }
        if let newest, everyhop_ctx_set_newest(handle.raw, newest.raw) != 1 { throw .libraryFailure("TLS versions") }
    }

    /// A context that believes everything and carries nothing: to look at a server's certificate.
    ///
    /// - Parameters:
    ///   - name: the name to send.
    ///   - policy: `legacy` to look at a server of any age.
    ///   - alpn: the application protocols offered.
    ///   - newest: the newest version, if not the policy's.
    ///   - stopsWhenAsked: whether the look is over when the server asks for a certificate: then it sees a client that
    ///     goes away, not one whose certificate it has to refuse.
    public static func inspecting(
        name: String?,
        policy: TLSPolicy = .nist80052r2,
        alpn: [String] = [],
        newest: TLSVersion? = nil,
        stopsWhenAsked: Bool = false
    ) throws(TLSError) -> ClientContext {
        let context = try ClientContext(optional: nil, name: name, identity: nil, policy: policy, alpn: alpn)
        if stopsWhenAsked { SSL_CTX_set_cert_cb(context.handle.raw, { _, _ in -1 }, nil) }
        if let newest, everyhop_ctx_set_newest(context.handle.raw, newest.raw) != 1 {
            throw .libraryFailure("TLS versions")
        }
        return context
    }

    private init(
        optional trust: Trust?,
        name: String?,
        identity: ServerIdentity?,
        policy: TLSPolicy,
        alpn: [String]
    ) throws(TLSError) {
        // The library takes an empty name for "verify none", a leading dot for "any name below", and stops at a zero.
        if let name, name.isEmpty || name.hasPrefix(".") || name.utf8.contains(0) {
            throw .library("\"\(name)\" is no name of a server")
        }
        handle = try ContextHandle(isServer: false, policy)
        self.policy = policy
        self.trust = trust
        self.name = name
        serverName = name.flatMap { AddressText.isAddress($0) ? nil : $0 }
        verifiesAuthority = trust?.authoritiesPEM != nil
        if let identity { try identity.install(in: handle.raw) }
        if let authorities = trust?.authoritiesPEM {
            try Self.add(authorities, to: handle.raw)
            try trust?.revocation?.install(in: handle.raw)
        }
        if !alpn.isEmpty {
            let list = alpn.flatMap { [UInt8(truncatingIfNeeded: $0.utf8.count)] + Array($0.utf8) }
            guard SSL_CTX_set_alpn_protos(handle.raw, list, CUnsignedInt(clamping: list.count)) == 0 else {
                throw .libraryFailure("ALPN")
            }
        }
        SSL_CTX_set_ex_data(handle.raw, ExtraData.contextOwner, Unmanaged.passUnretained(self).toOpaque())
        setVerification()
        setSessionCache()
    }

    deinit {
        for list in sessions.values { for session in list { SSL_SESSION_free(session) } }
    }

    // MARK: verification

    private func setVerification() {
        SSL_CTX_set_verify(handle.raw, SSL_VERIFY_PEER, nil)
        SSL_CTX_set_cert_verify_callback(
            handle.raw,
            { store, context in
                guard let store, let context else { return 0 }
                return Unmanaged<ClientContext>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.verify(store) }
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
    }

    /// The library's own verification first, which knows dates, chain, purpose and name; then the pin.
    private func verify(_ store: OpaquePointer) -> CInt {
        guard let trust else { return 1 }
        guard let leaf = X509_STORE_CTX_get0_cert(store) else { return 0 }
        if verifiesAuthority, X509_verify_cert(store) != 1 {
            failure = reason(X509_STORE_CTX_get_error(store), leaf)
            return 0
        }
        // With an authority, the library has measured the keys of the whole chain already.
        if !verifiesAuthority, policy != .legacy, !isStrong(leaf) {
            X509_STORE_CTX_set_error(store, CInt(X509_V_ERR_EE_KEY_TOO_SMALL))
            return 0
        }
        if !trust.pins.isEmpty, !isPinned(leaf) {
            X509_STORE_CTX_set_error(store, CInt(X509_V_ERR_APPLICATION_VERIFICATION))
            return 0
        }
        return 1
    }

    /// Whether the key is worth 112 bits (RSA 2048, P-224): a pin on a key that can be broken proves nothing.
    private func isStrong(_ leaf: OpaquePointer) -> Bool {
        if let key = X509_get0_pubkey(leaf), EVP_PKEY_get_security_bits(key) >= 112 { return true }
        failure = .other("the server's key is too weak for this policy")
        return false
    }

    /// Whether the certificate's key is pinned; if not, `failure` says what was seen.
    private func isPinned(_ leaf: OpaquePointer) -> Bool {
        guard let pins = trust?.pins else { return false }
        guard let seen = PublicKeyPin(of: leaf) else {
            failure = .other("the certificate's key is unreadable")
            return false
        }
        if pins.contains(seen) { return true }
        failure = .pinMismatch(seen: seen.description)
        return false
    }

    /// Checks a finished handshake again: a resumed session does not call the callback above.
    ///
    /// - Returns: the pin that matched; nil when pins do not count.
    /// - Throws: a mismatch; the connection must not be used, and the sessions of its endpoint are gone.
    func recheck(_ ssl: OpaquePointer) throws(TLSError) -> PublicKeyPin? {
        guard let trust else { return nil }
        do throws(VerificationFailure) {
            guard let leaf = SSL_get0_peer_certificate(ssl) else { throw .noCertificate }
            if verifiesAuthority { try recheckAuthority(ssl, leaf) }
            if trust.pins.isEmpty { return nil }
            guard let seen = PublicKeyPin(of: leaf) else { throw .other("the certificate's key is unreadable") }
            guard trust.pins.contains(seen) else { throw .pinMismatch(seen: seen.description) }
            return seen
        } catch {
            forgetSessions(endpoint: Self.endpoint(of: ssl))
            throw .verification(error)
        }
    }

    /// A session may be older than the last second of the certificate that it was made under.
    private func recheckAuthority(_ ssl: OpaquePointer, _ leaf: OpaquePointer) throws(VerificationFailure) {
        let verdict = SSL_get_verify_result(ssl)
        guard verdict == X509_V_OK else { throw .other(String(cString: X509_verify_cert_error_string(verdict))) }
        guard X509_cmp_current_time(X509_get0_notAfter(leaf)) > 0 else { throw .expired }
        if trust?.revocation != nil { try Revocation.recheck(leaf, of: ssl) }
    }

    /// Puts the group that a trusted server chose first from now on.
    ///
    /// A server that takes no X25519, such as PostgreSQL as it is delivered, asks for a second hello each time
    /// otherwise, which costs a round trip and a key (RFC 8446 §4.1.4).
    func rememberGroup(of ssl: OpaquePointer) {
        guard trust != nil, SSL_version(ssl) == TLS1_3_VERSION else { return }
        let chosen = everyhop_group(ssl)
        guard chosen != groups[0].number, let place = groups.firstIndex(where: { $0.number == chosen }) else { return }
        groups.swapAt(0, place)
        // The old order stays if the library should refuse: it works as well, only slower.
        if !TLSPolicy.setGroups(groups.map { $0.name }, in: handle.raw) { ERR_clear_error() }
    }

    private func reason(_ code: CInt, _ leaf: OpaquePointer) -> VerificationFailure {
        if let failure = VerificationFailure(revocation: code) { return failure }
        switch code {
        case X509_V_ERR_CERT_HAS_EXPIRED: return .expired
        case X509_V_ERR_CERT_NOT_YET_VALID: return .notYetValid
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
            X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_UNTRUSTED:
            return .unknownAuthority
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
            X509_up_ref(leaf)
            let facts = try? X509Certificate(owning: leaf).facts()
            return .wrongName(expected: name ?? "", seen: (facts?.names ?? []) + (facts?.addresses ?? []))
        default: return .other(String(cString: X509_verify_cert_error_string(Int(code))))
        }
    }

    private static func add(_ authorities: [UInt8], to context: OpaquePointer) throws(TLSError) {
        guard let store = SSL_CTX_get_cert_store(context) else { throw .libraryFailure("a certificate store") }
        do throws(CertificateError) {
            for authority in try X509Certificate.read(pem: authorities) {
                // Without it, Swift may free the certificate as soon as its pointer has been read.
                let added = withExtendedLifetime(authority) { X509_STORE_add_cert(store, $0.raw) }
                guard added == 1 else { throw .fromQueue("an authority") }
            }
        } catch { throw .library("the authorities: \(error)") }
    }

    /// Sets the name that this connection sends and verifies.
    func prepare(_ ssl: OpaquePointer) throws(TLSError) {
        if let serverName, everyhop_set_host_name(ssl, serverName) != 1 { throw .libraryFailure("the server's name") }
        guard verifiesAuthority else { return }
        guard let name else { throw .library("an authority is trusted, but no name is given to verify") }
        let isSet =
            serverName == nil
            ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) : SSL_set1_host(ssl, name)
        SSL_set_hostflags(ssl, CUnsignedInt(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
        guard isSet == 1 else { throw .libraryFailure("the name to verify") }
    }

    // MARK: sessions

    private func setSessionCache() {
        everyhop_ctx_set_session_cache_mode(handle.raw, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
        SSL_CTX_sess_set_new_cb(handle.raw) { ssl, session in
            guard let ssl, let session,
                let owner = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ExtraData.contextOwner)
            else { return 0 }
            Unmanaged<ClientContext>.fromOpaque(owner)._withUnsafeGuaranteedRef {
                $0.save(session, endpoint: ClientContext.endpoint(of: ssl))
            }
            return 1
        }
    }

    private static func endpoint(of ssl: OpaquePointer) -> Int {
        Int(bitPattern: SSL_get_ex_data(ssl, ExtraData.endpoint))
    }

    /// Keeps a session, of which it takes over the caller's reference; the oldest one makes room.
    func save(_ session: OpaquePointer, endpoint: Int) {
        sessions[endpoint, default: []].append(session)
        if let count = sessions[endpoint]?.count, count > Self.mostSessions,
            let oldest = sessions[endpoint]?.removeFirst()
        {
            SSL_SESSION_free(oldest)
        }
    }

    /// Gives the newest session away, with its reference.
    func takeSession(endpoint: Int) -> OpaquePointer? { sessions[endpoint]?.popLast() }

    /// Forgets the sessions with a server.
    func forgetSessions(endpoint: Int) {
        for session in sessions.removeValue(forKey: endpoint) ?? [] { SSL_SESSION_free(session) }
    }

    /// Offers a saved session, which is then no longer saved.
    ///
    /// Each is used once, so that an observer cannot link connections (RFC 8446 §C.4), but see `keepSession`.
    func offerSession(to ssl: OpaquePointer, endpoint: Int) {
        SSL_set_ex_data(ssl, ExtraData.endpoint, UnsafeMutableRawPointer(bitPattern: endpoint))
        while let session = takeSession(endpoint: endpoint) {
            let isUsable = SSL_SESSION_is_resumable(session) == 1
            if isUsable { SSL_set_session(ssl, session) }
            SSL_SESSION_free(session)
            if isUsable { return }
        }
    }

    /// Saves a session of TLS 1.2 again that has just been resumed.
    ///
    /// The server need not send another ticket then (RFC 5077 §3.3), and of one that it does send, the library tells
    /// nobody.
    func keepSession(of ssl: OpaquePointer) {
        guard SSL_session_reused(ssl) == 1, SSL_version(ssl) < TLS1_3_VERSION, let session = SSL_get1_session(ssl)
        else {
            return
        }
        save(session, endpoint: Self.endpoint(of: ssl))
    }
}
