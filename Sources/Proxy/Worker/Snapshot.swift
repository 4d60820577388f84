import Bytes
import Config
import HTTP
import Platform
import TLS

/// Where a request goes, and within which limits: a place in the snapshot's `limits`.
struct Route: Equatable {
    let site: Int
    let pool: Int
    let limits: Int
}

/// One configuration as a worker uses it: bindings by address and name, pools, trust.
///
/// A new configuration is a new generation of workers; only certificates and trust are replaced (`Replacement`).
final class Snapshot {
    enum Decision {
        case upstream(Route)
        /// It is for a file.
        case folder(ServedFolder)
        /// It is answered here.
        case answer(LocalAnswer, site: Int)
        /// The site refuses this client, or this path; `retryAfter` in seconds.
        case denied(Int, String, site: Int?, retryAfter: UInt64? = nil)
        /// The host belongs to another binding (RFC 9110 §15.5.20).
        case misdirected
    }

    /// Whose request it is.
    enum Owner {
        case site(Int)
        /// The host belongs to another binding.
        case misdirected
        /// The connection has no binding.
        case nobody
    }

    /// A binding with its place among all bindings.
    struct BindingRecord {
        let site: Int
        let binding: Config.Binding
    }

    private(set) var configuration: Configuration
    let plan: ListenPlan
    private(set) var bindings: [BindingRecord]
    /// By address, the closest first.
    let places: [ListenEntry: [Int]]
    private var tables: [ListenEntry: ServerNameTable]
    let tickets: TicketKeys
    /// What authorities say of certificates.
    let staples = Staples()
    /// By upstream.
    private(set) var trust: [UpstreamTrust]
    /// What certificates and trust are made of, to see what of it changes.
    private(set) var ingredients: TrustIngredients
    /// How often they have been replaced, and when the rules for clients of each binding were last.
    private(set) var replacements = 0
    private var rulesSince: [Int]
    private let addresses: [[[SocketAddress]]]
    /// By site; nil for the many that have nothing to decide.
    let routeTables: [RouteTable?]
    /// By site: what becomes of requests that no route takes.
    private let ends: [Decision]
    /// By site and route.
    private let routeEnds: [[Decision]]
    private let limits: [RouteLimits]
    /// By site: field lines that answers of our own have.
    let ownLines: [[UInt8]]
    /// Whether any request has a limit of time for all of it.
    let hasTotals: Bool
    private let trustedProxies: AddressList
    /// By listening address: who passes clients' connections on.
    private let balancers: [SocketAddress: AddressList]
    /// By upstream: what sticky cookies are made with, where a file says.
    private let stickySecrets: [[UInt8]?]
    let databases: [DatabaseTarget]
    /// In the order of `Configuration.folders`.
    let folders: [ServedFolder]

    init(_ bundle: Bundle, tickets: TicketKeys, updates: [AddressUpdate]) throws {
        let configuration = try bundle.configuration()
        self.configuration = configuration
        self.tickets = tickets
        plan = ListenPlan(configuration)
        let bindings = Self.records(configuration)
        self.bindings = bindings
        rulesSince = bindings.map { _ in 0 }
        ingredients = TrustIngredients(configuration, bundle)
        trustedProxies = AddressList(configuration.server.trustedProxies)
        balancers = plan.balancers.mapValues { AddressList($0) }
        var rates = 0
        routeTables = configuration.sites.map { RouteTable($0, rates: &rates) }
        folders = configuration.folders.map { ServedFolder($0, of: configuration) }
        var planner = RoutePlanner(configuration, bundle, folders)
        ends = configuration.sites.indices.map { planner.end(ofSite: $0) }
        routeEnds = configuration.sites.indices.map { planner.ends(ofRoutes: $0) }
        limits = planner.limits
        ownLines = configuration.sites.map(\.rewriting.ownLines)
        hasTotals = limits.contains { $0.timeouts.total != nil }
        let store = try CertificateStore(bundle, configuration, staples: staples)
        places = Self.bindings(of: plan, among: bindings)
        tables = try Self.tables(places, bindings, bundle, store, configuration, tickets)
        trust = try configuration.upstreams.map { try UpstreamTrust($0, bundle, store, configuration) }
        stickySecrets = configuration.upstreams.map { bundle.resources[CertificateStore.stickyName($0.name)] }
        databases = try Self.databases(bundle, store, configuration, tickets, updates)
        addresses = configuration.upstreams.enumerated().map { index, upstream in
            upstream.servers.enumerated().map { server, endpoint in
                let update = updates.last { $0.upstream == index && $0.server == server }
                return Self.addresses(of: endpoint.value, update)
            }
        }
    }

