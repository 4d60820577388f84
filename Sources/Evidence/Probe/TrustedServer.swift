internal import Database
public import Platform
public import TLS

/// A server as the configuration trusts it, looked at with the very context that traffic would use.
public struct TrustedServer {
    /// Where it is dialled.
    public var addresses: [SocketAddress]
    /// As the configuration writes it.
    public var place: String
    /// The name that is sent and verified.
    public var name: String?
    /// The trust; nil when it is spoken to in plain inside this host.
    public var context: ClientContext?
    /// Whether authority and name are verified.
    public var verifiesAuthority: Bool
    /// The pins that are trusted, as they are written.
    public var pins: [String]
    /// What it expects at the beginning of a connection.
    public var announcement: Announcement

    /// A server.
    public init(
        addresses: [SocketAddress],
        place: String,
        name: String?,
        context: ClientContext?,
        verifiesAuthority: Bool,
        pins: [String],
        announcement: Announcement = .none
    ) {
        self.addresses = addresses
        self.place = place
        self.name = name
        self.context = context
        self.verifiesAuthority = verifiesAuthority
        self.pins = pins
        self.announcement = announcement
    }
}

/// The checks that are the same for every server behind TLS.
struct ServerChecks {
    /// Which checks they are on this kind of hop.
    let reachable: Check
    let trust: Check
    let backupPin: Check
    let version: Check
    let expiry: Check

    static let app = ServerChecks(
        reachable: .appReachable,
        trust: .appTrust,
        backupPin: .appBackupPin,
        version: .appVersion,
        expiry: .appExpiry
    )
    static let database = ServerChecks(
        reachable: .databaseReachable,
        trust: .databaseTrust,
        backupPin: .databaseBackupPin,
        version: .databaseVersion,
        expiry: .databaseExpiry
    )

    /// What a look at a server came to.
    struct Look {
        var facts: [Fact] = []
        var findings: [Finding] = []
        /// Whether a connection could be made at all.
        var isReachable = true
        /// The server's certificate, trusted or not.
        var leaf: CertificateFacts?
        /// How its key compares with what is pinned.
        var pin = Glance.Pin.unseen
    }

    /// Dials, says what comes before TLS, and shakes hands.
    func look(at server: TrustedServer, _ context: ClientContext, _ opening: ServerOpening.Kind?) -> Look {
        var look = Look()
        let connection: ProbeConnection
        do {
            connection = try ProbeConnection.first(
                of: server.addresses,
                milliseconds: 5000,
                announcing: server.announcement
            )
            look.findings.append(.holds(reachable, "\(server.place) answers"))
        } catch {
            look.isReachable = false
            look.findings.append(.notChecked(reachable, "the server could not be reached: \(error)"))
            return look
        }
        do {
            let form = try opening.map { try connection.open($0) } ?? .direct
            let secured = try connection.secure(context, form: form)
            trusted(server, secured, &look)
        } catch TLSError.verification(let failure) {
            let evidence = chain(server, opening, &look)
            look.findings.append(
                .fallsShort(
                    trust,
                    "the server is not the one that is trusted: \(failure)",
                    remedy: "compare `everyhop pin` with what its administrator says, then change pins or authority",
                    evidence
                )
            )
        } catch let error as TLSError {
            let evidence = chain(server, opening, &look)
            look.findings.append(
                .fallsShort(
                    version,
                    "no TLS that the policy allows: \(error)",
                    remedy: "let the server speak TLS 1.2 or 1.3 with suites of SP 800-52r2",
                    evidence
                )
            )
        } catch let error as ProbeFailure where error != .late {
            let remedy = "let the server offer TLS"
            look.findings.append(.fallsShort(version, error.description, remedy: remedy))
        } catch { look.findings.append(.notChecked(version, "the handshake could not be made: \(error)")) }
        return look
    }

