import COpenSSL

/// A certificate with its chain and private key: who we say we are, to clients or to servers that ask.
///
/// *Ownership:* owns the OpenSSL objects; contexts take references of their own.
public final class ServerIdentity {
    /// What the leaf certificate says.
    public let facts: CertificateFacts
    let chain: [X509Certificate]
    let key: PrivateKey

    /// Reads PEM: the leaf first, then its issuers; the key may lie in a file of its own.
    ///
    /// - Throws: `keyMismatch` when the two do not belong together.
    public init(chainPEM: [UInt8], keyPEM: [UInt8]) throws(CertificateError) {
        chain = try X509Certificate.read(pem: chainPEM)
        key = try PrivateKey(pem: keyPEM)
        facts = try chain[0].facts()
        guard X509_check_private_key(chain[0].raw, key.raw) == 1 else {
            ERR_clear_error()
            throw .keyMismatch
        }
    }

    /// Reads the chain alone: the key is held by the signer, which is asked for every signature (`RemoteKeys`).
    public init(heldElsewhere chainPEM: [UInt8]) throws(CertificateError) {
        chain = try X509Certificate.read(pem: chainPEM)
        key = try PrivateKey(heldElsewhere: chain[0])
        facts = try chain[0].facts()
    }

    /// Reads a PKCS#12 file, as IIS exports it.
    public convenience init(pfx: [UInt8], password: [UInt8]) throws(CertificateError) {
        let parts = try PFX.read(pfx, password: password)
        try self.init(chainPEM: parts.chainPEM, keyPEM: parts.keyPEM)
    }

    func install(in context: OpaquePointer) throws(TLSError) {
        guard SSL_CTX_use_certificate(context, chain[0].raw) == 1, SSL_CTX_use_PrivateKey(context, key.raw) == 1 else {
            throw .libraryFailure("the certificate cannot be used")
        }
        for issuer in chain.dropFirst() {
            // The root is known to whoever trusts it; sending it would only cost bytes.
            if X509_self_signed(issuer.raw, 0) == 1 { continue }
            guard everyhop_ctx_add_chain(context, issuer.raw) == 1 else {
                throw .libraryFailure("the certificate's chain")
            }
        }
    }
}

/// Owns one EVP_PKEY.
final class PrivateKey {
    let raw: OpaquePointer

    /// Whether another process signs with it (`RemoteKeys`).
    let isHeldElsewhere: Bool

    init(owning raw: OpaquePointer, isHeldElsewhere: Bool = false) {
        self.raw = raw
        self.isHeldElsewhere = isHeldElsewhere
    }

    deinit { EVP_PKEY_free(raw) }

    init(pem: [UInt8]) throws(CertificateError) {
        // An empty password instead of OpenSSL's question on the terminal.
        let raw = try MemoryReader.read(pem) { PEM_read_bio_PrivateKey($0, nil, { _, _, _, _ in 0 }, nil) }
        ERR_clear_error()
        guard let raw else { throw .noKey }
        self.raw = raw
        isHeldElsewhere = false
    }

    func pem() throws(CertificateError) -> [UInt8] {
        let raw = self.raw
        return try PEMWriter.write { PEM_write_bio_PKCS8PrivateKey($0, raw, nil, nil, 0, nil, nil) }
    }
}
