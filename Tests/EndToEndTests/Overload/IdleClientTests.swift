import Foundation
import Platform
import Support
import TLS
import Testing

/// Clients that have come and say nothing; for HTTP/2, see `HTTP2AbuseTests`.
@Suite("Clients that say nothing", .serialized) struct IdleClientTests {
    let bench: Bench
    let admin: EveryhopAdmin

    init() throws {
        bench = try Bench()
        admin = try EveryhopAdmin()
    }

    private func start(_ timeouts: String) throws -> EveryhopProcess {
        try bench.start(try bench.echo().port, server: "\(admin.setting)\ntimeouts = { \(timeouts) }")
    }

    /// How long the other side takes to end the connection, in seconds.
    private func end(of connection: Connection) throws -> Double {
        let before = Clock.monotonicMicroseconds()
        while try connection.receive() != nil {}
        return Double(Clock.monotonicMicroseconds() - before) / 1_000_000
    }

    @Test(arguments: ["", "\u{16}\u{3}\u{1}\u{2}"])
    func `who does not shake hands in time is cut off`(_ beginning: String) throws {
        let everyhop = try start("handshake = \"1s\"")
        let silent = try Connection(to: everyhop.port, nil)
        if !beginning.isEmpty { try silent.send(beginning) }
        #expect(try end(of: silent) > 0.8)
        try everyhop.waitForLog("TLS handshake: ")
        try waitUntil("a failure") { try admin.metric("everyhop_client_handshake_failures_total") > 0 }
    }

    @Test func `a connection without a request is closed, whatever was asked before`() throws {
        let everyhop = try start("keep_alive = \"1s\"")
        let client = try Connection(to: everyhop.port, try bench.trust.client())
        try client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nok")
        #expect(try client.receive(until: "0\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        #expect(try end(of: client) > 0.8)
        #expect(everyhop.access.count <= 1)
    }

    /// A request with a body, one without, and answers of our own, over both versions on both legs.
    @Test(arguments: ["http/1.1", "h2"], ["http/1.1", "h2"])
    func `connections that rest hold no buffer, whatever was asked before`(_ client: String, _ server: String) throws {
        let nginx = try Nginx(bench.trust, listen: server == "h2" ? "ssl http2" : "ssl")
        try nginx.folder.write("www/file", [UInt8](repeating: 0x61, count: 100_000))
        let everyhop = try bench.start(nginx.port, server: admin.setting) {
            $0.replacingOccurrences(
                of: "[[upstream]]",
                with:
                    "[[site.route]]\npath = \"/own\"\nrespond = { status = 403 }\n[[upstream]]\nprotocol = \"\(server)\""
            )
        }
        let statuses = [("/file", 200), ("/absent", 404), ("/own", 403)]
        var own: [Connection] = []
        var shared: [HTTP2Peer] = []
        for _ in 0..<5 {
            if client == "h2" {
                let peer = try bench.client(everyhop)
                for (path, status) in statuses { #expect(try peer.get(path).status == status) }
                shared.append(peer)
            } else {
                let connection = try Connection(to: everyhop.port, bench.trust.client())
                for (path, status) in statuses { #expect(try connection.answers(status, path)) }
                own.append(connection)
            }
        }
        // The metric is told five times a second: half a head that has to wait shows that it was told after all of that.
        do {
            let half = try Connection(to: everyhop.port, bench.trust.client())
            try half.send("GET /file HTTP/1.1\r\n")
            try waitUntil("a buffer") { try admin.metric("everyhop_buffer_bytes") > 0 }
            half.close()
        }
        try admin.waitForMetric("everyhop_buffer_bytes", 0)
        try admin.waitForMetric("everyhop_client_connections", 5)
        for peer in shared { #expect(try peer.get("/file").status == 200) }
        for connection in own { #expect(try connection.answers(200, "/file")) }
    }
}
