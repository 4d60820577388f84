import COpenSSL
import Platform
import Support
import Testing

@testable import TLS

@Suite("Revoked certificates") struct RevocationTests {
    static let versions: [CInt] = [TLS1_2_VERSION, TLS1_3_VERSION]
    private static let noList = TLSError.verification(
        .revocationUnknown("there is no revocation list of its authority")
    )
    private static let oldList = TLSError.verification(
        .revocationUnknown("the revocation list of its authority has expired")
    )
    private static let client = "keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth"
    private static let serverUsage = "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:app.internal"
    private let folder: TemporaryFolder
    private let root: OpenSSLAuthority
    private let portal: Authority
    private let server: ServerIdentity

    init() throws {
        folder = try TemporaryFolder()
        root = try OpenSSLAuthority("root", in: folder)
        portal = try Authority()
        server = try portal.identity()
        for name in ["alice", "bob"] { try root.issue(name, extensions: Self.client) }
        try root.issue("app", extensions: Self.serverUsage)
        try root.revoke("bob.leaf.pem")
        try root.list("now.crl")
    }

    private func read(_ file: String) throws -> [UInt8] { try File.read("\(folder.path)/\(file)") }

    private func identity(_ name: String) throws -> ServerIdentity {
        try ServerIdentity(chainPEM: try read("\(name).pem"), keyPEM: try read("\(name).key"))
    }

    /// A server that asks its clients.
    private func table(_ lists: [UInt8], chain: Bool = true, tickets: TicketKeys? = nil) throws -> ServerNameTable {
        let table = try ServerNameTable(policy: .nist80052r2)
        let rules = ClientVerification(
            authoritiesPEM: try File.read(root.certificate),
            pins: [],
            isRequired: true,
            revocation: Revocation(listsPEM: lists, coversChain: chain)
        )
        let binding = try makeBinding([server], tickets: tickets, clients: rules)
        table.add(binding, host: nil)
        return table
    }

    private func verdict(_ name: String, _ version: CInt, _ table: ServerNameTable) throws -> TLSError? {
        try Link(try makeClient(portal, identity: try identity(name), version: version), table).shakeHands().server
    }

    @Test(arguments: versions) func `a client that is on the list is refused`(_ version: CInt) throws {
        let table = try table(try read("now.crl"))
        #expect(try verdict("alice", version, table) == nil)
        #expect(try verdict("bob", version, table) == .verification(.revoked))
    }

    @Test(arguments: versions) func `nobody passes without a list that holds`(_ version: CInt) throws {
        let other = try OpenSSLAuthority("other", in: folder)
        try other.list("other.crl")
        #expect(try verdict("alice", version, try table(try read("other.crl"))) == Self.noList)
        try root.list("old.crl", "-crl_lastupdate", "20240101000000Z", "-crl_nextupdate", "20240201000000Z")
        #expect(try verdict("alice", version, try table(try read("old.crl"))) == Self.oldList)
        // Beside a newer one it does no harm.
        let both = try read("old.crl") + read("now.crl")
        #expect(try verdict("alice", version, try table(both)) == nil)
        #expect(try verdict("bob", version, try table(both)) == .verification(.revoked))
        #expect(throws: TLSError.self) { try table([]) }
        #expect(throws: TLSError.self) { try table("nothing".bytes) }
    }

    @Test(arguments: versions) func `a chain is looked up whole, or its end alone`(_ version: CInt) throws {
        let middle = try OpenSSLAuthority("middle", in: folder, under: root)
        try middle.issue("carol", extensions: Self.client, chain: [middle])
        try middle.list("middle.crl")
        let good = try read("now.crl") + read("middle.crl")
        #expect(try verdict("carol", version, try table(good)) == nil)
        #expect(try verdict("carol", version, try table(try read("middle.crl"))) == Self.noList)
        #expect(try verdict("carol", version, try table(try read("middle.crl"), chain: false)) == nil)
        try root.revoke("middle/ca.pem")
        try root.list("later.crl")
        let later = try read("later.crl") + read("middle.crl")
        #expect(try verdict("carol", version, try table(later)) == .verification(.revoked))
        #expect(try verdict("carol", version, try table(later, chain: false)) == nil)
    }

