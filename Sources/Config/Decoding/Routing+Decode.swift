extension SiteRoute {
    /// - Parameter site: what the site changes in messages.
    init?(_ table: TableReader, of site: Rewriting) {
        position = table.position
        path = Self.path(table)
        host = Self.host(table)
        let action = Self.action(table)
        let limits = table.table("limits", label: "[site.route.limits]")
        bodyBytes = limits?.size("body")
        limits?.finish()
        timeouts = table.table("timeouts", label: "[site.route.timeouts]").map { Timeouts($0) } ?? Timeouts()
        access = AccessRules(table)
        rate = table.table("rate", label: "rate").flatMap { RateLimit($0) }
        var rewriting = site
        rewriting.path = nil
        // Answers of our own are what the configuration says already.
        if table.node("upstream") != nil {
            rewriting.read(table)
        } else if table.node("root") != nil {
            rewriting.readAdded(table)
        }
        self.rewriting = rewriting
        table.finish()
        guard let action else { return nil }
        self.action = action
        // A route that is half understood would send requests where they do not belong.
        if path == nil, table.node("path") != nil { return nil }
        if host == nil, table.node("host") != nil { return nil }
        if case .upstream = action { return }
        for key in ["limits", "timeouts"] {
            guard let node = table.node(key) else { continue }
            table.complain(at: node.position, "\(key) have no meaning for a route without a server", fix: "drop them")
        }
    }

    /// A prefix in the form that requests are matched in: whole segments of plain ASCII.
    private static func path(_ table: TableReader) -> Located<String>? {
        guard let text = table.string("path") else { return nil }
        var segments = text.value.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        if segments.last == "" { segments = segments.dropLast() }
        let isPlain = text.value.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || "/-._~!$&'()*+,=@".utf8.contains(byte)
        }
        guard text.value.hasPrefix("/"), isPlain, segments.allSatisfy({ !$0.isEmpty && $0.last != "." }) else {
            table.complain(
                at: text.position,
                "path \"\(text.value)\" is not a prefix of paths",
                fix: "begin it with a slash, and leave out empty segments, dots at the end of one, escapes and queries"
            )
            return nil
        }
        return Located(value: "/" + segments.joined(separator: "/"), position: text.position)
    }

    private static func host(_ table: TableReader) -> Located<HostPattern>? {
        guard let text = table.string("host") else { return nil }
        if let pattern = HostPattern(text.value) { return Located(value: pattern, position: text.position) }
        table.complain(
            at: text.position,
            "host \"\(text.value)\" is not a host name",
            fix: "use a name like \"portal.example.org\" or \"*.example.org\""
        )
        return nil
    }

    private static func action(_ table: TableReader) -> Action? {
        let upstream = table.string("upstream")
        let folder = FileRoot(table)
        let respond = table.table("respond", label: "respond").map { StaticAnswer($0) }
        let redirect = table.table("redirect", label: "redirect").map { Redirection($0) }
        let count = [upstream != nil, folder != nil, respond != nil, redirect != nil].count { $0 }
        guard count == 1 else {
            let isNamed = ["upstream", "root", "respond", "redirect"].contains { table.node($0) != nil }
            if count > 1 || !isNamed {
                table.complain(
                    at: table.position,
                    count == 0
                        ? "the route says not what becomes of requests" : "the route says more than one thing to do",
                    fix: "give it one of upstream, root, respond and redirect"
                )
            }
            return nil
        }
        if let upstream { return .upstream(upstream) }
        if let folder { return .folder(folder) }
        if let respond { return respond.map { .respond($0) } }
        if let redirect { return redirect.map { .redirect($0) } }
        return nil
    }
}

extension SiteRoute.Timeouts {
    init(_ table: TableReader) {
        response = table.duration("response")
        tunnel = table.duration("tunnel")
        total = table.duration("total")
        table.finish()
    }
}

