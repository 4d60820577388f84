/// What no table can see alone: names that are defined once, references that lead somewhere, bindings that do not clash.
struct CrossChecks {
    private let configuration: Configuration
    private var list: [Diagnostic] = []

    init(_ configuration: Configuration) { self.configuration = configuration }

    func run() -> [Diagnostic] {
        var checks = self
        checks.names()
        checks.references()
        checks.bindings()
        checks.list += configuration.sites.flatMap { RouteChecks($0).run() }
        checks.list += ProxyChecks(configuration.sites).run()
        checks.databaseBindings()
        checks.cookies()
        checks.admin()
        checks.fips()
        checks.list += ACMEChecks(configuration).run()
        return checks.list
    }

    private mutating func names() {
        if configuration.sites.isEmpty, configuration.databases.isEmpty {
            list.append(
                Diagnostic(
                    at: Position(line: 1, column: 1),
                    "there is no site and no database",
                    fix: "add a [[site]] with a [[site.binding]], or a [[database]] with a [[database.binding]]"
                )
            )
        }
        var seen: [String: Position] = [:]
        for site in configuration.sites {
            if let first = seen[site.name] { duplicate("site", site.name, site.position, first) }
            seen[site.name] = seen[site.name] ?? site.position
        }
        seen = [:]
        for upstream in configuration.upstreams {
            if let first = seen[upstream.name] { duplicate("upstream", upstream.name, upstream.position, first) }
            seen[upstream.name] = seen[upstream.name] ?? upstream.position
        }
        seen = [:]
        for database in configuration.databases {
            if let first = seen[database.name] { duplicate("database", database.name, database.position, first) }
            seen[database.name] = seen[database.name] ?? database.position
        }
    }

    private mutating func duplicate(_ kind: String, _ name: String, _ position: Position, _ first: Position) {
        list.append(
            Diagnostic(at: position, "\(kind) \"\(name)\" is defined twice", fix: "line \(first.line) defines it first")
        )
    }

    private mutating func references() {
        let certificates = Set(configuration.certificates.map(\.name))
        let upstreams = Set(configuration.upstreams.map(\.name))
        for site in configuration.sites {
            if let upstream = site.upstream { check(upstream, in: upstreams, kind: "upstream") }
            for route in site.routes {
                if case .upstream(let upstream) = route.action { check(upstream, in: upstreams, kind: "upstream") }
            }
            for binding in site.bindings {
                for certificate in binding.certificates { check(certificate, in: certificates, kind: "certificate") }
            }
        }
        for upstream in configuration.upstreams {
            if let certificate = upstream.clientCertificate {
                check(certificate, in: certificates, kind: "certificate")
            }
        }
        for database in configuration.databases {
            let named = database.bindings.flatMap(\.certificates) + [database.clientCertificate].compactMap { $0 }
            for certificate in named { check(certificate, in: certificates, kind: "certificate") }
        }
        if let certificate = configuration.audit.clientCertificate {
            check(certificate, in: certificates, kind: "certificate")
        }
    }

    /// What needs cryptography that is not approved.
    private mutating func fips() {
        guard configuration.tls.demandsFIPS else { return }
        for certificate in configuration.certificates {
            guard case .pfx(let file, _) = certificate.source else { continue }
            list.append(
                Diagnostic(
                    at: file.position,
                    "a PKCS#12 file is opened with algorithms that FIPS does not allow",
                    fix: "make PEM of it with `everyhop cert import-pfx`, and name chain and key"
                )
            )
        }
        for database in configuration.databases where database.legacy {
            list.append(
                Diagnostic(
                    at: database.position,
                    "legacy: TLS of that age is not allowed under fips",
                    fix: "renew the server, or put an everyhop beside it"
                )
            )
        }
    }

    private mutating func check(_ name: Located<String>, in known: Set<String>, kind: String) {
        guard !known.contains(name.value) else { return }
        let nearest = Spelling.nearest(to: name.value, among: known)
        list.append(
            Diagnostic(
                at: name.position,
                "there is no \(kind) \"\(name.value)\"",
                fix: nearest.map { "did you mean \"\($0)\"?" }
                    ?? "define it as \(kind == "certificate" ? "[certificate.\(name.value)]" : "[[\(kind)]]")"
            )
        )
    }

    private struct Key: Hashable {
        let listen: ListenAddress
        let host: HostPattern?
    }

