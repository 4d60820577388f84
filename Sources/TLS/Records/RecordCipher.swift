import COpenSSL

/// An AEAD that records are protected with (RFC 8446 §5.2, RFC 5288).
enum RecordCipher {
    case aes128, aes256, chacha20

    /// Bytes of the nonce, and of the tag behind each record.
    static let nonceSize = 12
    static let tagSize = 16

    /// - Returns: nil for a suite with anything else.
    init?(of suite: OpaquePointer?) {
        switch SSL_CIPHER_get_cipher_nid(suite) {
        case NID_aes_128_gcm: self = .aes128
        case NID_aes_256_gcm: self = .aes256
        case NID_chacha20_poly1305: self = .chacha20
        default: return nil
        }
    }

    /// Bytes of a key.
    var keySize: Int { self == .aes128 ? 16 : 32 }

    /// Records under one key at most: beyond, it is updated where the version can (RFC 8446 §5.5: 2^24.5 full ones).
    var mostRecords: UInt64 { self == .chacha20 ? .max : 1 << 24 }

    /// The library's implementation; nil where it has none.
    var implementation: OpaquePointer? {
        switch self {
        case .aes128: Self.fetched.aes128
        case .aes256: Self.fetched.aes256
        case .chacha20: Self.fetched.chacha20
        }
    }

    /// Found once, and kept to the end of the process: looking for one costs more than a small record.
    private struct Fetched: @unchecked Sendable {
        let aes128 = EVP_CIPHER_fetch(nil, "AES-128-GCM", nil)
        let aes256 = EVP_CIPHER_fetch(nil, "AES-256-GCM", nil)
        let chacha20 = EVP_CIPHER_fetch(nil, "ChaCha20-Poly1305", nil)
    }

    private static let fetched = Fetched()
}
