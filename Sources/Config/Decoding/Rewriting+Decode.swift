extension Rewriting {
    /// Overwrites what a table says; the rest stays, so that a table below a site can begin with what the site says.
    mutating func read(_ table: TableReader) {
        if let text = table.string("upstream_host") {
            upstreamHost = Host(text, table, key: "upstream_host") ?? upstreamHost
        }
        if let names = table.strings("own_hosts") {
            ownHosts = names.compactMap { Host($0, table, key: "own_hosts") }
        }
        rewritesLinks = table.boolean("rewrite_links") ?? rewritesLinks
        if let inner = table.table("path_map") { path = PathMapping(inner) ?? path }
        if let inner = table.table("cookies") { cookies.read(inner) }
        if let inner = table.table("request_headers") { requestHeaders = Headers(inner) }
        readAdded(table)
    }

    /// The same of what is added to responses, whoever makes them.
    mutating func readAdded(_ table: TableReader) {
        if let inner = table.table("hsts") { strictTransport = StrictTransport(inner) ?? strictTransport }
        upgradesInsecureRequests = table.boolean("upgrade_insecure_requests") ?? upgradesInsecureRequests
        if let inner = table.table("response_headers") { responseHeaders = Headers(inner) }
        let names = (responseHeaders.replaced + responseHeaders.added).map(\.name) + responseHeaders.removed
        if strictTransport != nil,
            names.contains(where: { HeaderName.folded($0) == "strict-transport-security" })
        {
            table.complain(
                at: table.node("hsts")?.position ?? table.position,
                "hsts and response_headers both write Strict-Transport-Security",
                fix: "drop one of the two"
            )
        }
    }
}

extension Rewriting.Host {
    /// `name`, `name:port`, `address`, `address:port`, `[IPv6]` or `[IPv6]:port`.
    init?(_ text: Located<String>, _ table: TableReader, key: String) {
        var host = text.value[...]
        var port: UInt16?
        if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") {
            port = Endpoint.port(host[host.index(after: colon)...])
            host = host[..<colon]
            if port == nil { host = "" }
        }
        let isLiteral = host.hasPrefix("[") && host.hasSuffix("]")
        let isName = HostPattern(String(host)).map { !$0.isWildcard } ?? false
        guard isLiteral ? IPAddress(String(host.dropFirst().dropLast()))?.isIPv6 == true : isName else {
            table.complain(
                at: text.position,
                "\(key) \"\(text.value)\" is not a host",
                fix: "write it like \"app.internal\", \"app.internal:8080\" or \"[::1]:8080\""
            )
            return nil
        }
        name = host.lowercased()
        self.port = port
    }
}

extension Rewriting.PathMapping {
    init?(_ table: TableReader) {
        let seen = Self.prefix("public", table)
        let served = Self.prefix("server", table)
        table.require("public", fix: "say what clients see, like public = \"/app\"")
        table.require("server", fix: "say what the server sees in its place, like server = \"/legacy\"")
        table.finish()
        guard let seen, let served else { return nil }
        if seen == served {
            table.complain(at: table.position, "path_map maps a prefix to itself", fix: "drop it")
            return nil
        }
        publicPrefix = seen
        serverPrefix = served
    }

    private static func prefix(_ key: String, _ table: TableReader) -> String? {
        guard let text = table.string(key) else { return nil }
        let segments = text.value.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        let isPlain = text.value.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || "/-._~!$&'()*+,=:@".utf8.contains(byte)
        }
        let isProper = text.value == "/" || segments.allSatisfy { !["", ".", ".."].contains($0) }
        guard text.value.hasPrefix("/"), isPlain, isProper else {
            table.complain(
                at: text.position,
                "\(key) \"\(text.value)\" is not a prefix of paths",
                fix: "begin it with a slash, end it with none, and leave out \"..\", escapes and queries"
            )
            return nil
        }
        return text.value
    }
}

extension Rewriting.Cookies {
    mutating func read(_ table: TableReader) {
        secure = table.boolean("secure") ?? secure
        httpOnly = table.boolean("http_only") ?? httpOnly
        sameSite = table.word("same_site", SameSite.self) ?? sameSite
        if let names = table.strings("except") { exceptions = names.map(\.value) }
        domains =
            Self.mappings("domains", "domain", table) { domain in
                let name = domain.hasPrefix(".") ? String(domain.dropFirst()) : domain
                return HostPattern(name).flatMap { $0.isWildcard ? nil : $0.description }
            } ?? domains
        paths =
            Self.mappings("paths", "path", table) { path in
                let isPlain = path.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x3B }
                return path.hasPrefix("/") && isPlain ? path : nil
            } ?? paths
        table.finish()
        if sameSite == SameSite.none, !secure {
            table.complain(
                at: table.node("same_site")?.position ?? table.position,
                "browsers refuse SameSite=None without Secure",
                fix: "drop secure = false"
            )
        }
        if !exceptions.isEmpty, !httpOnly, sameSite == nil {
            table.complain(
                at: table.node("except")?.position ?? table.position,
                "except has no meaning without http_only or same_site"
            )
        }
    }

    /// A table of what becomes what; nil when there is none.
    private static func mappings(
        _ key: String,
        _ what: String,
        _ table: TableReader,
        _ read: (String) -> String?
    ) -> [(from: String, to: String)]? {
        guard let inner = table.table(key) else { return nil }
        return inner.all().compactMap { entry in
            guard case .string(let text) = entry.node.value else {
                table.complain(at: entry.node.position, "\(key) has to hold strings, not \(entry.node.kindName)")
                return nil
            }
            guard let from = read(entry.key) else {
                table.complain(at: entry.keyPosition, "\"\(entry.key)\" is not the \(what) of a cookie")
                return nil
            }
            guard let to = text.isEmpty ? "" : read(text) else {
                table.complain(at: entry.node.position, "\"\(text)\" is not the \(what) of a cookie")
                return nil
            }
            return (from, to)
        }
    }
}

extension Rewriting.StrictTransport {
    private static let year: UInt64 = 365 * 86_400

    init?(_ table: TableReader) {
        let text = table.string("max_age")
        table.require("max_age", fix: "say how long browsers remember, like max_age = \"365d\"")
        includesSubdomains = table.boolean("include_subdomains") ?? false
        preload = table.boolean("preload") ?? false
        table.finish()
        guard let text else { return nil }
        if text.value == "0s" {
            maximumAge = 0
        } else if let time = Quantity.milliseconds(text.value, most: 10 * 366 * 86_400_000) {
            maximumAge = time / 1000
        } else {
            table.complain(
                at: text.position,
                "max_age \"\(text.value)\" is not a time",
                fix: "write it like \"365d\", or \"0s\" to make browsers forget"
            )
            return nil
        }
        if preload, !includesSubdomains || maximumAge < Self.year {
            table.complain(
                at: table.node("preload")?.position ?? table.position,
                "lists of preloaded hosts want a year and every subdomain",
                fix: "set max_age = \"365d\" and include_subdomains = true, or drop preload"
            )
        }
    }
}
