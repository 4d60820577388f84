import Bytes
import Config
import HTTP
import Platform
import TLS

/// Where a request goes.
struct Route: Equatable {
    let site: Int
    let pool: Int
}

/// One configuration as a worker uses it: bindings by address and name, pools, trust.
///
/// It never changes; a new configuration is a new generation of workers.
final class Snapshot {
    enum Decision {
        case upstream(Route)
        /// The host belongs to another binding (RFC 9110 §15.5.20).
        case misdirected
        case refused(Int, String)
    }

    /// A binding with its place among all bindings.
    struct BindingRecord {
        let site: Int
        let binding: Config.Binding
    }

    let configuration: Configuration
    let plan: ListenPlan
    let bindings: [BindingRecord]
    /// By address, the closest first.
    private let places: [ListenEntry: [Int]]
    private let tables: [ListenEntry: ServerNameTable]
    private let tickets: TicketKeys
    /// By upstream, then by server: each server has a name of its own to verify.
    private let contexts: [[ClientContext?]]
    /// The same with HTTP/1.1 alone on offer.
    private let http1Contexts: [[ClientContext?]]
    private let addresses: [[[SocketAddress]]]
    private let routes: [Route]
    /// By upstream: what sticky cookies are made with, where a file says.
    private let stickySecrets: [[UInt8]?]
    /// By site: what is changed in messages.
    private let rules: [SiteRules]
    let databases: [DatabaseTarget]

    init(_ bundle: Bundle, tickets: TicketKeys, updates: [AddressUpdate]) throws {
        let configuration = try bundle.configuration()
        self.configuration = configuration
        self.tickets = tickets
        plan = ListenPlan(configuration)
        var bindings: [BindingRecord] = []
        var routes: [Route] = []
        var rules: [SiteRules] = []
        for (index, site) in configuration.sites.enumerated() {
            let pool = configuration.upstreams.firstIndex { $0.name == site.upstream.value } ?? 0
            rules.append(SiteRules(site.rewriting, of: site, to: configuration.upstreams[pool]))
            for binding in site.bindings {
                bindings.append(BindingRecord(site: index, binding: binding))
                routes.append(Route(site: index, pool: pool))
            }
        }
        self.bindings = bindings
        self.routes = routes
        self.rules = rules
        let store = try CertificateStore(bundle, configuration)
        places = Self.bindings(of: plan, among: bindings)
        tables = try Self.tables(places, bindings, store, configuration, tickets)
        http1Contexts = try configuration.upstreams.map { try Self.context(for: $0, bundle, store, configuration) }
        contexts = try zip(configuration.upstreams, http1Contexts).map { upstream, http1 in
            guard upstream.version != .http11 else { return http1 }
            return try Self.context(for: upstream, bundle, store, configuration, version: upstream.version)
        }
        stickySecrets = configuration.upstreams.map { bundle.resources[CertificateStore.stickyName($0.name)] }
        databases = try Self.databases(bundle, store, configuration, tickets, updates)
        addresses = configuration.upstreams.enumerated().map { index, upstream in
            upstream.servers.enumerated().map { server, endpoint in
                let update = updates.last { $0.upstream == index && $0.server == server }
                return Self.addresses(of: endpoint.value, update)
            }
        }
    }

    /// The names of an address's bindings.
    func table(for entry: ListenEntry) throws(TLSError) -> ServerNameTable {
        guard let table = tables[entry] else { throw TLSError.noBinding }
        return table
    }

    /// Fresh pools of this configuration.
    func makePools() -> [UpstreamPool] {
        var metricsSlot = 0
        return configuration.upstreams.enumerated().map { index, settings in
            defer { metricsSlot += settings.servers.count }
            return UpstreamPool(
                index: index,
                settings: settings,
                contexts: contexts[index],
                http1Contexts: http1Contexts[index],
                addresses: addresses[index],
                metricsSlot: metricsSlot,
                sticky: stickyTokens(index)
            )
        }
    }

    /// Whether what this client says about earlier hops is believed.
    func trusts(_ peer: SocketAddress) -> Bool {
        guard !configuration.server.trustedProxies.isEmpty, let address = IPAddress(peer.host) else { return false }
        return configuration.server.trustedProxies.contains { $0.contains(address) }
    }

    /// Finds the site by the binding that TLS chose, checked against the request's own host.
    func route(for request: borrowing RequestHead, on client: ClientIdentity) -> Decision {
        guard let tag = client.facts?.bindingTag, bindings.indices.contains(tag) else {
            return .refused(400, "no binding")
        }
        guard let wanted = binding(for: request.hostName, at: client.entry) else { return .misdirected }
        // Another site may share the certificate: the connection proves just as much for it.
        let isProven =
            wanted == tag
            || bindings[wanted].binding.certificates.map(\.value) == bindings[tag].binding.certificates.map(\.value)
        return isProven ? route(routes[wanted], for: request) : .misdirected
    }

    /// The binding that TLS would choose for a host: exact, then wildcard, then the address's default.
    private func binding(for host: Span<UInt8>, at entry: ListenEntry) -> Int? {
        var wildcard: Int?
        var fallback: Int?
        for tag in places[entry] ?? [] {
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
    func rules(of route: Route) -> SiteRules { rules[route.site] }

    private func route(_ route: Route, for request: borrowing RequestHead) -> Decision {
        guard let path = rules(of: route).path else { return .upstream(route) }
        switch path.verdict(on: request) {
        case .inside: return .upstream(route)
        case .outside: return .refused(404, "the path is outside of the site's path_map")
        case .climbs: return .refused(400, "the path climbs out of the site's path_map")
        }
    }

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
        var start = 0
        if isWildcard {
            while start < host.count, host[start] != 0x2E { start += 1 }
            guard start > 0, start < host.count else { return false }
        }
        let wanted = isWildcard ? description.utf8.dropFirst() : description.utf8[...]
        guard wanted.count == host.count - start else { return false }
        for byte in wanted {
            guard ASCII.lowercase(host[start]) == byte else { return false }
            start += 1
        }
        return true
    }
}
