import COpenSSL

/// A server's certificate and key as handshakes of our own need them: encoded and ready.
final class ShownIdentity {
    /// What kind of key signs: on P-256, or of RSA.
    enum Kind { case ecdsa, rsa }

    /// SHA-256 of the certificate, by which staples are found.
    let fingerprint: String
    let kind: Kind
    /// Certificates in DER, the server's first; a root is left out, as the library does by `ServerIdentity.install`.
    let certificates: [[UInt8]]
    private let signers: [PreparedSigner]

    /// - Returns: nil for a key that another process holds, and for one of another kind than P-256 and RSA.
    init?(_ identity: ServerIdentity) {
        guard !identity.key.isHeldElsewhere, let kind = Self.kind(of: identity.key) else { return nil }
        self.kind = kind
        fingerprint = identity.facts.fingerprint
        let schemes: [SignatureScheme] = kind == .ecdsa ? [.ecdsaSHA256] : [.pssSHA256, .pkcs1SHA256]
        signers = schemes.compactMap { PreparedSigner(identity.key, $0) }
        guard signers.count == schemes.count else {
            ERR_clear_error()
            return nil
        }
        var list: [[UInt8]] = []
        for (index, certificate) in identity.chain.enumerated() {
            if index > 0, X509_self_signed(certificate.raw, 0) == 1 { continue }
            guard let encoded = certificate.encoded() else { return nil }
            list.append(encoded)
        }
        certificates = list
    }

    private static func kind(of key: PrivateKey) -> Kind? {
        switch EVP_PKEY_get0_type_name(key.raw).map({ String(cString: $0) }) {
        case "RSA": return .rsa
        case "EC":
            var name = [CChar](repeating: 0, count: 64)
            var count = 0
            guard EVP_PKEY_get_group_name(key.raw, &name, name.count, &count) == 1 else { return nil }
            let group = name.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } }
            return group == "prime256v1" || group == "P-256" ? .ecdsa : nil
        default: return nil
        }
    }

    /// What signs in the scheme that is preferred among those that a client takes; nil for none.
    func signer(for hello: ClientHello, isModern: Bool) -> PreparedSigner? {
        signers.first { signer in
            hello.has(signer.scheme.rawValue, in: hello.signatureSchemes)
                && (!isModern || signer.scheme != .pkcs1SHA256)
        }
    }
}
