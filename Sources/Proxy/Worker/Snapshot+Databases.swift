import Config
import Database
import Platform
import TLS

/// From `[[database]]` to what a worker relays with.
extension Snapshot {
    /// Every database, with its trust and its bindings.
    static func databases(
        _ bundle: Bundle,
        _ store: CertificateStore,
        _ configuration: Configuration,
        _ tickets: TicketKeys,
        _ updates: [AddressUpdate]
    ) throws -> [DatabaseTarget] {
        try configuration.databases.enumerated().map { index, settings in
            let key = needsPasswordKey(settings) ? try PasswordKey() : nil
            let doors = try settings.bindings.map { binding in
                try door(binding, of: settings, key, store, configuration, tickets)
            }
            let update = updates.last { $0.upstream == configuration.upstreams.count + index }
            return DatabaseTarget(
                index: index,
                settings: settings,
                context: try context(for: settings, bundle, store, configuration),
                passwordKey: key,
                doors: doors,
                addresses: addresses(of: settings.server.value, update)
            )
        }
    }

    /// caching_sha2_password over a connection that the client does not take for secure.
    private static func needsPasswordKey(_ database: Config.Database) -> Bool {
        database.kind == .mysql
            && database.bindings.contains { binding in
                guard case .tcp = binding.address else { return false }
                return binding.certificates.isEmpty
            }
    }

    private static func door(
        _ binding: DatabaseBinding,
        of database: Config.Database,
        _ key: PasswordKey?,
        _ store: CertificateStore,
        _ configuration: Configuration,
        _ tickets: TicketKeys
    ) throws -> DatabaseTarget.Door {
        var settings = NegotiationSettings()
        settings.hasCertificate = !binding.certificates.isEmpty
        settings.isLocal = binding.isLocal
        settings.allowsLoginOnly = binding.loginOnly
        settings.strictServer = database.tds == .strict
        if case .unix = binding.address { settings.isUnixSocket = true }
        settings.passwordKeyPEM = key?.publicPEM
        if database.kind == .tds { settings.detours = detours(from: binding, configuration) }
        let table = try table(of: binding, of: database, store, configuration, tickets)
        return DatabaseTarget.Door(negotiation: settings, table: table)
    }

    /// What a binding of a database shows to clients; nil where they speak plain.
    static func table(
        of binding: DatabaseBinding,
        of database: Config.Database,
        _ store: CertificateStore,
        _ configuration: Configuration,
        _ tickets: TicketKeys
    ) throws -> ServerNameTable? {
        guard !binding.certificates.isEmpty else { return nil }
        let policy = TLSPolicy(configuration.tls.policy)
        let table = try ServerNameTable(policy: policy, shakesHands: configuration.tls.handshakes == .own)
        let context = try ServerContext(
            identities: binding.certificates.compactMap { store[$0.value] },
            policy: policy,
            alpn: alpn(of: database.kind),
            tickets: tickets,
            tag: 0,
            staples: store.staples
        )
        table.add(context, host: nil)
        return table
    }

    /// RFC 7301 names: of TDS 8.0, and of PostgreSQL since version 17.
    private static func alpn(of kind: Config.Database.Kind) -> [String] {
        switch kind {
        case .tds: ["tds/8.0"]
        case .postgres: ["postgresql"]
        case .mysql: []
        }
    }

    /// The trust of a database server.
    static func context(
        for database: Config.Database,
        _ bundle: Bundle,
        _ store: CertificateStore,
        _ configuration: Configuration
    ) throws -> ClientContext {
        let usesStrict = database.kind == .tds && database.tds == .strict
        let isEnveloped = database.kind == .tds && !usesStrict
        let oldest = database.oldestTLS.flatMap { TLSVersion(rawValue: $0.rawValue) }
        // Inside PRELOGIN, Microsoft's stacks speak TLS 1.2 at most; 1.3 is for those who ask for it.
        let speaksNewest = oldest == .tls13 || (oldest == nil && configuration.tls.policy == .modern)
        return try ClientContext(
            trust: ClientContext.Trust(
                authoritiesPEM: bundle.resources[CertificateStore.databaseAuthoritiesName(database.name)],
                pins: database.trust?.pins.compactMap { PublicKeyPin(digest: $0.digest) } ?? [],
                revocation: Revocation(database.trust?.revocation, bundle)
            ),
            name: database.serverName ?? database.server.value.hostName,
            identity: database.clientCertificate.flatMap { store[$0.value] },
            policy: database.legacy ? .legacy : TLSPolicy(configuration.tls.policy),
            alpn: isEnveloped ? [] : alpn(of: database.kind),
            oldest: oldest,
            newest: isEnveloped && !speaksNewest ? .tls12 : nil
        )
    }

    /// Where a SQL Server's redirect may lead who came in by `binding`: to the servers of the databases, by bindings of
    /// their own that are like it, or, inside this host, by any.
    private static func detours(
        from binding: DatabaseBinding,
        _ configuration: Configuration
    ) -> [NegotiationSettings.Detour] {
        configuration.databases.filter { $0.kind == .tds }.compactMap { database in
            guard let host = database.server.value.hostName, let port = database.server.value.port else { return nil }
            let ways: [(binding: DatabaseBinding, ip: IPAddress, port: UInt16)] = database.bindings.compactMap {
                guard case .tcp(let listen) = $0.address, case .ip(let ip) = listen.address, !ip.isUnspecified
                else { return nil }
                return ($0, ip, listen.port)
            }
            let alike = ways.first { way in
                way.binding.isLocal == binding.isLocal
                    && way.binding.certificates.isEmpty == binding.certificates.isEmpty
            }
            guard let way = alike ?? (binding.isLocal ? ways.first : nil) else { return nil }
            return NegotiationSettings.Detour(
                server: host,
                port: port,
                bindingHost: way.ip.description,
                bindingPort: way.port
            )
        }
    }
}
