import Config
import Platform
import TLS

/// Files that say which certificates are revoked, ours and others'.
extension Loader {
    /// Has this process use approved cryptography only, before it touches a key.
    mutating func demandFIPS(_ configuration: Configuration) {
        guard configuration.tls.demandsFIPS, let position = configuration.tls.fips?.position else { return }
        do throws(FIPS.Failure) { try FIPS.demand() } catch {
            complain(
                at: position,
                "fips: OpenSSL's FIPS provider cannot be used: \(error)",
                fix:
                    "install it (Debian: openssl-provider-fips), run `openssl fipsinstall`, and name its configuration in openssl.cnf; docs/tls.md tells how"
            )
        }
    }

    mutating func readRevocation(_ configuration: Configuration) {
        for (lists, authorities) in configuration.namedRevocationLists {
            for file in lists.files { readLists(file, authorities: resources[authorities] ?? []) }
        }
    }

    private mutating func readLists(_ file: Located<String>, authorities: [UInt8]) {
        guard let bytes = read(file, "revocation list") else { return }
        do throws(CertificateError) {
            let lists = try RevocationListFacts.read(pem: bytes)
            let strangers =
                try authorities.isEmpty ? [] : RevocationListFacts.strangers(pem: bytes, authoritiesPEM: authorities)
            resources[CertificateStore.listsName(file.value)] = bytes
            let now = Int64(Clock.unixMicroseconds() / 1_000_000)
            for list in lists where list.nextUpdate ?? now < now {
                complain(
                    .warning,
                    at: file.position,
                    "the revocation list of \(list.issuer) in \"\(file.value)\" has expired: whoever it is about is refused",
                    fix: "fetch the authority's present list"
                )
            }
            if strangers.count == lists.count {
                complain(
                    .warning,
                    at: file.position,
                    "no list in \"\(file.value)\" is signed by an authority that is trusted here",
                    fix: "name the lists of those authorities"
                )
            }
        } catch {
            complain(
                at: file.position,
                "revocation list \"\(file.value)\": \(error)",
                fix: "name a PEM file (openssl crl)"
            )
        }
    }

    /// The answers of authorities that files hold.
    mutating func readStaples(_ configuration: Configuration) {
        for certificate in configuration.certificates {
            guard let file = certificate.ocspFile, let bytes = read(file, "ocsp_file"),
                let chain = resources[CertificateStore.chainName(certificate.name)]
            else { continue }
            resources[CertificateStore.stapleName(certificate.name)] = bytes
            do {
                let subject = try StapleSubject(chainPEM: chain)
                guard subject.hasIssuer else {
                    complain(
                        at: file.position,
                        "ocsp_file \"\(file.value)\" cannot be verified: the chain does not hold the certificate's issuer",
                        fix: "add the issuer to the chain's file"
                    )
                    continue
                }
                _ = try subject.read(bytes)
            } catch StapleFailure.notCurrent {
                complain(
                    .warning,
                    at: file.position,
                    "ocsp_file \"\(file.value)\": \(StapleFailure.notCurrent); nothing is stapled",
                    fix: "fetch a new answer"
                )
            } catch {
                complain(
                    at: file.position,
                    "ocsp_file \"\(file.value)\": \(error)",
                    fix: "name an OCSP response in DER"
                )
            }
        }
    }
}

extension Configuration {
    /// Every list of revoked certificates that is looked into, and the name of the authorities' resource.
    var namedRevocationLists: [(lists: RevocationLists, authorities: String)] {
        let clients = sites.flatMap { $0.bindings.compactMap(\.clients) }
            .map { ($0.revocation, CertificateStore.clientAuthoritiesName($0.ca?.value ?? "")) }
        let upstreams = upstreams.map { ($0.trust?.revocation, CertificateStore.authoritiesName($0.name)) }
        let databases = databases.map { ($0.trust?.revocation, CertificateStore.databaseAuthoritiesName($0.name)) }
        return (clients + upstreams + databases).compactMap { lists, name in lists.map { ($0, name) } }
    }

    /// Every list of revoked certificates that is looked into.
    var revocationLists: [RevocationLists] { namedRevocationLists.map(\.lists) }
}

extension Revocation {
    /// nil where nothing is looked up.
    init?(_ lists: RevocationLists?, _ bundle: Bundle) {
        guard let lists else { return nil }
        // A list that is missing is none that everybody passes.
        self.init(
            listsPEM: lists.files.flatMap { (bundle.resources[CertificateStore.listsName($0.value)] ?? []) + [0x0A] },
            coversChain: lists.check == .chain
        )
    }
}