    private func trusted(_ server: TrustedServer, _ secured: ProbeConnection.Secured, _ look: inout Look) {
        guard let tls = secured.facts else {
            look.findings.append(.notChecked(version, "the handshake ended, and nothing is known of it"))
            return
        }
        look.leaf = secured.certificates.first
        look.pin = tls.pinMatched ? .matches : .unused
        look.facts += [Fact("version", tls.version), Fact("cipher", tls.cipher), Fact("group", tls.group)]
        if let alpn = tls.alpn { look.facts.append(Fact("protocol", alpn)) }
        var how: [String] = []
        if server.verifiesAuthority { how.append("authority and name") }
        if let pin = tls.peerPin { how.append("pin \(pin)") }
        let evidence = CertificateEvidence.facts(secured.certificates)
        look.findings.append(.holds(trust, "verified by \(how.joined(separator: " and "))", evidence))
        look.facts.append(Fact("verified by", how.joined(separator: " and ")))
        look.findings.append(backup(server, seen: tls.peerPin?.description))
        look.findings.append(spoken(tls))
        guard let leaf = secured.certificates.first else { return }
        look.facts.append(Fact("valid until", CertificateEvidence.day(leaf.notAfter)))
        look.findings.append(expiry(leaf, isPinned: !server.verifiesAuthority))
    }

    /// Without a spare, the hop is refused from the moment that the server's key changes: safe, but down.
    private func backup(_ server: TrustedServer, seen: String?) -> Finding {
        let evidence = server.pins.map { Fact($0 == seen ? "pin that matched" : "other pin", $0) }
        switch server.pins.count {
        case 0: return .holds(backupPin, "no pin is used: another certificate of the authority is trusted, too")
        case 1:
            let statement =
                "one pin and no spare: when the server's key changes, the hop is refused until it is changed"
            return .holds(backupPin, statement, evidence)
        default: return .holds(backupPin, "\(server.pins.count) pins stand side by side", evidence)
        }
    }

    private func spoken(_ tls: TLSFacts) -> Finding {
        let evidence = [Fact("version", tls.version), Fact("cipher", tls.cipher), Fact("group", tls.group)]
        let statement = "\(tls.version) with \(tls.cipher)"
        guard tls.version == "TLSv1.3" || tls.version == "TLSv1.2" else {
            let remedy = "renew the server; SP 800-52r2 forbids what is older than TLS 1.2"
            return .fallsShort(version, statement, remedy: remedy, evidence)
        }
        return .holds(version, statement, evidence)
    }

    /// A pin trusts the key alone: then the dates decide nothing.
    private func expiry(_ leaf: CertificateFacts, isPinned: Bool) -> Finding {
        let lifetime = Lifetime(leaf, now: Lifetime.now)
        let evidence = [Fact("valid until", CertificateEvidence.day(leaf.notAfter))]
        let statement = "the certificate \(lifetime.text)"
        guard lifetime.isExpired || lifetime.isYetToCome || lifetime.isEnding else {
            return .holds(expiry, statement, evidence)
        }
        if isPinned { return .holds(expiry, "\(statement), but its key is pinned: dates do not decide", evidence) }
        return .fallsShort(expiry, statement, remedy: "renew it before the hop is refused", evidence)
    }

    /// What a server shows that is not trusted, for the eye.
    private func chain(_ server: TrustedServer, _ opening: ServerOpening.Kind?, _ look: inout Look) -> [Fact] {
        do {
            let connection = try ProbeConnection.first(
                of: server.addresses,
                milliseconds: 5000,
                announcing: server.announcement
            )
            let form = try opening.map { try connection.open($0) } ?? .direct
            let context = try ClientContext.inspecting(
                name: server.name,
                policy: .legacy,
                alpn: opening?.alpn ?? [],
                newest: form == .enveloped ? .tls12 : nil
            )
            let secured = try connection.secure(context, form: form)
            look.leaf = secured.certificates.first
            if let leaf = look.leaf, !server.pins.isEmpty {
                look.pin = server.pins.contains(leaf.pin.description) ? .matches : .mismatch
            }
            let spoken = secured.facts.map { [Fact("version", $0.version), Fact("cipher", $0.cipher)] } ?? []
            return spoken + CertificateEvidence.facts(secured.certificates)
        } catch { return [Fact("a look without trust", "\(error)")] }
    }
}
