import COpenSSL
import Testing

@testable import TLS

@Suite("Bindings by server name") struct ServerNameTests {
    static let versions: [CInt] = [TLS1_2_VERSION, TLS1_3_VERSION]
    private let root: Authority

    init() throws { root = try Authority() }

    /// An address with an exact, a wildcard and, if wanted, a default binding, tagged 1, 2 and 3.
    private func table(hasDefault: Bool) throws -> ServerNameTable {
        let table = try ServerNameTable(policy: .nist80052r2)
        table.add(try makeBinding([try root.identity(["portal.example.org"])], tag: 1), host: "Portal.Example.org")
        table.add(try makeBinding([try root.identity(["*.example.org"])], tag: 2), host: "*.example.org")
        if hasDefault { table.add(try makeBinding([try root.identity(["other"])], tag: 3), host: nil) }
        return table
    }

    /// What `name` leads to; a client without a name sends none.
    private func tag(_ name: String?, _ table: ServerNameTable, _ version: CInt) throws -> (Int?, Link.Outcome) {
        let context = try ClientContext.inspecting(name: name)
        _ = everyhop_ctx_set_versions(context.handle.raw, version, version)
        let link = try Link(context, table)
        let outcome = try link.shakeHands()
        #expect(outcome.isDone == (link.serverFacts != nil))
        if outcome.isDone { #expect(link.serverFacts?.serverName == name) }
        return (link.serverFacts?.bindingTag, outcome)
    }

    @Test(arguments: versions) func `exact before wildcard before default`(_ version: CInt) throws {
        let table = try table(hasDefault: true)
        #expect(try tag("portal.example.org", table, version).0 == 1)
        #expect(try tag("PORTAL.example.ORG", table, version).0 == 1)
        #expect(try tag("shop.example.org", table, version).0 == 2)
        #expect(try tag("a.b.example.org", table, version).0 == 3)
        #expect(try tag("example.org", table, version).0 == 3)
        #expect(try tag("elsewhere.net", table, version).0 == 3)
        #expect(try tag(nil, table, version).0 == 3)
    }

    @Test(arguments: versions, ["elsewhere.net", nil])
    func `without a default, an unknown name is refused by an alert`(_ version: CInt, _ name: String?) throws {
        let (found, outcome) = try tag(name, try table(hasDefault: false), version)
        #expect(found == nil)
        guard case .handshake(let text) = outcome.client else {
            Issue.record("\(outcome)")
            return
        }
        #expect(text.contains("unrecognized name"))
    }

    @Test func `the first binding added for a name wins`() throws {
        let table = try table(hasDefault: true)
        let late = try makeBinding([try root.identity(["late"])], tag: 9)
        table.add(late, host: "portal.example.org")
        table.add(late, host: "*.example.org")
        table.add(late, host: nil)
        #expect(try tag("portal.example.org", table, TLS1_3_VERSION).0 == 1)
        #expect(try tag("shop.example.org", table, TLS1_3_VERSION).0 == 2)
        #expect(try tag(nil, table, TLS1_3_VERSION).0 == 3)
    }

    @Test func `each binding shows its own certificate and speaks its own protocols`() throws {
        let table = try ServerNameTable(policy: .nist80052r2)
        let one = try root.identity(["one.example.org"])
        let two = try root.identity(["two.example.org"])
        table.add(try makeBinding([one], alpn: ["h2", "http/1.1"]), host: "one.example.org")
        table.add(try makeBinding([two], alpn: ["http/1.1"]), host: "two.example.org")
        for (identity, name, alpn) in [(one, "one.example.org", "h2"), (two, "two.example.org", "http/1.1")] {
            let client = try makeClient(root, pins: [identity.facts.pin], name: name, alpn: ["http/1.1", "h2"])
            let link = try Link.open(client, table)
            #expect(link.clientFacts?.alpn == alpn)
            #expect(link.serverFacts?.alpn == alpn)
        }
    }

    // MARK: sessions do not cross bindings

    @Test(arguments: versions)
    func `a session of one binding is not resumed under another, even with equal keys`(_ version: CInt) throws {
        let tickets = try TicketKeys()
        let identity = try root.identity(["one.example.org", "two.example.org"])
        let table = try ServerNameTable(policy: .nist80052r2)
        table.add(try makeBinding([identity], tickets: tickets, tag: 1), host: "one.example.org")
        table.add(try makeBinding([identity], tickets: tickets, tag: 2), host: "two.example.org")
        let first = try makeClient(root, name: "one.example.org", version: version)
        let second = try makeClient(root, name: "two.example.org", version: version)
        _ = try Link.open(first, table)
        let session = try #require(first.takeSession(endpoint: 0))
        SSL_SESSION_up_ref(session)
        second.save(session, endpoint: 0)
        let crossed = try Link.open(second, table)
        #expect(crossed.serverFacts?.resumed == false)
        #expect(crossed.serverFacts?.bindingTag == 2)
        // The very same session is good where it was made.
        first.save(session, endpoint: 0)
        #expect(try Link.open(first, table).serverFacts?.resumed == true)
    }

    @Test(arguments: versions) func `a resumed session keeps the name that this client sent`(_ version: CInt) throws {
        let table = try table(hasDefault: true)
        let first = try makeClient(root, name: "a.example.org", version: version)
        let second = try makeClient(root, name: "b.example.org", version: version)
        _ = try Link.open(first, table)
        second.save(try #require(first.takeSession(endpoint: 0)), endpoint: 0)
        let link = try Link.open(second, table)
        #expect(link.serverFacts?.resumed == true)
        #expect(link.serverFacts?.serverName == "b.example.org")
        #expect(link.serverFacts?.bindingTag == 2)
    }

    // MARK: policies

    @Test func `a binding keeps its own policy on an address with another one`() throws {
        for (outer, inner) in [(TLSPolicy.nist80052r2, TLSPolicy.modern), (.modern, .nist80052r2)] {
            let table = try ServerNameTable(policy: outer)
            table.add(try makeBinding([try root.identity()], policy: inner), host: nil)
            let old = try Link(try makeClient(root, version: TLS1_2_VERSION), table).shakeHands()
            #expect(old.isDone == (inner == .nist80052r2))
            #expect(try Link(try makeClient(root), table).shakeHands().isDone)
            let chacha = try makeClient(root)
            SSL_CTX_set_ciphersuites(chacha.handle.raw, "TLS_CHACHA20_POLY1305_SHA256")
            #expect(try Link(chacha, table).shakeHands().isDone == (inner == .modern))
        }
    }

    @Test(arguments: [TLSPolicy.nist80052r2, .modern]) func `TLS 1.1 is refused`(_ policy: TLSPolicy) throws {
        let client = try makeClient(root, version: TLS1_1_VERSION)
        SSL_CTX_set_security_level(client.handle.raw, 0)
        SSL_CTX_set_cipher_list(client.handle.raw, "ALL:@SECLEVEL=0")
        let outcome = try Link(client, try makeTable([try root.identity()], policy: policy)).shakeHands()
        #expect(outcome.server == .handshake("unsupported protocol"))
    }

    @Test(arguments: [
        "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-CCM",
    ])
    func `a client of TLS 1.2 that knows only this suite is refused`(_ suite: String) throws {
        let client = try makeClient(root, version: TLS1_2_VERSION)
        SSL_CTX_set_cipher_list(client.handle.raw, suite)
        let outcome = try Link(client, try makeTable([try root.identity()])).shakeHands()
        #expect(outcome.server == .handshake("no shared cipher"))
    }

    @Test(arguments: ["AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
    func `a suite without ephemeral elliptic keys is refused`(_ suite: String) throws {
        let client = try makeClient(root, version: TLS1_2_VERSION)
        SSL_CTX_set_cipher_list(client.handle.raw, suite)
        let outcome = try Link(client, try makeTable([try root.identity(key: .rsa)])).shakeHands()
        #expect(outcome.server == .handshake("no shared cipher"))
    }

    @Test func `a server whose best is TLS 1.1 or CBC is refused by our clients`() throws {
        let table = try makeTable([try root.identity()], shakesHands: false)
        _ = everyhop_ctx_set_versions(table.base.raw, TLS1_1_VERSION, TLS1_1_VERSION)
        SSL_CTX_set_security_level(table.base.raw, 0)
        let outcome = try Link(try makeClient(root), table).shakeHands()
        #expect(!outcome.isDone && outcome.client != nil)
        // Server preference: AES-128 first, whatever the client likes better.
        let client = try makeClient(root)
        SSL_CTX_set_ciphersuites(client.handle.raw, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256")
        let link = try Link.open(client, try makeTable([try root.identity()]))
        #expect(link.clientFacts?.cipher == "TLS_AES_128_GCM_SHA256")
    }

    @Test(arguments: versions) func `renegotiation is refused`(_ version: CInt) throws {
        let table = try makeTable([try root.identity()])
        let options = SSL_CTX_get_options(table.base.raw)
        // Bits 17 and 30 (openssl/ssl.h): no compression, no renegotiation.
        #expect(options & (1 << 17) != 0)
        #expect(options & (1 << 30) != 0)
    }

    // MARK: two certificates

    @Test(arguments: versions) func `ECDSA and RSA stand side by side on one binding`(_ version: CInt) throws {
        let middle = try Authority("Middle", under: root)
        let table = try makeTable([
            try middle.identity(key: .rsa, chain: [middle]), try middle.identity(key: .ecdsa, chain: [middle]),
        ])
        for (algorithm, kind) in [("rsa_pss_rsae_sha256", "RSA 2048"), ("ecdsa_secp256r1_sha256", "ECDSA P-256")] {
            let client = try makeClient(root, version: version)
            #expect(everyhop_ctx_set_signature_algorithms(client.handle.raw, algorithm) == 1)
            // The chain's own signatures are ECDSA, so this client looks only.
            let context = try ClientContext.inspecting(name: "app.internal")
            _ = everyhop_ctx_set_versions(context.handle.raw, version, version)
            #expect(everyhop_ctx_set_signature_algorithms(context.handle.raw, algorithm) == 1)
            let link = try Link(context, table)
            #expect(try link.shakeHands().isDone)
            #expect(link.seenCertificates.map { $0.keyType } == [kind, "ECDSA P-256"])
        }
        // A client that knows both gets the faster one.
        let link = try Link.open(try makeClient(root, version: version), table)
        #expect(link.seenCertificates.first?.keyType == "ECDSA P-256")
    }

    // MARK: ALPN

    @Test(
        arguments: [
            (["h2", "http/1.1"], ["http/1.1", "h2"], "h2"), (["http/1.1"], ["h2", "http/1.1"], "http/1.1"),
            (["h2"], [], nil), ([], ["h2"], nil),
        ] as [([String], [String], String?)]
    )
    func `the server's preferred protocol is chosen`(_ ours: [String], _ theirs: [String], _ chosen: String?) throws {
        let link = try Link.open(try makeClient(root, alpn: theirs), try makeTable([try root.identity()], alpn: ours))
        #expect(link.clientFacts?.alpn == chosen)
        #expect(link.serverFacts?.alpn == chosen)
    }

    @Test func `a client that speaks none of our protocols is refused`() throws {
        let table = try makeTable([try root.identity()], alpn: ["http/1.1"])
        let outcome = try Link(try makeClient(root, alpn: ["http/1.10", "http/1", "spdy"]), table).shakeHands()
        guard case .handshake(let text) = outcome.client else {
            Issue.record("\(outcome)")
            return
        }
        #expect(text.contains("no application protocol"))
    }
}