    @Test(arguments: versions) func `a session is not resumed past a newer list`(_ version: CInt) throws {
        let tickets = try TicketKeys()
        let client = try makeClient(portal, identity: try identity("alice"), version: version)
        _ = try Link.open(client, try table(try read("now.crl"), tickets: tickets))
        let resumed = try Link.open(client, try table(try read("now.crl"), tickets: tickets))
        #expect(resumed.serverFacts?.resumed == true)
        try root.revoke("alice.leaf.pem")
        try root.list("later.crl")
        let link = try Link(client, try table(try read("later.crl"), tickets: tickets))
        #expect(try link.shakeHands().server == .verification(.revoked))
    }

    @Test(arguments: versions) func `a session is not resumed past the end of its list`(_ version: CInt) throws {
        try root.list("short.crl", "-crlsec", "3")
        let client = try makeClient(portal, identity: try identity("alice"), version: version)
        let table = try table(try read("short.crl"))
        _ = try Link.open(client, table)
        var last: TLSError?
        var wasResumed = false
        try waitUntil("the end of the list") {
            let link = try Link(client, table)
            last = try link.shakeHands().server
            if last == nil {
                wasResumed = link.serverFacts?.resumed == true
                var queue = link.queue()
                _ = try link.client.read(into: &queue)
            }
            return last != nil
        }
        #expect(last == Self.oldList && wasResumed)
    }

    @Test(arguments: versions) func `servers are looked up, also when a session is resumed`(_ version: CInt) throws {
        func context(_ list: String) throws -> ClientContext {
            let context = try ClientContext(
                trust: .init(
                    authoritiesPEM: try File.read(root.certificate),
                    pins: [],
                    revocation: Revocation(listsPEM: try read(list), coversChain: true)
                ),
                name: "app.internal",
                policy: .nist80052r2,
                alpn: []
            )
            _ = everyhop_ctx_set_versions(context.handle.raw, version, version)
            return context
        }
        let server = try makeTable([try identity("app")])
        let client = try context("now.crl")
        #expect(try Link.open(client, server).clientFacts?.resumed == false)
        #expect(try Link.open(client, server).clientFacts?.resumed == true)
        try root.revoke("app.leaf.pem")
        try root.list("later.crl")
        #expect(try Link(try context("later.crl"), server).shakeHands().client == .verification(.revoked))
        // The same context, whose store learns of the newer list: the session that it saved is of no use.
        try Revocation(listsPEM: try read("later.crl"), coversChain: true).install(in: client.handle.raw)
        #expect(try Link(client, server).shakeHands().client == .verification(.revoked))
    }

    @Test func `a list tells its issuer and its time, and who has signed it`() throws {
        let facts = try RevocationListFacts.read(pem: try read("now.crl"))
        let first = try #require(facts.first)
        #expect(facts.count == 1 && first.issuer == "CN = root")
        #expect(first.nextUpdate == first.thisUpdate + 7 * 86_400)
        let authority = try File.read(root.certificate)
        func signers(_ authorities: [UInt8]) throws -> [RevocationListFacts.Signer] {
            try RevocationListFacts.read(pem: try read("now.crl"), authoritiesPEM: authorities).map(\.signer)
        }
        #expect(try signers(authority) == [.authority])
        #expect(try signers(portal.pem) == [.stranger])
        #expect(try signers([]) == [.stranger])
        let impostor = try OpenSSLAuthority("root", in: try TemporaryFolder())
        #expect(try signers(try File.read(impostor.certificate)) == [.impostor])
        #expect(throws: CertificateError.noRevocationList) { try RevocationListFacts.read(pem: authority) }
    }
}