    /// An address's bindings, the closest first.
    func bindings(at entry: ListenEntry) -> [Int] { places[entry] ?? [] }

    /// The names of an address's bindings.
    func table(for entry: ListenEntry) throws(TLSError) -> ServerNameTable {
        guard let table = tables[entry] else { throw TLSError.noBinding }
        return table
    }

    /// Whether some certificate is proved on the plain listeners.
    var answersProofs: Bool {
        configuration.issuedCertificates.contains { $0.settings.challenge == .http01 }
    }

    /// Has every address show these to authorities that ask for a proof.
    func show(_ proofs: [String: ServerContext]) { for table in tables.values { table.challenges = proofs } }

    /// Fresh pools of this configuration.
    func makePools() -> [UpstreamPool] {
        var metricsSlot = 0
        return configuration.upstreams.enumerated().map { index, settings in
            defer { metricsSlot += settings.servers.count }
            return UpstreamPool(
                index: index,
                settings: settings,
                trust: trust[index],
                addresses: addresses[index],
                metricsSlot: metricsSlot,
                sticky: stickyTokens(index)
            )
        }
    }

    /// Uses other certificates and trust; `Worker` tells pools and connections.
    func use(_ material: TrustMaterial) {
        replacements += 1
        configuration = material.configuration
        bindings = material.bindings
        tables = material.tables
        ingredients = material.ingredients
        for (index, other) in material.trust.enumerated() { if let other { trust[index] = other } }
        for (index, other) in material.databases.enumerated() { databases[index].use(other) }
        for tag in material.bindingsWithOtherRules { rulesSince[tag] = replacements }
    }

    /// Whether a client was met by rules that do not hold any more.
    func isOutdated(_ client: ClientIdentity) -> Bool {
        guard let tag = client.facts?.bindingTag, rulesSince.indices.contains(tag) else { return false }
        return rulesSince[tag] > client.replacements
    }

    /// Whether what this client says about earlier hops is believed.
    func trusts(_ peer: SocketAddress) -> Bool {
        guard !trustedProxies.isEmpty, let address = AddressBits(peer) else { return false }
        return trustedProxies.contains(address)
    }

    /// Whether a connection has to begin with a PROXY header; from anybody else, none is ever read.
    func announces(_ peer: SocketAddress, at address: SocketAddress) -> Bool {
        guard let list = balancers[address], let bits = AddressBits(peer) else { return false }
        return list.contains(bits)
    }

    /// Whose request it is; nil when a trusted proxy says what cannot be read.
    func address(of request: borrowing RequestHead, from client: ClientIdentity) -> AddressBits? {
        guard let peer = AddressBits(client.peer), trustedProxies.contains(peer) else {
            return AddressBits(client.peer)
        }
        return ClientAddress.find(in: request.fields, behind: peer, trusted: trustedProxies)
    }

    /// Finds the site by the binding that TLS chose, checked against the request's own host.
    func owner(of request: borrowing RequestHead, on client: ClientIdentity) -> Owner {
        guard let tag = client.facts?.bindingTag, bindings.indices.contains(tag) else { return .nobody }
        guard let wanted = binding(for: request.hostName, among: client.bindings) else { return .misdirected }
        guard wanted == tag || proves(bindings[tag].binding, bindings[wanted].binding) else { return .misdirected }
        return .site(bindings[wanted].site)
    }

    /// Another site may share the certificate: the connection proves just as much for it, as long as that asks clients
    /// for the same.
    private func proves(_ chosen: Config.Binding, _ wanted: Config.Binding) -> Bool {
        guard chosen.certificates.map(\.value) == wanted.certificates.map(\.value) else { return false }
        switch (chosen.clients, wanted.clients) {
        case (nil, nil): return true
        case (let first?, let second?): return first.isEqual(second)
        case (nil, _?), (_?, nil): return false
        }
    }

    /// What becomes of a request whose route is known.
    ///
    /// - Parameter route: nil for the site's own upstream.
    func end(ofSite site: Int, route: Int?, for request: borrowing RequestHead) -> Decision {
        let end = route.map { routeEnds[site][$0] } ?? ends[site]
        guard case .upstream(let route) = end, let path = rules(of: route).path else { return end }
        switch path.verdict(on: request) {
        case .inside: return end
        case .outside: return .denied(404, "the path is outside of the site's path_map", site: site)
        case .climbs: return .denied(400, "the path climbs out of the site's path_map", site: site)
        }
    }

