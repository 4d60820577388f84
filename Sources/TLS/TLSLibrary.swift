import COpenSSL

/// OpenSSL as a whole.
public enum TLSLibrary {
    /// What one connection keeps in the secure heap until it is closed: the keys that both of its ends made for it.
    private static let bytesOfConnection = 512

    /// Has the library load what it would load when it is first used: from then on it needs no file.
    ///
    /// To be called before the first key is read: keys lie in memory that is locked as far as that is allowed, left out of
    /// core files, guarded on both sides, and overwritten when it is given back.
    ///
    /// - Parameter connections: how many there may be at a time. A heap that is full refuses handshakes.
    public static func prepare(connections: Int = 0) {
        var size = 1 << 20
        while size < (1 << 19) + min(connections, 1 << 22) * bytesOfConnection { size <<= 1 }
        _ = CRYPTO_secure_malloc_init(size, 32)
        OPENSSL_init_ssl(UInt64(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS), nil)
        var byte: UInt8 = 0
        RAND_bytes(&byte, 1)
        RAND_priv_bytes(&byte, 1)
        ERR_clear_error()
    }

    /// Whether the library has algorithms at all: its configuration may load providers that have none.
    public static var isUsable: Bool {
        let digest = EVP_MD_fetch(nil, "SHA256", nil)
        EVP_MD_free(digest)
        if digest == nil { ERR_clear_error() }
        return digest != nil
    }

    /// What is wrong when it has none.
    public static let uselessness =
        "OpenSSL has no SHA-256: its configuration (openssl.cnf) loads providers without algorithms, or one does not start"

    /// How many bytes of the secure heap are in use.
    public static var secureBytes: Int { CRYPTO_secure_used() }
}
