import COpenSSL

/// A key on P-256 that signs as JSON Web Signatures want it: ES256 (RFC 7518 §3.4).
///
/// *Ownership:* owns the key.
public final class AccountKey {
    /// Bytes of a coordinate, and of each half of a signature.
    private static let size = 32

    private let key: PrivateKey
    /// The public point.
    public let point: (x: [UInt8], y: [UInt8])

    /// Makes a key.
    public static func make() throws(CertificateError) -> AccountKey {
        try AccountKey(CertificateMaker.makeKey(.ecdsa))
    }

    /// Reads a PEM file.
    ///
    /// - Throws: when it holds no key on P-256, or one with a password.
    public convenience init(pem: [UInt8]) throws(CertificateError) { try self.init(PrivateKey(pem: pem)) }

    private init(_ key: PrivateKey) throws(CertificateError) {
        self.key = key
        guard EVP_PKEY_is_a(key.raw, "EC") == 1, EVP_PKEY_get_bits(key.raw) == 256 else {
            throw .library("the key is not on P-256")
        }
        var encoded: UnsafeMutablePointer<UInt8>?
        let count = EVP_PKEY_get1_encoded_public_key(key.raw, &encoded)
        defer { everyhop_free(encoded) }
        // SEC 1 §2.3.3: 4, then both coordinates.
        guard count == 1 + 2 * Self.size, let encoded, encoded[0] == 4 else { throw .fromQueue("the public key") }
        let bytes = UnsafeBufferPointer(start: encoded + 1, count: 2 * Self.size)
        point = (Array(bytes.prefix(Self.size)), Array(bytes.suffix(Self.size)))
    }

    /// The key itself: PKCS#8, PEM, not encrypted.
    public func pem() throws(CertificateError) -> [UInt8] { try key.pem() }

    /// Signs `bytes`: R and S, 32 bytes each.
    public func sign(_ bytes: [UInt8]) throws(CertificateError) -> [UInt8] {
        guard let context = EVP_MD_CTX_new() else { throw .library("out of memory") }
        defer { EVP_MD_CTX_free(context) }
        var count = 0
        guard EVP_DigestSignInit(context, nil, EVP_sha256(), nil, key.raw) == 1,
            EVP_DigestSign(context, nil, &count, bytes, bytes.count) == 1
        else { throw .fromQueue("signing") }
        var encoded = [UInt8](repeating: 0, count: count)
        guard EVP_DigestSign(context, &encoded, &count, bytes, bytes.count) == 1 else { throw .fromQueue("signing") }
        return try Self.halves(Array(encoded.prefix(count)))
    }

    private static func halves(_ encoded: [UInt8]) throws(CertificateError) -> [UInt8] {
        let signature = encoded.withUnsafeBufferPointer { buffer in
            var next = buffer.baseAddress
            return d2i_ECDSA_SIG(nil, &next, CLong(clamping: buffer.count))
        }
        guard let signature else { throw .fromQueue("signing") }
        defer { ECDSA_SIG_free(signature) }
        var halves = [UInt8](repeating: 0, count: 2 * size)
        let isWritten = halves.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return false }
            return BN_bn2binpad(ECDSA_SIG_get0_r(signature), start, CInt(size)) == CInt(size)
                && BN_bn2binpad(ECDSA_SIG_get0_s(signature), start + size, CInt(size)) == CInt(size)
        }
        guard isWritten else { throw .fromQueue("signing") }
        return halves
    }
}
