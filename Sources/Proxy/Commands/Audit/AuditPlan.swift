import ACME
import Config
import Database
import Evidence
import HTTP
import Platform
import TLS

/// From a configuration to what an audit looks at, hop by hop.
struct AuditPlan {
    private let bundle: Bundle
    private let configuration: Configuration
    private let store: CertificateStore
    /// A name that no server knows; most servers say how they would ask it for a password all the same.
    private static let nobody = "everyhop_audit"
    /// How long one question to a database, or to the running everyhop, may take, in milliseconds.
    private static let patience: UInt64 = 10_000

    /// - Parameters:
    ///   - bundle: what the loader has found good.
    ///   - onlyAsClient: whether the bundle holds no keys but those that servers ask for.
    init(_ bundle: Bundle, onlyAsClient: Bool = false) throws {
        self.bundle = bundle
        configuration = try bundle.configuration()
        store = try CertificateStore(bundle, configuration, only: onlyAsClient ? configuration.clientIdentities : nil)
    }

    /// Looks at everything, from the client to what is stored.
    func hops() throws -> [HopReport] {
        var hops = clientHops(authorities: clientAuthorities()).map { $0.report() }
        hops += try appHops().map { $0.report() }
        hops += try databaseHops(asksServers: true).map { $0.report() }
        hops.append(process())
        hops += configuration.folders.map(documentRoot)
        hops += configuration.databases.map(storage)
        return hops
    }

    // MARK: client

    /// - Parameter authorities: those that clients trust, as PEM.
    func clientHops(authorities: [UInt8]?) -> [ClientHopAudit] {
        configuration.sites.flatMap { site in
            site.bindings.map { binding in
                var plain = site.redirects.map(\.value)
                if binding.listen.port == 443 {
                    let usual = ListenAddress(address: binding.listen.address, port: 80)
                    if !plain.contains(where: { $0.port == 80 }) { plain.append(usual) }
                }
                return ClientHopAudit(
                    ClientHopAudit.Subject(
                        site: site.name,
                        place: binding.place,
                        addresses: binding.listen.dialled,
                        host: binding.host?.value.description,
                        demandsCertificate: binding.clients?.demand == .require,
                        identity: configuration.audit.clientCertificate.flatMap { store[$0.value] },
                        allowsUnapproved: configuration.tls.policy == .modern,
                        authorities: authorities,
                        plain: plain.flatMap { $0.dialled.prefix(1) },
                        pins: binding.certificates.compactMap { pin(ofCertificate: $0.value) },
                        announcement: Self.announcement(binding, of: site),
                        issuance: binding.certificates.flatMap { issuance(ofCertificate: $0.value) }
                    )
                )
            }
        }
    }

    /// Whoever dials an address of this host comes from that very address.
    private static func announcement(_ binding: Config.Binding, of site: Site) -> Announcement {
        let places = [(binding.listen, binding.acceptProxy)] + site.redirects.map { ($0.value, site.acceptProxy) }
        return Announcement(.v2, at: places.flatMap { $0.0.dialled(from: $0.1) })
    }

    /// The key of a certificate that bindings show.
    private func pin(ofCertificate name: String) -> String? {
        guard let chain = bundle.resources[CertificateStore.chainName(name)] else { return nil }
        return (try? CertificateFacts.read(pem: chain))?.first?.pin.description
    }

    /// How it is with a certificate that an authority issues.
    private func issuance(ofCertificate name: String) -> [Fact] {
        guard let settings = configuration.issuedCertificates.first(where: { $0.certificate.name == name })?.settings
        else { return [] }
        var facts = [Fact("issued by acme", settings.directory.value.description)]
        // The prober is handed it, an audit reads it.
        let bytes = bundle.resources[IssuerFiles.record(name)] ?? certificateFolder?.read(.record, name)
        let record = bytes.flatMap { CertificateRecord(json: $0) } ?? CertificateRecord()
        let chain = bundle.resources[CertificateStore.chainName(name)]
        let present = chain.flatMap { try? CertificateFacts.read(pem: $0) }?.first
        if let last = record.lastSuccess, let present {
            facts.append(Fact("last issued", CalendarDate.text(last)))
            let now = Int64(clamping: Clock.unixMicroseconds() / 1_000_000)
            let next = RenewalPlan.next(present, record, asks: settings.question, now: now)
            facts.append(Fact("next renewal", CalendarDate.text(next)))
        } else {
            facts.append(Fact("last issued", "never: a self-signed placeholder is shown"))
        }
        if let failure = record.lastFailure { facts.append(Fact("last failure", failure)) }
        return facts
    }

    private func clientAuthorities() -> [UInt8]? {
        if let path = configuration.audit.clientsTrust?.value {
            return try? File.read(Loader.resolved(path, beside: bundle.file))
        }
        return SystemAuthorities.read()
    }

    // MARK: app

