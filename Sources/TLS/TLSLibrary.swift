import COpenSSL

/// OpenSSL as a whole.
public enum TLSLibrary {
    /// Has the library read its settings, seed its generator and load what it would load when it is first used: from then
    /// on it needs no file.
    public static func prepare() {
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
}
