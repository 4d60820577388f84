extension Upstream {
    /// The servers: an address each, or a table.
    static func servers(_ table: TableReader) -> [UpstreamServer] {
        guard let node = table.node("servers") else { return [] }
        guard case .array(let elements) = node.value else {
            table.complain(at: node.position, "servers has to be an array, not \(node.kindName)")
            return []
        }
        return elements.compactMap { element in
            switch element.value {
            case .string(let text):
                let text = Located(value: text, position: element.position)
                guard let endpoint = Endpoint.read(text, table, key: "servers") else { return nil }
                return UpstreamServer(Located(value: endpoint, position: element.position))
            case .table: return UpstreamServer(TableReader(element, label: "a server", table.complaints))
            case .array, .integer, .boolean, .float, .date, .time:
                table.complain(
                    at: element.position,
                    "servers has to hold addresses and tables, not \(element.kindName)",
                    fix: "write \"10.0.1.10:443\" or { address = \"10.0.1.10:443\", weight = 2 }"
                )
                return nil
            }
        }
    }

    /// What decides the server, which goes with `balance = "hash"` and with nothing else.
    static func hash(_ table: TableReader, _ balance: Balance) -> HashKey? {
        guard let text = table.string("hash") else {
            if balance == .hash, table.node("hash") == nil {
                table.complain(
                    at: table.node("balance")?.position ?? table.position,
                    "balance = \"hash\" does not say what is hashed",
                    fix: "add hash = \"client\", \"path\", \"header:NAME\" or \"cookie:NAME\""
                )
            }
            return nil
        }
        if balance != .hash, table.node("balance").map({ $0.value == .string(balance.rawValue) }) ?? true {
            table.complain(
                at: text.position,
                "hash has no meaning with balance = \"\(balance.rawValue)\"",
                fix: "use balance = \"hash\", or drop hash"
            )
        }
        if let key = HashKey(text.value) { return key }
        table.complain(
            at: text.position,
            "hash \"\(text.value)\" is not known",
            fix: "use \"client\", \"path\", \"header:NAME\" or \"cookie:NAME\""
        )
        return nil
    }

    /// What only the upstream's keys together tell.
    func checkBalancing(_ table: TableReader) {
        var seen: [String: Position] = [:]
        for server in servers {
            let text = server.value.description
            if let first = seen[text] {
                table.complain(
                    at: server.position,
                    "server \(text) is listed twice",
                    fix: "line \(first.line) lists it first; to give it a larger share, use weight"
                )
            }
            seen[text] = seen[text] ?? server.position
        }
        if !servers.isEmpty, servers.allSatisfy(\.isBackup) {
            table.complain(
                at: servers[0].position,
                "every server is a backup: there is nothing to stand in for",
                fix: "drop backup where a server is to serve from the start"
            )
        }
        if !servers.isEmpty, servers.allSatisfy(\.inMaintenance) {
            table.complain(
                at: servers[0].position,
                "every server is in maintenance: no new session would be served",
                fix: "write maintenance = true for the upstream to answer 503 until it is dropped"
            )
        }
        if let node = table.node("queue"), maximumConnections == nil,
            !servers.contains(where: { $0.maximumConnections != nil })
        {
            table.complain(
                at: node.position,
                "queue has no meaning without a limit: nobody would ever wait",
                fix: "add maximum_connections to the upstream or to a server"
            )
        }
        if let node = table.node("sticky"), balance == .hash {
            table.complain(
                at: node.position,
                "sticky and balance = \"hash\" both decide where a client stays",
                fix: "drop sticky, or use balance = \"least-connections\""
            )
        }
    }
}

extension UpstreamServer {
    /// A server of which only the address is given.
    init(_ address: Located<Endpoint>) {
        self.address = address
        weight = 1
        isBackup = false
        inMaintenance = false
        maximumConnections = nil
    }

    init?(_ table: TableReader) {
        table.require("address", fix: "write it like { address = \"10.0.1.10:443\", weight = 2 }")
        let text = table.string("address")
        weight = table.integer("weight", in: 1...1000) ?? 1
        isBackup = table.boolean("backup") ?? false
        inMaintenance = table.boolean("maintenance") ?? false
        maximumConnections = table.integer("maximum_connections", in: 1...1_000_000)
        table.finish()
        guard let text, let endpoint = Endpoint.read(text, table, key: "address") else { return nil }
        address = Located(value: endpoint, position: text.position)
    }
}

extension Upstream.HashKey {
    /// Reads `client`, `path`, `header:NAME` or `cookie:NAME`; nil for anything else.
    init?(_ text: String) {
        switch text {
        case "client": self = .client
        case "path": self = .path
        default:
            guard let colon = text.firstIndex(of: ":") else { return nil }
            let name = String(text[text.index(after: colon)...])
            guard Token.isValid(name) else { return nil }
            switch text[..<colon] {
            case "header": self = .header(name.lowercased())
            case "cookie": self = .cookie(name)
            default: return nil
            }
        }
    }
}

/// The names of headers and cookies (RFC 9110 §5.6.2).
enum Token {
    static func isValid(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E, 0x5F, 0x60, 0x7C, 0x7E: true
                default: false
                }
            }
    }
}

extension Upstream.Sticky {
    init(_ table: TableReader) {
        self.init()
        cookie = table.string("cookie") ?? Located(value: cookie.value, position: table.position)
        if !Token.isValid(cookie.value) {
            table.complain(
                at: cookie.position,
                "cookie \"\(cookie.value)\" is no name of a cookie",
                fix: "use letters, digits, - and _"
            )
        }
        sameSite = table.word("same_site", SameSite.self) ?? sameSite
        secret = table.path("secret")
        table.finish()
    }
}

extension Upstream.Health {
    init(_ table: TableReader) {
        self.init()
        if let text = table.string("path") {
            path = text.value
            if !text.value.hasPrefix("/") || !text.value.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x23 }) {
                table.complain(
                    at: text.position,
                    "path \"\(text.value)\" is no path of a request",
                    fix: "begin it with /, and write other characters as %XX"
                )
            }
        }
        method = table.word("method", Method.self) ?? method
        if let text = table.string("host") {
            host = text.value
            if IPAddress(text.value) == nil, HostPattern(text.value)?.isWildcard ?? true {
                table.complain(at: text.position, "host \"\(text.value)\" is neither a host name nor an address")
            }
        }
        interval = table.duration("interval") ?? interval
        timeout = table.duration("timeout") ?? timeout
        rise = table.integer("rise", in: 1...100) ?? rise
        fall = table.integer("fall", in: 1...100) ?? fall
        statuses = table.integers("status", in: 100...599) ?? []
        table.finish()
    }
}

extension Upstream.Ejection {
    init(_ table: TableReader) {
        self.init()
        failures = table.integer("failures", in: 1...1000) ?? failures
        time = table.duration("time") ?? time
        maximumTime = table.duration("maximum_time") ?? max(maximumTime, time)
        if maximumTime < time {
            table.complain(
                at: table.node("maximum_time")?.position ?? table.position,
                "maximum_time is shorter than time",
                fix: "make it at least as long"
            )
        }
        table.finish()
    }
}

extension Upstream.Queue {
    init(_ table: TableReader) {
        self.init()
        length = table.integer("length", in: 0...100_000) ?? length
        wait = table.duration("wait") ?? wait
        table.finish()
    }
}
