import Config
import Platform
import TLS

/// From a configuration to TLS contexts.
extension Snapshot {
    /// The bindings of every listening address: its own first, then those of the wider addresses that cover it.
    static func bindings(of plan: ListenPlan, among bindings: [BindingRecord]) -> [ListenEntry: [Int]] {
        var found: [ListenEntry: [Int]] = [:]
        for entry in plan.entries where entry.kind == .https {
            for closeness in Closeness.allCases {
                found[entry, default: []] += bindings.indices.filter {
                    closeness == Closeness(bindings[$0].binding, entry)
                }
            }
        }
        return found
    }

    /// The table of every listening address.
    static func tables(
        _ places: [ListenEntry: [Int]],
        _ bindings: [BindingRecord],
        _ bundle: Bundle,
        _ store: CertificateStore,
        _ configuration: Configuration,
        _ tickets: TicketKeys
    ) throws -> [ListenEntry: ServerNameTable] {
        let policy = TLSPolicy(configuration.tls.policy)
        let contexts = try bindings.enumerated().map { tag, record in
            try ServerContext(
                identities: record.binding.certificates.compactMap { store[$0.value] },
                policy: policy,
                alpn: record.binding.protocols.flatMap { $0.names },
                tickets: tickets,
                tag: tag,
                clients: record.binding.clients.map { ClientVerification($0, bundle) },
                staples: store.staples
            )
        }
        var tables: [ListenEntry: ServerNameTable] = [:]
        for (entry, tags) in places {
            let table = try ServerNameTable(policy: policy, shakesHands: configuration.tls.handshakes == .own)
            for tag in tags { table.add(contexts[tag], host: bindings[tag].binding.host?.value.description) }
            tables[entry] = table
        }
        return tables
    }

    /// The trust of an upstream; nil when it is spoken to in plain on this host.
    ///
    /// - Parameter version: what is offered by ALPN.
    static func context(
        for upstream: Upstream,
        _ bundle: Bundle,
        _ store: CertificateStore,
        _ configuration: Configuration,
        version: Upstream.HTTPVersion = .http11
    ) throws -> [ClientContext?] {
        guard let trust = upstream.trust else { return upstream.servers.map { _ in nil } }
        let pins = trust.pins.compactMap { PublicKeyPin(digest: $0.digest) }
        let authorities = bundle.resources[CertificateStore.authoritiesName(upstream.name)]
        let identity = upstream.clientCertificate.flatMap { store[$0.value] }
        return try upstream.servers.map { server in
            try ClientContext(
                trust: ClientContext.Trust(
                    authoritiesPEM: authorities,
                    pins: pins,
                    revocation: Revocation(trust.revocation, bundle)
                ),
                name: upstream.serverName ?? server.value.hostName,
                identity: identity,
                policy: TLSPolicy(configuration.tls.policy),
                alpn: version.names
            )
        }
    }

    /// How closely a binding names a listening address; the closest is asked first.
    private enum Closeness: CaseIterable {
        /// That very address.
        case exact
        /// Every address of its family.
        case family
        /// `*`
        case any

        init?(_ binding: Config.Binding, _ entry: ListenEntry) {
            guard binding.listen.port == entry.address.port else { return nil }
            switch binding.listen.address {
            case .any: self = .any
            case .ip(let ip):
                if ip.description == entry.address.host {
                    self = .exact
                } else if ip.isUnspecified, ip.isIPv6 == (entry.address.family == .v6) {
                    self = .family
                } else {
                    return nil
                }
            }
        }
    }
}

extension ClientVerification {
    fileprivate init(_ clients: Config.Binding.ClientCertificates, _ bundle: Bundle) {
        self.init(
            // Authorities that are missing are none that is good, not no need of one.
            authoritiesPEM: clients.ca.map { bundle.resources[CertificateStore.clientAuthoritiesName($0.value)] ?? [] },
            pins: clients.pins.compactMap { PublicKeyPin(digest: $0.digest) },
            isRequired: clients.demand == .require,
            revocation: Revocation(clients.revocation, bundle)
        )
    }
}

extension TLSPolicy {
    init(_ policy: TLSSettings.Policy) {
        switch policy {
        case .nist80052r2: self = .nist80052r2
        case .modern: self = .modern
        }
    }
}

extension Endpoint {
    /// The name or address to verify, where there is one.
    var hostName: String? {
        switch self {
        case .ip(let address, _): address.description
        case .name(let name, _): name
        case .unix: nil
        }
    }

    /// The TCP port, where there is one.
    var port: UInt16? {
        switch self {
        case .ip(_, let port), .name(_, let port): port
        case .unix: nil
        }
    }
}

extension Upstream.HTTPVersion {
    /// The names in ALPN (RFC 7301), the preferred one first.
    var names: [String] {
        switch self {
        case .http11: ["http/1.1"]
        case .http2: ["h2"]
        case .auto: ["h2", "http/1.1"]
        }
    }
}

extension Config.Binding.HTTPVersion {
    /// The names in ALPN (RFC 7301).
    var names: [String] {
        switch self {
        case .http2: ["h2"]
        case .http11: ["http/1.1", "http/1.0"]
        }
    }
}
