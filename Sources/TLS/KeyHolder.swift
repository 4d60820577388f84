internal import COpenSSL
internal import CSigner

/// The private keys of a signer: they leave it never, and sign nothing but handshakes of TLS.
///
/// *Ownership:* owns the keys.
public final class KeyHolder {
    /// The longest request, in bytes.
    public static let longestRequest = Int(everyhop_request_head) + Int(everyhop_most_to_sign)

    /// What a signer says first to whoever may ask it: an answer to a request that nobody makes.
    public static let greeting = [UInt8](repeating: 0, count: Int(everyhop_answer_head))

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
        guard EVP_DigestSignInit(context, &settings, digest, nil, key.raw) == 1, scheme.setPadding(of: settings) else {
            return nil
        }
        var count = Int(everyhop_longest_signature)
        var signature = [UInt8](repeating: 0, count: count)
        guard EVP_DigestSign(context, &signature, &count, message, message.count) == 1 else { return nil }
        return Array(signature.prefix(count))
    }
}
