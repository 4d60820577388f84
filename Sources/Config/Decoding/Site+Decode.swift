extension Certificate {
    init?(_ entry: TOMLEntry, _ complaints: TableReader.Complaints) {
        let table = TableReader(
            entry.node,
            label: "[certificate.\(entry.key)]",
            position: entry.keyPosition,
            complaints
        )
        name = entry.key
        position = entry.keyPosition
        let chain = table.path("chain")
        let key = table.path("key")
        let pfx = table.path("pfx")
        let password = table.path("password_file")
        let names = table.strings("self_signed")
        ocspFile = table.path("ocsp_file")
        let acme = table.table("acme", label: "acme")
        table.finish()
        let kinds = [chain != nil || key != nil, pfx != nil, names != nil, acme != nil].filter { $0 }.count
        guard kinds == 1 else {
            table.complain(
                at: position,
                kinds == 0
                    ? "certificate \"\(name)\" says nowhere where it comes from"
                    : "certificate \"\(name)\" has more than one source",
                fix: "give it chain and key, or pfx, or self_signed, or acme"
            )
            return nil
        }
        if let acme {
            guard let settings = ACMESettings(acme) else { return nil }
            source = .acme(settings)
        } else if let pfx {
            source = .pfx(pfx, password: password)
        } else if let names {
            for name in names where HostPattern(name.value) == nil && IPAddress(name.value) == nil {
                table.complain(at: name.position, "\"\(name.value)\" is neither a host name nor an address")
            }
            guard !names.isEmpty else {
                table.complain(
                    at: position,
                    "self_signed names nobody",
                    fix: "list the host names and addresses it is for"
                )
                return nil
            }
            source = .selfSigned(names.map(\.value))
        } else if let chain, let key {
            source = .files(chain: chain, key: key)
        } else {
            table.complain(
                at: position,
                "certificate \"\(name)\" has a \(chain == nil ? "key" : "chain") but no \(chain == nil ? "chain" : "key")",
                fix: "give it both"
            )
            return nil
        }
    }
}

extension Site {
    init?(_ table: TableReader) {
        position = table.position
        let name = table.string("name")
        table.require("name", fix: "name it, for logs and metrics")
        upstream = table.string("upstream")
        folder = FileRoot(table)
        redirects = (table.strings("redirect") ?? []).compactMap { Self.redirect($0, table) }
        let acceptProxy = table.networks("accept_proxy") ?? []
        self.acceptProxy = acceptProxy
        let tables = table.tables("binding", label: "[[site.binding]]")
        if tables.isEmpty {
            table.complain(
                at: position,
                "site \"\(name?.value ?? "")\" has no binding",
                fix: "add a [[site.binding]] below it"
            )
        }
        bindings = tables.compactMap { Binding($0, acceptProxy: acceptProxy) }
        upgrades = Self.upgrades(table)
        var rewriting = Rewriting()
        rewriting.read(table)
        self.rewriting = rewriting
        routes = table.tables("route", label: "[[site.route]]").compactMap { SiteRoute($0, of: rewriting) }
        access = AccessRules(table)
        rate = table.table("rate", label: "rate").flatMap { RateLimit($0) }
        if let upstream, let folder {
            table.complain(
                at: max(upstream.position, folder.path.position),
                "[[site]] has both an upstream and a root",
                fix: "drop one of them, or move it to a [[site.route]]"
            )
        }
        if !["upstream", "root", "route"].contains(where: { table.node($0) != nil }) {
            table.complain(
                at: position,
                "[[site]] has no upstream",
                fix: "say which [[upstream]] serves it, or which folder: root = \"PATH\""
            )
        }
        table.finish()
        guard let name else { return nil }
        self.name = name.value
    }

    private static func upgrades(_ table: TableReader) -> [String] {
        guard let names = table.strings("upgrades") else { return ["websocket"] }
        for name in names where ["h2c", "h2", "tls"].contains(name.value.lowercased()) {
            table.complain(
                at: name.position,
                "an upgrade to \"\(name.value)\" is never passed on",
                fix: "everyhop speaks TLS and HTTP/2 itself; name protocols such as \"websocket\""
            )
        }
        return names.map { $0.value.lowercased() }
    }

    private static func redirect(_ text: Located<String>, _ table: TableReader) -> Located<ListenAddress>? {
        if text.value.hasPrefix("*:"), let port = Endpoint.port(text.value.dropFirst(2)) {
            return Located(value: ListenAddress(address: .any, port: port), position: text.position)
        }
        switch Endpoint.read(text, table, key: "redirect") {
        case .ip(let address, let port):
            return Located(value: ListenAddress(address: .ip(address), port: port), position: text.position)
        case .name, .unix:
            table.complain(
                at: text.position,
                "redirect has to be an IP address and a port",
                fix: "write it like \"0.0.0.0:80\" or \"*:80\""
            )
            return nil
        case nil: return nil
        }
    }
}

extension Binding {
    /// - Parameter acceptProxy: what the site says for all of its bindings.
    init?(_ table: TableReader, acceptProxy: [Network]) {
        position = table.position
        if let type = table.string("type"), type.value != "https" {
            table.complain(
                at: type.position,
                "binding type \"\(type.value)\" is not served",
                fix: "use \"https\"; for http use the site's redirect"
            )
        }
        let ip = table.string("ip")
        let port = table.integer("port", in: 1...65535)
        let hostText = table.string("host")
        let host = hostText.flatMap { text in
            HostPattern(text.value).map { Located(value: $0, position: text.position) }
        }
        if let hostText, host == nil {
            table.complain(
                at: hostText.position,
                "host \"\(hostText.value)\" is not a host name",
                fix: "use a name like \"portal.example.org\" or \"*.example.org\""
            )
        }
        let inner = table.isTable("certificate") ? table.table("certificate") : nil
        ownCertificate = inner.flatMap { Certificate($0, of: host) }
        let certificates =
            inner == nil
            ? table.certificates("certificate")
            : ownCertificate.map { [Located(value: $0.name, position: $0.position)] }
        table.require("certificate", fix: "name a [certificate.NAME]")
        protocols = Self.protocols(table)
        clients = ClientCertificates(table)
        self.acceptProxy = table.networks("accept_proxy") ?? acceptProxy
        table.finish()
        var address = BindingAddress.any
        if let ip, ip.value != "*" {
            guard let parsed = IPAddress(ip.value) else {
                table.complain(
                    at: ip.position,
                    "ip \"\(ip.value)\" is not an address",
                    fix: "use an address of this host, or \"*\" for all"
                )
                return nil
            }
            address = .ip(parsed)
        }
        guard let certificates, hostText == nil || host != nil, port != nil || table.node("port") == nil else {
            return nil
        }
        listen = ListenAddress(address: address, port: UInt16(port ?? 443))
        self.host = host
        self.certificates = certificates
    }
    private static func protocols(_ table: TableReader) -> [HTTPVersion] {
        var versions: [HTTPVersion] = []
        for text in table.strings("protocols") ?? [] {
            guard let version = HTTPVersion(rawValue: text.value) else {
                table.complain(
                    at: text.position,
                    "protocol \"\(text.value)\" is not spoken to clients",
                    fix: "use \"h2\" and \"http/1.1\""
                )
                continue
            }
            if !versions.contains(version) { versions.append(version) }
        }
        return versions.isEmpty ? HTTPVersion.allCases : versions
    }
}
