import Config
import TLS

/// The trust of an upstream's servers, each of which has a name of its own to verify.
struct UpstreamTrust {
    /// By server; nil when it is spoken to in plain, which the configuration allows on this host only.
    let contexts: [ClientContext?]
    /// The same trust with HTTP/1.1 alone on offer.
    let http1Contexts: [ClientContext?]

    init(_ upstream: Upstream, _ bundle: Bundle, _ store: CertificateStore, _ configuration: Configuration) throws {
        http1Contexts = try Snapshot.context(for: upstream, bundle, store, configuration)
        contexts =
            upstream.version == .http11
            ? http1Contexts
            : try Snapshot.context(for: upstream, bundle, store, configuration, version: upstream.version)
    }
}

/// What certificates and trust are made of, as digests: what is made of the same stays as it is, saved sessions included.
struct TrustIngredients {
    /// By upstream: what its servers are verified by, and the certificate that is shown to them.
    let upstreams: [String]
    /// By database.
    let databases: [String]
    /// By binding: what its clients are verified by.
    let clients: [String]

    init(_ configuration: Configuration, _ bundle: Bundle) {
        func put(_ lists: RevocationLists?, to writer: inout WireWriter) {
            writer.put(lists?.check.rawValue ?? "")
            for file in lists?.files ?? [] {
                writer.put(bundle.resources[CertificateStore.listsName(file.value)] ?? [])
            }
        }
        func digest(_ trust: Upstream.Trust?, _ authorities: String, _ certificate: String?) -> String {
            var writer = WireWriter()
            for pin in trust?.pins ?? [] { writer.put(pin.digest) }
            writer.put(bundle.resources[authorities] ?? [])
            put(trust?.revocation, to: &writer)
            if let certificate {
                writer.put(bundle.resources[CertificateStore.chainName(certificate)] ?? [])
                writer.put(bundle.resources[CertificateStore.keyName(certificate)] ?? [])
            }
            return SHA256.hexadecimal(writer.bytes)
        }
        upstreams = configuration.upstreams.map {
            digest($0.trust, CertificateStore.authoritiesName($0.name), $0.clientCertificate?.value)
        }
        databases = configuration.databases.map {
            digest($0.trust, CertificateStore.databaseAuthoritiesName($0.name), $0.clientCertificate?.value)
        }
        clients = configuration.sites.flatMap(\.bindings).map { binding in
            var writer = WireWriter()
            for pin in binding.clients?.pins ?? [] { writer.put(pin.digest) }
            if let path = binding.clients?.ca?.value {
                writer.put(bundle.resources[CertificateStore.clientAuthoritiesName(path)] ?? [])
            }
            put(binding.clients?.revocation, to: &writer)
            writer.put(binding.clients == nil ? 0 : 1)
            return SHA256.hexadecimal(writer.bytes)
        }
    }
}

/// Certificates and trust that were made ready to take the place of those in use.
struct TrustMaterial {
    /// What a database has of them.
    struct Database {
        let settings: Config.Database
        /// nil when the trust is the same.
        let context: ClientContext?
        /// By binding.
        let tables: [ServerNameTable?]
    }

    /// They are not for what this worker serves.
    struct OtherShape: Error, CustomStringConvertible {
        var description: String { "the configuration is another one" }
    }

    let configuration: Configuration
    let bindings: [Snapshot.BindingRecord]
    let tables: [ListenEntry: ServerNameTable]
    /// By upstream; nil when the trust is the same.
    let trust: [UpstreamTrust?]
    let databases: [Database]
    let ingredients: TrustIngredients
    /// Bindings whose clients are met by other rules.
    let bindingsWithOtherRules: [Int]
}

extension Snapshot {
    /// Every binding, in the order of their numbers.
    static func records(_ configuration: Configuration) -> [BindingRecord] {
        configuration.sites.enumerated().flatMap { index, site in
            site.bindings.map { BindingRecord(site: index, binding: $0) }
        }
    }

    /// Makes other certificates and trust ready; nothing in use changes.
    func prepare(_ bundle: Bundle) throws -> TrustMaterial {
        let next = try bundle.configuration()
        let records = Self.records(next)
        guard records.count == bindings.count, next.upstreams.count == trust.count,
            next.databases.map(\.bindings.count) == databases.map(\.doors.count)
        else { throw TrustMaterial.OtherShape() }
        let store = try CertificateStore(bundle, next, staples: staples)
        let ingredients = TrustIngredients(next, bundle)
        let before = self.ingredients
        let trust = try next.upstreams.enumerated().map { index, upstream in
            ingredients.upstreams[index] == before.upstreams[index]
                ? nil : try UpstreamTrust(upstream, bundle, store, next)
        }
        let databases = try next.databases.enumerated().map { index, database in
            TrustMaterial.Database(
                settings: database,
                context: ingredients.databases[index] == before.databases[index]
                    ? nil : try Self.context(for: database, bundle, store, next),
                tables: try database.bindings.map { try Self.table(of: $0, of: database, store, next, tickets) }
            )
        }
        return TrustMaterial(
            configuration: next,
            bindings: records,
            tables: try Self.tables(places, records, bundle, store, next, tickets),
            trust: trust,
            databases: databases,
            ingredients: ingredients,
            bindingsWithOtherRules: records.indices.filter { ingredients.clients[$0] != before.clients[$0] }
        )
    }
}
