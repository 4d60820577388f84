import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Floods of handshakes", .serialized) struct HandshakeFloodTests {
    let bench: Bench
    let admin: EveryhopAdmin
    let everyhop: EveryhopProcess

    init() throws {
        bench = try Bench()
        admin = try EveryhopAdmin()
        let settings = """
            \(admin.setting)
            [server.timeouts]
            handshake = "2m"
            [server.limits]
            handshakes = 16
            """
        everyhop = try bench.start(try bench.echo().port, server: settings)
    }

    /// Connections that say nothing.
    private func silent(_ count: Int) throws -> [Connection] {
        try (0..<count).map { _ in try Connection(to: everyhop.port, nil) }
    }

    @Test func `who connects and says nothing does not keep others out`() throws {
        let held = try silent(40)
        // The look at this hop from outside may be one more.
        try waitUntil("24 and more dropped") { try admin.metric("everyhop_client_handshakes_dropped_total") >= 24 }
        #expect(try admin.metric("everyhop_client_handshakes_active") <= 16)
        #expect(try bench.client(everyhop).get().status == 200)
        // The oldest went, the youngest are still there.
        #expect(try held[0].receive() == nil)
        #expect(held[39].drop(1))
        try everyhop.waitForLog("dropped, too many are under way")
    }

    @Test func `more handshakes than there is time for wait, and all are served`() throws {
        let trust = bench.trust
        let port = everyhop.port
        let done = Shared(0)
        for _ in 0..<8 {
            TestThread.start {
                for _ in 0..<25 {
                    let connection = try? Connection(to: port, trust.client())
                    if connection?.facts != nil { done.with { $0 += 1 } }
                }
                done.with { $0 += 1000 }
            }
        }
        try waitUntil("eight threads", seconds: 60) { done.value >= 8000 }
        #expect(done.value == 8200)
        try admin.waitForMetric("everyhop_client_handshakes_active", 0)
        #expect(try admin.metric("everyhop_client_handshakes_dropped_total") == 0)
    }
}
