import COpenSSL

/// How the clients of a binding are verified by their certificates, during the handshake and again after it: a session
/// that is resumed brings the certificate along, and the library does not look at it again.
public struct ClientVerification: Sendable {
    /// Authorities as PEM; nil when pins alone decide.
    let authoritiesPEM: [UInt8]?
    /// Keys of which the client's certificate must bear one; empty when authorities alone decide.
    let pins: [PublicKeyPin]
    /// Whether a client without a certificate is refused.
    let isRequired: Bool
    /// Where certificates of the authorities are looked up; nil for nowhere.
    let revocation: Revocation?

    /// - Parameters:
    ///   - authoritiesPEM: nil when pins alone decide. Then the certificate's dates and issuer do not matter: the key
    ///     does.
    ///   - pins: with authorities, both must hold.
    ///   - isRequired: whether a client without a certificate is refused.
    ///   - revocation: where certificates of the authorities are looked up; nil for nowhere.
    public init(
        authoritiesPEM: [UInt8]?,
        pins: [PublicKeyPin],
        isRequired: Bool,
        revocation: Revocation? = nil
    ) {
        self.authoritiesPEM = authoritiesPEM
        self.pins = pins
        self.isRequired = isRequired
        self.revocation = revocation
    }

    /// What makes sessions under other rules sessions of another kind.
    var fingerprint: [UInt8] {
        [isRequired ? 1 : 2, authoritiesPEM == nil ? 0 : 1] + pins.flatMap(\.digest) + (authoritiesPEM ?? [])
            + (revocation?.fingerprint ?? [])
    }

    private var mode: CInt { SSL_VERIFY_PEER | (isRequired ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0) }

    /// Prepares a context; the callback is the owner's.
    func install(in context: OpaquePointer) throws(TLSError) {
        guard authoritiesPEM != nil || !pins.isEmpty else { throw .library("clients without trust") }
        SSL_CTX_set_verify(context, mode, nil)
        guard let authoritiesPEM else { return }
        guard let store = SSL_CTX_get_cert_store(context) else { throw .libraryFailure("a certificate store") }
        do throws(CertificateError) {
            for authority in try X509Certificate.read(pem: authoritiesPEM) {
                let added = withExtendedLifetime(authority) {
                    // The names tell a client which of its certificates is asked for.
                    X509_STORE_add_cert(store, $0.raw) == 1 && SSL_CTX_add_client_CA(context, $0.raw) == 1
                }
                guard added else { throw .fromQueue("an authority") }
            }
        } catch { throw .library("the authorities of clients: \(error)") }
        try revocation?.install(in: context)
    }

    /// Asks one connection's client for a certificate: choosing a context does not change that.
    func demand(of ssl: OpaquePointer) { SSL_set_verify(ssl, mode, nil) }

    /// Runs in the handshake; the library's own verification first, then the pin.
    func verify(_ store: OpaquePointer) -> VerificationFailure? {
        guard let leaf = X509_STORE_CTX_get0_cert(store) else { return .noCertificate }
        if authoritiesPEM != nil {
            guard X509_verify_cert(store) == 1 else { return Self.reason(X509_STORE_CTX_get_error(store)) }
        } else if X509_get0_pubkey(leaf).map({ EVP_PKEY_get_security_bits($0) >= 112 }) != true {
            X509_STORE_CTX_set_error(store, CInt(X509_V_ERR_EE_KEY_TOO_SMALL))
            return .other("the client's key is too weak")
        }
        guard let failure = checkPin(of: leaf) else {
            // Of a pinned certificate nothing else counts; the verdict is what a resumed session is looked at by.
            X509_STORE_CTX_set_error(store, CInt(X509_V_OK))
            return nil
        }
        X509_STORE_CTX_set_error(store, CInt(X509_V_ERR_APPLICATION_VERIFICATION))
        return failure
    }

    /// Checks a finished handshake again, resumed or not.
    ///
    /// - Returns: what the client's certificate says; nil when it has shown none and need not.
    func recheck(_ ssl: OpaquePointer) throws(VerificationFailure) -> CertificateFacts? {
        guard let leaf = SSL_get0_peer_certificate(ssl) else {
            if isRequired { throw .noCertificate }
            return nil
        }
        let verdict = SSL_get_verify_result(ssl)
        guard verdict == X509_V_OK else { throw .other(String(cString: X509_verify_cert_error_string(verdict))) }
        if authoritiesPEM != nil, X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0 { throw .expired }
        if revocation != nil { try Revocation.recheck(leaf, of: ssl) }
        if let failure = checkPin(of: leaf) { throw failure }
        X509_up_ref(leaf)
        do throws(CertificateError) {
            return try X509Certificate(owning: leaf).facts()
        } catch { throw .other("\(error)") }
    }

    private func checkPin(of leaf: OpaquePointer) -> VerificationFailure? {
        if pins.isEmpty { return nil }
        guard let seen = PublicKeyPin(of: leaf) else { return .other("the certificate's key is unreadable") }
        return pins.contains(seen) ? nil : .other("pin mismatch: the client's key is \(seen)")
    }

    private static func reason(_ code: CInt) -> VerificationFailure {
        if let failure = VerificationFailure(revocation: code) { return failure }
        return switch code {
        case X509_V_ERR_CERT_HAS_EXPIRED: .expired
        case X509_V_ERR_CERT_NOT_YET_VALID: .notYetValid
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
            X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_UNTRUSTED:
            .unknownAuthority
        default: .other(String(cString: X509_verify_cert_error_string(Int(code))))
        }
    }
}