    /// Within which limits a request is served.
    func limits(of route: Route) -> RouteLimits { limits[route.limits] }

    /// The binding that TLS would choose for a host: exact, then wildcard, then the address's default.
    private func binding(for host: Span<UInt8>, among tags: [Int]) -> Int? {
        var wildcard: Int?
        var fallback: Int?
        for tag in tags {
            guard let pattern = bindings[tag].binding.host?.value else {
                fallback = fallback ?? tag
                continue
            }
            guard pattern.matches(host) else { continue }
            if !pattern.isWildcard { return tag }
            wildcard = wildcard ?? tag
        }
        return wildcard ?? fallback
    }

    /// Whether a site lets a request change to the protocol that it names.
    func allowsUpgrade(of request: borrowing RequestHead, site: Int) -> Bool {
        let name = request.upgradeName
        for allowed in configuration.sites[site].upgrades where allowed.utf8.count == name.count {
            var isEqual = true
            for (index, byte) in allowed.utf8.enumerated() where ASCII.lowercase(name[index]) != byte {
                isEqual = false
            }
            if isEqual { return true }
        }
        return false
    }

    /// What is changed in the messages of a route.
    func rules(of route: Route) -> SiteRules { limits[route.limits].rules }

    /// The port that a plain request is sent on to: of the binding for its host, or else of the first binding.
    func httpsPort(for request: borrowing RequestHead) -> UInt16 {
        let host = request.hostName
        for record in bindings where record.binding.host?.value.matches(host) == true {
            return record.binding.listen.port
        }
        return bindings.first { $0.binding.host == nil }?.binding.listen.port ?? bindings.first?.binding.listen.port
            ?? 443
    }

    func replaceTicketKeys(_ bytes: [UInt8], _ worker: Worker) {
        if !tickets.replace(decoding: bytes) { worker.log.unexpectedMessage(ControlKind.ticketKeys.rawValue) }
        for pool in worker.pools { pool.sticky = stickyTokens(pool.index) }
    }

    /// What an authority says of a certificate, from now on.
    func apply(_ update: StapleUpdate) { staples[update.fingerprint] = update.staple }

    /// An upstream's sticky cookies; nil when it has none.
    private func stickyTokens(_ index: Int) -> StickyTokens? {
        let upstream = configuration.upstreams[index]
        guard let sticky = upstream.sticky else { return nil }
        return StickyTokens(
            sticky,
            upstream: upstream.name,
            servers: upstream.servers.map(\.value.description),
            secrets: stickySecrets[index].map { [$0] } ?? tickets.secrets(for: "everyhop sticky sessions")
        )
    }

    func apply(_ update: AddressUpdate, to pool: UpstreamPool) {
        guard pool.settings.servers.indices.contains(update.server) else { return }
        pool.setAddresses(Self.addresses(of: pool.settings.servers[update.server].value, update), of: update.server)
    }

    /// New addresses of a database's server.
    func apply(_ update: AddressUpdate, toDatabase index: Int) {
        guard databases.indices.contains(index) else { return }
        databases[index].setAddresses(Self.addresses(of: databases[index].settings.server.value, update))
    }

    static func addresses(of endpoint: Endpoint, _ update: AddressUpdate?) -> [SocketAddress] {
        switch endpoint {
        case .ip(let address, let port): [SocketAddress(ip: address.description, port: port)].compactMap { $0 }
        case .unix(let path): [.unix(path: path)]
        case .name(_, let port): (update?.addresses ?? []).compactMap { SocketAddress(ip: $0, port: port) }
        }
    }
}

extension HostPattern {
    /// Whether a request's host is this name, or has one label more than this wildcard.
    func matches(_ host: Span<UInt8>) -> Bool {
        // RFC 1034 §3.1: a dot at the end says that the name is whole, which servers take for the same one.
        let end = host.count > 1 && host[host.count - 1] == 0x2E ? host.count - 1 : host.count
        var start = 0
        if isWildcard {
            while start < end, host[start] != 0x2E { start += 1 }
            guard start > 0, start < end else { return false }
        }
        let wanted = isWildcard ? description.utf8.dropFirst() : description.utf8[...]
        guard wanted.count == end - start else { return false }
        for byte in wanted {
            guard ASCII.lowercase(host[start]) == byte else { return false }
            start += 1
        }
        return true
    }
}
