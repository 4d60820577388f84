import COpenSSL
import Testing

@testable import TLS

@Suite("Verification of servers") struct VerificationTests {
    static let versions: [CInt] = [TLS1_2_VERSION, TLS1_3_VERSION]

    /// Shakes hands with a server that shows `identity`; what the client said.
    private func verdict(_ identity: ServerIdentity, _ client: ClientContext) throws -> TLSError? {
        let link = try Link(client, try makeTable([identity]))
        let outcome = try link.shakeHands()
        if let error = outcome.client {
            #expect(link.clientFacts == nil)
            // Whatever happens, not a byte gets through.
            #expect(throws: error) { try link.client.write([1].span) }
            var queue = link.queue()
            #expect(throws: error) { try link.client.read(into: &queue) }
        }
        return outcome.client
    }

    @Test(arguments: versions) func `a certificate of the authority for the name is accepted`(_ version: CInt) throws {
        let root = try Authority()
        let link = try Link(try makeClient(root, version: version), try makeTable([try root.identity()]))
        #expect(try link.shakeHands().isDone)
        let facts = try #require(link.clientFacts)
        #expect(facts.version == (version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2"))
        #expect(facts.cipher.contains("AES_128_GCM") || facts.cipher.contains("AES128-GCM"))
        #expect(facts.group.lowercased().contains("x25519"))
        #expect(!facts.pinMatched && facts.peerPin == nil && facts.bindingTag == nil && !facts.resumed)
        #expect(link.serverFacts?.serverName == "app.internal")
        #expect(link.serverFacts?.bindingTag == 0)
    }

    @Test(arguments: versions) func `an expired certificate is refused`(_ version: CInt) throws {
        let root = try Authority()
        let identity = try root.identity(validFrom: -10, days: 5)
        #expect(try verdict(identity, makeClient(root, version: version)) == .verification(.expired))
    }

    @Test func `the server learns that it was refused`() throws {
        let root = try Authority()
        let link = try Link(try makeClient(root), try makeTable([try root.identity(validFrom: -10, days: 5)]))
        let outcome = try link.shakeHands()
        guard case .handshake(let text) = outcome.server else {
            Issue.record("\(String(describing: outcome.server))")
            return
        }
        #expect(text.contains("certificate expired"))
    }

    @Test func `a certificate whose time has not begun is refused`() throws {
        let root = try Authority()
        let identity = try root.identity(validFrom: 5, days: 5)
        #expect(try verdict(identity, makeClient(root)) == .verification(.notYetValid))
    }

    @Test(arguments: versions) func `a certificate for other names is refused, and they are named`(_ version: CInt)
        throws
    {
        let root = try Authority()
        let identity = try root.identity(["db.internal", "10.1.2.3"])
        let expected = TLSError.verification(.wrongName(expected: "app.internal", seen: ["db.internal", "10.1.2.3"]))
        #expect(try verdict(identity, makeClient(root, version: version)) == expected)
    }

    @Test func `a thousand names in a hostile certificate make no thousand names in the log`() throws {
        let failure = VerificationFailure.wrongName(expected: "a", seen: (0..<1000).map { "n\($0)" })
        #expect(failure.description.utf8.count < 200)
        #expect(failure.description.contains("n7 and 992 more"))
    }

    @Test(arguments: ["127.0.0.1", "::1"]) func `an address is verified as an address`(_ address: String) throws {
        let root = try Authority()
        let identity = try root.identity(["127.0.0.1", "::1"])
        let link = try Link(try makeClient(root, name: address), try makeTable([identity]))
        #expect(try link.shakeHands().isDone)
        // RFC 6066 §3: an address is never sent as a name.
        #expect(link.serverFacts?.serverName == nil)
        let other = TLSError.verification(.wrongName(expected: "10.0.0.9", seen: ["127.0.0.1", "::1"]))
        #expect(try verdict(identity, makeClient(root, name: "10.0.0.9")) == other)
    }

