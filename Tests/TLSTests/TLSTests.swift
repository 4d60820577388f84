import Bytes
import Glibc
import Platform
import TLS
import Testing

/// Both ends of a TLS connection over a socket pair, in one thread.
final class Ends {
    var server: TLSConnection
    var client: TLSConnection
    private let first: FileDescriptor
    private let second: FileDescriptor
    var fromClient = ByteQueue(pool: BufferPool())
    var fromServer = ByteQueue(pool: BufferPool())

    init(_ table: ServerNameTable, _ context: ClientContext) throws {
        var pair = try ControlChannel.pair()
        first = pair.takeFirst()
        second = pair.takeSecond()
        _ = fcntl(first.raw, F_SETFL, O_NONBLOCK)
        _ = fcntl(second.raw, F_SETFL, O_NONBLOCK)
        server = try TLSConnection(accepting: table, descriptor: first.raw)
        client = try TLSConnection(connecting: context, endpoint: 0, descriptor: second.raw)
    }

    /// Lets both sides shake hands; throws what the client's side says, or else the server's.
    func shakeHands() throws {
        var serverError: TLSError?
        for _ in 0..<50 {
            let clientDone = try client.handshake() == .done
            do {
                let serverDone = try server.handshake() == .done
                if clientDone && serverDone { return }
            } catch { serverError = error }
        }
        if let serverError { throw serverError }
        throw TLSError.closed
    }

    /// One byte each way, so that tickets arrive.
    func exchange() throws {
        _ = try server.write([1].span)
        for _ in 0..<10 { if case .bytes = try client.read(into: &fromServer) { return } }
    }

    var clientFacts: TLSFacts? { client.facts }
    var serverFacts: TLSFacts? { server.facts }
    var seenCertificates: [CertificateFacts] { client.peerCertificates() }

    func sayGoodbye() {
        client.shutdown()
        server.shutdown()
    }
}

