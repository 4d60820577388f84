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

        /// A binding of a database.
        public init(place: String, addresses: [SocketAddress], isLocal: Bool, hasCertificate: Bool) {
            self.place = place
            self.addresses = addresses
            self.isLocal = isLocal
            self.hasCertificate = hasCertificate
        }
    }

    private static let patience: UInt64 = 5000

    private let name: String
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
        var look = ServerChecks.Look()
        if let context = server.context {
            look = ServerChecks.database.look(at: server, context, kind)
        } else {
            look.findings.append(.notChecked(.databaseTrust, "nothing says how the server is verified"))
        }
        if look.isReachable { look.findings.append(plaintext()) }
        look.findings += doors.map(door)
        return HopReport(
            kind: .database,
            name: name,
            place: server.place,
            facts: look.facts,
            findings: look.findings
        )
    }

    private func door(_ door: Door) -> Finding {
        let answers: Fact
        do {
            _ = try ProbeConnection.first(of: door.addresses, milliseconds: Self.patience)
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
            let connection = try ProbeConnection.first(of: server.addresses, milliseconds: Self.patience)
            var question = PlainLogin(kind, user: asking.user, catalog: asking.catalog)
            var received: [UInt8] = []
            var isEnd = false
            while true {
                switch question.next(received.span, isEnd: isEnd) {
                case .send(let bytes): try connection.send(bytes)
                case .read:
                    let more: [UInt8]
                    // A reset is a refusal, too.
                    do { more = try connection.receive() } catch is Errno { more = [] }
                    isEnd = more.isEmpty
                    received += more
                    guard received.count <= Negotiation.mostBytes else {
                        return .notChecked(.databasePlaintext, "the server sends without end", evidence)
                    }
                case .accepts(let said):
                    return .fallsShort(
                        .databasePlaintext,
                        "the server lets others log in without encryption: \(said)",
                        remedy: remedy,
                        evidence + [Fact("answer", said)]
                    )
                case .refuses(let said):
                    let statement = "the server refuses a login without encryption"
                    return .holds(.databasePlaintext, statement, evidence + [Fact("answer", said)])
                case .unclear(let said): return inside(said, evidence)
                }
            }
        } catch {
            return .notChecked(.databasePlaintext, "no unencrypted login could be asked for: \(error)", evidence)
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
