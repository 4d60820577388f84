import COpenSSL

/// SHA-256 (FIPS 180-4), by OpenSSL.
public enum SHA256 {
    /// The 32 bytes of the digest of `bytes`.
    public static func digest(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        // Fails only when the library has no such algorithm, without which no TLS would be spoken either.
        let isMade = EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) == 1
        precondition(isMade, "OpenSSL has no SHA-256")
        return digest
    }

    /// The digest in 64 small hexadecimal digits, as sha256sum(1) prints it.
    public static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: digest(bytes).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
            as: UTF8.self
        )
    }

    /// The digest in Base64, as a Content-Security-Policy wants it.
    public static func base64(_ bytes: [UInt8]) -> String { Base64.encode(digest(bytes)) }
}
