import COpenSSL

/// How TLS signs (RFC 8446 §4.2.3), as far as everyhop offers it.
enum SignatureScheme: UInt16 {
    case pkcs1SHA256 = 0x0401
    case pkcs1SHA384 = 0x0501
    case pkcs1SHA512 = 0x0601
    case pssSHA256 = 0x0804
    case pssSHA384 = 0x0805
    case pssSHA512 = 0x0806
    case ecdsaSHA256 = 0x0403
    case ecdsaSHA384 = 0x0503
    case ecdsaSHA512 = 0x0603
    case ed25519 = 0x0807

    /// Whether it is one of a key's kind: the library would sign in another way than it was asked to.
    func isFor(_ key: PrivateKey) -> Bool {
        switch self {
        case .pkcs1SHA256, .pkcs1SHA384, .pkcs1SHA512: EVP_PKEY_is_a(key.raw, "RSA") == 1
        case .pssSHA256, .pssSHA384, .pssSHA512:
            EVP_PKEY_is_a(key.raw, "RSA") == 1 || EVP_PKEY_is_a(key.raw, "RSA-PSS") == 1
        case .ecdsaSHA256, .ecdsaSHA384, .ecdsaSHA512: EVP_PKEY_is_a(key.raw, "EC") == 1
        case .ed25519: EVP_PKEY_is_a(key.raw, "ED25519") == 1
        }
    }

    private var isPSS: Bool {
        switch self {
        case .pssSHA256, .pssSHA384, .pssSHA512: true
        case .pkcs1SHA256, .pkcs1SHA384, .pkcs1SHA512, .ecdsaSHA256, .ecdsaSHA384, .ecdsaSHA512, .ed25519: false
        }
    }

    /// Has a context of the library's that signs by a digest already sign with this scheme's padding; false when it refuses.
    func setPadding(of context: OpaquePointer?) -> Bool {
        // What keys of RSA do otherwise is PKCS #1.
        guard isPSS else { return true }
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1
    }

    var digest: OpaquePointer? {
        switch self {
        case .pkcs1SHA256, .pssSHA256, .ecdsaSHA256: EVP_sha256()
        case .pkcs1SHA384, .pssSHA384, .ecdsaSHA384: EVP_sha384()
        case .pkcs1SHA512, .pssSHA512, .ecdsaSHA512: EVP_sha512()
        case .ed25519: nil
        }
    }
}
