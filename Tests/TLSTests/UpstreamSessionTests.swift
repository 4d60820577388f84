import COpenSSL
import Testing

@testable import TLS

@Suite("Sessions saved towards servers") struct UpstreamSessionTests {
    static let versions: [CInt] = [TLS1_2_VERSION, TLS1_3_VERSION]
    private let root: Authority
    private let identity: ServerIdentity
    private let table: ServerNameTable

    init() throws {
        root = try Authority()
        identity = try root.identity()
        table = try makeTable([identity])
    }

    @Test(arguments: versions) func `the second connection resumes, and its pin is checked again`(_ version: CInt)
        throws
    {
        let client = try makeClient(root, pins: [identity.facts.pin], version: version)
        _ = try Link.open(client, table)
        for _ in 0..<3 {
            let link = try Link.open(client, table)
            #expect(link.clientFacts?.resumed == true)
            #expect(link.clientFacts?.pinMatched == true)
            #expect(link.clientFacts?.peerPin == identity.facts.pin)
        }
    }

    @Test func `the group that a server takes is offered first the next time`() throws {
        let table = try makeTable([identity], shakesHands: false)
        #expect(everyhop_ctx_set_groups(table.base.raw, "P-384") == 1)
        let client = try makeClient(pins: [identity.facts.pin], version: TLS1_3_VERSION)
        let links = try [Link(client, table), Link(client, table)]
        // Made before anything was learned: the second of them offers as the first did.
        #expect(links.map(hellos) == [2, 2])
        let later = try Link(client, table)
        #expect(hellos(later) == 1)
        #expect(later.clientFacts?.group == "secp384r1")
    }

    @Test func `a server that is not trusted does not choose the group`() throws {
        let table = try makeTable([identity], shakesHands: false)
        #expect(everyhop_ctx_set_groups(table.base.raw, "P-384") == 1)
        let client = try makeClient(pins: [try root.identity().facts.pin], version: TLS1_3_VERSION)
        for _ in 0..<2 {
            let link = try Link(client, table)
            #expect(hellos(link) == 2)
            #expect(link.clientFacts == nil)
        }
    }

    /// Shakes hands until the client is done or has failed; how often it had to wait for the server, which is how many
    /// hellos it sent.
    private func hellos(_ link: Link) -> Int {
        var waits = 0
        while case (true, nil) = Link.step(&link.client), waits < 10 {
            waits += 1
            _ = Link.step(&link.server)
        }
        return waits
    }

    /// A session from a context that trusted the server's key is put into one that does not: the library resumes it
    /// without asking the verify callback, so only the check after the handshake stands in the way.
    @Test(arguments: versions) func `a resumed session under a wrong pin is refused`(_ version: CInt) throws {
        let before = try makeClient(pins: [identity.facts.pin], version: version)
        _ = try Link.open(before, table)
        let after = try makeClient(pins: [try root.identity().facts.pin], version: version)
        after.save(try #require(before.takeSession(endpoint: 0)), endpoint: 0)
        let link = try Link(after, table)
        let refused = TLSError.verification(.pinMismatch(seen: identity.facts.pin.description))
        #expect(try link.shakeHands().client == refused)
        #expect(link.clientFacts == nil)
        #expect(throws: refused) { try link.client.handshake() }
        #expect(throws: refused) { try link.client.write("secret".bytes.span) }
        var queue = link.queue()
        #expect(throws: refused) { try link.client.read(into: &queue) }
        // The server took the handshake for complete and resumed: it was really the check afterwards that refused.
        #expect(link.serverFacts?.resumed == true)
        #expect(after.takeSession(endpoint: 0) == nil)
    }

    @Test(arguments: versions)
    func `a resumed session of a certificate that has expired meanwhile is refused`(_ version: CInt) throws {
        let expired = try root.identity(validFrom: -10, days: 5)
        let table = try makeTable([expired])
        let before = try makeClient(pins: [expired.facts.pin], version: version)
        _ = try Link.open(before, table)
        let after = try makeClient(root, version: version)
        after.save(try #require(before.takeSession(endpoint: 0)), endpoint: 0)
        #expect(try Link(after, table).shakeHands().client == .verification(.expired))
    }

    @Test func `another context does not know the sessions of this one`() throws {
        let client = try makeClient(root)
        _ = try Link.open(client, table)
        #expect(try Link.open(try makeClient(root), table).clientFacts?.resumed == false)
    }

    @Test func `servers of one upstream have sessions apart`() throws {
        let client = try makeClient(root)
        _ = try Link.open(client, table, endpoint: 1)
        #expect(try Link.open(client, table, endpoint: 2).clientFacts?.resumed == false)
        #expect(try Link.open(client, table, endpoint: 1).clientFacts?.resumed == true)
    }

    @Test func `a session of TLS 1.3 is used once`() throws {
        let client = try makeClient(root)
        _ = try Link.open(client, table)
        let one = try Link(client, table)
        let two = try Link(client, table)
        #expect(try one.shakeHands().isDone)
        #expect(try two.shakeHands().isDone)
        #expect(one.clientFacts?.resumed == true)
        #expect(two.clientFacts?.resumed == false)
    }

    @Test func `few sessions are kept for each server`() throws {
        let client = try makeClient(root)
        var links: [Link] = []
        for _ in 0..<10 { links.append(try Link(client, table)) }
        for link in links {
            #expect(try link.shakeHands().isDone)
            #expect(try link.download("first".bytes) == "first".bytes)
        }
        var count = 0
        while let session = client.takeSession(endpoint: 0) {
            SSL_SESSION_free(session)
            count += 1
        }
        #expect(count == 4)
    }

    @Test(arguments: versions) func `a connection that just ends leaves its session usable`(_ version: CInt) throws {
        let client = try makeClient(root, version: version)
        do { _ = try Link.open(client, table) }
        #expect(try Link.open(client, table).clientFacts?.resumed == true)
    }

    @Test func `a server that has forgotten its keys is greeted anew`() throws {
        let client = try makeClient(root, pins: [identity.facts.pin])
        _ = try Link.open(client, table)
        #expect(try Link.open(client, try makeTable([identity])).clientFacts?.resumed == false)
    }

    @Test(arguments: versions)
    func `a server that changes its key is refused although a session was saved`(_ version: CInt) throws {
        let client = try makeClient(root, pins: [identity.facts.pin], version: version)
        _ = try Link.open(client, table)
        let changed = try root.identity()
        let outcome = try Link(client, try makeTable([changed])).shakeHands()
        #expect(outcome.client == .verification(.pinMismatch(seen: changed.facts.pin.description)))
    }
}
