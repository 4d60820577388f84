import COpenSSL

/// Message authentication codes (RFC 2104).
public enum MessageCode {
    /// Bytes of a SHA-256 code.
    public static let size = 32

    /// HMAC-SHA256; nil only when the library refuses.
    public static func sha256(key: [UInt8], _ message: [UInt8]) -> [UInt8]? {
        var code = [UInt8](repeating: 0, count: size)
        var count = CUnsignedInt(size)
        let made = HMAC(EVP_sha256(), key, CInt(clamping: key.count), message, message.count, &code, &count)
        return made == nil ? nil : code
    }
}
