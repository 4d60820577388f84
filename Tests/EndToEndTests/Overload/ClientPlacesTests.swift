import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Connections of one client, behind a load balancer", .serialized) struct ClientPlacesTests {
    private let admin: EveryhopAdmin
    private let everyhop: EveryhopProcess
    private let redirect: UInt16

    init() throws {
        let bench = try Bench()
        admin = try EveryhopAdmin()
        let redirect = try freePort()
        self.redirect = redirect
        everyhop = try bench.start(
            try freePort(),
            server: "\(admin.setting)\n[server.limits]\nconnections_per_client = 3"
        ) {
            $0.replacingOccurrences(
                of: "name = \"portal\"\n",
                with: "name = \"portal\"\naccept_proxy = [\"127.0.0.1\"]\nredirect = [\"127.0.0.1:\(redirect)\"]\n"
            )
        }
    }

    /// A client that has been answered, unless it was cut off.
    private func client(_ address: String) throws -> Connection? {
        let (family, local) = address.contains(":") ? ("TCP6", "2001:db8::1") : ("TCP4", "198.51.100.1")
        let connection = try Connection(to: redirect, nil)
        try connection.send("PROXY \(family) \(address) \(local) 4711 80\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let answer = (try? connection.receive(until: "\r\n\r\n")) ?? ""
        return answer.hasPrefix("HTTP/1.1 30") ? connection : nil
    }

    @Test func `one more than it may is closed as it comes; others are served, and so is it when it has gone`() throws {
        var held: [Connection?] = try (0..<3).map { _ in try client("192.0.2.7") }
        held += try (1...3).map { try client("2001:db8:0:7::\($0)") }
        #expect(held.allSatisfy { $0 != nil })
        #expect(try client("192.0.2.7") == nil)
        #expect(try client("2001:db8:0:7::ffff") == nil)
        let others = [try client("192.0.2.8"), try client("2001:db8:0:8::1")]
        #expect(others.allSatisfy { $0 != nil })
        try admin.waitForMetric("everyhop_client_connections_refused_total", 2)
        try everyhop.waitForLog("as many connections as one client may")
        held.removeAll()
        try waitUntil("a place") { try client("192.0.2.7") != nil }
        #expect(try everyhop.workers().count == 1)
        withExtendedLifetime(others) {}
    }
}
