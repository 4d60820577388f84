public import Database
public import Platform

/// Looks at a database server as everyhop reaches it, at what the application dials, and at what the server lets in.
public struct DatabaseHopAudit {
    /// What the application dials.
    public struct Door {
        /// As the configuration writes it.
        public var place: String
        /// Where it is dialled.
        public var addresses: [SocketAddress]
        /// Whether only this host can reach it.
        public var isLocal: Bool
        /// Whether the application's side has a certificate.
        public var hasCertificate: Bool
        /// What is expected at the beginning of a connection.
        public var announcement: Announcement

        /// A binding of a database.
        public init(
            place: String,
            addresses: [SocketAddress],
            isLocal: Bool,
            hasCertificate: Bool,
            announcement: Announcement = .none
        ) {
            self.place = place
            self.addresses = addresses
            self.isLocal = isLocal
            self.hasCertificate = hasCertificate
            self.announcement = announcement
        }
    }

    private static let patience: UInt64 = 5000

    /// The database's name.
    public let name: String
    private let kind: ServerOpening.Kind
    private let server: TrustedServer
    private let doors: [Door]
    private let asking: (user: String, catalog: String)
    private let insists: (() throws -> Bool)?

    /// An audit of one database.
    ///
    /// - Parameters:
    ///   - asking: in whose name, and for which database, an unencrypted login is asked for.
    ///   - insists: asks the server, logged in over TLS, whether it insists on encryption; nil where nobody may.
    public init(
        name: String,
        kind: ServerOpening.Kind,
        server: TrustedServer,
        doors: [Door],
        asking: (user: String, catalog: String),
        insists: (() throws -> Bool)? = nil
    ) {
        self.name = name
        self.kind = kind
        self.server = server
        self.doors = doors
        self.asking = asking
        self.insists = insists
    }

    /// All that was found; never throws, since what cannot be looked at is a finding, too.
    public func report() -> HopReport {
        var look = self.look()
        if look.isReachable { look.findings.append(plaintext()) }
        look.findings += doors.map(door)
        return report(look)
    }

    /// What one handshake with the server tells: nothing is asked in plain, and what the application dials is left alone,
    /// since a session would begin there.
    public func glance() -> Glance {
        let look = self.look()
        return Glance(report(look), look.pin, look.leaf)
    }

    /// Whether the server refuses hosts whose connections end before a login too often in a row.
    ///
    /// MySQL and MariaDB do (`max_connect_errors`), and every look is such a connection.
    public var countsLooks: Bool { kind == .mysql }

    private func look() -> ServerChecks.Look {
        if let context = server.context { return ServerChecks.database.look(at: server, context, kind) }
        let reason = "nothing says how the server is verified"
        return ServerChecks.Look(findings: [.notChecked(.databaseTrust, reason)])
    }

    private func report(_ look: ServerChecks.Look) -> HopReport {
        HopReport(kind: .database, name: name, place: server.place, facts: look.facts, findings: look.findings)
    }

    private func door(_ door: Door) -> Finding {
        let answers: Fact
        do {
            _ = try ProbeConnection.first(
                of: door.addresses,
                milliseconds: Self.patience,
                announcing: door.announcement
            )
            answers = Fact("connection", "taken")
        } catch { return .notChecked(.databaseBinding, "nothing answers at \(door.place): \(error)") }
        if door.hasCertificate {
            return .holds(.databaseBinding, "the application may speak TLS to \(door.place)", [answers])
        }
        guard door.isLocal else {
            let remedy = "give the binding a certificate, or a loopback address"
            return .fallsShort(.databaseBinding, "plain from another host to \(door.place)", remedy: remedy, [answers])
        }
        let statement = "the application dials \(door.place) in plain, which never leaves this host"
        return .holds(.databaseBinding, statement, [answers])
    }

    /// Asks without logging in.
    private func plaintext() -> Finding {
        let evidence = [Fact("asked as", "user \(asking.user), database \(asking.catalog)")]
        do {
            let connection = try ProbeConnection.first(
                of: server.addresses,
                milliseconds: Self.patience,
                announcing: server.announcement
            )
            switch try ask(connection) {
            case .accepts(let said):
                return .fallsShort(
                    .databasePlaintext,
                    "the server lets others log in without encryption: \(said)",
                    remedy: remedy,
                    evidence + [Fact("answer", said)]
                )
            case .refuses(let said): return try refused(evidence + [Fact("answer", said)])
            case .unclear(let said): return inside(said, evidence)
            case .read, .send: return .notChecked(.databasePlaintext, "the server sends without end", evidence)
            }
        } catch {
            return .notChecked(.databasePlaintext, "no unencrypted login could be asked for: \(error)", evidence)
        }
    }

    /// Asks until there is an answer; a question that is left says that the server goes on without end.
    private func ask(_ connection: ProbeConnection) throws -> PlainLogin.Step {
        var question = PlainLogin(kind, user: asking.user, catalog: asking.catalog)
        var received: [UInt8] = []
        var isEnd = false
        while received.count <= Negotiation.mostBytes {
            switch question.next(received.span, isEnd: isEnd) {
            case .send(let bytes): try connection.send(bytes)
            case .read:
                let more: [UInt8]
                // A reset is a refusal, too.
                do { more = try connection.receive() } catch is Errno { more = [] }
                isEnd = more.isEmpty
                received += more
            case let answer: return answer
            }
        }
        return .read
    }

    /// PostgreSQL decides by user and database: only where the same ones come further over TLS was it for want of it.
    private func refused(_ evidence: [Fact]) throws -> Finding {
        let refusal = "the server refuses a login without encryption"
        guard kind == .postgres else { return .holds(.databasePlaintext, refusal, evidence) }
        guard let context = server.context else {
            return .notChecked(.databasePlaintext, "\(refusal), but nothing says how to ask over TLS", evidence)
        }
        let connection = try ProbeConnection.first(
            of: server.addresses,
            milliseconds: Self.patience,
            announcing: server.announcement
        )
        _ = try connection.secure(context, form: try connection.open(kind))
        switch try ask(connection) {
        case .accepts(let said):
            return .holds(.databasePlaintext, refusal, evidence + [Fact("answer over TLS", said)])
        case .refuses(let said), .unclear(let said):
            let reason = "\(refusal), but this user over TLS, too: name one that it lets in as credentials"
            return .notChecked(.databasePlaintext, reason, evidence + [Fact("answer over TLS", said)])
        case .read, .send: return .notChecked(.databasePlaintext, "the server sends without end", evidence)
        }
    }

    /// What a server does not say to strangers it says to those who may log in, over TLS.
    private func inside(_ said: String, _ evidence: [Fact]) -> Finding {
        guard let insists else {
            let fix = kind == .mysql ? "; with credentials for the [[database]], it is asked over TLS" : ""
            return .notChecked(.databasePlaintext, "\(said)\(fix)", evidence)
        }
        do {
            let isOn = try insists()
            let seen = evidence + [Fact("require_secure_transport", isOn ? "ON" : "OFF")]
            if isOn { return .holds(.databasePlaintext, "the server insists on encryption", seen) }
            let statement = "the server lets others log in without encryption"
            return .fallsShort(.databasePlaintext, statement, remedy: remedy, seen)
        } catch { return .notChecked(.databasePlaintext, "\(said); asked over TLS: \(error)", evidence) }
    }

    private var remedy: String {
        switch kind {
        case .tds, .strict: "set ForceEncryption to Yes in SQL Server Configuration Manager"
        case .postgres: "replace `host` by `hostssl` in pg_hba.conf, and reload"
        case .mysql: "set require_secure_transport = ON, in the option file, too"
        }
    }
}
