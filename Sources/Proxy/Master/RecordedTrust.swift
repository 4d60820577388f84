import Config
import TLS

/// What certificates were, and by what peers are verified, when it was last written down; facts that a reader compares.
struct RecordedTrust: Equatable {
    /// By the certificate's name.
    var certificates: [String: [String: String]] = [:]
    /// By the name of the upstream or database, or by the place of the binding whose clients are verified.
    var trust: [String: [String: String]] = [:]

    /// Of nothing yet.
    init() {}

    init(_ bundle: Bundle, _ configuration: Configuration) {
        for certificate in configuration.certificates {
            certificates[certificate.name] = Self.facts(of: certificate, bundle)
        }
        for upstream in configuration.upstreams {
            let authorities = CertificateStore.authoritiesName(upstream.name)
            trust["upstream \(upstream.name)"] = Self.facts(upstream.trust, authorities, bundle)
        }
        for database in configuration.databases {
            let authorities = CertificateStore.databaseAuthoritiesName(database.name)
            trust["database \(database.name)"] = Self.facts(database.trust, authorities, bundle)
        }
        for site in configuration.sites {
            for binding in site.bindings {
                guard let clients = binding.clients else { continue }
                let authorities = clients.ca.map { CertificateStore.clientAuthoritiesName($0.value) }
                var facts = Self.facts(clients.pins, authorities, clients.revocation, bundle)
                facts["demand"] = clients.demand.rawValue
                trust["clients of \(site.name) at \(binding.place)"] = facts
            }
        }
    }

    /// What of a trust differs from what was recorded, in words of the configuration.
    func changes(of name: String, since before: RecordedTrust) -> String {
        let (now, then) = (trust[name] ?? [:], before.trust[name] ?? [:])
        let keys = Set(now.keys).union(then.keys).filter { now[$0] != then[$0] }
        return keys.map { $0.hasSuffix("_sha256") ? String($0.dropLast(7)) : $0 }.sorted().joined(separator: ", ")
    }

    /// nil when there is no certificate yet.
    private static func facts(of certificate: Certificate, _ bundle: Bundle) -> [String: String]? {
        guard let pem = bundle.resources[CertificateStore.chainName(certificate.name)],
            let read = try? CertificateFacts.read(pem: pem).first
        else { return nil }
        var facts = ["fingerprint": read.fingerprint, "pin": read.pin.description, "subject": read.subject]
        if certificate.ocspFile != nil, let answer = bundle.resources[CertificateStore.stapleName(certificate.name)] {
            facts["ocsp_file_sha256"] = SHA256.hexadecimal(answer)
        }
        return facts
    }

    private static func facts(_ trust: Upstream.Trust?, _ authorities: String, _ bundle: Bundle) -> [String: String] {
        guard let trust else { return ["plain": "inside this host"] }
        return facts(trust.pins, authorities, trust.revocation, bundle)
    }

    private static func facts(
        _ pins: [Pin],
        _ authorities: String?,
        _ lists: RevocationLists?,
        _ bundle: Bundle
    ) -> [String: String] {
        var facts: [String: String] = [:]
        let pins = pins.compactMap { PublicKeyPin(digest: $0.digest)?.description }
        if !pins.isEmpty { facts["pins"] = pins.joined(separator: " ") }
        if let bytes = authorities.flatMap({ bundle.resources[$0] }) {
            facts["authorities_sha256"] = SHA256.hexadecimal(bytes)
        }
        guard let lists else { return facts }
        facts["crl_sha256"] = lists.files
            .map { SHA256.hexadecimal(bundle.resources[CertificateStore.listsName($0.value)] ?? []) }
            .joined(separator: " ")
        facts["crl_check"] = lists.check.rawValue
        return facts
    }
}