    @Test func `a wildcard stands for one label`() throws {
        let root = try Authority()
        let identity = try root.identity(["*.example.org"])
        #expect(try verdict(identity, makeClient(root, name: "app.example.org")) == nil)
        let deep = try verdict(identity, makeClient(root, name: "a.b.example.org"))
        #expect(deep == .verification(.wrongName(expected: "a.b.example.org", seen: ["*.example.org"])))
    }

    @Test(arguments: [
        ("*.example.org", "a.example.org"), ("*.example.org", "example.org"), ("*.example.org", "a.b.example.org"),
        ("*.internal", "app.internal"), ("example.org", "EXAMPLE.org"), ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:DB8:0::1"), ("*.0.0.1", "10.0.0.1"), ("a.b", "a.b."),
    ])
    func `what a certificate covers is what the library accepts`(_ name: String, _ host: String) throws {
        let root = try Authority()
        let identity = try root.identity([name])
        #expect(identity.facts.covers(host) == (try verdict(identity, makeClient(root, name: host)) == nil))
    }

    @Test(arguments: ["", ".example.org", "a\0b", "\0"]) func `a name that would weaken the check is refused`(
        _ name: String
    ) throws {
        let root = try Authority()
        #expect(throws: TLSError.self) { try makeClient(root, name: name) }
        #expect(!(try root.identity(["*.example.org", "a"]).facts.covers(name)))
    }

