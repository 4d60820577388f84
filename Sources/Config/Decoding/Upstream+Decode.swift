extension Upstream {
    init?(_ table: TableReader) {
        position = table.position
        let name = table.string("name")
        table.require("name", fix: "name it, so that a site can refer to it")
        table.require("servers", fix: "list at least one, like servers = [\"10.0.1.10:443\"]")
        servers = Self.servers(table)
        serverName = Self.serverName(table)
        plaintext = table.boolean("plaintext") ?? false
        trust = table.table("trust", label: "trust").map { Trust($0) }
        clientCertificate = table.string("client_certificate")
        version = table.word("protocol", HTTPVersion.self) ?? .http11
        sendProxy = Self.sendProxy(table, version)
        balance = table.word("balance", Balance.self) ?? .leastConnections
        hash = Self.hash(table, balance)
        sticky = table.table("sticky", label: "sticky").map { Sticky($0) }
        health = table.table("health", label: "health").map { Health($0) }
        ejection = table.table("ejection", label: "ejection").map { Ejection($0) } ?? Ejection()
        slowStart = table.duration("slow_start") ?? 0
        queue = table.table("queue", label: "queue").map { Queue($0) } ?? Queue()
        inMaintenance = table.boolean("maintenance") ?? false
        retryAfter = table.duration("retry_after") ?? 5000
        timeouts = table.table("timeouts", label: "[upstream.timeouts]").map { Timeouts($0) } ?? Timeouts()
        maximumConnections = table.integer("maximum_connections", in: 1...1_000_000)
        maximumIdle = table.integer("maximum_idle", in: 0...100_000) ?? 1000
        self.name = name?.value ?? ""
        checkTrust(table)
        checkBalancing(table)
        table.finish()
        if table.node("servers") != nil, servers.isEmpty, case .array(let list) = table.node("servers")?.value,
            list.isEmpty
        {
            table.complain(at: position, "upstream \"\(name?.value ?? "")\" has no server")
        }
        if name == nil { return nil }
    }

    /// The name that a server is to bear.
    static func serverName(_ table: TableReader) -> String? {
        let serverName = table.string("server_name")
        if let serverName, IPAddress(serverName.value) == nil, HostPattern(serverName.value)?.isWildcard ?? true {
            table.complain(
                at: serverName.position,
                "server_name \"\(serverName.value)\" is neither a host name nor an address"
            )
        }
        return serverName?.value
    }

    /// Laws 1 and 2: every server is verified, and what is not encrypted stays on this host.
    private func checkTrust(_ table: TableReader) {
        if plaintext {
            for server in servers where !server.value.isLocal {
                table.complain(
                    at: server.position,
                    "\(server.value) is not on this host: it cannot be spoken to in plain",
                    fix: "drop plaintext and give the upstream trust, or use 127.0.0.1, [::1] or unix:/path"
                )
            }
            if let node = table.node("trust") {
                table.complain(at: node.position, "trust has no meaning with plaintext", fix: "drop one of the two")
            }
        } else if trust == nil {
            table.complain(
                at: position,
                "the upstream has no trust: its servers could not be verified",
                fix:
                    "add trust = { ca = \"FILE\" } or trust = { pins = [\"sha256/...\"] }; `everyhop pin HOST:PORT` shows a server's pin"
            )
        }
    }
}

extension Upstream.Trust {
    init(_ table: TableReader) {
        ca = table.path("ca")
        var pins: [Pin] = []
        for text in table.strings("pins") ?? [] {
            if let pin = Pin(text.value) {
                pins.append(pin)
            } else {
                table.complain(
                    at: text.position,
                    "\"\(text.value)\" is not a pin",
                    fix: "write sha256/ and the Base64 of 32 bytes; `everyhop pin HOST:PORT` prints it"
                )
            }
        }
        self.pins = pins
        revocation = RevocationLists(table, "crl", check: "crl_check", authorities: "ca")
        if ca == nil, table.node("pins") == nil || table.strings("pins")?.isEmpty == true {
            table.complain(
                at: table.position,
                "trust names neither an authority nor a pin",
                fix: "add ca = \"FILE\" or pins = [\"sha256/...\"]"
            )
        }
        table.finish()
    }
}

extension Upstream.Timeouts {
    init(_ table: TableReader) {
        self.init()
        connect = table.duration("connect") ?? connect
        response = table.duration("response") ?? response
        idle = table.duration("idle") ?? idle
        tunnel = table.duration("tunnel") ?? tunnel
        total = table.duration("total")
        table.finish()
    }
}
