internal import COpenSSL
internal import CSigner

/// The private keys of a signer: they leave it never, and sign nothing but handshakes of TLS.
///
/// *Ownership:* owns the keys.
public final class KeyHolder {
    /// The longest request, in bytes.
    public static let longestRequest = Int(everyhop_request_head) + Int(everyhop_most_to_sign)

    private var keys: [[UInt8]: PrivateKey] = [:]
    private static let nameLength = Int(everyhop_key_name_length)

    /// No key yet.
    public init() {}

    /// How many keys there are.
    public var count: Int { keys.count }

    /// Takes the keys over, and lets go of all others.
    ///
    /// - Parameter pems: one private key each; what is no key is left out.
    public func replace(_ pems: [[UInt8]]) {
        var next: [[UInt8]: PrivateKey] = [:]
        for pem in pems {
            guard let key = try? PrivateKey(pem: pem), let name = Self.name(key) else { continue }
            next[name] = key
        }
        keys = next
    }

    /// Answers a request; nil when it is not one that a worker makes.
    ///
    /// An answer without a signature says that there is none.
    public func answer(_ request: ArraySlice<UInt8>) -> [UInt8]? {
        guard request.count > Int(everyhop_request_head) else { return nil }
        let number = Array(request.prefix(8))
        let name = Array(request.dropFirst(8).prefix(Self.nameLength))
        let scheme = request.dropFirst(8 + Self.nameLength).prefix(2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
        let message = request.dropFirst(Int(everyhop_request_head))
        guard let key = keys[name], let scheme = SignatureScheme(rawValue: scheme), scheme.isFor(key),
            let digest = HandshakeMessage(message).map({ _ in scheme.digest })
        else { return number }
        defer { ERR_clear_error() }
        return number + (Self.sign(Array(message), key, scheme, digest) ?? [])
    }

    private static func name(_ key: PrivateKey) -> [UInt8]? {
        var encoded: UnsafeMutablePointer<UInt8>?
        let length = i2d_PUBKEY(key.raw, &encoded)
        guard length > 0, let encoded else { return nil }
        defer { everyhop_free(encoded) }
        return SHA256.digest(UnsafeBufferPointer(start: encoded, count: Int(length)).map { $0 })
    }

    private static func sign(
        _ message: [UInt8],
        _ key: PrivateKey,
        _ scheme: SignatureScheme,
        _ digest: OpaquePointer?
    ) -> [UInt8]? {
        guard let context = EVP_MD_CTX_new() else { return nil }
        defer { EVP_MD_CTX_free(context) }
        var settings: OpaquePointer?
        guard EVP_DigestSignInit(context, &settings, digest, nil, key.raw) == 1 else { return nil }
        if scheme.isPSS {
            guard EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1,
                EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) == 1
            else { return nil }
        }
        var count = Int(everyhop_longest_signature)
        var signature = [UInt8](repeating: 0, count: count)
        guard EVP_DigestSign(context, &signature, &count, message, message.count) == 1 else { return nil }
        return Array(signature.prefix(count))
    }
}

/// How TLS signs (RFC 8446 §4.2.3), as far as everyhop offers it.
private enum SignatureScheme: UInt16 {
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

    var isPSS: Bool {
        switch self {
        case .pssSHA256, .pssSHA384, .pssSHA512: true
        case .pkcs1SHA256, .pkcs1SHA384, .pkcs1SHA512, .ecdsaSHA256, .ecdsaSHA384, .ecdsaSHA512, .ed25519: false
        }
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
