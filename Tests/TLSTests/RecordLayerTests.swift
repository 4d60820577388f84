import Bytes
import COpenSSL
import Glibc
import Platform
import Testing

@testable import TLS

/// Our own records beside the library's: what passes, and what is refused with which alert.
@Suite("Records of our own") struct RecordLayerTests {
    private static let versions: [CInt] = [TLS1_2_VERSION, TLS1_3_VERSION]
    private let root: Authority
    private let table: ServerNameTable

    init() throws {
        root = try Authority()
        table = try makeTable([try root.identity()], shakesHands: false)
        revealKeys(of: table)
    }

    private static func noise(_ count: Int) -> [UInt8] {
        var state: UInt32 = 11
        return (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(truncatingIfNeeded: state >> 24)
        }
    }

    // MARK: with the library at the other end

    /// Each suite, and each side's records by us, by the library, or both.
    @Test(
        arguments: [
            (TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"), (TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"),
            (TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"), (TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"),
            (TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"),
        ],
        [(true, true), (true, false), (false, true)]
    )
    func `megabytes pass both ways`(_ suite: (version: CInt, name: String), _ own: (client: Bool, server: Bool)) throws
    {
        let table = try makeTable(
            [try root.identity()],
            policy: suite.version == TLS1_3_VERSION ? .modern : .nist80052r2,
            shakesHands: false
        )
        let client = try makeClient(root, policy: suite.version == TLS1_3_VERSION ? .modern : .nist80052r2)
        if suite.version == TLS1_3_VERSION {
            #expect(SSL_CTX_set_ciphersuites(client.handle.raw, suite.name) == 1)
        } else {
            #expect(everyhop_ctx_set_versions(client.handle.raw, suite.version, suite.version) == 1)
            #expect(SSL_CTX_set_cipher_list(client.handle.raw, suite.name) == 1)
        }
        if own.server { revealKeys(of: table) }
        if own.client { revealKeys(of: client.handle.raw) }
        let link = try Link.open(client, table)
        #expect(link.clientFacts?.cipher == suite.name)
        #expect(link.clientCarriesItself == own.client && link.serverCarriesItself == own.server)
        let data = Self.noise(1_000_000)
        for size in [1, 2047, 2048, 2049, 16_383, 16_384, 16_385, data.count] {
            #expect(try link.upload(Array(data.prefix(size))) == Array(data.prefix(size)))
            #expect(try link.download(Array(data.prefix(size))) == Array(data.prefix(size)))
        }
    }

    @Test func `a peer's new keys are followed, and ours follow when it asks`() throws {
        let server = try OwnServer(table, TLS1_3_VERSION)
        for round in 1...3 {
            for isAsked in [false, true] {
                let kind = isAsked ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED
                #expect(SSL_key_update(server.peer.ssl, kind) == 1)
                server.peer.send("round \(round)".bytes)
                #expect(try server.read().1 == "round \(round)".bytes)
                try server.write("answer \(round)".bytes)
                #expect(server.peer.received() == "answer \(round)".bytes)
            }
        }
    }

    @Test func `a client that asks for another handshake of TLS 1.2 is told that there is none, and goes on`() throws {
        let server = try OwnServer(table, TLS1_2_VERSION)
        #expect(SSL_renegotiate(server.peer.ssl) == 1)
        #expect(SSL_do_handshake(server.peer.ssl) != 1)
        #expect(try server.read().0 == .wantsRead)
        // The library's client gives up when it is refused (RFC 5246 §7.2.2 leaves that to it).
        #expect(server.peer.refusal() == "no renegotiation")
    }

    @Test(arguments: versions) func `no record carries more than a client says that it takes`(_ version: CInt) throws {
        // RFC 6066 §4: 2 is 1024.
        let server = try OwnServer(table, version) { #expect(SSL_CTX_set_tlsext_max_fragment_length($0, 2) == 1) }
        let data = Self.noise(5000)
        #expect(try server.tls.write(data.span) == .bytes(2048))
        // The library gives one record at a time.
        #expect(server.peer.received() == Array(data[..<1024]))
        #expect(server.peer.received() == Array(data[1024..<2048]))
        #expect(server.peer.received() == [])
    }

    @Test func `tickets that come behind the handshake let the next connection resume`() throws {
        let client = try makeClient(root, version: TLS1_3_VERSION)
        revealKeys(of: client.handle.raw)
        let first = try Link.open(client, table)
        #expect(first.clientCarriesItself)
        #expect(try first.download("data".bytes) == "data".bytes)
        for _ in 0..<3 {
            let link = try Link.open(client, table)
            #expect(link.clientFacts?.resumed == true)
            #expect(try link.upload("more".bytes) == "more".bytes)
            #expect(try link.download("data".bytes) == "data".bytes)
        }
    }

    @Test(arguments: versions) func `a connection that ends leaves its session to the next`(_ version: CInt) throws {
        let client = try makeClient(root, version: version)
        revealKeys(of: client.handle.raw)
        do {
            let link = try Link.open(client, table)
            link.client.shutdown()
        }
        #expect(try Link.open(client, table).clientFacts?.resumed == true)
    }

    @Test(arguments: Carrier.allCases) func `behind a fatal alert, no session is resumed`(_ carrier: Carrier) throws {
        let table = try makeTable([try root.identity()], shakesHands: carrier.shakesHands)
        let client = try makeClient(root, version: carrier.version)
        if carrier.isOwn { revealKeys(of: client.handle.raw) }
        let link = try Link.open(client, table)
        let record: [UInt8] = [23, 3, 3, 0, 32] + [UInt8](repeating: 9, count: 32)
        #expect(Glibc.write(link.serverSocket.raw, record, record.count) == record.count)
        var queue = link.queue()
        #expect(throws: TLSError.self) { try link.client.read(into: &queue) }
        #expect(try Link.open(client, table).clientFacts?.resumed == false)
        #expect(try Link.open(client, table).clientFacts?.resumed == true)
    }

    @Test func `what is no record any more is given back`() throws {
        let server = try OwnServer(table, TLS1_2_VERSION)
        let own = SSL_get_fd(server.peer.ssl)
        server.peer.send("last record".bytes)
        // A packet of TDS: a type, a status, its length.
        let plain: [UInt8] = [6, 1, 0, 8, 0, 0, 0, 0]
        #expect(Glibc.write(own, plain, plain.count) == plain.count)
        #expect(try server.read().1 == "last record".bytes)
        let isPending = server.tls.hasPending
        #expect(!isPending)
        var queue = ByteQueue(pool: BufferPool(keep: 1))
        server.tls.handBack(to: &queue)
        #expect(take(&queue) == plain)
        #expect(throws: TLSError.closed) { try server.read() }
    }

    @Test(arguments: versions) func `a goodbye reaches the library, and the library's reaches us`(_ version: CInt)
        throws
    {
        let server = try OwnServer(table, version)
        try server.write("last".bytes)
        server.tls.shutdown()
        #expect(server.peer.received() == "last".bytes)
        #expect(server.peer.received() == [])
        #expect(SSL_get_shutdown(server.peer.ssl) & SSL_RECEIVED_SHUTDOWN != 0)
        server.peer.send("heard".bytes)
        SSL_shutdown(server.peer.ssl)
        #expect(try server.read().1 == "heard".bytes)
        #expect(try server.read().0 == .closed)
        #expect(try server.read().0 == .closed)
    }

    @Test(arguments: versions) func `a record that was bent on its way is refused`(_ version: CInt) throws {
        let server = try OwnServer(table, version)
        let pipe = try SocketPair()
        defer {
            close(pipe.first)
            close(pipe.second)
        }
        // What the peer would send, so that it can be bent.
        let own = SSL_get_fd(server.peer.ssl)
        SSL_set_wfd(server.peer.ssl, pipe.first)
        server.peer.send("to be bent".bytes)
        var record = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(pipe.second, &record, record.count)
        record[count - 1] ^= 1
        #expect(Glibc.write(own, record, count) == count)
        #expect(throws: TLSError.handshake("decryption failed or bad record mac")) { try server.read() }
        #expect(throws: TLSError.handshake("decryption failed or bad record mac")) { try server.write([1]) }
        SSL_set_fd(server.peer.ssl, own)
        #expect(server.peer.refusal()?.contains("bad record mac") == true)
    }
}