    func appHops() throws -> [AppHopAudit] {
        var hops: [AppHopAudit] = []
        for upstream in configuration.upstreams {
            let contexts = try Snapshot.context(for: upstream, bundle, store, configuration, version: upstream.version)
            for (server, context) in zip(upstream.servers, contexts) {
                let addresses = Self.addresses(of: server.value)
                let trusted = TrustedServer(
                    addresses: addresses,
                    place: server.value.description,
                    name: upstream.serverName ?? server.value.hostName,
                    context: context,
                    verifiesAuthority: upstream.trust?.ca != nil,
                    pins: Self.pins(upstream.trust),
                    announcement: Announcement(upstream.sendProxy)
                )
                let plain = addresses.flatMap { plainAddresses(beside: $0) }
                hops.append(AppHopAudit(upstream: upstream.name, server: trusted, alsoPlain: plain))
            }
        }
        return hops
    }

    /// What listens in plain on this host itself is not on the network, and is looked at only if it is asked for.
    private func plainAddresses(beside address: SocketAddress) -> [SocketAddress] {
        guard !address.isLocal || configuration.audit.namesPlainPorts else { return [] }
        return configuration.audit.plainPorts.filter { $0 != address.port }
            .compactMap { SocketAddress(ip: address.host, port: $0) }
    }

    // MARK: database

    /// - Parameter asksServers: whether those that can be asked over TLS what they insist on are, with credentials.
    func databaseHops(asksServers: Bool) throws -> [DatabaseHopAudit] {
        try configuration.databases.map { database in
            let server = TrustedServer(
                addresses: Self.addresses(of: database.server.value),
                place: database.server.value.description,
                name: database.serverName ?? database.server.value.hostName,
                context: try Snapshot.context(for: database, bundle, store, configuration),
                verifiesAuthority: database.trust?.ca != nil,
                pins: Self.pins(database.trust),
                announcement: Announcement(database.sendProxy)
            )
            return DatabaseHopAudit(
                name: database.name,
                kind: ServerOpening.Kind(database),
                server: server,
                doors: database.bindings.map { DatabaseHopAudit.Door($0) },
                asking: (
                    user: database.credentials?.user.value ?? Self.nobody,
                    catalog: database.catalog?.value ?? database.name
                ),
                insists: asksServers ? try insists(database) : nil
            )
        }
    }

    private func insists(_ database: Config.Database) throws -> (() throws -> Bool)? {
        guard database.kind == .mysql else { return nil }
        guard let credentials = try DatabaseChoice.credentials(for: database, file: bundle.file) else { return nil }
        let access = try DatabaseChoice.access(to: database, bundle, configuration, milliseconds: Self.patience)
        return { try SecureTransport.isRequired(access, credentials) }
    }

    // MARK: at rest

    private func documentRoot(_ served: Configuration.Served) -> HopReport {
        let site = configuration.sites[served.site]
        let route = served.route.map { " route \($0 + 1)" } ?? ""
        return FolderAudit.report(
            site: site.name + route,
            path: Loader.resolved(served.folder.path.value, beside: bundle.file),
            allowsPlaintext: served.folder.allowsPlaintext
        )
    }

    private func storage(_ database: Config.Database) -> HopReport {
        do {
            let access = try DatabaseChoice.access(to: database, bundle, configuration, milliseconds: Self.patience)
            let credentials = try DatabaseChoice.credentials(for: database, file: bundle.file)
            return DatabaseStorageAudit(access, credentials: credentials).report()
        } catch {
            return HopReport(
                kind: .storage,
                name: database.name,
                place: database.server.value.description,
                facts: [],
                findings: [.notChecked(.storageEncrypted, "\(error)")]
            )
        }
    }

    /// Where certificates of authorities are kept.
    private var certificateFolder: CertificateFolder? {
        configuration.server.state.map { CertificateFolder(state: Loader.resolved($0.value, beside: bundle.file)) }
    }

    // MARK: process

    private func process() -> HopReport {
        var secrets: [ProcessAudit.GuardedFile] = []
        for certificate in configuration.certificates {
            let what = "key of certificate \"\(certificate.name)\""
            switch certificate.source {
            case .files(_, let key): secrets.append(guarded(what, key.value))
            case .pfx(let file, let password):
                secrets.append(guarded(what, file.value))
                if let password {
                    secrets.append(guarded("password of certificate \"\(certificate.name)\"", password.value))
                }
            case .selfSigned: secrets.append(guarded(what, "\(certificate.name).self-signed.key"))
            case .acme:
                guard let folder = certificateFolder else { continue }
                let path = folder.path(.certificate, certificate.name)
                // Before the first, a placeholder is shown that lies nowhere.
                if File.exists(path) { secrets.append(ProcessAudit.GuardedFile(what: what, path: path)) }
            }
        }
        if let keys = configuration.tls.ticketKeys { secrets.append(guarded("session ticket keys", keys.value)) }
        for upstream in configuration.upstreams {
            guard let path = upstream.sticky?.secret else { continue }
            secrets.append(guarded("secret of upstream \"\(upstream.name)\"", path.value))
        }
        if let key = configuration.audit.key {
            secrets.append(guarded("key of audit reports", key.value))
        } else if let folder = configuration.audit.reports {
            let own = guarded("key of audit reports", "\(folder.value)/\(ReportStore.keyName)")
            // It is made with the first report.
            if File.exists(own.path) { secrets.append(own) }
        }
        for database in configuration.databases {
            guard let file = database.credentials?.passwordFile else { continue }
            secrets.append(guarded("password for database \"\(database.name)\"", file.value))
        }
        var logs: [ProcessAudit.GuardedFile] = []
        if case .file(let path) = configuration.log.access { logs.append(guarded("access log", path)) }
        if let path = configuration.audit.log { logs.append(guarded("audit log", path.value)) }
        return ProcessAudit(
            configuration: (try? File.absolutePath(bundle.file)) ?? bundle.file,
            digest: bundle.resources[CertificateStore.digestName].map { String(decoding: $0, as: UTF8.self) } ?? "",
            secrets: secrets,
            logs: logs,
            logsQueries: configuration.log.query,
            auditLog: configuration.audit.log.map { Loader.resolved($0.value, beside: bundle.file) },
            knownHead: knownHead(),
            admin: configuration.server.admin.map { ($0.value.description, $0.value.isLocal) },
            told: RunningMaster(config: bundle.file).sandboxes(milliseconds: Self.patience)
        ).report()
    }

