import COpenSSL

/// A key that clients encrypt a password with when they have no TLS to us; made when needed, never stored.
///
/// *Ownership:* owns the key.
public final class PasswordKey {
    private let key: PrivateKey
    /// The public half, as PEM.
    public let publicPEM: [UInt8]

    /// Makes an RSA key of 2048 bits.
    public init() throws(CertificateError) {
        let key = try CertificateMaker.makeKey(.rsa)
        self.key = key
        publicPEM = try PEMWriter.write { PEM_write_bio_PUBKEY($0, key.raw) }
    }

    /// Opens what was encrypted with the public half (RSA-OAEP, RFC 8017 §7.1); nil for anything else.
    public func open(_ sealed: [UInt8]) -> [UInt8]? {
        guard let context = EVP_PKEY_CTX_new(key.raw, nil) else { return nil }
        defer {
            EVP_PKEY_CTX_free(context)
            ERR_clear_error()
        }
        guard EVP_PKEY_decrypt_init(context) == 1,
            EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1
        else { return nil }
        var count = 512
        var opened = [UInt8](repeating: 0, count: count)
        defer { opened.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        guard EVP_PKEY_decrypt(context, &opened, &count, sealed, sealed.count) == 1 else { return nil }
        return Array(opened.prefix(count))
    }
}