    @Test(arguments: versions) func `another authority is refused`(_ version: CInt) throws {
        let identity = try Authority("Other").identity()
        #expect(
            try verdict(identity, makeClient(try Authority(), version: version)) == .verification(.unknownAuthority)
        )
    }

    @Test func `an authority of the same name with another key is refused`() throws {
        let identity = try Authority("Same").identity()
        let error = try verdict(identity, makeClient(try Authority("Same")))
        // Which of two: the key identifiers differ, or the signature fails.
        guard case .verification = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func `a self-signed certificate is refused, unless it is itself the authority`() throws {
        let made = try CertificateMaker.selfSigned(names: ["app.internal"])
        let identity = try ServerIdentity(chainPEM: made.certificatePEM, keyPEM: made.keyPEM)
        #expect(try verdict(identity, makeClient(try Authority())) == .verification(.unknownAuthority))
        let trusting = try ClientContext(
            trust: .init(authoritiesPEM: made.certificatePEM, pins: []),
            name: "app.internal",
            policy: .nist80052r2,
            alpn: []
        )
        #expect(try verdict(identity, trusting) == nil)
    }

    @Test func `a chain over an intermediate authority is followed when the server sends it`() throws {
        let root = try Authority()
        let middle = try Authority("Middle", under: root)
        #expect(try verdict(try middle.identity(chain: [middle]), makeClient(root)) == nil)
        #expect(try verdict(try middle.identity(chain: [middle, root]), makeClient(root)) == nil)
        #expect(try verdict(try middle.identity(), makeClient(root)) == .verification(.unknownAuthority))
    }

    @Test func `an intermediate authority alone is no anchor`() throws {
        let root = try Authority()
        let middle = try Authority("Middle", under: root)
        let error = try verdict(try middle.identity(chain: [middle]), makeClient(middle))
        #expect(error == .verification(.unknownAuthority))
    }

    @Test func `a root is not sent, an intermediate is`() throws {
        let root = try Authority()
        let middle = try Authority("Middle", under: root)
        let link = try Link.open(try makeClient(root), try makeTable([try middle.identity(chain: [middle, root])]))
        #expect(link.seenCertificates.map { $0.subject } == ["CN = app.internal", "CN = Middle"])
    }

    @Test func `trust in nothing is refused when the context is made`() throws {
        #expect(throws: TLSError.library("a server without trust")) { try makeClient() }
        #expect(throws: TLSError.self) {
            try ClientContext(trust: .init(authoritiesPEM: [], pins: []), name: "a", policy: .modern, alpn: [])
        }
        let root = try Authority()
        let nameless = try makeClient(root, name: nil)
        #expect(throws: TLSError.self) { try Link(nameless, try makeTable([try root.identity()])) }
    }

    // MARK: pins

    @Test(arguments: versions) func `a pinned key is accepted, whoever signed it`(_ version: CInt) throws {
        let identity = try Authority("Unknown").identity(["other.name"], validFrom: -10, days: 5)
        let client = try makeClient(pins: [identity.facts.pin], version: version)
        let link = try Link(client, try makeTable([identity]))
        #expect(try link.shakeHands().isDone)
        #expect(link.clientFacts?.pinMatched == true)
        #expect(link.clientFacts?.peerPin == identity.facts.pin)
    }

    @Test(arguments: versions) func `another key is refused, and its pin is named`(_ version: CInt) throws {
        let root = try Authority()
        let identity = try root.identity()
        let client = try makeClient(pins: [try root.identity().facts.pin], version: version)
        let expected = TLSError.verification(.pinMismatch(seen: identity.facts.pin.description))
        #expect(try verdict(identity, client) == expected)
    }

    @Test func `one of several pins is enough`() throws {
        let root = try Authority()
        let identity = try root.identity()
        #expect(try verdict(identity, makeClient(pins: [try root.identity().facts.pin, identity.facts.pin])) == nil)
    }

    @Test func `the pin of an authority is not the pin of the server`() throws {
        let root = try Authority()
        let identity = try root.identity(chain: [root])
        let authorityPin = try CertificateFacts.read(pem: root.pem)[0].pin
        let expected = TLSError.verification(.pinMismatch(seen: identity.facts.pin.description))
        #expect(try verdict(identity, makeClient(root, pins: [authorityPin])) == expected)
    }

    @Test func `authority and pin must both hold`() throws {
        let root = try Authority()
        let identity = try root.identity()
        let pin = identity.facts.pin
        #expect(try verdict(identity, makeClient(root, pins: [pin])) == nil)
        let other = try root.identity().facts.pin
        #expect(
            try verdict(identity, makeClient(root, pins: [other])) == .verification(.pinMismatch(seen: pin.description))
        )
        #expect(
            try verdict(identity, makeClient(try Authority("X"), pins: [pin])) == .verification(.unknownAuthority)
        )
        #expect(
            try verdict(identity, makeClient(root, pins: [pin], name: "b"))
                == .verification(.wrongName(expected: "b", seen: ["app.internal"]))
        )
    }

    // MARK: looking and client certificates

    @Test(arguments: versions) func `looking at a server shows its certificates and carries nothing`(_ version: CInt)
        throws
    {
        let root = try Authority()
        let middle = try Authority("Middle", under: root)
        let identity = try middle.identity(validFrom: -10, days: 5, chain: [middle])
        let context = try ClientContext.inspecting(name: "app.internal")
        _ = everyhop_ctx_set_versions(context.handle.raw, version, version)
        let link = try Link(context, try makeTable([identity]))
        #expect(try link.shakeHands().isDone)
        let seen = link.seenCertificates
        #expect(seen.first == identity.facts)
        #expect(seen.count == 2)
        #expect(throws: TLSError.library("traffic on a connection that only looks")) {
            try link.client.write("GET /".bytes.span)
        }
        var queue = link.queue()
        #expect(throws: TLSError.library("traffic on a connection that only looks")) {
            try link.client.read(into: &queue)
        }
        #expect(try link.server.read(into: &queue) == .wantsRead)
    }

    @Test(arguments: versions) func `a client certificate is shown to a server that asks`(_ version: CInt) throws {
        let root = try Authority()
        let binding = try makeBinding([try root.identity()])
        let table = try ServerNameTable(policy: .nist80052r2, shakesHands: false)
        table.add(binding, host: nil)
        SSL_CTX_set_verify(table.base.raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        let authority = try X509Certificate.read(pem: root.pem)[0]
        withExtendedLifetime(authority) {
            _ = X509_STORE_add_cert(SSL_CTX_get_cert_store(binding.handle.raw), $0.raw)
        }
        let me = try root.identity(["edge"])
        let link = try Link(try makeClient(root, identity: me, version: version), table)
        let outcome = try link.shakeHands()
        #expect(outcome.client == nil)
        #expect(outcome.server == nil)
        let without = try Link(try makeClient(root, version: version), table)
        guard case .handshake = try without.shakeHands().server else {
            Issue.record("a client without a certificate was let in")
            return
        }
    }
}