    /// What the newest report says of the audit log's end, if it is of the same log.
    private func knownHead() -> String? {
        guard let log = configuration.audit.log?.value, let reports = configuration.audit.reports?.value else {
            return nil
        }
        let folder = Loader.resolved(reports, beside: bundle.file)
        guard let name = ReportFolder.newest(of: File.names(in: folder)),
            let bytes = try? File.read("\(folder)/\(name)"), let report = try? AuditReport(json: bytes)
        else { return nil }
        let evidence = report.hops.flatMap(\.findings).first { $0.check == .processAuditLog }?.evidence ?? []
        let isSame = evidence.contains(Fact("file", Loader.resolved(log, beside: bundle.file)))
        let head = evidence.first { $0.name == "head" }?.value
        return isSame && head != AuditEntry.beginning ? head : nil
    }

    private func guarded(_ what: String, _ path: String) -> ProcessAudit.GuardedFile {
        ProcessAudit.GuardedFile(what: what, path: Loader.resolved(path, beside: bundle.file))
    }

    private static func pins(_ trust: Upstream.Trust?) -> [String] {
        trust?.pins.compactMap { PublicKeyPin(digest: $0.digest)?.description } ?? []
    }

    /// A name that cannot be looked up has no address; the audit says so then.
    private static func addresses(of endpoint: Endpoint) -> [SocketAddress] {
        switch endpoint {
        case .ip(let address, let port): SocketAddress(ip: address.description, port: port).map { [$0] } ?? []
        case .name(let name, let port): (try? NameResolution.resolve(name, port: port)) ?? []
        case .unix(let path): [.unix(path: path)]
        }
    }
}

extension Configuration {
    /// The certificates that are shown to servers that ask, by name.
    var clientIdentities: Set<String> {
        Set(upstreams.compactMap { $0.clientCertificate?.value } + databases.compactMap { $0.clientCertificate?.value })
    }
}

extension Config.Binding {
    /// What a hop's report calls it.
    var place: String { listen.place + (host.map { " (\($0.value))" } ?? "") }
}

extension DatabaseBinding {
    /// What a hop's report calls it.
    var place: String {
        switch address {
        case .tcp(let listen): listen.place
        case .unix(let path, _): "unix:\(path)"
        }
    }
}

extension ListenAddress {
    /// As the configuration has it.
    fileprivate var place: String {
        let ip = address.description
        return ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)"
    }

    /// Where this host reaches it.
    fileprivate var dialled: [SocketAddress] {
        let texts =
            switch address {
            case .any: ["127.0.0.1", "::1"]
            case .ip(let ip) where ip.isUnspecified: [ip.isIPv6 ? "::1" : "127.0.0.1"]
            case .ip(let ip): [ip.description]
            }
        return texts.compactMap { SocketAddress(ip: $0, port: port) }
    }
}

extension ListenAddress {
    /// Where this host reaches it and is taken for a load balancer.
    fileprivate func dialled(from networks: [Network]) -> [SocketAddress] {
        let list = AddressList(networks)
        return dialled.filter { AddressBits($0).map { list.contains($0) } ?? false }
    }
}

extension DatabaseHopAudit.Door {
    fileprivate init(_ binding: DatabaseBinding) {
        let addresses: [SocketAddress] =
            switch binding.address {
            case .tcp(let listen): listen.dialled
            case .unix(let path, _): [.unix(path: path)]
            }
        var balanced: [SocketAddress] = []
        if case .tcp(let listen) = binding.address { balanced = listen.dialled(from: binding.acceptProxy) }
        self.init(
            place: binding.place,
            addresses: addresses,
            isLocal: binding.isLocal,
            hasCertificate: !binding.certificates.isEmpty,
            announcement: Announcement(.v2, at: balanced)
        )
    }
}

extension ServerOpening.Kind {
    fileprivate init(_ database: Config.Database) {
        switch database.kind {
        case .tds: self = database.tds == .strict ? .strict : .tds
        case .postgres: self = .postgres
        case .mysql: self = .mysql
        }
    }
}
