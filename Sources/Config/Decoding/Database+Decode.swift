extension Database {
    init?(_ table: TableReader) {
        position = table.position
        let name = table.string("name")
        table.require("name", fix: "name it, for logs and metrics")
        let kind = table.word("protocol", Kind.self)
        table.require("protocol", fix: "add protocol = \"tds\", \"postgres\" or \"mysql\"")
        let serverText = table.string("server")
        table.require("server", fix: "add the server's address, like server = \"10.0.2.5:1433\"")
        let endpoint = serverText.flatMap { Endpoint.read($0, table, key: "server") }
        serverName = Upstream.serverName(table)
        trust = table.table("trust", label: "trust").map { Upstream.Trust($0) }
        clientCertificate = table.string("client_certificate")
        sendProxy = table.word("send_proxy", ProxyProtocol.self)
        if let mode = table.node("tds"), let kind, kind != .tds {
            table.complain(at: mode.position, "tds has a meaning for protocol = \"tds\" only", fix: "drop it")
        }
        tds = table.word("tds", TDSMode.self) ?? .negotiated
        oldestTLS = table.word("minimum_version", OldestTLS.self)
        legacy = table.boolean("legacy") ?? false
        timeouts = table.table("timeouts", label: "[database.timeouts]").map { Timeouts($0) } ?? Timeouts()
        maximumConnections = table.integer("maximum_connections", in: 1...1_000_000)
        catalog = Self.catalog(table)
        credentials = table.table("credentials", label: "credentials").flatMap { Credentials($0) }
        dataDirectory = Self.dataDirectory(table, kind)
        let tables = table.tables("binding", label: "[[database.binding]]")
        bindings = tables.compactMap { DatabaseBinding($0, kind) }
        if tables.isEmpty {
            table.complain(
                at: position,
                "database \"\(name?.value ?? "")\" has no binding: the application has nothing to dial",
                fix: "add a [[database.binding]] with ip and port below it"
            )
        }
        self.name = name?.value ?? ""
        self.kind = kind ?? .tds
        server = Located(
            value: endpoint ?? .unix("/"),
            position: serverText?.position ?? table.position
        )
        checkTrust(table)
        table.finish()
        if name == nil || kind == nil || endpoint == nil { return nil }
    }

    /// SQL Server's names have 128 characters at most, the others' fewer.
    private static func catalog(_ table: TableReader) -> Located<String>? {
        guard let catalog = table.string("catalog") else { return nil }
        guard (1...128).contains(catalog.value.utf16.count), !catalog.value.utf8.contains(0) else {
            table.complain(
                at: catalog.position,
                "catalog is no name of a database",
                fix: "write what the server calls it, in 1 to 128 characters"
            )
            return nil
        }
        return catalog
    }

    private static func dataDirectory(_ table: TableReader, _ kind: Kind?) -> Located<String>? {
        guard let path = table.path("data_directory") else { return nil }
        if let kind, kind != .postgres {
            table.complain(
                at: path.position,
                "data_directory has a meaning for protocol = \"postgres\" only: the others tell themselves what is encrypted",
                fix: "drop it"
            )
        }
        guard path.value.hasPrefix("/") else {
            table.complain(
                at: path.position,
                "data_directory \"\(path.value)\" is no absolute path",
                fix: "write it from the root, as SHOW data_directory tells it"
            )
            return nil
        }
        return path
    }

    /// Laws 1 and 2: every server is verified; what is obsolete is spoken only to one key.
    private func checkTrust(_ table: TableReader) {
        if trust == nil {
            table.complain(
                at: position,
                "the database has no trust: its server could not be verified",
                fix:
                    "add trust = { pins = [\"sha256/...\"] } or trust = { ca = \"FILE\" }; `everyhop pin HOST:PORT --protocol \(kind.rawValue)` shows a server's pin"
            )
        }
        if let oldestTLS, oldestTLS.isObsolete, !legacy {
            table.complain(
                at: table.node("minimum_version")?.position ?? position,
                "TLS \(oldestTLS.rawValue) is obsolete (NIST SP 800-52 r2)",
                fix: "raise minimum_version, or say legacy = true and pin the server's key"
            )
        }
        if legacy, trust != nil, trust?.pins.isEmpty ?? true {
            table.complain(
                at: table.node("legacy")?.position ?? position,
                "legacy is allowed only with a pin: old signatures can be forged",
                fix: "add pins = [\"sha256/...\"] to trust"
            )
        }
    }
}