extension StaticAnswer {
    init?(_ table: TableReader) {
        let status = table.integer("status", in: 200...599)
        let contentType = table.string("content_type")
        let text = table.string("body")
        let file = table.path("file")
        table.finish()
        let position = table.position
        if text != nil, file != nil {
            table.complain(at: position, "the answer has both body and file", fix: "drop one of the two")
        }
        let hasBody = text != nil || file != nil
        if let status, status == 204 || status == 205 || status == 304, hasBody {
            table.complain(at: position, "an answer of status \(status) has no body", fix: "drop it, or use 200")
        }
        if let contentType, !hasBody {
            table.complain(at: contentType.position, "content_type has no meaning without body or file")
        }
        if let contentType, !Self.isVisible(contentType.value) || !contentType.value.contains("/") {
            table.complain(
                at: contentType.position,
                "content_type \"\(contentType.value)\" is not a media type",
                fix: "write it like \"text/html; charset=utf-8\""
            )
        }
        if let text, text.value.utf8.count > Self.bodyLimit {
            table.complain(at: text.position, "the body is larger than 64KiB", fix: "serve it from an upstream")
        }
        if status == nil, table.node("status") != nil { return nil }
        self.status = status ?? 200
        self.contentType =
            contentType?.value ?? (file == nil ? "text/plain; charset=utf-8" : "text/html; charset=utf-8")
        if let text {
            body = .text(text.value)
        } else if let file {
            body = .file(file)
        } else {
            body = .page
        }
    }

    static func isVisible(_ text: String) -> Bool {
        !text.isEmpty && !text.hasPrefix(" ") && !text.hasSuffix(" ")
            && text.utf8.allSatisfy { (0x20...0x7E).contains($0) }
    }
}

extension Redirection {
    private static let statuses = [301, 302, 303, 307, 308]

    init?(_ table: TableReader) {
        let status = table.integer("status", in: 300...399)
        let location = table.string("location")
        table.require("location", fix: "say where, like location = \"/new\" or \"https://other.example.org/\"")
        table.finish()
        if let status, !Self.statuses.contains(status) {
            let node = table.node("status")
            table.complain(
                at: node?.position ?? table.position,
                "status \(status) sends nobody anywhere",
                fix: "use 301, 302, 303, 307 or 308"
            )
            return nil
        }
        guard let location else { return nil }
        let text = location.value
        let isPath = text.hasPrefix("/") && !text.hasPrefix("//")
        let isURL = text.hasPrefix("https://") && text.utf8.count > 8
        guard isPath || isURL, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x5C }) else {
            table.complain(
                at: location.position,
                "location \"\(text)\" is neither a path nor an https address",
                fix: "write it like \"/new\" or \"https://other.example.org/\""
            )
            return nil
        }
        self.status = status ?? 302
        self.location = text
    }
}

extension AccessRules {
    /// Reads `allow` and `deny`.
    init(_ table: TableReader) {
        allow = table.networks("allow") ?? []
        deny = table.networks("deny") ?? []
        if let node = table.node("allow"), case .array(let list) = node.value, list.isEmpty {
            table.complain(
                at: node.position,
                "allow names nobody",
                fix: "drop it to serve everybody, or use deny = [\"0.0.0.0/0\", \"::/0\"] to serve nobody"
            )
        }
    }
}

extension RateLimit {
    init?(_ table: TableReader) {
        let requests = table.integer("requests", in: 1...1_000_000)
        table.require("requests", fix: "say how many, like rate = { requests = 10, per = \"second\", burst = 20 }")
        let period = table.word("per", Period.self)
        let burst = table.integer("burst", in: 1...1_000_000)
        table.finish()
        guard let requests, period != nil || table.node("per") == nil, burst != nil || table.node("burst") == nil else {
            return nil
        }
        self.requests = requests
        self.period = period ?? .second
        self.burst = burst ?? requests
    }
}

extension Binding.ClientCertificates {
    /// Reads `client_ca`, `client_crl`, `client_pins` and `client_certificate`; nil without any of them.
    init?(_ table: TableReader) {
        let ca = table.path("client_ca")
        let pins = table.strings("client_pins")
        let demand = table.word("client_certificate", Demand.self)
        revocation = RevocationLists(table, "client_crl", check: "client_crl_check", authorities: "client_ca")
        guard ca != nil || pins?.isEmpty == false else {
            if let node = table.node("client_certificate") ?? table.node("client_pins"), table.node("client_ca") == nil
            {
                table.complain(
                    at: node.position,
                    "the binding names nobody whose certificates are good",
                    fix: "add client_ca = \"FILE\" or client_pins = [\"sha256/...\"]"
                )
            }
            return nil
        }
        self.ca = ca
        self.pins = (pins ?? []).compactMap { text in
            if let pin = Pin(text.value) { return pin }
            table.complain(
                at: text.position,
                "\"\(text.value)\" is not a pin",
                fix: "write sha256/ and the Base64 of 32 bytes; `everyhop cert show FILE` prints a certificate's"
            )
            return nil
        }
        self.demand = demand ?? .require
    }
}
