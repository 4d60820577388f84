internal import Bytes
public import Platform
public import TLS

/// Looks at one binding from outside, as a client would.
public struct ClientHopAudit {
    /// What is looked at, and what it is measured by.
    public struct Subject {
        /// The site's name.
        public var site: String
        /// The binding as it is written.
        public var place: String
        /// Where it is dialled.
        public var addresses: [SocketAddress]
        /// The host name it is for; nil for an address's default.
        public var host: String?
        /// Whether clients have to show a certificate.
        public var demandsCertificate: Bool
        /// The one that is shown then; nil for none.
        public var identity: ServerIdentity?
        /// Whether suites beyond NIST's list were chosen by the configuration.
        public var allowsUnapproved: Bool
        /// Authorities that clients trust, as PEM; nil when this host has no such list.
        public var authorities: [UInt8]?
        /// Plain addresses of the site.
        public var plain: [SocketAddress]
        /// Keys of the certificates that the configuration gives the binding, as pins; empty when they are not known.
        public var pins: [String]
        /// What is expected at the beginning of a connection, at its addresses and at the plain ones.
        public var announcement: Announcement
        /// How it is with those of them that an authority issues.
        public var issuance: [Fact]

        /// A binding.
        public init(
            site: String,
            place: String,
            addresses: [SocketAddress],
            host: String?,
            demandsCertificate: Bool,
            identity: ServerIdentity?,
            allowsUnapproved: Bool,
            authorities: [UInt8]?,
            plain: [SocketAddress],
            pins: [String] = [],
            announcement: Announcement = .none,
            issuance: [Fact] = []
        ) {
            self.site = site
            self.place = place
            self.addresses = addresses
            self.host = host
            self.demandsCertificate = demandsCertificate
            self.identity = identity
            self.allowsUnapproved = allowsUnapproved
            self.authorities = authorities
            self.plain = plain
            self.pins = pins
            self.announcement = announcement
            self.issuance = issuance
        }
    }

    /// How long one connection may take, in milliseconds.
    private static let patience: UInt64 = 5000
    /// What sslyze and testssl.sh call short: 180 days, in seconds.
    private static let shortestMemory: UInt64 = 180 * 86_400

    private let subject: Subject
    /// Sent as SNI: of a wildcard, a name below it.
    private let name: String?

    /// An audit of one binding.
    public init(_ subject: Subject) {
        self.subject = subject
        name = subject.host.map { $0.hasPrefix("*.") ? "everyhop-audit" + $0.dropFirst() : $0 }
    }

    /// All that was found; never throws, since what cannot be looked at is a finding, too.
    public func report() -> HopReport {
        var facts: [Fact] = []
        var findings: [Finding] = []
        do {
            let probe = HelloProbe(
                subject.addresses,
                serverName: name,
                milliseconds: Self.patience,
                announcing: subject.announcement
            )
            let outcomes = try probe.outcomes()
            findings.append(.holds(.clientReachable, "\(subject.place) answers"))
            findings += versions(outcomes)
            let (chain, tls) = try look()
            if let tls {
                facts = [Fact("version", tls.version), Fact("cipher", tls.cipher), Fact("group", tls.group)]
                if let alpn = tls.alpn { facts.append(Fact("protocol", alpn)) }
            }
            findings.append(suites(outcomes, group: tls?.group))
            if let leaf = chain.first {
                let lifetime = Lifetime(leaf, now: Lifetime.now)
                facts += [Fact("key", leaf.keyType), Fact("pin", leaf.pin.description)]
                facts.append(Fact("valid until", CertificateEvidence.day(leaf.notAfter)))
                findings += [certificate(chain), expiry(leaf, lifetime), key(leaf)]
                findings.append(transportSecurity(leaf))
            }
            findings.append(plaintext())
            findings += subject.plain.map(redirect)
        } catch {
            findings.append(.notChecked(.clientReachable, "nothing could be asked at \(subject.place): \(error)"))
        }
        facts += subject.issuance
        return HopReport(kind: .client, name: subject.site, place: subject.place, facts: facts, findings: findings)
    }

