import Config
import Database
import Platform
import TLS
import Telemetry

/// What a worker does for database sessions, and what it writes down about them.
extension Worker {
    /// A session was refused, or its server failed; a failure of trust is counted and logged apart.
    func refused(_ session: DatabaseSession, _ reason: NegotiationFailure, isTrust: Bool) {
        let index = session.target.index
        switch reason.side {
        case .client: metrics.add(.refused, database: index)
        case .server: metrics.add(.failures, database: index)
        }
        if isTrust {
            metrics.add(.verificationFailures, database: index)
            metrics.add(.upstreamVerificationFailures)
            noteRefusal(
                HopRefusal(
                    hop: .database,
                    name: session.target.settings.name,
                    peer: "\(session.target.settings.server.value)",
                    reason: reason.reason
                )
            )
        }
        log.database(session.target.settings.name, session.peer, reason.reason, isTrust: isTrust)
    }

    /// Writes the line of a session that has ended, with the TLS of both sides; no query, no password, no result.
    func record(_ session: DatabaseSession) {
        accessLog?.append { line in
            line.field("time_ms", Clock.unixMicroseconds() / 1000)
            line.field("database", session.target.settings.name)
            line.field("protocol", session.target.settings.kind.rawValue)
            line.field("client", session.peer.host)
            line.field("client_port", UInt64(session.peer.port))
            if let balancer = session.origin.balancer { line.field("passed_on_by", balancer.host) }
            if let user = session.negotiation.user { line.field("user", user) }
            line.field("established", session.times.established > 0)
            line.field("bytes_in", session.bytes.toServer)
            line.field("bytes_out", session.bytes.toClient)
            line.field("total_us", nowMicroseconds &- session.acceptedAt)
            Self.times(session, &line)
            if let facts = session.clientFacts {
                line.field("tls_version", facts.version)
                line.field("tls_cipher", facts.cipher)
                line.field("tls_group", facts.group)
                line.field("tls_resumed", facts.resumed)
            }
            if let address = session.serverAddress { line.field("server", address.description) }
            if let facts = session.serverFacts {
                line.field("server_tls_version", facts.version)
                line.field("server_tls_cipher", facts.cipher)
                line.field("server_tls_group", facts.group)
                line.field("server_tls_resumed", facts.resumed)
                line.field("server_pin_matched", facts.pinMatched)
                if session.target.settings.legacy { line.field("server_legacy", true) }
            }
            if let failure = session.failure { line.field("error", failure) }
        }
    }

    private static func times(_ session: DatabaseSession, _ line: inout JSONLine) {
        let times = session.times
        if times.verified > 0 { line.field("connect_us", times.verified &- times.dialled) }
        if times.established > 0 { line.field("login_us", times.established &- session.acceptedAt) }
    }

    /// An exchange has changed to another protocol: like a database session it may outlive a reload.
    func tunnelBegan() {
        sessions += 1
        metrics.add(.tunnels)
        metrics.add(.tunnelsActive)
    }

    func tunnelEnded() {
        sessions -= 1
        metrics.add(.tunnelsActive, -1)
    }
}
