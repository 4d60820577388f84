import COpenSSL
import Glibc
import Testing

@testable import TLS

@Suite("Peers that do not speak TLS") struct HostileClientTests {
    private let table: ServerNameTable
    private let root: Authority

    init() throws {
        root = try Authority()
        table = try makeTable([try root.identity()])
    }

    /// What a server says to these first bytes; nil while it waits for more.
    private func answer(_ bytes: [UInt8], end: Bool = false) throws -> TLSError? {
        let server = try BareServer(table)
        server.send(bytes)
        if end { server.end() }
        // The end behind the bytes takes another step: epoll tells of it.
        return Link.step(&server.tls).1 ?? Link.step(&server.tls).1
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n",
        "PUT /x HTTP/1.1\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\n\r\n",
    ])
    func `plain HTTP on a TLS port is called that`(_ request: String) throws {
        let error = try answer(request.bytes)
        #expect(error == .plaintextRequest)
        #expect(error?.description == "plain HTTP on a TLS port")
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH_9.2\r\n", "\u{0}\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{9}\u{A}", "EHLO example.org\r\n",
        // The library knows five methods by sight; the others are merely no TLS.
        "OPTIONS * HTTP/1.1\r\n\r\n", "DELETE / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ])
    func `other first bytes are called no TLS`(_ bytes: String) throws {
        #expect(try answer(bytes.bytes) == .notTLS)
    }

    @Test func `a connection that says nothing and goes is closed`() throws {
        #expect(try answer([], end: true) == .closed)
        #expect(try answer([22, 3, 1], end: true) == .closed)
        #expect(try answer([22, 3, 1]) == nil)
    }

    @Test func `a server in plain text is called no TLS by our client`() throws {
        let pair = try SocketPair()
        var client = try TLSConnection(connecting: try makeClient(root), endpoint: 0, descriptor: pair.first)
        defer {
            close(pair.first)
            close(pair.second)
        }
        #expect(Link.step(&client) == (true, nil))
        let text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".bytes
        #expect(Glibc.write(pair.second, text, text.count) == text.count)
        let (_, error) = Link.step(&client)
        #expect(error == .notTLS)
        #expect(error?.description == "the peer does not speak TLS")
    }

    @Test func `no hello, cut or bent anywhere, does more than fail`() throws {
        // A true hello, to be bent.
        let pair = try SocketPair()
        var client = try TLSConnection(
            connecting: try makeClient(root, alpn: ["h2"]),
            endpoint: 0,
            descriptor: pair.first
        )
        _ = Link.step(&client)
        var room = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(pair.second, &room, room.count)
        close(pair.first)
        close(pair.second)
        let hello = Array(room.prefix(max(0, count)))
        #expect(hello.count > 100)
        for cut in 0..<hello.count {
            #expect(try answer(Array(hello.prefix(cut)), end: true) == .closed)
        }
        var state: UInt64 = 42
        func random(_ below: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % below
        }
        for _ in 0..<2000 {
            var bent = hello
            for _ in 0...random(4) { bent[random(bent.count)] = UInt8(random(256)) }
            // Success is impossible, a trap would end the test; every kind of error is right.
            let server = try BareServer(table)
            server.send(bent)
            server.end()
            for _ in 0..<4 where Link.step(&server.tls).0 {}
            #expect(server.isUnestablished)
            #expect(ERR_peek_error() == 0)
        }
    }

    @Test func `a name that is too long, empty or bent chooses no binding by accident`() throws {
        let named = try ServerNameTable(policy: .nist80052r2)
        named.add(try makeBinding([try root.identity()]), host: "app.internal")
        for name in ["app.internal.", "app.interna", " app.internal", String(repeating: "a", count: 250)] {
            let outcome = try Link(try makeClient(root, name: name), named).shakeHands()
            #expect(!outcome.isDone, "\(name)")
        }
        #expect(try Link(try makeClient(root), named).shakeHands().isDone)
    }
}
