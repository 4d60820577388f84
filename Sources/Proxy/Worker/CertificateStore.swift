import Config
import TLS

/// The certificates of a bundle as TLS uses them.
///
/// The loader has turned every source (PEM, PKCS#12, self-signed) into PEM under these names.
struct CertificateStore {
    private let identities: [String: ServerIdentity]
    /// What authorities say of them.
    let staples: Staples

    static func chainName(_ certificate: String) -> String { "certificate.\(certificate).chain" }
    static func keyName(_ certificate: String) -> String { "certificate.\(certificate).key" }
    static func authoritiesName(_ upstream: String) -> String { "upstream.\(upstream).ca" }
    static func databaseAuthoritiesName(_ database: String) -> String { "database.\(database).ca" }
    static func clientAuthoritiesName(_ path: String) -> String { "clients.\(path)" }
    static func listsName(_ path: String) -> String { "revoked.\(path)" }
    static func stapleName(_ certificate: String) -> String { "certificate.\(certificate).ocsp" }
    static func stickyName(_ upstream: String) -> String { "upstream.\(upstream).sticky" }
    static let ticketKeysName = "tickets"

    /// Whether a file of a bundle is a certificate with its chain.
    static func isChain(_ name: String) -> Bool { name.hasPrefix("certificate.") && name.hasSuffix(".chain") }

    /// Whether a file of a bundle is shown to everybody: chains and what authorities say, never a key or a secret.
    static func isPublic(_ name: String) -> Bool {
        isChain(name) || name.hasPrefix("clients.") || name.hasPrefix("revoked.")
            || (name.hasPrefix("certificate.") && name.hasSuffix(".ocsp")) || isServersAuthorities(name)
    }

    private static func isServersAuthorities(_ name: String) -> Bool {
        (name.hasPrefix("upstream.") || name.hasPrefix("database.")) && name.hasSuffix(".ca")
    }

    /// Whether a file of a bundle can be replaced in living workers; the configuration's digest is no part of it.
    static func isReplaceable(_ name: String) -> Bool {
        ["certificate.", "clients.", "revoked."].contains { name.hasPrefix($0) }
            || name == ticketKeysName || name == digestName || isServersAuthorities(name)
    }

    /// SHA-256 of the configuration file, in hexadecimal digits.
    static let digestName = "configuration.sha256"

    /// - Parameters:
    ///   - only: the names of those that are needed; nil for all.
    ///   - staples: what authorities say of them, now and later.
    init(
        _ bundle: Bundle,
        _ configuration: Configuration,
        only: Set<String>? = nil,
        staples: Staples = Staples()
    ) throws(CertificateError) {
        self.staples = staples
        var identities: [String: ServerIdentity] = [:]
        for certificate in configuration.certificates where only?.contains(certificate.name) ?? true {
            let chain = bundle.resources[Self.chainName(certificate.name)] ?? []
            let key = bundle.resources[Self.keyName(certificate.name)]
            identities[certificate.name] =
                key == nil && configuration.tls.isolatesKeys
                ? try ServerIdentity(heldElsewhere: chain) : try ServerIdentity(chainPEM: chain, keyPEM: key ?? [])
        }
        self.identities = identities
    }

    subscript(_ name: String) -> ServerIdentity? { identities[name] }
}
