import COpenSSL

/// Digests that logins to databases are made with; of no use for anything else.
///
/// Each is nil only when the library refuses, as it does MD5 where only approved algorithms are allowed.
public enum Digest {
    /// MD5 (RFC 1321), in PostgreSQL's `md5` logins.
    public static func md5(_ message: [UInt8]) -> [UInt8]? { make(EVP_md5(), message) }

    /// SHA-1 (FIPS 180-4), in `mysql_native_password`.
    public static func sha1(_ message: [UInt8]) -> [UInt8]? { make(EVP_sha1(), message) }

    /// PBKDF2 with HMAC-SHA256 (RFC 8018 §5.2), 32 bytes.
    public static func pbkdf2(password: [UInt8], salt: [UInt8], rounds: Int) -> [UInt8]? {
        guard rounds > 0 else { return nil }
        var key = [UInt8](repeating: 0, count: 32)
        let made = password.withUnsafeBytes { password in
            PKCS5_PBKDF2_HMAC(
                password.baseAddress?.assumingMemoryBound(to: CChar.self),
                CInt(clamping: password.count),
                salt,
                CInt(clamping: salt.count),
                CInt(clamping: rounds),
                EVP_sha256(),
                32,
                &key
            )
        }
        if made != 1 { ERR_clear_error() }
        return made == 1 ? key : nil
    }

    private static func make(_ algorithm: OpaquePointer?, _ message: [UInt8]) -> [UInt8]? {
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: CUnsignedInt = 0
        guard EVP_Digest(message, message.count, &digest, &count, algorithm, nil) == 1 else {
            ERR_clear_error()
            return nil
        }
        return Array(digest.prefix(Int(count)))
    }
}
