import COpenSSL

/// A private key made ready to sign in one scheme over SHA-256, so that no algorithm is looked up for each handshake.
///
/// *Ownership:* owns a context of the library's, which holds the key; for one thread.
final class PreparedSigner {
    let scheme: SignatureScheme
    private let context: OpaquePointer
    /// Bytes of a signature at most.
    private let longest: Int

    /// - Returns: nil for a key that does not sign so, or when the library refuses.
    init?(_ key: PrivateKey, _ scheme: SignatureScheme) {
        guard let context = EVP_PKEY_CTX_new_from_pkey(nil, key.raw, nil) else { return nil }
        self.scheme = scheme
        self.context = context
        longest = Int(EVP_PKEY_get_size(key.raw))
        guard EVP_PKEY_sign_init(context) == 1, EVP_PKEY_CTX_set_signature_md(context, scheme.digest) == 1,
            scheme.setPadding(of: context)
        else { return nil }
    }

    deinit { EVP_PKEY_CTX_free(context) }

    /// The signature of a message; nil when the library fails.
    func sign(message: [UInt8]) -> [UInt8]? {
        guard let hash = KeyDerivation.schedule(.sha256) else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: hash.size, alignment: 8) { digest in
            message.withUnsafeBytes { hash.digest($0, into: digest) } ? sign(UnsafeRawBufferPointer(digest)) : nil
        }
    }

    private func sign(_ digest: UnsafeRawBufferPointer) -> [UInt8]? {
        var count = longest
        let context = self.context
        let signature = [UInt8](unsafeUninitializedCapacity: longest) { room, filled in
            let digest = digest.assumingMemoryBound(to: UInt8.self)
            let isDone = EVP_PKEY_sign(context, room.baseAddress, &count, digest.baseAddress, digest.count) == 1
            filled = isDone ? count : 0
        }
        return signature.isEmpty ? nil : signature
    }
}
