import COpenSSL

/// SHA-256 of a certificate's SubjectPublicKeyInfo, written `sha256/BASE64` (RFC 7469 §2.4's form).
public struct PublicKeyPin: Hashable, Sendable, CustomStringConvertible {
    /// The 32 bytes of the digest.
    public let digest: [UInt8]

    /// Takes a digest; nil unless it has 32 bytes.
    public init?(digest: [UInt8]) {
        guard digest.count == 32 else { return nil }
        self.digest = digest
    }

    /// Reads `sha256/` and 44 characters of Base64; nil for anything else, spare bits and white space included.
    public init?(_ text: String) {
        guard text.hasPrefix("sha256/"), let digest = Base64.decode(text.utf8.dropFirst(7)), digest.count == 32 else {
            return nil
        }
        self.digest = digest
        guard description == text else { return nil }
    }

    init?(of certificate: OpaquePointer) {
        var encoded: UnsafeMutablePointer<UInt8>?
        let length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &encoded)
        guard length > 0, let encoded else { return nil }
        defer { everyhop_free(encoded) }
        var digest = [UInt8](repeating: 0, count: 32)
        guard EVP_Digest(encoded, Int(length), &digest, nil, EVP_sha256(), nil) == 1 else { return nil }
        self.digest = digest
    }

    /// `sha256/` and the digest in Base64.
    public var description: String { "sha256/" + Base64.encode(digest) }
}

/// Base64 (RFC 4648 §4), by OpenSSL.
enum Base64 {
    static func encode(_ bytes: [UInt8]) -> String {
        var text = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
        let length = EVP_EncodeBlock(&text, bytes, CInt(truncatingIfNeeded: bytes.count))
        return String(decoding: text.prefix(Int(max(0, length))), as: UTF8.self)
    }

    /// Decodes 44 characters, the length of 32 bytes; nil when they are no Base64.
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count == 44 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 33)
        // The library counts the padding as bytes: 33 for 44 characters.
        guard EVP_DecodeBlock(&bytes, Array(text), 44) == 33 else { return nil }
        return Array(bytes.dropLast())
    }
}