    /// As in IIS: the same address, port and host name twice is a clash; a closer one beside a wider one is not.
    private mutating func bindings() {
        var seen: [Key: Position] = [:]
        var encrypted: [ListenAddress: Position] = [:]
        for site in configuration.sites {
            for binding in site.bindings {
                let key = Key(listen: binding.listen, host: binding.host?.value)
                if let first = seen[key] {
                    let host = binding.host.map { " host \($0.value)" } ?? " without a host"
                    list.append(
                        Diagnostic(
                            at: binding.position,
                            "binding \(binding.listen.address):\(binding.listen.port)\(host) clashes with the one of line \(first.line)",
                            fix: "give one of them another ip, port or host"
                        )
                    )
                }
                seen[key] = seen[key] ?? binding.position
                encrypted[binding.listen] = encrypted[binding.listen] ?? binding.position
            }
        }
        for site in configuration.sites {
            for redirect in site.redirects {
                for (listen, position) in encrypted where Self.overlap(listen, redirect.value) {
                    list.append(
                        Diagnostic(
                            at: redirect.position,
                            "redirect \(redirect.value.address):\(redirect.value.port) clashes with the binding of line \(position.line)",
                            fix: "use another port"
                        )
                    )
                }
            }
        }
    }

    /// Two upstreams may serve one host: with a cookie of one name, each would undo the other's.
    private mutating func cookies() {
        var seen: [String: Position] = [:]
        for cookie in configuration.upstreams.compactMap({ $0.sticky?.cookie }) {
            if let first = seen[cookie.value] {
                list.append(
                    Diagnostic(
                        at: cookie.position,
                        "cookie \"\(cookie.value)\" is used by another upstream",
                        fix: "line \(first.line) uses it first; name this one, like sticky = { cookie = \"everyhop2\" }"
                    )
                )
            }
            seen[cookie.value] = seen[cookie.value] ?? cookie.position
        }
    }

    /// A database has its addresses for itself: nothing in its protocols tells one server from another.
    private mutating func databaseBindings() {
        var taken: [(listen: ListenAddress, position: Position)] = []
        for site in configuration.sites {
            taken += site.bindings.map { ($0.listen, $0.position) } + site.redirects.map { ($0.value, $0.position) }
        }
        var paths: [String: Position] = [:]
        for binding in configuration.databases.flatMap(\.bindings) {
            switch binding.address {
            case .tcp(let listen):
                if let other = taken.first(where: { Self.overlap($0.listen, listen) }) {
                    clash("\(listen.address):\(listen.port)", at: binding.position, with: other.position)
                }
                taken.append((listen, binding.position))
            case .unix(let path, _):
                if let other = paths[path] { clash(path, at: binding.position, with: other) }
                paths[path] = paths[path] ?? binding.position
            }
        }
    }

    /// The admin address would take clients of a binding, or not open at all.
    private mutating func admin() {
        guard let admin = configuration.server.admin else { return }
        let sites = configuration.sites.flatMap { site in
            site.bindings.map { ($0.listen, $0.position) } + site.redirects.map { ($0.value, $0.position) }
        }
        let databases = configuration.databases.flatMap(\.bindings)
        switch admin.value {
        case .ip(let address, let port):
            let listen = ListenAddress(address: .ip(address), port: port)
            let others = databases.compactMap { binding -> (ListenAddress, Position)? in
                guard case .tcp(let other) = binding.address else { return nil }
                return (other, binding.position)
            }
            if let other = (sites + others).first(where: { Self.overlap($0.0, listen) }) {
                clash(admin.value.description, "admin", at: admin.position, with: other.1)
            }
        case .unix(let path):
            let other = databases.first { binding in
                guard case .unix(let other, _) = binding.address else { return false }
                return other == path
            }
            if let other { clash(path, "admin", at: admin.position, with: other.position) }
        case .name: break
        }
    }

    private mutating func clash(
        _ address: String,
        _ kind: String = "binding",
        at position: Position,
        with other: Position
    ) {
        list.append(
            Diagnostic(
                at: position,
                "\(kind) \(address) clashes with the \(kind == "binding" ? "one" : "binding") of line \(other.line)",
                fix: "give one of them another ip or port"
            )
        )
    }

    private static func overlap(_ left: ListenAddress, _ right: ListenAddress) -> Bool {
        guard left.port == right.port else { return false }
        switch (left.address, right.address) {
        case (.any, _), (_, .any): return true
        case (.ip(let first), .ip(let second)):
            return first == second || (first.isIPv6 == second.isIPv6 && (first.isUnspecified || second.isUnspecified))
        }
    }
}
