import COpenSSL

/// Lists of certificates that their authorities have revoked (RFC 5280 §5), and how much they are asked.
public struct Revocation: Sendable, Equatable {
    /// The lists, as PEM.
    let listsPEM: [UInt8]
    /// Whether every certificate of a chain is looked up; otherwise the peer's own alone.
    let coversChain: Bool

    /// - Parameters:
    ///   - listsPEM: one list of each authority at least: whoever cannot be looked up is refused.
    ///   - coversChain: whether every certificate of a chain is looked up; otherwise the peer's own alone.
    public init(listsPEM: [UInt8], coversChain: Bool) {
        self.listsPEM = listsPEM
        self.coversChain = coversChain
    }

    var fingerprint: [UInt8] { [coversChain ? 1 : 2] + SHA256.digest(listsPEM) }

    /// Has a context look everybody up.
    func install(in context: OpaquePointer) throws(TLSError) {
        guard let store = SSL_CTX_get_cert_store(context) else { throw .libraryFailure("a certificate store") }
        do throws(CertificateError) {
            for list in try RevocationList.read(pem: listsPEM) {
                let added = withExtendedLifetime(list) { X509_STORE_add_crl(store, $0.raw) }
                guard added == 1 else { throw .fromQueue("a revocation list") }
            }
        } catch { throw .library("the revocation lists: \(error)") }
        X509_STORE_set_flags(
            store,
            CUnsignedLong(X509_V_FLAG_CRL_CHECK | (coversChain ? X509_V_FLAG_CRL_CHECK_ALL : 0))
        )
    }

    /// Looks a peer up again whose session was resumed, which the library does not: the list may have run out meanwhile.
    static func recheck(_ leaf: OpaquePointer, of ssl: OpaquePointer) throws(VerificationFailure) {
        guard SSL_session_reused(ssl) == 1 else { return }
        let verdict = everyhop_revocation(SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)), leaf)
        everyhop_forget_errors()
        if verdict == X509_V_OK { return }
        throw VerificationFailure(revocation: verdict) ?? .revocationUnknown("error \(verdict)")
    }
}

/// What a revocation list says of itself, in values.
public struct RevocationListFacts: Equatable, Sendable {
    /// Who has issued it, as `CN=...`.
    public let issuer: String
    /// Valid from, in seconds since 1970.
    public let thisUpdate: Int64
    /// When the next one is due, in seconds since 1970, or nil for never.
    ///
    /// From then on this one is good for nothing.
    public let nextUpdate: Int64?
    /// SHA-256 of the whole list, in hexadecimal.
    public let fingerprint: String

    /// Reads every list of a PEM file, in its order.
    public static func read(pem: [UInt8]) throws(CertificateError) -> [RevocationListFacts] {
        try RevocationList.read(pem: pem).map { $0.facts() }
    }

    /// Reads every list of a PEM file, in its order, and who has signed it; authorities may be none.
    public static func read(
        pem: [UInt8],
        authoritiesPEM: [UInt8]
    ) throws(CertificateError) -> [(facts: RevocationListFacts, signer: Signer)] {
        let authorities = authoritiesPEM.isEmpty ? [] : try X509Certificate.read(pem: authoritiesPEM)
        return try RevocationList.read(pem: pem).map { ($0.facts(), $0.signer(authorities)) }
    }

    /// Who has signed a list.
    public enum Signer: Sendable {
        /// One of the authorities.
        case authority
        /// Nobody of their names: an authority below them perhaps, whose certificate peers send.
        case stranger
        /// Somebody who bears the name of one, with another key.
        case impostor
    }
}

/// Owns one X509_CRL.
private final class RevocationList {
    let raw: OpaquePointer

    init(owning raw: OpaquePointer) { self.raw = raw }

    deinit { X509_CRL_free(raw) }

    static func read(pem: [UInt8]) throws(CertificateError) -> [RevocationList] {
        let list = try MemoryReader.read(pem) { bio in
            var list: [RevocationList] = []
            while let raw = PEM_read_bio_X509_CRL(bio, nil, nil, nil) { list.append(RevocationList(owning: raw)) }
            return list
        }
        ERR_clear_error()
        guard !list.isEmpty else { throw .noRevocationList }
        return list
    }

    func facts() -> RevocationListFacts {
        var digest = [UInt8](repeating: 0, count: 32)
        X509_CRL_digest(raw, EVP_sha256(), &digest, nil)
        return RevocationListFacts(
            issuer: X509Certificate.text(X509_CRL_get_issuer(raw)),
            thisUpdate: X509Certificate.seconds(X509_CRL_get0_lastUpdate(raw)),
            nextUpdate: X509_CRL_get0_nextUpdate(raw).map { X509Certificate.seconds($0) },
            fingerprint: X509Certificate.hexadecimal(digest)
        )
    }

    func signer(_ authorities: [X509Certificate]) -> RevocationListFacts.Signer {
        defer { ERR_clear_error() }
        let issuer = X509_CRL_get_issuer(raw)
        let named = authorities.filter { X509_NAME_cmp(X509_get_subject_name($0.raw), issuer) == 0 }
        if named.isEmpty { return .stranger }
        let isSigned = named.contains { authority in
            X509_get0_pubkey(authority.raw).map { X509_CRL_verify(raw, $0) == 1 } ?? false
        }
        return isSigned ? .authority : .impostor
    }
}

extension VerificationFailure {
    /// What X509_verify_cert(3) found about revocation; nil when the code is about something else.
    init?(revocation code: CInt) {
        switch code {
        case X509_V_ERR_CERT_REVOKED: self = .revoked
        case X509_V_ERR_UNABLE_TO_GET_CRL, X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, X509_V_ERR_DIFFERENT_CRL_SCOPE:
            self = .revocationUnknown("there is no revocation list of its authority")
        case X509_V_ERR_CRL_HAS_EXPIRED: self = .revocationUnknown("the revocation list of its authority has expired")
        case X509_V_ERR_CRL_NOT_YET_VALID:
            self = .revocationUnknown("the revocation list of its authority is not yet valid")
        case X509_V_ERR_CRL_SIGNATURE_FAILURE, X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
            self = .revocationUnknown("the revocation list is not signed by its authority")
        default: return nil
        }
    }
}
