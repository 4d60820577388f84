import Foundation
import Platform
import Support
import TLS
import Testing

/// Handshakes with servers that need not be, and requests that do not wait for those that are.
@Suite("Connections to servers that are spared") struct SpareConnectionTests {
    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    /// Asks on a connection of HTTP/1.1 that stays.
    private func ask(_ connection: Connection) throws { try connection.send(Self.get) }

    private func expectAnswer(_ connection: Connection, _ text: String = "a") throws {
        let answer = try connection.receive(until: "\r\n\r\n\(text)")
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.hasSuffix("\r\n\r\n\(text)"))
    }

    private func label(at port: UInt16) -> String {
        "everyhop_server_requests{upstream=\"app\",server=\"127.0.0.1:\(port)\"}"
    }

    @Test func `who waits for a handshake goes on by a connection that is free sooner`() throws {
        let app = try AppServer("a", certificate: trust.app, mode: .hold)
        let wire = try FaultProxy(to: app.port, FaultProxy.Faults())
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"127.0.0.1:\(wire.port)\"",
            upstream: "timeouts = { connect = \"60s\" }"
        )
        let first = try balanced.connect()
        try ask(first)
        try waitUntil("the first request") { app.requests.value == 1 }
        wire.faults.with { $0.delay = 600_000 }
        // One whose handshake is on its way, and so many that some have not begun.
        let others = try (0..<30).map { _ in try balanced.connect() }
        for other in others { try ask(other) }
        try waitUntil("a second connection") { wire.count > 1 }
        app.mode.with { $0 = .serve }
        try expectAnswer(first)
        for other in others { try expectAnswer(other) }
        try balanced.waitForMetric("everyhop_upstream_handshakes_total 1")
        try balanced.waitForMetric("everyhop_upstream_pool_reuses_total 30")
        try balanced.waitForMetric("\(label(at: wire.port)) 0")
    }

    @Test func `a handshake that nobody waits for any more is brought to its end, and the connection is of use`() throws
    {
        let app = try AppServer("a", certificate: trust.app, mode: .hold)
        let wire = try FaultProxy(to: app.port, FaultProxy.Faults())
        let balanced = try Balanced(trust, folder, servers: "\"127.0.0.1:\(wire.port)\"")
        let clients = try (0..<3).map { _ in try balanced.connect() }
        try ask(clients[0])
        try waitUntil("the first request") { app.requests.value == 1 }
        wire.faults.with { $0.delay = 300 }
        try ask(clients[1])
        try waitUntil("a second connection") { wire.count == 2 }
        app.mode.with { $0 = .serve }
        try expectAnswer(clients[0])
        try expectAnswer(clients[1])
        try balanced.waitForMetric("everyhop_upstream_handshakes_total 2")
        try balanced.waitForMetric("everyhop_upstream_connections 2")
        // Both carry a request at once, and a third is made.
        app.mode.with { $0 = .hold }
        for client in clients { try ask(client) }
        try waitUntil("three requests more") { app.requests.value == 5 }
        app.mode.with { $0 = .serve }
        for client in clients { try expectAnswer(client) }
        #expect(wire.count == 3)
        try balanced.waitForMetric("\(label(at: wire.port)) 0")
    }

    /// What an answer may look like whose client has gone before it came.
    private static let short = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + String(repeating: "a", count: 65_536),
    ]

    @Test(arguments: short, [1, 2])
    func `a server's connection outlives a client that goes away in mid-exchange`(_ answer: String, _ version: Int)
        throws
    {
        let (left, isGone) = (Shared(0), Shared(false))
        let app = try ScriptedServer(certificate: trust.app) { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard head.contains("\r\n\r\n") else { return }
                if head.hasPrefix("GET /left ") {
                    left.with { $0 += 1 }
                    try waitUntil("the client's end") { isGone.value }
                    try connection.send(answer)
                } else {
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
                }
            }
        }
        let balanced = try Balanced(trust, folder, servers: "\"127.0.0.1:\(app.port)\"")
        var rounds = 0
        // A machine that is busy may take longer than answers are waited for: a later round does, then.
        try waitUntil("a round on one connection", seconds: 90) {
            rounds += 1
            let before = try connections(balanced)
            isGone.with { $0 = false }
            do {
                let client = try PairClient(version, balanced.everyhop, trust)
                try client.begin("GET", "/left")
                try waitUntil("the request") { left.value == rounds }
                try client.reset()
            }
            try waitUntil("the client's end") {
                balanced.everyhop.access.count { $0.contains("\"status\":499") } == rounds
            }
            isGone.with { $0 = true }
            try balanced.waitForMetric("\(label(at: app.port)) 0")
            let next = try balanced.connect()
            try ask(next)
            try expectAnswer(next)
            return try connections(balanced) == max(before, 1)
        }
    }

    /// So many connections to servers were begun.
    private func connections(_ balanced: Balanced) throws -> Int {
        let name = "everyhop_upstream_connections_total "
        let line = try balanced.admin("/metrics").body.split(separator: "\n").first { $0.hasPrefix(name) }
        return line.flatMap { Int($0.dropFirst(name.count)) } ?? 0
    }

    /// Nothing, what has no end, what is long, and what is not to be understood.
    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf", "HTTP/1.1 200 OK\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30000\r\n" + String(repeating: "a", count: 0x30000),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n", "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
        String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 40),
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n",
    ])
    func `but not one on which no short answer comes soon`(_ answer: String) throws {
        let (requests, isGone, ends) = (Shared(0), Shared(false), Shared(0))
        let app = try ScriptedServer(certificate: trust.app) { connection in
            defer { ends.with { $0 += 1 } }
            guard try connection.receive(until: "\r\n\r\n").contains("\r\n\r\n") else { return }
            requests.with { $0 += 1 }
            guard requests.value == 1 else {
                return try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
            }
            try waitUntil("the client's end") { isGone.value }
            try? connection.send(answer)
            while (try? connection.receive()) != nil {}
        }
        let balanced = try Balanced(trust, folder, servers: "\"127.0.0.1:\(app.port)\"")
        let client = try HTTP2Peer(to: balanced.everyhop, trust.client(alpn: "h2"))
        let stream = try client.request(HTTP2Frames.get("/"))
        try waitUntil("the request") { requests.value == 1 }
        try client.send(HTTP2Frames.reset(stream))
        try balanced.everyhop.waitForAccess("\"status\":499")
        isGone.with { $0 = true }
        try waitUntil("the end of the server's connection") { ends.value == 1 }
        try balanced.waitForMetric("\(label(at: app.port)) 0")
        #expect(try client.get("/").text == "a")
    }
}
