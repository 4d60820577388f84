import Bytes
import COpenSSL
import Glibc
import Platform
import Testing

@testable import TLS

/// In these tests nothing but a handshake of our own leaves the traffic to records of our own.
@Suite("Handshakes of our own") struct OwnHandshakeTests {
    private static let versions: [CInt] = [TLS1_2_VERSION, TLS1_3_VERSION]
    private let root: Authority
    private let ecdsa: ServerIdentity
    private let rsa: ServerIdentity

    init() throws {
        root = try Authority()
        ecdsa = try root.identity()
        rsa = try root.identity(key: .rsa)
    }

    // MARK: plain clients

    @Test(
        arguments: [
            (TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"), (TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"),
            (TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256"), (TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384"),
            (TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"), (TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"),
            (TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"),
        ]
    )
    func `each suite is spoken, and its sessions go on`(_ version: CInt, _ suite: String) throws {
        let isModern = version == TLS1_3_VERSION
        let policy = isModern ? TLSPolicy.modern : .nist80052r2
        let identities = suite.contains("RSA") ? [rsa] : [ecdsa]
        let table = try makeTable(identities, policy: policy, alpn: ["h2"])
        let client = try makeClient(root, policy: policy, alpn: ["h2"], version: version)
        if isModern {
            #expect(SSL_CTX_set_ciphersuites(client.handle.raw, suite) == 1)
        } else {
            #expect(SSL_CTX_set_cipher_list(client.handle.raw, suite) == 1)
        }
        for isFirst in [true, false, false] {
            let link = try Link.open(client, table)
            #expect(link.serverCarriesItself)
            for facts in [link.clientFacts, link.serverFacts] {
                let facts = try #require(facts)
                #expect(facts.cipher == suite && facts.resumed != isFirst && facts.alpn == "h2")
                #expect(facts.group == "x25519" && facts.version == (isModern ? "TLSv1.3" : "TLSv1.2"))
            }
            #expect(link.serverFacts?.serverName == "app.internal" && link.serverFacts?.bindingTag == 0)
            #expect(try link.upload("question".bytes) == "question".bytes)
            #expect(try link.download("answer".bytes) == "answer".bytes)
        }
    }

    @Test(arguments: versions) func `with two kinds of keys, ECDSA is shown to whoever knows it`(_ version: CInt) throws
    {
        let table = try makeTable([rsa, ecdsa])
        #expect(try Link.open(try makeClient(pins: [ecdsa.facts.pin], version: version), table).serverCarriesItself)
        let client = try makeClient(pins: [rsa.facts.pin], version: version)
        #expect(everyhop_ctx_set_signature_algorithms(client.handle.raw, "rsa_pss_rsae_sha256") == 1)
        #expect(try Link.open(client, table).serverCarriesItself)
    }

    @Test func `a client of TLS 1.2 that does not know the certificate's curve gets RSA, or is the library's`() throws {
        let client = try makeClient(root, version: TLS1_2_VERSION)
        #expect(everyhop_ctx_set_groups(client.handle.raw, "X25519") == 1)
        let link = try Link.open(client, try makeTable([ecdsa, rsa]))
        #expect(link.serverCarriesItself && link.clientFacts?.cipher == "ECDHE-RSA-AES128-GCM-SHA256")
        #expect(try Link(client, try makeTable([ecdsa])).shakeHands().server == .handshake("no shared cipher"))
    }

    @Test func `RSA signs TLS 1.2 in the old way for whoever knows no other`() throws {
        let client = try makeClient(root, version: TLS1_2_VERSION)
        #expect(everyhop_ctx_set_signature_algorithms(client.handle.raw, "RSA+SHA256") == 1)
        #expect(try Link.open(client, try makeTable([rsa])).serverCarriesItself)
    }

    @Test(arguments: versions) func `a chain is shown without its root`(_ version: CInt) throws {
        let middle = try Authority("Middle", under: root)
        let identity = try middle.identity(chain: [middle, root])
        let link = try Link.open(try makeClient(root, version: version), try makeTable([identity]))
        #expect(link.serverCarriesItself && link.seenCertificates.count == 2)
    }

    @Test(arguments: versions) func `a hello may come byte by byte`(_ version: CInt) throws {
        let server = try BareServer(try makeTable([ecdsa]))
        let record = HelloMaker(isModern: version == TLS1_3_VERSION).record
        for byte in record {
            #expect(server.received().isEmpty)
            server.send([byte])
            #expect(Link.step(&server.tls) == (true, nil))
        }
        #expect(server.received().first == RecordType.handshake)
    }

    @Test(arguments: versions) func `a flight that the socket does not take goes on when it does`(_ version: CInt)
        throws
    {
        let middle = try Authority("Middle", under: root)
        let identity = try middle.identity(chain: [middle, middle, middle, middle, middle])
        let link = try Link(try makeClient(root, version: version), try makeTable([identity]))
        #expect(Link.step(&link.client) == (true, nil))
        // Room for next to nothing.
        var size: CInt = 1
        setsockopt(link.serverSocket.raw, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        let filler = [UInt8](repeating: 0, count: 1024)
        var filled = 0
        while case let count = Glibc.write(link.serverSocket.raw, filler, filler.count), count > 0 { filled += count }
        #expect(try link.server.handshake() == .wantsWrite)
        #expect(try link.server.handshake() == .wantsWrite)
        var room = [UInt8](repeating: 0, count: filled)
        while filled > 0 {
            let count = Glibc.read(link.clientSocket.raw, &room, filled)
            try #require(count > 0)
            filled -= count
        }
        #expect(try link.shakeHands().isDone)
        #expect(link.serverCarriesItself)
        #expect(try link.download("answer".bytes) == "answer".bytes)
    }

    /// A server in TLS 1.3 whose handshake is done, and its client, which may have sent a request with its Finished.
    private func open(
        asking question: String,
        _ body: (inout TLSConnection, LibraryPeer, BufferPool) throws -> Void
    ) throws {
        let pool = BufferPool(keep: 4)
        let pair = try SocketPair()
        let peer = try LibraryPeer(clientOn: pair.first, TLS1_3_VERSION)
        let socket = FileDescriptor(owning: pair.second)
        var server = try TLSConnection(accepting: try makeTable([ecdsa]), descriptor: socket.raw, pool: pool)
        #expect(!peer.step())
        #expect(Link.step(&server) == (true, nil))
        #expect(peer.step())
        if !question.isEmpty { peer.send(question.bytes) }
        #expect(Link.step(&server) == (false, nil))
        let carriesItself = server.carriesItself
        #expect(carriesItself)
        try body(&server, peer, pool)
        // Closed only now.
        _ = consume socket
    }

    private func hasTicket(_ peer: LibraryPeer) -> Bool { SSL_SESSION_has_ticket(SSL_get_session(peer.ssl)) == 1 }

    @Test func `a client that waits gets its ticket at once, and nothing is held for it`() throws {
        try open(asking: "") { _, peer, pool in
            #expect(pool.held == 0)
            #expect(peer.received() == [] && hasTicket(peer))
        }
    }

    @Test func `a client that has asked gets its ticket with the answer`() throws {
        try open(asking: "question") { server, peer, pool in
            #expect(peer.received() == [] && !hasTicket(peer))
            var queue = ByteQueue(pool: pool)
            let read = try server.read(into: &queue)
            #expect(read == .bytes(8))
            queue.removeAll()
            #expect(pool.held == 0)
            let written = try server.write("answer".bytes.span)
            #expect(written == .bytes(6))
            #expect(peer.received() == "answer".bytes && hasTicket(peer))
        }
    }

    @Test func `a client that has asked and gets no answer gets its ticket with the end`() throws {
        try open(asking: "question") { server, peer, _ in
            server.shutdown()
            #expect(peer.received() == [] && hasTicket(peer))
        }
    }

    @Test func `a client that asks for new keys before the first answer gets its ticket and the keys`() throws {
        try open(asking: "") { server, peer, pool in
            #expect(SSL_key_update(peer.ssl, SSL_KEY_UPDATE_REQUESTED) == 1)
            peer.send("question".bytes)
            var queue = ByteQueue(pool: pool)
            let read = try server.read(into: &queue)
            #expect(read == .bytes(8))
            #expect(peer.received() == [])
            let written = try server.write("answer".bytes.span)
            #expect(written == .bytes(6))
            #expect(peer.received() == "answer".bytes)
        }
    }

    @Test func `the first answer goes out with the ticket, however long it is`() throws {
        try open(asking: "question") { server, peer, _ in
            let data = [UInt8](repeating: 7, count: 100_000)
            var sent = 0
            var got: [UInt8] = []
            while sent < data.count {
                guard case .bytes(let count) = try server.write(data.span.extracting(sent..<data.count)) else {
                    continue
                }
                sent += count
                while case let piece = peer.received(), !piece.isEmpty { got += piece }
            }
            #expect(got == data && hasTicket(peer))
        }
    }

    @Test func `a client that takes no sessions gets none`() throws {
        let server = try BareServer(try makeTable([ecdsa]))
        server.send(HelloMaker().with(45, nil).record)
        #expect(Link.step(&server.tls) == (true, nil))
        #expect(server.received().first == RecordType.handshake)
    }

    // MARK: sessions

    /// The hello of a client that offers a session, and where its binder's last byte is.
    private func offer(_ table: ServerNameTable) throws -> [UInt8] {
        let client = try makeClient(root, version: TLS1_3_VERSION)
        _ = try Link.open(client, table)
        let link = try Link(client, table)
        #expect(Link.step(&link.client) == (true, nil))
        var hello = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(link.serverSocket.raw, &hello, hello.count)
        try #require(count > 0)
        return Array(hello.prefix(count))
    }

    @Test func `whoever offers a session without its secret is refused`() throws {
        let table = try makeTable([ecdsa])
        var hello = try offer(table)
        hello[hello.count - 1] ^= 1
        let server = try BareServer(table)
        server.send(hello)
        #expect(Link.step(&server.tls).1 == .handshake("binder does not verify"))
        #expect(server.received() == [21, 3, 3, 0, 2, 2, 47])
    }

    @Test func `a session of ours without any binder is refused`() throws {
        let table = try makeTable([ecdsa])
        var hello = try offer(table)
        let read = try #require(ClientHello(Array(hello.dropFirst(RecordHeader.size))))
        let offers = try #require(read.offers)
        let cut = offers.binders.count
        hello.removeLast(cut)
        // Lengths of the record, the message, its extensions (behind the one compression method), the last of them, and its binders.
        let extensions = RecordHeader.size + read.suites.upperBound + 2
        let last = RecordHeader.size + offers.identities.lowerBound - 4
        for place in [3, 7, extensions, last, hello.count - 2] {
            let length = Int(hello[place]) << 8 | Int(hello[place + 1])
            hello[place] = UInt8(truncatingIfNeeded: (length - cut) >> 8)
            hello[place + 1] = UInt8(truncatingIfNeeded: length - cut)
        }
        let server = try BareServer(table)
        server.send(hello)
        #expect(Link.step(&server.tls).1 == .handshake("binder does not verify"))
        #expect(server.received() == [21, 3, 3, 0, 2, 2, 47])
    }

    @Test func `a session that was offered whole goes on`() throws {
        let table = try makeTable([ecdsa])
        let server = try BareServer(table)
        server.send(try offer(table))
        #expect(Link.step(&server.tls) == (true, nil))
        // ServerHello, the word without meaning, and a flight without a certificate.
        #expect((100..<400).contains(server.received().count))
    }

    @Test func `a session of one version does not go on in the other`() throws {
        let keys = try TicketKeys()
        let rules = [UInt8](repeating: 1, count: 32)
        let secret = [UInt8](repeating: 2, count: 48)
        let seed = [UInt8](repeating: 3, count: 16)
        for isModern in [true, false] {
            let ticket = secret.withUnsafeBytes {
                SessionTicket.seal(
                    isModern: isModern,
                    suite: 7,
                    secret: $0,
                    rules: rules,
                    seed: seed,
                    keys: keys
                )
            }
            var opened = [UInt8](repeating: 0, count: 48)
            let session = opened.withUnsafeMutableBytes {
                SessionTicket.open((ticket ?? [])[...], rules: rules, keys: keys, into: $0)
            }
            #expect(session?.isModern == isModern && session?.suite == 7 && session?.secretCount == 48)
            #expect(opened == secret && session?.isOld == false)
            // Other rules, other keys, and whatever is changed.
            for wrong in 0..<(ticket?.count ?? 0) {
                var changed = ticket ?? []
                changed[wrong] ^= 1
                let isOpen = opened.withUnsafeMutableBytes {
                    SessionTicket.open(changed[...], rules: rules, keys: keys, into: $0) != nil
                }
                #expect(!isOpen)
            }
            let others = try TicketKeys()
            let isOpen = opened.withUnsafeMutableBytes { room in
                SessionTicket.open((ticket ?? [])[...], rules: rules + [0], keys: keys, into: room) != nil
                    || SessionTicket.open((ticket ?? [])[...], rules: rules, keys: others, into: room) != nil
            }
            #expect(!isOpen)
        }
    }

    private func reopened(madeAgo age: Int64, _ keys: TicketKeys) -> SessionTicket? {
        let secret = [UInt8](repeating: 2, count: 48)
        let made = UInt64(Int64(time(nil)) - age)
        let seed = [UInt8](repeating: 3, count: 16)
        let ticket = secret.withUnsafeBytes {
            SessionTicket.seal(isModern: false, suite: 7, made: made, secret: $0, rules: [], seed: seed, keys: keys)
        }
        var room = secret
        return room.withUnsafeMutableBytes { SessionTicket.open((ticket ?? [])[...], rules: [], keys: keys, into: $0) }
    }

    @Test func `a session is over after two hours, also when its ticket was renewed meanwhile`() throws {
        let keys = try TicketKeys()
        #expect(reopened(madeAgo: 7190, keys) != nil && reopened(madeAgo: 7300, keys) == nil)
        // Another host's clock may be a little ahead.
        #expect(reopened(madeAgo: -30, keys) != nil && reopened(madeAgo: -300, keys) == nil)
        let old = try #require(reopened(madeAgo: 7000, keys))
        #expect((150...200).contains(old.rest))
        let table = try makeTable([ecdsa], tickets: keys)
        let client = try makeClient(root, version: TLS1_2_VERSION)
        _ = try Link.open(client, table)
        try keys.rotate()
        let link = try Link.open(client, table)
        #expect(link.serverFacts?.resumed == true && link.serverCarriesItself)
    }

    // MARK: what is left to the library

    /// Whether the server's handshake was the library's, and done.
    private func isLibrarys(_ client: ClientContext, _ table: ServerNameTable) throws -> Bool {
        let link = try Link.open(client, table)
        return !link.serverCarriesItself && link.serverFacts != nil
    }

    @Test(arguments: versions) func `other groups are the library's`(_ version: CInt) throws {
        let client = try makeClient(root, version: version)
        #expect(everyhop_ctx_set_groups(client.handle.raw, "P-256") == 1)
        #expect(try isLibrarys(client, try makeTable([ecdsa])))
    }

    @Test(arguments: versions) func `other kinds of keys are the library's`(_ version: CInt) throws {
        let bench = try Workbench()
        try bench.openssl(
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-subj", "/CN=peer"]
                + ["-keyout", "key.pem", "-out", "chain.pem"]
        )
        let identity = try ServerIdentity(chainPEM: try bench.read("chain.pem"), keyPEM: try bench.read("key.pem"))
        let client = try makeClient(pins: [identity.facts.pin], name: nil, version: version)
        #expect(try isLibrarys(client, try makeTable([identity])))
    }

    @Test(arguments: versions) func `with a key of another kind beside it, the library chooses`(_ version: CInt) throws
    {
        let bench = try Workbench()
        try bench.openssl(
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-subj", "/CN=peer"]
                + ["-keyout", "key.pem", "-out", "chain.pem"]
        )
        let identity = try ServerIdentity(chainPEM: try bench.read("chain.pem"), keyPEM: try bench.read("key.pem"))
        for other in [ecdsa, rsa] {
            let client = try makeClient(pins: [identity.facts.pin], name: nil, version: version)
            #expect(try isLibrarys(client, try makeTable([other, identity])))
        }
    }

    @Test func `a P-256 key that is to sign a longer digest in TLS 1.2 is the library's`() throws {
        let client = try makeClient(pins: [ecdsa.facts.pin], version: TLS1_2_VERSION)
        #expect(everyhop_ctx_set_signature_algorithms(client.handle.raw, "ECDSA+SHA384:RSA+SHA256") == 1)
        #expect(try isLibrarys(client, try makeTable([ecdsa, rsa])))
    }

    @Test func `a binding that asks for certificates is the library's`() throws {
        let clients = ClientVerification(authoritiesPEM: root.pem, pins: [], isRequired: false)
        let table = try ServerNameTable(policy: .nist80052r2)
        table.add(try makeBinding([ecdsa], clients: clients), host: nil)
        #expect(try isLibrarys(try makeClient(root), table))
    }

    @Test func `TLS 1.2 without the extended master secret is the library's`() throws {
        let client = try makeClient(root, version: TLS1_2_VERSION)
        // SSL_OP_NO_EXTENDED_MASTER_SECRET, which is a macro of macros.
        SSL_CTX_set_options(client.handle.raw, 1)
        #expect(try isLibrarys(client, try makeTable([ecdsa])))
    }

    @Test func `a hello in several records, and one behind which more follows, is the library's`() throws {
        let message = HelloMaker().message
        let pieces = [message[..<100], message[100...]].flatMap { RecordHeader.plainRecord(22, Array($0)) }
        for bytes in [pieces, RecordHeader.plainRecord(22, message + [0])] {
            let server = try BareServer(try makeTable([ecdsa]))
            server.send(bytes)
            let (_, error) = Link.step(&server.tls)
            #expect(!server.received().isEmpty)
            if bytes == pieces { #expect(error == nil) }
        }
    }

    @Test func `a downgrade to TLS 1.2 shows in the server's random bytes`() throws {
        let server = try BareServer(try makeTable([ecdsa]))
        server.send(HelloMaker(isModern: false).record)
        #expect(Link.step(&server.tls) == (true, nil))
        // Record (5), message (4), version (2), random (32).
        #expect(Array(server.received()[35..<43]) == "DOWNGRD".bytes + [1])
    }
}