@Suite("TLS") struct TLSTests {
    let authority: CertificateMaker.Issued
    let tickets: TicketKeys

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        authority = try CertificateMaker.authority(name: "test authority")
        tickets = try TicketKeys()
    }

    private func table(
        _ issued: CertificateMaker.Issued...,
        policy: TLSPolicy = .nist80052r2,
        host: String? = nil,
        alpn: [String] = ["http/1.1"],
        tickets: TicketKeys? = nil
    ) throws -> ServerNameTable {
        let table = try ServerNameTable(policy: policy)
        let identities = try issued.map { try ServerIdentity(chainPEM: $0.certificatePEM, keyPEM: $0.keyPEM) }
        table.add(
            try ServerContext(
                identities: identities,
                policy: policy,
                alpn: alpn,
                tickets: tickets ?? self.tickets,
                tag: 7
            ),
            host: host
        )
        return table
    }

    private func context(
        ca: Bool = true,
        pins: [CertificateMaker.Issued] = [],
        name: String? = "app.internal",
        policy: TLSPolicy = .nist80052r2,
        alpn: [String] = ["http/1.1"]
    ) throws -> ClientContext {
        try ClientContext(
            trust: .init(
                authoritiesPEM: ca ? authority.certificatePEM : nil,
                pins: try pins.map { try CertificateFacts.read(pem: $0.certificatePEM)[0].pin }
            ),
            name: name,
            policy: policy,
            alpn: alpn
        )
    }

    private func issue(_ names: String..., from: Int = 0, days: Int = 30, key: CertificateMaker.KeyKind = .ecdsa) throws
        -> CertificateMaker.Issued
    {
        try CertificateMaker.issue(names: names, by: authority, key: key, validFrom: from, days: days)
    }

    private func failure(_ table: ServerNameTable, _ context: ClientContext) throws -> TLSError? {
        let ends = try Ends(table, context)
        do {
            try ends.shakeHands()
            return nil
        } catch let error as TLSError { return error }
    }

    @Test func `authority, name and pin hold together`() throws {
        let app = try issue("app.internal")
        let ends = try Ends(try table(app), try context(pins: [app]))
        try ends.shakeHands()
        let seen = ends.clientFacts
        let facts = try #require(seen)
        #expect(facts.version == "TLSv1.3" && facts.cipher == "TLS_AES_128_GCM_SHA256" && facts.pinMatched)
        #expect(facts.group.lowercased().contains("x25519"))
        #expect(ends.serverFacts?.bindingTag == 7 && ends.serverFacts?.serverName == "app.internal")
        #expect(ends.serverFacts?.alpn == "http/1.1")
    }

    @Test func `every failure names its reason`() throws {
        let app = try issue("app.internal")
        let other = try issue("app.internal")
        #expect(try failure(table(try issue("app.internal", from: -9, days: 3)), context()) == .verification(.expired))
        #expect(try failure(table(try issue("app.internal", from: 3)), context()) == .verification(.notYetValid))
        #expect(
            try failure(table(try issue("b.example", "192.0.2.1")), context())
                == .verification(.wrongName(expected: "app.internal", seen: ["b.example", "192.0.2.1"]))
        )
        let stranger = try CertificateMaker.issue(
            names: ["app.internal"],
            by: CertificateMaker.authority(name: "stranger")
        )
        #expect(try failure(table(stranger), context()) == .verification(.unknownAuthority))
        let seen = try CertificateFacts.read(pem: other.certificatePEM)[0].pin.description
        #expect(try failure(table(other), context(pins: [app])) == .verification(.pinMismatch(seen: seen)))
        #expect(try failure(table(other), context(ca: false, pins: [app])) == .verification(.pinMismatch(seen: seen)))
    }

    @Test func `an address is verified as an address`() throws {
        #expect(try failure(table(try issue("192.0.2.1")), context(name: "192.0.2.1")) == nil)
        #expect(try failure(table(try issue("192.0.2.2")), context(name: "192.0.2.1")) != nil)
    }

    @Test func `a pin alone trusts the key, whatever else the certificate says`() throws {
        let old = try CertificateMaker.selfSigned(names: ["x"], validFrom: -9, days: 3)
        #expect(try failure(table(old), context(ca: false, pins: [old])) == nil)
    }

    @Test func `a context without any trust cannot be made`() throws {
        #expect(throws: TLSError.self) { try self.context(ca: false) }
    }

    @Test func `a session resumes, across contexts that share ticket keys, and after one rotation`() throws {
        let app = try issue("app.internal")
        let client = try context(pins: [app])
        let first = try Ends(try table(app), client)
        try first.shakeHands()
        try first.exchange()
        #expect(first.clientFacts?.resumed == false)
        first.sayGoodbye()
        try tickets.rotate()
        let keys = try #require(TicketKeys(decoding: tickets.encoded()))
        let second = try Ends(try table(app, tickets: keys), client)
        try second.shakeHands()
        #expect(second.clientFacts?.resumed == true)
        let strange = try Ends(try table(app, tickets: TicketKeys()), client)
        try strange.shakeHands()
        #expect(strange.clientFacts?.resumed == false)
    }

    @Test func `a resumed session is not accepted when the pin no longer matches`() throws {
        // The library does not ask the verification callback when it resumes; only the check after the handshake does.
        let app = try issue("app.internal")
        let server = try table(app)
        let client = try context(pins: [app])
        let first = try Ends(server, client)
        try first.shakeHands()
        try first.exchange()
        client.replacePinsForTesting([try #require(PublicKeyPin(digest: [UInt8](repeating: 1, count: 32)))])
        let second = try Ends(server, client)
        #expect(throws: TLSError.self) { try second.shakeHands() }
        #expect(throws: TLSError.self) { _ = try second.client.write([1].span) }
    }

    @Test func `the binding is found by exact name, wildcard and default`() throws {
        let table = try ServerNameTable(policy: .modern)
        for (tag, host) in ["a.example", "*.example", nil].enumerated() {
            let made = try CertificateMaker.selfSigned(names: [host ?? "default"])
            let identity = try ServerIdentity(chainPEM: made.certificatePEM, keyPEM: made.keyPEM)
            table.add(
                try ServerContext(identities: [identity], policy: .modern, alpn: [], tickets: tickets, tag: tag),
                host: host
            )
        }
        for (name, tag) in [
            ("a.example", 0), ("A.Example", 0), ("b.example", 1), ("c.b.example", 2), ("example", 2), (nil, 2),
        ] as [(String?, Int)] {
            let ends = try Ends(table, try ClientContext.inspecting(name: name))
            try ends.shakeHands()
            #expect(ends.serverFacts?.bindingTag == tag, "\(name ?? "-")")
        }
    }

    @Test func `a name that nobody serves is refused when there is no default`() throws {
        let app = try issue("app.internal")
        #expect(try failure(table(app, host: "app.internal"), context()) == nil)
        #expect(try failure(table(app, host: "other.example"), context()) != nil)
    }

    @Test func `a session of one binding is not resumed under another`() throws {
        let table = try ServerNameTable(policy: .nist80052r2)
        let app = try issue("app.internal", "*.internal")
        let identity = try ServerIdentity(chainPEM: app.certificatePEM, keyPEM: app.keyPEM)
        for (tag, host) in ["app.internal", "b.internal"].enumerated() {
            table.add(
                try ServerContext(identities: [identity], policy: .nist80052r2, alpn: [], tickets: tickets, tag: tag),
                host: host
            )
        }
        let client = try context(alpn: [])
        let first = try Ends(table, client)
        try first.shakeHands()
        try first.exchange()
        let moved = try ServerNameTable(policy: .nist80052r2)
        moved.add(
            try ServerContext(identities: [identity], policy: .nist80052r2, alpn: [], tickets: tickets, tag: 9),
            host: nil
        )
        let second = try Ends(moved, client)
        try second.shakeHands()
        #expect(second.serverFacts?.resumed == false)
    }

    @Test func `ECDSA and RSA stand side by side`() throws {
        let both = try table(try issue("app.internal"), try issue("app.internal", key: .rsa))
        let ends = try Ends(both, try context())
        try ends.shakeHands()
        #expect(ends.seenCertificates[0].keyType.hasPrefix("EC"))
    }

    @Test func `the modern policy speaks TLS 1.3 only`() throws {
        let app = try issue("app.internal")
        #expect(try failure(table(app, policy: .modern), context(policy: .modern)) == nil)
    }

    @Test func `a client of other protocols only is refused`() throws {
        #expect(try failure(table(try issue("app.internal"), alpn: ["http/1.1"]), context(alpn: ["spdy/3"])) != nil)
    }

    @Test func `megabytes pass both ways through full sockets`() throws {
        let app = try issue("app.internal")
        let ends = try Ends(try table(app), try context())
        try ends.shakeHands()
        let data = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var sent = 0
        var received = 0
        for _ in 0..<1_000_000 where received < data.count {
            if sent < data.count,
                case .bytes(let count) = try ends.client.write(data.span.extracting(sent..<data.count))
            {
                sent += count
            }
            if case .bytes(let count) = try ends.server.read(into: &ends.fromClient) {
                let same = Self.equal(ends.fromClient.bytes, data.span.extracting(received..<received + count))
                #expect(same)
                ends.fromClient.removeAll()
                received += count
            }
        }
        #expect(received == data.count)
    }

    private static func equal(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        for index in left.indices where left[index] != right[index] { return false }
        return true
    }

    @Test func `a farewell and a cut are told apart`() throws {
        let app = try issue("app.internal")
        let polite = try Ends(try table(app), try context())
        try polite.shakeHands()
        polite.server.shutdown()
        var outcome = ReadOutcome.wantsRead
        for _ in 0..<5 where outcome == .wantsRead { outcome = try polite.client.read(into: &polite.fromServer) }
        #expect(outcome == .closed)
    }

    @Test func `what an inspecting context sees cannot be spoken to`() throws {
        let app = try issue("app.internal")
        let ends = try Ends(try table(app), try ClientContext.inspecting(name: "app.internal"))
        try ends.shakeHands()
        #expect(ends.seenCertificates[0].names == ["app.internal"])
        #expect(throws: TLSError.self) { _ = try ends.client.write([1].span) }
    }

    @Test(arguments: [
        ("*.example.org", "a.example.org", true), ("*.example.org", "a.b.example.org", false),
        ("*.example.org", "example.org", false), ("a.example.org", "A.Example.org", true),
    ])
    func `coverage follows RFC 9525`(_ name: String, _ host: String, _ covers: Bool) throws {
        let facts = try CertificateFacts.read(pem: CertificateMaker.selfSigned(names: [name]).certificatePEM)[0]
        #expect(facts.covers(host) == covers)
    }

    @Test(arguments: ["", "a b", "x,DNS:evil", "a\nb", "é.example"])
    func `a name that is none is refused`(_ name: String) {
        #expect(throws: CertificateError.self) { try CertificateMaker.selfSigned(names: [name]) }
    }

    @Test func `a key of another certificate is refused`() throws {
        let (left, right) = (try issue("a.example"), try issue("b.example"))
        #expect(throws: CertificateError.keyMismatch) {
            try ServerIdentity(chainPEM: left.certificatePEM, keyPEM: right.keyPEM)
        }
        #expect(throws: CertificateError.noCertificate) { try ServerIdentity(chainPEM: [], keyPEM: right.keyPEM) }
        #expect(throws: CertificateError.noKey) {
            try ServerIdentity(chainPEM: left.certificatePEM, keyPEM: [1, 2, 3])
        }
        #expect(throws: CertificateError.badPFX) { try PFX.read([UInt8](repeating: 0x30, count: 100), password: []) }
    }
}
