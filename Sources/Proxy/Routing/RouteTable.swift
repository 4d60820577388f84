import Bytes
import Config
import HTTP

/// What happens to the requests of one site: which clients are served, how often, and where their requests go.
struct RouteTable {
    /// One route, ready to be matched.
    struct Entry {
        let prefix: [UInt8]
        let host: HostPattern?
        /// Where it stands in the configuration; nil for the site's own upstream.
        let route: Int?
        let guards: Guards
        /// What the log calls it.
        let name: String
    }

    /// Who is served, and how often.
    struct Guards {
        let access: AccessList?
        let rate: RateLimit?
        /// Of the rate, among all.
        let number: Int
    }

    /// Of every request of the site, whatever its path.
    let guards: Guards
    /// The longest path first, and of one length the closest host.
    private let entries: [Entry]
    /// Whether a path has to be looked at.
    let matchesPaths: Bool

    /// nil when there is nothing to decide.
    ///
    /// - Parameter rates: how many rates there are before this site's.
    init?(_ site: Site, rates: inout Int) {
        guard !site.routes.isEmpty || !site.access.isEmpty || site.rate != nil else { return nil }
        func guards(_ access: AccessRules, _ rate: RateLimit?) -> Guards {
            defer { if rate != nil { rates += 1 } }
            return Guards(access: AccessList(access), rate: rate, number: rates)
        }
        self.guards = guards(site.access, site.rate)
        var entries = site.routes.enumerated().map { index, route in
            Entry(
                prefix: route.prefix == "/" ? [] : Array(route.prefix.utf8),
                host: route.host?.value,
                route: index,
                guards: guards(route.access, route.rate),
                name: "route \(route.prefix)\(route.host.map { " of \($0.value)" } ?? "")"
            )
        }
        let own = Guards(access: nil, rate: nil, number: 0)
        entries.append(Entry(prefix: [], host: nil, route: nil, guards: own, name: "site"))
        self.entries = entries.enumerated()
            .sorted { left, right in
                let first = left.element
                let second = right.element
                if first.prefix.count != second.prefix.count { return first.prefix.count > second.prefix.count }
                let ranks = (first.hostRank, second.hostRank)
                return ranks.0 == ranks.1 ? left.offset < right.offset : ranks.0 > ranks.1
            }
            .map(\.element)
        matchesPaths = entries.contains { !$0.prefix.isEmpty }
    }

    /// The route of a request.
    func entry(for path: MatchingPath, host: Span<UInt8>) -> Entry? {
        for entry in entries {
            guard path.isBelow(entry.prefix) else { continue }
            if let pattern = entry.host, !pattern.matches(host) { continue }
            return entry
        }
        return nil
    }
}

extension RouteTable.Entry {
    fileprivate var hostRank: Int { host.map { $0.isWildcard ? 1 : 2 } ?? 0 }
}
