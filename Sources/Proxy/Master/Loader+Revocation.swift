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
        var isRead: Set<String> = []
        var isJudged: Set<[String]> = []
        for (lists, _) in configuration.namedRevocationLists {
            for file in lists.files where isRead.insert(file.value).inserted { readLists(file) }
        }
        for (lists, authorities) in configuration.namedRevocationLists
        where isJudged.insert([authorities] + lists.files.map(\.value)).inserted { judge(lists, authorities) }
    }

    private mutating func readLists(_ file: Located<String>) {
        guard let bytes = read(file, "revocation list") else { return }
        do throws(CertificateError) {
            _ = try RevocationListFacts.read(pem: bytes)
            resources[CertificateStore.listsName(file.value)] = bytes
        } catch {
            complain(
                at: file.position,
                "revocation list \"\(file.value)\": \(error)",
                fix: "name a PEM file (openssl crl)"
            )
        }
    }

    /// Says what is wrong with the lists of one trust; useless ones do not take the place of good ones.
    private mutating func judge(_ lists: RevocationLists, _ authorities: String) {
        let now = Int64(Clock.unixMicroseconds() / 1_000_000)
        let known = present?.resources ?? [:]
        let trusted = resources[authorities] ?? (isAgain ? known[authorities] : nil) ?? []
        var (before, after) = (ListCoverage(), ListCoverage())
        var faults: [(file: Located<String>, isNew: Bool, faults: [ListFault])] = []
        for file in lists.files {
            let name = CertificateStore.listsName(file.value)
            let present = Self.signed(known[name], trusted)
            for list in present { before.add(list.facts, list.signer, now: now) }
            let read = resources[name].map { Self.signed($0, trusted) }
            for list in read ?? present { after.add(list.facts, list.signer, now: now) }
            let isNew = known[name] != nil && resources[name] != nil && known[name] != resources[name]
            // Authorities that cannot be read are an error of their own.
            let found = ListFault.all(in: read ?? [], now: now).filter { $0 != .strange || !trusted.isEmpty }
            faults.append((file, isNew, found))
        }
        let isUseless = after.isUseless(after: before)
        for (file, isNew, faults) in faults {
            // Lists of authorities in the middle, which peers send, are strange beside good ones of those that are trusted.
            let grave = faults.filter { $0 != .strange || after.trusted.isEmpty }
            let isRefused = isUseless && isNew && !grave.isEmpty
            let isNews = isNew || trusted != known[authorities]
            for fault in faults { tell(fault, of: file, isRefused: isRefused, isNews: isNews && grave.contains(fault)) }
            if isRefused { resources[CertificateStore.listsName(file.value)] = nil }
        }
    }

    private static func signed(_ pem: [UInt8]?, _ authorities: [UInt8]) -> [ListFault.Signed] {
        pem.flatMap { try? RevocationListFacts.read(pem: $0, authoritiesPEM: authorities) } ?? []
    }

    private mutating func tell(_ fault: ListFault, of file: Located<String>, isRefused: Bool, isNews: Bool) {
        let message = fault.message(file.value)
        guard isRefused else {
            return warn(isNews: isNews, at: file.position, message + fault.consequence, fix: fault.fix)
        }
        if case .notYetValid(_, let from) = fault { refusedUntil = min(refusedUntil ?? from, from) }
        complain(at: file.position, "\(message); the present one is still good", fix: fault.fix)
    }

    /// The answers of authorities that files hold.
    mutating func readStaples(_ configuration: Configuration) {
        for certificate in configuration.certificates {
            guard let file = certificate.ocspFile, let bytes = read(file, "ocsp_file"),
                let chain = resources[CertificateStore.chainName(certificate.name)]
            else { continue }
            let name = CertificateStore.stapleName(certificate.name)
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
                let served = present?.resources[name]
                do throws(StapleFailure) { _ = try subject.read(bytes) } catch {
                    let isServedGood = served.map { (try? subject.read($0)) != nil } ?? false
                    guard error == .notCurrent, served == bytes || !isServedGood else { throw error }
                    warn(
                        isNews: served != bytes,
                        at: file.position,
                        "ocsp_file \"\(file.value)\": \(error); nothing is stapled",
                        fix: "fetch a new answer"
                    )
                }
                resources[name] = bytes
            } catch {
                complain(
                    at: file.position,
                    "ocsp_file \"\(file.value)\": \(error)",
                    fix: "name an OCSP response in DER that is current"
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
