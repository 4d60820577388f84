import COpenSSL
import Testing

@testable import TLS

@Suite("Certificates of clients") struct ClientCertificateTests {
    static let versions: [CInt] = [TLS1_2_VERSION, TLS1_3_VERSION]
    private let root: Authority
    private let clients: Authority
    private let server: ServerIdentity
    private let alice: ServerIdentity

    init() throws {
        root = try Authority()
        clients = try Authority("Clients")
        server = try root.identity()
        alice = try clients.identity(["alice"])
    }

    private func table(
        _ authorities: Authority?,
        pins: [PublicKeyPin] = [],
        isRequired: Bool = true,
        tickets: TicketKeys? = nil,
        tag: Int = 0
    ) throws -> ServerNameTable {
        let table = try ServerNameTable(policy: .nist80052r2)
        let rules = ClientVerification(authoritiesPEM: authorities?.pem, pins: pins, isRequired: isRequired)
        table.add(try makeBinding([server], tickets: tickets, tag: tag, clients: rules), host: nil)
        return table
    }

    /// What the server makes of a client.
    private func verdict(_ identity: ServerIdentity?, _ version: CInt, _ table: ServerNameTable) throws -> TLSError? {
        try Link(try makeClient(root, identity: identity, version: version), table).shakeHands().server
    }

    @Test(arguments: versions) func `a certificate of the authority is taken, and read`(_ version: CInt) throws {
        let link = try Link.open(try makeClient(root, identity: alice, version: version), try table(clients))
        let facts = try #require(link.serverFacts?.clientCertificate)
        #expect(facts == alice.facts && facts.subject.contains("alice") && facts.issuer.contains("Clients"))
        #expect(try link.upload("ping".bytes) == "ping".bytes)
    }

    @Test(arguments: versions) func `a chain is built from what the client sends`(_ version: CInt) throws {
        let middle = try Authority("Middle", under: clients)
        let bob = try middle.identity(["bob"], chain: [middle])
        #expect(try verdict(bob, version, try table(clients)) == nil)
        #expect(
            try verdict(try middle.identity(["bob"]), version, try table(clients)) == .verification(.unknownAuthority)
        )
    }

    @Test(arguments: versions) func `a client without a certificate is refused, or served if it may`(_ version: CInt)
        throws
    {
        let refused = try Link(try makeClient(root, version: version), try table(clients)).shakeHands()
        #expect(refused.server == .handshake("peer did not return a certificate"))
        let link = try Link.open(try makeClient(root, version: version), try table(clients, isRequired: false))
        #expect(link.serverFacts != nil && link.serverFacts?.clientCertificate == nil)
    }

    @Test(arguments: versions, [true, false])
    func `a certificate that is not good is refused, even where none is needed`(_ version: CInt, _ isRequired: Bool)
        throws
    {
        let table = try table(clients, isRequired: isRequired)
        let cases: [(ServerIdentity, VerificationFailure)] = [
            (try Authority("Stranger").identity(["alice"]), .unknownAuthority),
            (try clients.identity(["alice"], validFrom: -10, days: 5), .expired),
            (try clients.identity(["alice"], validFrom: 5), .notYetValid), (server, .unknownAuthority),
        ]
        for (identity, failure) in cases { #expect(try verdict(identity, version, table) == .verification(failure)) }
    }

    @Test(arguments: versions) func `pins narrow the authority, or stand alone`(_ version: CInt) throws {
        let bob = try clients.identity(["bob"])
        let narrow = try table(clients, pins: [alice.facts.pin])
        #expect(try verdict(alice, version, narrow) == nil)
        let mismatch = TLSError.verification(.other("pin mismatch: the client's key is \(bob.facts.pin)"))
        #expect(try verdict(bob, version, narrow) == mismatch)
        let stranger = try Authority("Stranger").identity(["carol"])
        let alone = try table(nil, pins: [stranger.facts.pin])
        #expect(try verdict(stranger, version, alone) == nil)
        #expect(try verdict(bob, version, alone) == mismatch)
        let both = try table(clients, pins: [stranger.facts.pin])
        #expect(try verdict(stranger, version, both) == .verification(.unknownAuthority))
        #expect(throws: TLSError.self) { try table(nil) }
    }

    @Test(arguments: versions) func `a resumed session brings its certificate along`(_ version: CInt) throws {
        let tickets = try TicketKeys()
        let client = try makeClient(root, identity: alice, version: version)
        for isResumed in [false, true, true] {
            // Each time another worker.
            let table = try table(clients, tickets: TicketKeys(decoding: tickets.encoded()))
            let link = try Link.open(client, table)
            #expect(link.serverFacts?.resumed == isResumed)
            #expect(link.serverFacts?.clientCertificate == alice.facts)
        }
    }

    @Test(arguments: versions) func `a session made under other rules is not resumed past the check`(_ version: CInt)
        throws
    {
        let tickets = try TicketKeys()
        let without = try ServerNameTable(policy: .nist80052r2)
        without.add(try makeBinding([server], tickets: tickets), host: nil)
        let strangers = try Authority("Strangers")
        let bob = try strangers.identity(["bob"])
        let bindings: [(String, ServerNameTable, ServerIdentity?)] = [
            ("none", without, nil), ("optional", try table(clients, isRequired: false, tickets: tickets), nil),
            ("other authority", try table(strangers, tickets: tickets), bob),
            ("other pin", try table(nil, pins: [bob.facts.pin], tickets: tickets), bob),
            ("other binding", try table(clients, tickets: tickets, tag: 7), alice),
        ]
        // Without a pin, nothing but the session's context tells one authority's client from another's.
        for pins in [[alice.facts.pin], []] {
            let strict = try table(clients, pins: pins, tickets: tickets)
            for (name, table, identity) in bindings {
                let client = try makeClient(root, identity: identity, version: version)
                _ = try Link.open(client, table)
                #expect(try Link.open(client, table).serverFacts?.resumed == true, "\(name)")
                let link = try Link(client, strict)
                let outcome = try link.shakeHands()
                #expect(link.serverFacts?.resumed != true, "\(name)")
                #expect((outcome.server == nil) == (identity === alice), "\(name)")
            }
        }
    }

    @Test(arguments: versions) func `each binding of an address has rules of its own`(_ version: CInt) throws {
        let table = try ServerNameTable(policy: .nist80052r2)
        let rules = ClientVerification(authoritiesPEM: clients.pem, pins: [], isRequired: true)
        table.add(try makeBinding([try root.identity(["a.org"])], tag: 1, clients: rules), host: "a.org")
        table.add(try makeBinding([try root.identity(["b.org"])], tag: 2), host: "b.org")
        let plain = try Link.open(try makeClient(root, name: "b.org", identity: alice, version: version), table)
        #expect(plain.serverFacts?.clientCertificate == nil)
        let refused = try Link(try makeClient(root, name: "a.org", version: version), table).shakeHands()
        #expect(refused.server == .handshake("peer did not return a certificate"))
        let taken = try Link.open(try makeClient(root, name: "a.org", identity: alice, version: version), table)
        #expect(taken.serverFacts?.clientCertificate == alice.facts && taken.serverFacts?.bindingTag == 1)
    }
}
