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
}