    /// What one handshake tells.
    public func glance() -> Glance {
        var facts: [Fact] = []
        var findings: [Finding] = []
        var pin = Glance.Pin.unseen
        var leaf: CertificateFacts?
        do {
            let (chain, tls) = try look()
            findings.append(.holds(.clientReachable, "\(subject.place) answers"))
            if let tls {
                facts = [Fact("version", tls.version), Fact("cipher", tls.cipher), Fact("group", tls.group)]
                if let alpn = tls.alpn { facts.append(Fact("protocol", alpn)) }
            }
            leaf = chain.first
            if let leaf {
                pin =
                    subject.pins.isEmpty ? .unused : subject.pins.contains(leaf.pin.description) ? .matches : .mismatch
                findings += [shown(leaf, pin), expiry(leaf, Lifetime(leaf, now: Lifetime.now)), key(leaf)]
            }
        } catch {
            findings.append(.notChecked(.clientReachable, "no handshake with \(subject.place): \(error)"))
        }
        facts += subject.issuance
        let hop = HopReport(kind: .client, name: subject.site, place: subject.place, facts: facts, findings: findings)
        return Glance(hop, pin, leaf)
    }

    /// Whether the certificate is the binding's own.
    private func shown(_ leaf: CertificateFacts, _ pin: Glance.Pin) -> Finding {
        let evidence = CertificateEvidence.facts([leaf])
        if let misnamed = misnamed(leaf, evidence) { return misnamed }
        guard pin == .mismatch else { return .holds(.clientCertificate, "the binding's own certificate", evidence) }
        return another(evidence)
    }

    /// Whoever answers, it is not everyhop with this configuration.
    private func another(_ evidence: [Fact]) -> Finding {
        .fallsShort(
            .clientCertificate,
            "another certificate than the configuration names for this binding",
            remedy: "look for another program at this address, or reload after a renewal",
            evidence
        )
    }

    private func misnamed(_ leaf: CertificateFacts, _ evidence: [Fact]) -> Finding? {
        guard let host = subject.host, !leaf.names.contains(host), !leaf.covers(name ?? host) else { return nil }
        let names = (leaf.names + leaf.addresses).joined(separator: ", ")
        let remedy = "give the binding a certificate for \(host)"
        return .fallsShort(.clientCertificate, "the certificate is for \(names)", remedy: remedy, evidence)
    }

    private func look() throws -> ([CertificateFacts], TLSFacts?) {
        let connection = try ProbeConnection.first(
            of: subject.addresses,
            milliseconds: Self.patience,
            announcing: subject.announcement
        )
        let context = try ClientContext.inspecting(
            name: name,
            policy: .legacy,
            alpn: ["h2", "http/1.1"],
            stopsWhenAsked: subject.demandsCertificate
        )
        let secured = try connection.secure(context)
        return (secured.certificates, secured.facts)
    }

    func versions(_ outcomes: [HelloProbe.Outcome]) -> [Finding] {
        let evidence = outcomes.map { outcome in
            let refused = outcome.isUnknown ? outcome.lastAnswer : "refused: \(outcome.lastAnswer)"
            return Fact(outcome.version, outcome.isAccepted ? "accepted" : refused)
        }
        let old = outcomes.filter { $0.isForbidden && $0.isAccepted }.map(\.version)
        let spoken = outcomes.filter(\.isAccepted).map(\.version)
        if !old.isEmpty {
            return [
                .fallsShort(
                    .clientVersions,
                    "\(Self.list(old)) accepted",
                    remedy: "let everyhop serve this address, or switch off what is older than TLS 1.2",
                    evidence
                )
            ]
        }
        let unknown = outcomes.filter { $0.isUnknown && !$0.isAccepted }.map(\.version)
        guard unknown.isEmpty else {
            return [.notChecked(.clientVersions, "no answer in time to \(unknown.joined(separator: ", "))", evidence)]
        }
        // SP 800-52r2 §3.1 asks servers for TLS 1.3 from 2024 on.
        guard outcomes.contains(where: { $0.version == ProtocolVersion.tls13.name && $0.isAccepted }) else {
            let remedy = "switch on TLS 1.3"
            return [.fallsShort(.clientVersions, "TLS 1.3 is refused", remedy: remedy, evidence)]
        }
        return [.holds(.clientVersions, "only \(Self.list(spoken)) accepted", evidence)]
    }

