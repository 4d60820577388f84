import COpenSSL
import Testing

@testable import TLS

@Suite("Session tickets") struct TicketTests {
    static let versions: [CInt] = [TLS1_2_VERSION, TLS1_3_VERSION]
    private let root: Authority
    private let identity: ServerIdentity

    init() throws {
        root = try Authority()
        identity = try root.identity()
    }

    /// A worker of its own: other objects, and keys that came as bytes.
    private func worker(_ keys: TicketKeys) throws -> ServerNameTable {
        try makeTable([identity], tickets: TicketKeys(decoding: keys.encoded()))
    }

    @Test(arguments: versions) func `a session made by one worker is resumed by another`(_ version: CInt) throws {
        let keys = try TicketKeys()
        let client = try makeClient(root, version: version)
        #expect(try Link.open(client, try worker(keys)).serverFacts?.resumed == false)
        let second = try Link.open(client, try worker(keys))
        #expect(second.serverFacts?.resumed == true)
        #expect(second.clientFacts?.resumed == true)
        #expect(second.serverFacts?.bindingTag == 0)
        #expect(try second.upload("ping".bytes) == "ping".bytes)
    }

    @Test func `secrets for other uses are the same in every worker, and tell nothing about the keys`() throws {
        let keys = try TicketKeys()
        let secrets = keys.secrets(for: "cookies")
        #expect(secrets.count == 1 && secrets[0].count == MessageCode.size)
        #expect(TicketKeys(decoding: keys.encoded())?.secrets(for: "cookies") == secrets)
        #expect(keys.secrets(for: "other") != secrets)
        #expect(try TicketKeys().secrets(for: "cookies") != secrets)
        try keys.rotate()
        #expect(keys.secrets(for: "cookies").count == 2 && keys.secrets(for: "cookies")[1] == secrets[0])
    }

    @Test func `codes are those of RFC 4231`() {
        let code = MessageCode.sha256(key: Array("Jefe".utf8), Array("what do ya want for nothing?".utf8))
        #expect(code?.prefix(4) == [0x5B, 0xDC, 0xC1, 0x46] && code?.suffix(4) == [0x64, 0xEC, 0x38, 0x43])
    }

    @Test(arguments: versions) func `other keys mean a full handshake, not a failure`(_ version: CInt) throws {
        let client = try makeClient(root, version: version)
        _ = try Link.open(client, try worker(try TicketKeys()))
        let link = try Link.open(client, try worker(try TicketKeys()))
        #expect(link.serverFacts?.resumed == false)
    }

    @Test(arguments: versions)
    func `after a rotation old tickets open and are renewed under the new key`(_ version: CInt) throws {
        let keys = try TicketKeys()
        let client = try makeClient(root, version: version)
        _ = try Link.open(client, try worker(keys))
        try keys.rotate()
        #expect(try Link.open(client, try worker(keys)).serverFacts?.resumed == true)
        // The ticket that came with it is of the new key: it opens where the old key is unknown.
        let newest = try #require(TicketKeys(decoding: Array(keys.encoded().prefix(80))))
        #expect(try Link.open(client, try worker(newest)).serverFacts?.resumed == true)
    }

    @Test func `a key is forgotten after two more rotations`() throws {
        let keys = try TicketKeys()
        let client = try makeClient(root)
        _ = try Link.open(client, try worker(keys))
        for _ in 0..<3 { try keys.rotate() }
        #expect(keys.encoded().count == 3 * 80)
        #expect(try Link.open(client, try worker(keys)).serverFacts?.resumed == false)
    }

    @Test func `keys replaced in a living worker count at once`() throws {
        let keys = try TicketKeys()
        let table = try makeTable([identity], tickets: keys)
        let client = try makeClient(root)
        _ = try Link.open(client, table)
        #expect(keys.replace(decoding: try TicketKeys().encoded()))
        #expect(try Link.open(client, table).serverFacts?.resumed == false)
        #expect(try Link.open(client, table).serverFacts?.resumed == true)
    }

    @Test func `keys lie in the secure heap, and those that were replaced are overwritten`() throws {
        // Everything else in this process has its keys there from then on, too.
        TLSLibrary.prepare(connections: 1 << 16)
        let many = [UInt8](repeating: 7, count: 16 * 80)
        let keys = try #require(TicketKeys(decoding: many))
        func bytes() -> [UInt8] {
            keys.withKeys { first, _ in Array(UnsafeRawBufferPointer(start: first, count: 16 * 80)) }
        }
        #expect(keys.withKeys { first, _ in CRYPTO_secure_allocated(first) } == 1)
        #expect(bytes() == many)
        #expect(keys.replace(decoding: [UInt8](repeating: 9, count: 80)))
        #expect(bytes() == [UInt8](repeating: 9, count: 80) + [UInt8](repeating: 0, count: 15 * 80))
        for _ in 0..<3 { try keys.rotate() }
        #expect(!bytes().contains([UInt8](repeating: 9, count: 16)))
        #expect(bytes()[240...].allSatisfy { $0 == 0 })
    }

    @Test func `a ticket is one`() throws {
        let client = try makeClient(root)
        _ = try Link.open(client, try worker(try TicketKeys()))
        let session = try #require(client.takeSession(endpoint: 0))
        SSL_SESSION_free(session)
        #expect(client.takeSession(endpoint: 0) == nil)
    }

    @Test(arguments: [0, 1, 79, 81, 17 * 80]) func `bytes that are no keys change nothing`(_ count: Int) throws {
        let bytes = [UInt8](repeating: 7, count: count)
        #expect(TicketKeys(decoding: bytes) == nil)
        let keys = try TicketKeys()
        let before = keys.encoded()
        #expect(!keys.replace(decoding: bytes))
        #expect(keys.encoded() == before)
        #expect(TicketKeys(decoding: before)?.encoded() == before)
    }

    @Test(arguments: versions) func `a forged ticket means a full handshake`(_ version: CInt) throws {
        let keys = try TicketKeys()
        let client = try makeClient(root, version: version)
        _ = try Link.open(client, try worker(keys))
        // The same name with other secrets: the ticket's mark does not match.
        var forged = keys.encoded()
        for index in 16..<80 { forged[index] ^= 0x55 }
        let link = try Link.open(client, try worker(try #require(TicketKeys(decoding: forged))))
        #expect(link.serverFacts?.resumed == false)
    }

    @Test func `early data is not offered`() throws {
        let client = try makeClient(root)
        _ = try Link.open(client, try worker(try TicketKeys()))
        let session = try #require(client.takeSession(endpoint: 0))
        defer { SSL_SESSION_free(session) }
        #expect(SSL_SESSION_get_max_early_data(session) == 0)
    }
}
