import COpenSSL

/// How a server signs in handshakes of our own (RFC 8446 §4.2.3).
struct HandshakeScheme {
    /// What signs.
    enum Kind { case ecdsa, rsa }

    let number: UInt16
    let kind: Kind
    /// Whether it is probabilistic (RSASSA-PSS); TLS 1.3 takes no other from RSA.
    let isProbabilistic: Bool

    static let ecdsa = HandshakeScheme(number: 0x0403, kind: .ecdsa, isProbabilistic: false)
    /// ECDSA with SHA-384 and with SHA-512, which is left to the library.
    static let longerECDSA: [UInt16] = [0x0503, 0x0603]
    static let rsaProbabilistic = HandshakeScheme(number: 0x0804, kind: .rsa, isProbabilistic: true)
    static let rsa = HandshakeScheme(number: 0x0401, kind: .rsa, isProbabilistic: false)
}

/// A private key made ready to sign SHA-256 digests in one scheme, so that no algorithm is looked up for each handshake.
///
/// *Ownership:* owns a context of the library's, which holds the key; for one thread.
final class PreparedSigner {
    let scheme: HandshakeScheme
    private let context: OpaquePointer
    /// Bytes of a signature at most.
    private let longest: Int

    /// - Returns: nil for a key that does not sign so, or when the library refuses.
    init?(_ key: PrivateKey, _ scheme: HandshakeScheme) {
        guard let context = EVP_PKEY_CTX_new_from_pkey(nil, key.raw, nil) else { return nil }
        self.scheme = scheme
        self.context = context
        longest = Int(EVP_PKEY_get_size(key.raw))
        guard EVP_PKEY_sign_init(context) == 1 else { return nil }
        if scheme.kind == .rsa {
            let padding = scheme.isProbabilistic ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING
            guard EVP_PKEY_CTX_set_rsa_padding(context, padding) == 1 else { return nil }
        }
        guard EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 else { return nil }
        if scheme.isProbabilistic {
            guard EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1 else { return nil }
        }
    }

    deinit { EVP_PKEY_CTX_free(context) }

    /// The signature of a message; nil when the library fails.
    func sign(message: [UInt8]) -> [UInt8]? {
        guard let hash = KeyDerivation.schedule(.sha256) else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: hash.size, alignment: 8) { digest in
            message.withUnsafeBytes { hash.digest($0, into: digest) } ? sign(UnsafeRawBufferPointer(digest)) : nil
        }
    }

    private func sign(_ digest: UnsafeRawBufferPointer) -> [UInt8]? {
        var count = longest
        let context = self.context
        let signature = [UInt8](unsafeUninitializedCapacity: longest) { room, filled in
            let digest = digest.assumingMemoryBound(to: UInt8.self)
            let isDone = EVP_PKEY_sign(context, room.baseAddress, &count, digest.baseAddress, digest.count) == 1
            filled = isDone ? count : 0
        }
        return signature.isEmpty ? nil : signature
    }
}
