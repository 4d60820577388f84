import Config
import HTTP
import TLS

/// From what a site says of messages to the rules that the writers follow.
extension SiteRules {
    /// - Parameter upstream: where the site's requests go.
    convenience init(_ rewriting: Rewriting, of site: Site, to upstream: Upstream) {
        let cookies = rewriting.cookies
        self.init(
            host: rewriting.upstreamHost.map { Array($0.description.utf8) },
            path: rewriting.path.map {
                PathMap(publicPrefix: Array($0.publicPrefix.utf8), serverPrefix: Array($0.serverPrefix.utf8))
            },
            hosts: rewriting.rewritesLinks ? OwnHosts(rewriting, of: site, to: upstream) : nil,
            cookies: CookieRules(cookies),
            requestFields: FieldRules(rewriting.requestHeaders),
            responseFields: FieldRules(rewriting.responseHeaders),
            strictTransport: rewriting.strictTransportValue.map { Array($0.utf8) },
            upgradesInsecureRequests: rewriting.upgradesInsecureRequests
        )
    }
}

extension SiteRules {
    /// What is added to responses that no server makes.
    convenience init(addedBy rewriting: Rewriting) {
        self.init(
            responseFields: FieldRules(rewriting.responseHeaders),
            strictTransport: rewriting.strictTransportValue.map { Array($0.utf8) },
            upgradesInsecureRequests: rewriting.upgradesInsecureRequests
        )
    }
}

extension Rewriting {
    /// RFC 6797 §6.1.
    fileprivate var strictTransportValue: String? {
        strictTransport.map { transport in
            let subdomains = transport.includesSubdomains ? "; includeSubDomains" : ""
            let preload = transport.preload ? "; preload" : ""
            return "max-age=\(transport.maximumAge)\(subdomains)\(preload)"
        }
    }

    /// What answers of everyhop itself have, as whole field lines.
    var ownLines: [UInt8] { strictTransportValue.map { Array("Strict-Transport-Security: \($0)\r\n".utf8) } ?? [] }
}

extension Snapshot {
    /// What an answer of our own to this client has, as whole field lines: a site with `hsts` says so over TLS always.
    ///
    /// - Parameter site: nil when the request was not understood, or is for nobody on this connection.
    func ownLines(site: Int?, status: Int, for client: ClientIdentity) -> [UInt8] {
        guard let facts = client.facts else { return [] }
        if let site { return ownLines[site] }
        // A host that belongs to another binding gets no word of this one.
        guard status != 421, let tag = facts.bindingTag, bindings.indices.contains(tag) else { return [] }
        return ownLines[bindings[tag].site]
    }
}

extension OwnHosts {
    /// The site's bindings; the application's own names, among them those of its servers once it is called by another
    /// Host than the client's; and the ports at which it may believe to be.
    init(_ rewriting: Rewriting, of site: Site, to upstream: Upstream) {
        var aliases = rewriting.ownHosts
        var names: [String] = []
        if let host = rewriting.upstreamHost {
            aliases.append(host)
            names = [upstream.serverName].compactMap { $0 } + upstream.servers.compactMap { $0.value.urlHost }
        }
        let ports = site.bindings.map(\.listen.port) + site.redirects.map(\.value.port)
        self.init(
            bindings: site.bindings.compactMap { binding in
                guard let host = binding.host?.value else { return nil }
                let name = host.description.utf8.dropFirst(host.isWildcard ? 1 : 0)
                return Binding(name: Array(name), isWildcard: host.isWildcard, port: binding.listen.port)
            },
            aliases: aliases.map { Alias(name: Array($0.name.utf8), port: $0.port) }
                + names.map { Alias(name: Array($0.lowercased().utf8), port: nil) },
            ports: ports + upstream.servers.compactMap { $0.value.port }
                + [rewriting.upstreamHost?.port].compactMap { $0 }
        )
    }
}

extension CookieRules {
    fileprivate init(_ cookies: Rewriting.Cookies) {
        let sameSite: SameSite? =
            switch cookies.sameSite {
            case .strict: .strict
            case .lax: .lax
            case .none?: SameSite.none
            case nil: nil
            }
        self.init(
            secure: cookies.secure,
            httpOnly: cookies.httpOnly,
            sameSite: sameSite,
            exceptions: cookies.exceptions.map { Array($0.utf8) },
            domains: cookies.domains.map { Mapping(from: Array($0.from.utf8), to: Array($0.to.utf8)) },
            paths: cookies.paths.map { Mapping(from: Array($0.from.utf8), to: Array($0.to.utf8)) }
        )
    }
}

extension FieldRules {
    fileprivate init?(_ headers: Rewriting.Headers) {
        guard !headers.isEmpty else { return nil }
        self.init(
            set: headers.replaced.map { FieldTemplate($0) },
            add: headers.added.map { FieldTemplate($0) },
            remove: headers.removed.map { Array($0.utf8) }
        )
    }
}

extension FieldTemplate {
    fileprivate init(_ template: HeaderTemplate) {
        self.init(
            name: Array(template.name.utf8),
            pieces: template.pieces.map { piece in
                switch piece {
                case .text(let text): .text(Array(text.utf8))
                case .variable(let variable): .variable(FieldVariable(variable))
                }
            }
        )
    }
}

extension FieldVariable {
    fileprivate init(_ variable: HeaderTemplate.Variable) {
        self =
            switch variable {
            case .clientAddress: .clientAddress
            case .host: .host
            case .authority: .authority
            case .port: .port
            case .scheme: .scheme
            case .method: .method
            case .path: .path
            case .target: .target
            case .requestID: .requestID
            }
    }
}

extension Endpoint {
    /// The host as an address in a URL has it.
    fileprivate var urlHost: String? {
        switch self {
        case .ip(let address, _): address.isIPv6 ? "[\(address)]" : address.description
        case .name(let name, _): name
        case .unix: nil
        }
    }
}
