/// `acme` of a `[certificate.NAME]`: the authority that issues it without anybody's hand (RFC 8555).
public struct ACMESettings: Sendable {
    /// How it is proved who is served here.
    public enum Challenge: String, Sendable, CaseIterable {
        /// An answer on port 80 (RFC 8555 §8.3).
        case http01 = "http-01"
        /// A handshake on port 443 (RFC 8737).
        case tlsALPN01 = "tls-alpn-01"
    }

    /// The kind of the certificate's key.
    public enum Key: String, Sendable, CaseIterable {
        /// ECDSA on P-256.
        case ecdsa = "ecdsa-p256"
        /// RSA with 2048 bits.
        case rsa = "rsa-2048"
    }

    /// What ties the account to one that exists elsewhere (RFC 8555 §7.3.4).
    public struct ExternalAccount: Sendable {
        /// How the authority calls it.
        public let identifier: String
        /// A file of the shared key, in Base64 for URLs.
        public let keyFile: Located<String>
    }

    /// Where the authority's directory is.
    public let directory: Located<WebAddress>
    /// The names that it is for.
    public let names: [Located<HostPattern>]
    /// Whom the authority may write to.
    public let email: String?
    /// How it is proved who is served here.
    public let challenge: Challenge
    /// How the authority's server is verified; nil for the authorities that this host trusts.
    public let trust: Upstream.Trust?
    /// What ties the account to one that exists elsewhere.
    public let externalAccount: ExternalAccount?
    /// The kind of the certificate's key.
    public let key: Key

    /// Whether both ask for the same, wherever it is written.
    func isEqual(_ other: ACMESettings) -> Bool {
        directory.value == other.directory.value && names.map(\.value) == other.names.map(\.value)
            && email == other.email && challenge == other.challenge && key == other.key
            && trust?.ca?.value == other.trust?.ca?.value && trust?.pins == other.trust?.pins
            && externalAccount?.identifier == other.externalAccount?.identifier
            && externalAccount?.keyFile.value == other.externalAccount?.keyFile.value
    }
}

extension Configuration {
    /// The certificates that an authority issues, with their settings.
    public var issuedCertificates: [(certificate: Certificate, settings: ACMESettings)] {
        certificates.compactMap { certificate in
            guard case .acme(let settings) = certificate.source else { return nil }
            return (certificate, settings)
        }
    }
}