extension Database.Timeouts {
    init(_ table: TableReader) {
        self.init()
        connect = table.duration("connect") ?? connect
        idle = table.duration("idle")
        table.finish()
    }
}

extension Database.Credentials {
    init?(_ table: TableReader) {
        let user = table.string("user")
        table.require("user", fix: "name the user that an audit logs in as")
        passwordFile = table.path("password_file")
        table.finish()
        guard let user else { return nil }
        guard (1...256).contains(user.value.utf8.count), !user.value.utf8.contains(0) else {
            table.complain(at: user.position, "user is no name of a database user", fix: "use 1 to 256 bytes")
            return nil
        }
        self.user = user
    }
}

extension DatabaseBinding {
    init?(_ table: TableReader, _ kind: Database.Kind?) {
        position = table.position
        let ip = table.string("ip")
        let port = table.integer("port", in: 1...65535)
        let path = table.path("unix")
        let mode = table.string("mode")
        certificates = table.certificates("certificate") ?? []
        loginOnly = table.boolean("login_only") ?? false
        acceptProxy = Self.acceptProxy(table)
        table.finish()
        guard let address = Self.address(table, ip, port, path, mode) else { return nil }
        self.address = address
        checkPlain(table, kind, ip)
    }

    private static func address(
        _ table: TableReader,
        _ ip: Located<String>?,
        _ port: Int?,
        _ path: Located<String>?,
        _ mode: Located<String>?
    ) -> Address? {
        if let path {
            guard ip == nil, table.node("port") == nil else {
                table.complain(at: path.position, "a binding has ip and port, or unix", fix: "drop one of the two")
                return nil
            }
            // sockaddr_un has room for 107 bytes and a NUL.
            guard path.value.hasPrefix("/"), path.value.utf8.count <= 107 else {
                table.complain(
                    at: path.position,
                    "\"\(path.value)\" is no path of a socket",
                    fix: "use an absolute path of at most 107 bytes"
                )
                return nil
            }
            guard let mode else { return .unix(path.value, mode: 0o666) }
            guard mode.value.utf8.count <= 4, let number = Int(mode.value, radix: 8), number >= 0, number <= 0o777,
                mode.value.utf8.allSatisfy({ (0x30...0x37).contains($0) })
            else {
                table.complain(at: mode.position, "mode \"\(mode.value)\" is none", fix: "write it like \"0660\"")
                return nil
            }
            return .unix(path.value, mode: number)
        }
        if let mode { table.complain(at: mode.position, "mode has a meaning with unix only", fix: "drop it") }
        table.require("port", fix: "say which port the application dials, like port = 1433")
        guard let port, let portNumber = UInt16(exactly: port) else { return nil }
        guard let ip else { return .tcp(ListenAddress(address: .ip(Self.loopback), port: portNumber)) }
        if ip.value == "*" { return .tcp(ListenAddress(address: .any, port: portNumber)) }
        guard let parsed = IPAddress(ip.value) else {
            table.complain(
                at: ip.position,
                "ip \"\(ip.value)\" is not an address",
                fix: "use 127.0.0.1, or another address of this host with a certificate"
            )
            return nil
        }
        return .tcp(ListenAddress(address: .ip(parsed), port: portNumber))
    }

    private static let loopback = IPAddress(four: 127, 0, 0, 1)

    /// Law 1: what is not encrypted stays on this host.
    private func checkPlain(_ table: TableReader, _ kind: Database.Kind?, _ ip: Located<String>?) {
        if certificates.isEmpty, !isLocal {
            table.complain(
                at: ip?.position ?? position,
                "\(ip?.value ?? "*") is not loopback: the application would speak to it in plain over the network",
                fix: "use ip = \"127.0.0.1\" or unix = \"/path\", or give the binding a certificate"
            )
        }
        guard loginOnly, let node = table.node("login_only") else { return }
        if kind != nil, kind != .tds {
            table.complain(at: node.position, "login_only has a meaning for protocol = \"tds\" only", fix: "drop it")
        } else if certificates.isEmpty {
            table.complain(at: node.position, "login_only needs a certificate", fix: "add certificate = \"NAME\"")
        } else if !isLocal {
            table.complain(
                at: node.position,
                "login_only leaves queries and results in plain, and this binding is not loopback",
                fix: "drop login_only, or use ip = \"127.0.0.1\""
            )
        }
    }
}
