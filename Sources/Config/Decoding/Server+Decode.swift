extension Server {
    init(_ table: TableReader) {
        if let workers = table.node("workers") {
            switch workers.value {
            case .string("auto"): break
            case .integer(let count) where (1...256).contains(count): self.workers = Int(count)
            case .table, .array, .string, .integer, .boolean, .float, .date, .time:
                table.complain(
                    at: workers.position,
                    "workers is not a number of processes",
                    fix: "use \"auto\" or 1 to 256"
                )
            }
        }
        user = table.string("user")
        state = table.path("state")
        if let text = table.string("admin"), let endpoint = Endpoint.read(text, table, key: "admin") {
            admin = Located(value: endpoint, position: text.position)
            if !endpoint.isLocal {
                table.complain(
                    at: text.position,
                    "admin \"\(text.value)\" is not on this host: it is spoken to in plain",
                    fix: "use 127.0.0.1, [::1] or unix:/path"
                )
            }
        }
        drain = table.duration("drain") ?? drain
        drainSessions = table.duration("drain_sessions") ?? drainSessions
        resolve = table.duration("resolve") ?? resolve
        watch = table.boolean("watch") ?? watch
        supervise(table)
        if let node = table.node("sandbox"), table.word("sandbox", Sandboxing.self) == .required {
            requiresSandbox = node.position
        }
        maximumConnections = table.integer("maximum_connections", in: 1...10_000_000)
        trustedProxies = table.networks("trusted_proxies") ?? []
        if let inner = table.table("timeouts", label: "[server.timeouts]") { timeouts = Timeouts(inner) }
        if let inner = table.table("limits", label: "[server.limits]") { limits = Limits(inner) }
        table.finish()
    }
}

extension Server {
    /// What the master does with processes that are not well, and with a new program.
    private mutating func supervise(_ table: TableReader) {
        let minutes = (range: UInt64(1000)...600_000, words: "1s to 10m")
        hangTimeout = table.duration("hang_timeout", within: minutes) ?? hangTimeout
        upgradeTimeout = table.duration("upgrade_timeout", within: minutes) ?? upgradeTimeout
        if let node = table.node("worker_memory"), let size = table.size("worker_memory") {
            if size >= 16 << 20 {
                workerMemory = size
            } else {
                table.complain(
                    at: node.position,
                    "worker_memory is less than a worker needs for itself",
                    fix: "use 16MiB or more"
                )
            }
        }
    }
}

extension Server.Timeouts {
    init(_ table: TableReader) {
        self.init()
        handshake = table.duration("handshake") ?? handshake
        head = table.duration("head") ?? head
        body = table.duration("body") ?? body
        write = table.duration("write") ?? write
        keepAlive = table.duration("keep_alive") ?? keepAlive
        table.finish()
    }
}

extension Server.Limits {
    init(_ table: TableReader) {
        self.init()
        if let node = table.node("head"), let size = table.size("head") {
            if (1024...1_048_576).contains(size) {
                headBytes = Int(size)
            } else {
                table.complain(at: node.position, "head is out of range", fix: "use a size from 1KiB to 1MiB")
            }
        }
        bodyBytes = table.size("body")
        minimumRate = table.rate("minimum_rate") ?? minimumRate
        handshakes = table.integer("handshakes", in: 16...1_000_000) ?? handshakes
        // As elsewhere, 0 is no limit.
        connectionsPerClient = table.integer("connections_per_client", in: 0...1_000_000).flatMap { $0 == 0 ? nil : $0 }
        if let node = table.node("buffers"), let size = table.size("buffers") {
            if size >= 1 << 20 {
                bufferBytes = size
            } else {
                table.complain(at: node.position, "buffers is too small to serve anybody", fix: "use 1MiB or more")
            }
        }
        table.finish()
    }
}

extension Log {
    private static let levels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]

    init(_ table: TableReader) {
        if let text = table.string("level") {
            if Self.levels.contains(text.value) {
                level = text.value
            } else {
                table.complain(
                    at: text.position,
                    "level \"\(text.value)\" is not known",
                    fix: "use one of \(Self.levels.joined(separator: ", "))"
                )
            }
        }
        if let text = table.path("access") {
            switch text.value {
            case "off": access = .off
            case "stdout": access = .stdout
            default: access = .file(text.value)
            }
        }
        query = table.boolean("query") ?? query
        table.finish()
    }
}

extension TLSSettings {
    init(_ table: TableReader) {
        policy = table.word("policy", Policy.self) ?? policy
        handshakes = table.word("handshakes", Handshakes.self) ?? handshakes
        isolatesKeys = table.boolean("key_isolation") ?? isolatesKeys
        if let inner = table.table("tickets", label: "tickets") {
            ticketKeys = inner.path("keys")
            // Each rotation is a message to every worker, and the third one after a ticket was made ends it.
            let days = (range: UInt64(60_000)...7 * 86_400_000, words: "1m to 7d")
            ticketRotation = inner.duration("rotate", within: days) ?? ticketRotation
            inner.finish()
        }
        ocsp = table.word("ocsp", OCSP.self) ?? ocsp
        fips = table.boolean("fips").flatMap { value in
            table.node("fips").map { Located(value: value, position: $0.position) }
        }
        table.finish()
    }
}

extension Endpoint {
    /// Reads `host:port`, `[address]:port` or `unix:/path`.
    static func read(_ text: Located<String>, _ table: TableReader, key: String) -> Endpoint? {
        let value = text.value
        if value.hasPrefix("unix:") {
            let path = String(value.dropFirst(5))
            // sockaddr_un has room for 107 bytes and a NUL.
            if path.hasPrefix("/"), path.utf8.count <= 107, !path.utf8.contains(0) { return .unix(path) }
            table.complain(
                at: text.position,
                "\"\(value)\" is no path of a socket",
                fix: "use unix: and an absolute path of at most 107 bytes"
            )
            return nil
        }
        guard let colon = value.lastIndex(of: ":"), let port = port(value[value.index(after: colon)...]) else {
            table.complain(
                at: text.position,
                "\(key) \"\(value)\" has no port",
                fix: "write it like \"10.0.1.10:443\", \"[::1]:443\" or \"app.internal:443\""
            )
            return nil
        }
        let host = String(value[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]"), let address = IPAddress(String(host.dropFirst().dropLast())),
            address.isIPv6
        {
            return .ip(address, port: port)
        }
        if let address = IPAddress(host), !address.isIPv6 { return .ip(address, port: port) }
        if let pattern = HostPattern(host), !pattern.isWildcard,
            host.utf8.contains(where: { !(0x30...0x39).contains($0) && $0 != 0x2E })
        {
            return .name(pattern.description, port: port)
        }
        table.complain(
            at: text.position,
            "\"\(host)\" is neither an address nor a host name",
            fix: host.contains(":") ? "put an IPv6 address in brackets: \"[\(host)]:\(port)\"" : ""
        )
        return nil
    }

    /// 1 to 65535 in digits, nothing else.
    public static func port(_ text: Substring) -> UInt16? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = UInt16(text),
            port > 0
        else { return nil }
        return port
    }
}