    private static func list(_ names: [String]) -> String {
        names.joined(separator: " and ") + (names.count == 1 ? " is" : " are")
    }

    func suites(_ outcomes: [HelloProbe.Outcome], group: String?) -> Finding {
        var evidence = outcomes.filter(\.isAccepted).map { Fact($0.version, $0.suites.joined(separator: ", ")) }
        if let group { evidence.append(Fact("group", group)) }
        let weak = outcomes.flatMap(\.weak)
        if !weak.isEmpty {
            let list = weak.joined(separator: ", ")
            let remedy = "allow suites with ephemeral keys and AES-GCM only"
            return .fallsShort(.clientSuites, "weak suites are accepted: \(list)", remedy: remedy, evidence)
        }
        guard outcomes.contains(where: \.isAccepted), !outcomes.contains(where: \.isUnknown) else {
            return .notChecked(
                .clientSuites,
                "not every suite was answered for in time, or none was agreed on",
                evidence
            )
        }
        let unapproved = outcomes.flatMap(\.unapproved)
        if unapproved.isEmpty { return .holds(.clientSuites, "every suite is in SP 800-52r2", evidence) }
        let list = unapproved.joined(separator: ", ")
        if subject.allowsUnapproved {
            return .holds(.clientSuites, "every suite is strong; not in SP 800-52r2, by choice: \(list)", evidence)
        }
        let remedy = "set policy = \"nist-800-52r2\" in [tls]"
        return .fallsShort(.clientSuites, "suites that are not in SP 800-52r2: \(list)", remedy: remedy, evidence)
    }

    private func certificate(_ chain: [CertificateFacts]) -> Finding {
        let evidence = CertificateEvidence.facts(chain)
        guard let leaf = chain.first else { return .notChecked(.clientCertificate, "no certificate was shown") }
        if let misnamed = misnamed(leaf, evidence) { return misnamed }
        if !subject.pins.isEmpty, !subject.pins.contains(leaf.pin.description) { return another(evidence) }
        let names = (leaf.names + leaf.addresses).joined(separator: ", ")
        guard let authorities = subject.authorities else {
            return .notChecked(.clientCertificate, "this host has no list of authorities to verify the chain with")
        }
        do {
            let trust = ClientContext.Trust(authoritiesPEM: authorities, pins: [])
            let verified = name ?? leaf.names.first { !$0.hasPrefix("*") } ?? leaf.addresses.first
            let context = try ClientContext(trust: trust, name: verified, policy: .nist80052r2, alpn: [])
            _ = try ProbeConnection.first(
                of: subject.addresses,
                milliseconds: Self.patience,
                announcing: subject.announcement
            ).secure(context)
            return .holds(.clientCertificate, "the chain verifies, for \(names)", evidence)
        } catch TLSError.verification(let failure) {
            return .fallsShort(
                .clientCertificate,
                "clients cannot verify it: \(failure)",
                remedy: """
                    use a certificate of an authority that clients trust, its intermediates included; if clients have \
                    been given another authority, name it as clients_trust in [audit]
                    """,
                evidence
            )
        } catch { return .notChecked(.clientCertificate, "the chain could not be verified: \(error)", evidence) }
    }

    private func expiry(_ leaf: CertificateFacts, _ lifetime: Lifetime) -> Finding {
        let evidence = [Fact("valid until", CertificateEvidence.day(leaf.notAfter))]
        let statement = "the certificate \(lifetime.text)"
        if lifetime.isExpired || lifetime.isYetToCome || lifetime.isEnding {
            return .fallsShort(.clientExpiry, statement, remedy: "renew it", evidence)
        }
        return .holds(.clientExpiry, statement, evidence)
    }

    private func key(_ leaf: CertificateFacts) -> Finding {
        let evidence = [Fact("key", leaf.keyType), Fact("signature", leaf.signature)]
        if let weakness = CertificateEvidence.weakness(leaf) {
            let remedy = "get a certificate with ECDSA P-256, or RSA of 2048 bits or more, signed with SHA-256"
            return .fallsShort(.clientKey, weakness, remedy: remedy, evidence)
        }
        return .holds(.clientKey, "\(leaf.keyType), signed with \(leaf.signature)", evidence)
    }

