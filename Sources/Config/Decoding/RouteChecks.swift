/// What no route of a site can see alone: routes that clash, that no request reaches, and requests that no route takes.
struct RouteChecks {
    private let site: Site
    private var list: [Diagnostic] = []

    init(_ site: Site) { self.site = site }

    func run() -> [Diagnostic] {
        var checks = self
        checks.clashes()
        checks.hosts()
        checks.upstream()
        return checks.list
    }

    private mutating func complain(at position: Position, _ message: String, fix: String) {
        list.append(Diagnostic(at: position, message, fix: fix))
    }

    private struct Key: Hashable {
        let path: String
        let host: HostPattern?
    }

    private mutating func clashes() {
        var seen: [Key: Position] = [:]
        for route in site.routes {
            let key = Key(path: route.prefix, host: route.host?.value)
            if let first = seen[key] {
                let host = route.host.map { " of host \($0.value)" } ?? ""
                complain(
                    at: route.position,
                    "the route of \(route.prefix)\(host) clashes with the one of line \(first.line)",
                    fix: "give one of them another path or host; the case of letters makes no difference"
                )
            }
            seen[key] = seen[key] ?? route.position
        }
    }

    private mutating func hosts() {
        for route in site.routes {
            if let host = route.host, !site.bindings.isEmpty, !site.bindings.contains(where: { $0.serves(host.value) })
            {
                complain(
                    at: host.position,
                    "no binding of the site is for host \"\(host.value)\": no request reaches the route",
                    fix: "use a host of the site's bindings, or add a [[site.binding]]"
                )
            } else if route.host?.value.isWildcard ?? true, let other = takers(route.prefix, from: route.host?.value) {
                // Two routes of one path and host are told of as a clash.
                guard other.host?.value != route.host?.value else { continue }
                complain(
                    at: route.position,
                    "no request reaches the route of \(route.prefix): those with hosts take all of them",
                    fix: "drop it, or one of the others, such as that of line \(other.position.line)"
                )
            }
        }
    }

    private mutating func upstream() {
        // Without a binding there is nothing that could be covered.
        guard !site.bindings.isEmpty, !site.routes.isEmpty else { return }
        let root = site.routes.first { $0.prefix == "/" && $0.host == nil } ?? takers("/", from: nil)
        if let last = site.upstream?.position ?? site.folder?.path.position, let root {
            complain(
                at: last,
                "the \(site.upstream == nil ? "root" : "upstream") of site \"\(site.name)\" is never reached: routes take every request",
                fix: "drop it, or the route of line \(root.position.line)"
            )
        } else if site.upstream == nil, site.folder == nil, root == nil {
            complain(
                at: site.position,
                "site \"\(site.name)\" has no upstream for requests that no route takes",
                fix: "give it an upstream or a root, or a route of path \"/\""
            )
        }
    }

    /// One of the routes with closer hosts that take every request of a path from `pattern`; nil when some are left.
    private func takers(_ path: String, from pattern: HostPattern?) -> SiteRoute? {
        let others = site.routes.filter { other in
            guard other.prefix == path, let host = other.host?.value else { return false }
            return pattern == nil || !host.isWildcard
        }
        let bindings = site.bindings.filter { binding in pattern.map { binding.serves($0) } ?? true }
        let isTaken = bindings.allSatisfy { binding in
            guard let name = binding.host?.value else { return false }
            return others.contains { $0.host.map { $0.value.covers(name) } ?? false }
        }
        return isTaken && !bindings.isEmpty ? others.first : nil
    }
}

extension SiteRoute {
    /// The path as requests are matched with it.
    public var prefix: String { path?.value.lowercased() ?? "/" }
}

extension Binding {
    /// Whether a request for some host of the pattern may come in here.
    fileprivate func serves(_ pattern: HostPattern) -> Bool {
        guard let host = host?.value else { return true }
        return host.covers(pattern) || pattern.covers(host)
    }
}

extension HostPattern {
    /// Whether every host of the other pattern is one of this.
    func covers(_ other: HostPattern) -> Bool {
        guard self != other else { return true }
        guard isWildcard, !other.isWildcard, let dot = other.description.firstIndex(of: ".") else { return false }
        return other.description[dot...] == description.dropFirst()
    }
}
