internal import TLS

/// What a report says of a certificate.
enum CertificateEvidence {
    /// The leaf in full, and who stands above it.
    static func facts(_ chain: [CertificateFacts]) -> [Fact] {
        guard let leaf = chain.first else { return [] }
        var facts = [
            Fact("subject", leaf.subject), Fact("issuer", leaf.issuer), Fact("serial", leaf.serial),
            Fact("names", (leaf.names + leaf.addresses).joined(separator: ", ")),
            Fact("valid from", day(leaf.notBefore)), Fact("valid until", day(leaf.notAfter)),
            Fact("key", leaf.keyType), Fact("signature", leaf.signature), Fact("pin", leaf.pin.description),
            Fact("SHA-256 fingerprint", leaf.fingerprint),
        ]
        for above in chain.dropFirst() { facts.append(Fact("chain", above.subject)) }
        return facts
    }

    /// Date and time in UTC, as in RFC 3339.
    static func day(_ seconds: Int64) -> String { AuditReport.time(unixSeconds: seconds) }

    /// Whether key and signature are worth 112 bits, and why not.
    static func weakness(_ certificate: CertificateFacts) -> String? {
        if certificate.securityBits < 112 { return "the key \(certificate.keyType) is too short" }
        let signature = certificate.signature.lowercased()
        for broken in ["md5", "md4", "md2", "sha1"] where signature.contains(broken) && !certificate.isSelfSigned {
            return "the signature \(certificate.signature) can be forged"
        }
        return nil
    }
}
