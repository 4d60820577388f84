import Config
import Evidence
import TLS

/// A certificate, or a list of revoked ones, that is good until some day.
struct ExpiringItem: Equatable {
    enum Role: String {
        /// One of our own, or what is sent along with it.
        case certificate
        /// One that servers or clients are trusted by.
        case authority
        /// A list of revoked certificates.
        case revocationList = "revocation_list"
        /// A server's, as a probe has seen it.
        case server
    }

    /// Days before the end at which it is told, the last first.
    private static let thresholds: [Int64] = [1, 7, 14, 30]
    private static let day: Int64 = 86_400

    var role: Role
    /// Where it is used, as the configuration calls that.
    var place: String
    var subject: String
    /// What tells it from all others.
    var fingerprint: String
    /// In seconds since 1970; nil when it is not known.
    var notBefore: Int64?
    /// In seconds since 1970.
    var notAfter: Int64

    /// The narrowest threshold that has passed, in days; 0 once it has expired, nil long before that.
    ///
    /// One that is no more than a third of its whole life does not count: certificates and lists of a few days are renewed
    /// every few days.
    func threshold(now: Int64) -> Int64? {
        let left = notAfter - now
        if left < 0 { return 0 }
        let third = notBefore.map { (notAfter - $0) / 3 } ?? Int64.max
        return Self.thresholds.first { left < $0 * Self.day && $0 * Self.day <= third }
    }

    /// When the next threshold passes, or the end, in seconds since 1970; nil afterwards.
    func nextChange(now: Int64) -> Int64? {
        let third = notBefore.map { (notAfter - $0) / 3 } ?? Int64.max
        let ends = ([0] + Self.thresholds.map { $0 * Self.day }.filter { $0 <= third }).map { notAfter - $0 + 1 }
        return ends.filter { $0 > now }.min()
    }

    /// Whole days that are left; negative afterwards.
    func days(now: Int64) -> Int64 {
        let left = notAfter - now
        return left >= 0 ? left / Self.day : -((-left + Self.day - 1) / Self.day)
    }

    /// Date and time in UTC.
    static func day(_ seconds: Int64) -> String { AuditReport.time(unixSeconds: seconds) }

    init(_ role: Role, _ place: String, _ certificate: CertificateFacts) {
        self.role = role
        self.place = place
        subject = certificate.subject
        fingerprint = certificate.fingerprint
        notBefore = certificate.notBefore
        notAfter = certificate.notAfter
    }

    /// nil for a list that never ends.
    init?(_ place: String, _ list: RevocationListFacts) {
        guard let end = list.nextUpdate else { return nil }
        role = .revocationList
        self.place = place
        subject = list.issuer
        fingerprint = list.fingerprint
        notBefore = list.thisUpdate
        notAfter = end
    }

    /// nil for bindings, whose certificates are our own, and for servers that have shown nothing.
    init?(_ hop: HopUpdate) {
        guard hop.key.kind != .client, let life = hop.life else { return nil }
        role = .server
        place = "\(hop.key.name) \(hop.key.place)"
        subject = ""
        fingerprint = life.key
        notBefore = life.notBefore
        notAfter = life.notAfter
    }

    /// Everything of a configuration that expires.
    static func all(_ bundle: Bundle, _ configuration: Configuration) -> [ExpiringItem] {
        var items: [ExpiringItem] = []
        func add(_ role: Role, _ place: String, _ resource: String) {
            guard let pem = bundle.resources[resource] else { return }
            let facts = (try? CertificateFacts.read(pem: pem)) ?? []
            items += facts.map { ExpiringItem(role, place, $0) }
        }
        for certificate in configuration.certificates {
            add(.certificate, certificate.name, CertificateStore.chainName(certificate.name))
        }
        for upstream in configuration.upstreams {
            add(.authority, "upstream \(upstream.name)", CertificateStore.authoritiesName(upstream.name))
        }
        for database in configuration.databases {
            add(.authority, "database \(database.name)", CertificateStore.databaseAuthoritiesName(database.name))
        }
        for site in configuration.sites {
            for ca in site.bindings.compactMap({ $0.clients?.ca?.value }) {
                add(.authority, "clients of \(site.name)", CertificateStore.clientAuthoritiesName(ca))
            }
        }
        for lists in configuration.revocationLists {
            for file in lists.files {
                guard let pem = bundle.resources[CertificateStore.listsName(file.value)] else { continue }
                items += ((try? RevocationListFacts.read(pem: pem)) ?? []).compactMap { ExpiringItem(file.value, $0) }
            }
        }
        return items
    }
}

extension ExpiringItem {
    func put(to writer: inout WireWriter) {
        writer.put(role.rawValue)
        writer.put(place)
        writer.put(subject)
        writer.put(fingerprint)
        writer.put(Int(notAfter))
    }

    init(from reader: inout WireReader) throws(WireReader.Malformed) {
        guard let role = Role(rawValue: try reader.text()) else { throw WireReader.Malformed() }
        self.role = role
        place = try reader.text()
        subject = try reader.text()
        fingerprint = try reader.text()
        notAfter = Int64(try reader.int())
    }
}