    private func transportSecurity(_ leaf: CertificateFacts) -> Finding {
        if subject.demandsCertificate, subject.identity == nil {
            let reason = "the binding asks clients for a certificate: name one as client_certificate in [audit]"
            return .notChecked(.clientTransportSecurity, reason)
        }
        do {
            // The key that was just seen, whatever the certificate is worth otherwise.
            let trust = ClientContext.Trust(authoritiesPEM: nil, pins: [leaf.pin])
            let context = try ClientContext(
                trust: trust,
                name: name,
                identity: subject.identity,
                policy: .legacy,
                alpn: ["http/1.1"]
            )
            let connection = try ProbeConnection.first(
                of: subject.addresses,
                milliseconds: Self.patience,
                announcing: subject.announcement
            )
            _ = try connection.secure(context)
            guard case .response(let response) = try ProbeRequest(host: hostField).ask(connection) else {
                return .notChecked(.clientTransportSecurity, "the binding gave no answer in HTTP")
            }
            let seen = response.field("strict-transport-security")
            let evidence = [Fact("status", "\(response.status)"), Fact("Strict-Transport-Security", seen ?? "none")]
            let age = seen.flatMap(Self.maximumAge) ?? 0
            let remedy = "set hsts = { max_age = \"365d\" } for the site"
            if age == 0 {
                let statement = "browsers are not told to come by https only"
                return .fallsShort(.clientTransportSecurity, statement, remedy: remedy, evidence)
            }
            if age < Self.shortestMemory {
                let statement = "browsers forget it after \(age / 86_400) days"
                return .fallsShort(.clientTransportSecurity, statement, remedy: remedy, evidence)
            }
            return .holds(.clientTransportSecurity, "browsers keep to https for \(age / 86_400) days", evidence)
        } catch { return .notChecked(.clientTransportSecurity, "the binding gave no answer: \(error)") }
    }

    /// What the Host field says.
    private var hostField: String {
        guard let port = subject.addresses.first?.port, port != 443 else { return name ?? "localhost" }
        return "\(name ?? "localhost"):\(port)"
    }

    /// The first max-age of the field (RFC 6797 §6.1.1), in seconds.
    static func maximumAge(_ field: String) -> UInt64? {
        for directive in field.split(separator: ";") {
            let parts = directive.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " && $0 != "\"" } }
            guard parts.count == 2, parts[0].lowercased() == "max-age" else { continue }
            return ASCII.decimal(Array(parts[1].utf8).span)
        }
        return nil
    }

    private func plaintext() -> Finding {
        do {
            let connection = try ProbeConnection.first(
                of: subject.addresses,
                milliseconds: Self.patience,
                announcing: subject.announcement
            )
            let answer = try ProbeRequest(host: hostField).ask(connection)
            return PlainAnswer(answer, isPortOfTLS: true).finding(
                .clientPlaintext,
                place: subject.place,
                remedy: "let nothing but TLS be spoken at this address"
            )
        } catch { return .notChecked(.clientPlaintext, "a plain request got no answer: \(error)") }
    }

    private func redirect(_ address: SocketAddress) -> Finding {
        do {
            let connection: ProbeConnection
            do {
                connection = try ProbeConnection(
                    to: address,
                    milliseconds: Self.patience,
                    announcing: subject.announcement
                )
            } catch let failure as ProbeFailure where failure.isRefusal {
                let evidence = [Fact("answer", "\(failure)")]
                return .holds(.clientRedirect, "nothing listens in plain at \(address)", evidence)
            }
            let answer = try ProbeRequest(host: name ?? "localhost").ask(connection)
            return PlainAnswer(answer, isPortOfTLS: false).finding(
                .clientRedirect,
                place: "\(address)",
                remedy: "let it only redirect to https: redirect = [\"\(address)\"] for the site"
            )
        } catch { return .notChecked(.clientRedirect, "a plain request to \(address) got no answer: \(error)") }
    }
}
