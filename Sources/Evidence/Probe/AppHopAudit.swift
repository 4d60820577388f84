public import Platform

/// Looks at one server of an upstream, as everyhop reaches it, and at what else it answers.
public struct AppHopAudit {
    private static let patience: UInt64 = 5000

    private let upstream: String
    private let server: TrustedServer
    private let alsoPlain: [SocketAddress]

    /// An audit of one server.
    ///
    /// - Parameters:
    ///   - upstream: the upstream's name.
    ///   - alsoPlain: the server's addresses at the usual plain ports.
    public init(upstream: String, server: TrustedServer, alsoPlain: [SocketAddress]) {
        self.upstream = upstream
        self.server = server
        self.alsoPlain = alsoPlain
    }

    /// All that was found; never throws, since what cannot be looked at is a finding, too.
    public func report() -> HopReport {
        var look = self.look()
        if server.context != nil, look.isReachable { look.findings.append(plaintext()) }
        return report(look)
    }

    /// What one handshake tells.
    public func glance() -> Glance {
        let look = self.look()
        return Glance(report(look), look.pin, look.leaf)
    }

    private func look() -> ServerChecks.Look {
        server.context.map { ServerChecks.app.look(at: server, $0, nil) } ?? inHost()
    }

    private func report(_ look: ServerChecks.Look) -> HopReport {
        HopReport(kind: .app, name: upstream, place: server.place, facts: look.facts, findings: look.findings)
    }

    /// The last step inside this host is plain by choice; the loader has refused any other.
    private func inHost() -> ServerChecks.Look {
        var look = ServerChecks.Look(facts: [Fact("version", "plain, inside this host")])
        let places = server.addresses.map(\.description).joined(separator: ", ")
        guard server.addresses.allSatisfy(\.isLocal) else {
            let remedy = "remove plaintext = true, and say how the server is verified"
            look.findings.append(.fallsShort(.appPlaintext, "plain to another host: \(places)", remedy: remedy))
            return look
        }
        do {
            _ = try ProbeConnection.first(
                of: server.addresses,
                milliseconds: Self.patience,
                announcing: server.announcement
            )
            look.findings.append(.holds(.appReachable, "\(server.place) answers"))
            look.findings.append(.holds(.appPlaintext, "plain, but it never leaves this host: \(places)"))
        } catch {
            look.isReachable = false
            look.findings.append(.notChecked(.appReachable, "the server could not be reached: \(error)"))
        }
        return look
    }

    /// At the same port, and at the usual plain ones.
    private func plaintext() -> Finding {
        var evidence: [Fact] = []
        var open: [String] = []
        var unclear: [String] = []
        let ports = server.addresses.map { ($0, true) } + alsoPlain.map { ($0, false) }
        for (address, isPortOfTLS) in ports {
            let connection: ProbeConnection
            let announcing = isPortOfTLS ? server.announcement : .none
            do {
                connection = try ProbeConnection(to: address, milliseconds: Self.patience, announcing: announcing)
            } catch {
                evidence.append(Fact("plain to \(address)", "\(error)"))
                // A port that a firewall keeps silent about is closed to this host, too.
                let isClosed = (error as? ProbeFailure).map { $0.isRefusal || $0 == .late } ?? false
                if !isClosed { unclear.append("\(address)") }
                continue
            }
            do {
                let answer = PlainAnswer(
                    try ProbeRequest(host: server.name ?? "localhost").ask(connection),
                    isPortOfTLS: isPortOfTLS
                )
                if case .served = answer.meaning { open.append("\(address)") }
                if case .unclear = answer.meaning { unclear.append("\(address)") }
                evidence.append(Fact("plain to \(address)", answer.said))
            } catch {
                // Taken, and not answered in time: what else it would have said is not known.
                unclear.append("\(address)")
                evidence.append(Fact("plain to \(address)", "\(error)"))
            }
        }
        guard open.isEmpty else {
            return .fallsShort(
                .appPlaintext,
                "the server also answers in plain at \(open.joined(separator: ", "))",
                remedy: "close the port, or let it only redirect to https",
                evidence
            )
        }
        guard unclear.isEmpty else {
            let list = unclear.joined(separator: ", ")
            return .notChecked(.appPlaintext, "nothing is known of what it answers in plain at \(list)", evidence)
        }
        return .holds(.appPlaintext, "the server answers nothing in plain", evidence)
    }
}
