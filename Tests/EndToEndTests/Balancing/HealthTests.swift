import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Health checks") struct HealthTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private static let often = "health = { path = \"/healthz\", interval = \"100ms\", rise = 2, fall = 2 }"

    private func pair() throws -> [AppServer] { try ["a", "b"].map { try AppServer($0, certificate: trust.app) } }

    private func list(_ apps: [AppServer]) -> String { apps.map { "\"\($0.address)\"" }.joined(separator: ", ") }

    @Test func `a server that fails its checks gets nothing until it passes them again`() throws {
        let apps = try pair()
        let balanced = try Balanced(
            trust,
            folder,
            servers: list(apps),
            upstream: "balance = \"round-robin\"\n\(Self.often)"
        )
        try balanced.everyhop.waitForLog("server is up", count: 2)
        #expect(Set(try (0..<4).map { _ in try balanced.served() }) == ["a", "b"])
        apps[0].health.with { $0 = "503 Service Unavailable" }
        try balanced.waitForMetric("everyhop_server_up{\(Balanced.labels(apps[0]))} 0")
        try balanced.everyhop.waitForLog("server is down")
        #expect(balanced.everyhop.log.contains("status 503"))
        try waitUntil("b alone") { Set(try (0..<4).map { _ in try balanced.served() }) == ["b"] }
        #expect(try balanced.admin("/readyz") == ("200", "ready\nupstream app: 1 of 2 servers up\n"))
        apps[0].health.with { $0 = "204 No Content" }
        try balanced.everyhop.waitForLog("server is up again")
        try waitUntil("both") { Set(try (0..<4).map { _ in try balanced.served() }) == ["a", "b"] }
        try balanced.waitForMetric("everyhop_server_up{\(Balanced.labels(apps[0]))} 1")
        let check = try #require(apps[1].checks.value.last)
        #expect(check.contains("\r\nHost: app.internal\r\n") && check.contains("\r\nConnection: close\r\n"))
        let metrics = try balanced.admin("/metrics").body
        #expect(!metrics.contains("everyhop_server_checks_total{\(Balanced.labels(apps[0])),result=\"failed\"} 0\n"))
        #expect(metrics.contains("everyhop_server_checks_total{\(Balanced.labels(apps[1])),result=\"failed\"} 0\n"))
    }

    @Test func `when every server is down clients get 503 and the proxy is not ready`() throws {
        let apps = try pair()
        for app in apps { app.health.with { $0 = "500 Oops" } }
        let balanced = try Balanced(trust, folder, servers: list(apps), upstream: Self.often)
        try balanced.everyhop.waitForLog("server is down", count: 2)
        try waitUntil("503") { try balanced.served().hasPrefix("HTTP/1.1 503") }
        try balanced.everyhop.waitForAccess("\"status\":503", "no server available")
        #expect(try balanced.admin("/readyz") == ("503", "no upstream has a server\nupstream app: 0 of 2 servers up\n"))
        #expect(try balanced.admin("/healthz").status == "200")
        apps[1].health.with { $0 = "200 OK" }
        try waitUntil("200") { try balanced.served() == "b" }
        try waitUntil("ready") { try balanced.admin("/readyz").status == "200" }
    }

    @Test func `a check believes no server that a worker would not believe`() throws {
        let good = try AppServer("good", certificate: trust.app)
        // The same authority and name, another key.
        let other = try CertificateMaker.issue(names: ["app.internal"], by: trust.authority)
        let wrong = try AppServer("wrong", certificate: other)
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"\(good.address)\", \"\(wrong.address)\"",
            upstream: Self.often
        )
        try balanced.everyhop.waitForLog("server is down")
        let line = try #require(balanced.everyhop.log.split(separator: "\n").first { $0.contains("server is down") })
        #expect(line.contains(wrong.address) && line.contains("pin"))
        try balanced.waitForMetric("everyhop_server_up{\(Balanced.labels(wrong))} 0")
        try balanced.waitForMetric("everyhop_server_up{\(Balanced.labels(good))} 1")
        for _ in 0..<4 { #expect(try balanced.served() == "good") }
        #expect(wrong.checks.value.isEmpty && wrong.requests.value == 0)
    }

    @Test func `checks show the client certificate that servers ask for`() throws {
        let nginx = try Nginx(
            trust,
            more: "ssl_client_certificate PATH/authority.pem; ssl_verify_client on; location /healthz { return 204; }"
        )
        let servers = "\"127.0.0.1:\(nginx.port)\""
        let checks = "health = { path = \"/healthz\", interval = \"100ms\", status = 204, method = \"HEAD\" }"
        let without = try Balanced(trust, folder, servers: servers, upstream: checks)
        try without.everyhop.waitForLog("server is down")
        #expect(without.everyhop.log.contains("status 400"))
        let other = try TemporaryFolder()
        try trust.write(to: other)
        let with = try Balanced(trust, other, servers: servers, upstream: "client_certificate = \"portal\"\n\(checks)")
        try with.everyhop.waitForLog("server is up")
        #expect(!with.everyhop.log.contains("server is down"))
    }

    @Test func `a server that does not answer in time has failed`() throws {
        let silent = try ScriptedServer(certificate: trust.app) { connection in
            while try connection.receive() != nil {}
        }
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"127.0.0.1:\(silent.port)\"",
            upstream: "health = { interval = \"1s\", timeout = \"900ms\" }"
        )
        try balanced.everyhop.waitForLog("server is down")
        #expect(balanced.everyhop.log.contains("no answer within 900 ms"))
    }

    @Test func `a monitor that dies is replaced, and checks go on`() throws {
        let apps = try pair()
        let balanced = try Balanced(trust, folder, servers: list(apps), upstream: Self.often)
        try balanced.everyhop.waitForLog("server is up", count: 2)
        let children = try Shell.run(["ps", "--ppid", "\(balanced.everyhop.process)", "-o", "pid=,args="]).text
        let line = try #require(children.split(separator: "\n").first { $0.hasSuffix("everyhop monitor") })
        kill(try #require(Int32(line.split(separator: " ")[0])), SIGKILL)
        try balanced.everyhop.waitForLog("the monitor died")
        apps[1].health.with { $0 = "500 Oops" }
        try balanced.everyhop.waitForLog("server is down")
        try waitUntil("a alone") { Set(try (0..<4).map { _ in try balanced.served() }) == ["a"] }
    }

    @Test func `what checks have found outlives workers, the monitor and a reload`() throws {
        let apps = try pair()
        apps[0].health.with { $0 = "500 Oops" }
        let servers = list(apps)
        // Checks are rare: what is known later was known before.
        let balanced = try Balanced(
            trust,
            folder,
            servers: servers,
            upstream: "balance = \"round-robin\"\nhealth = { path = \"/healthz\", interval = \"1h\" }"
        )
        try balanced.everyhop.waitForLog("server is down")
        try waitUntil("b alone") { Set(try (0..<4).map { _ in try balanced.served() }) == ["b"] }
        kill(try #require(try balanced.everyhop.workers().first), SIGKILL)
        try balanced.everyhop.waitForLog("worker 0 serves", count: 2)
        for _ in 0..<4 { #expect(try balanced.served() == "b") }
        apps[0].health.with { $0 = "200 OK" }
        balanced.everyhop.signal(SIGHUP)
        try balanced.everyhop.waitForLog("worker 0 serves", count: 3)
        try balanced.waitForMetric("everyhop_server_checks_total{\(Balanced.labels(apps[0])),result=\"passed\"} 1")
        // One check that passes is not a rise of two.
        for _ in 0..<4 { #expect(try balanced.served() == "b") }
        try balanced.waitForMetric("everyhop_server_up{\(Balanced.labels(apps[0]))} 0")
    }

    @Test(arguments: ["h2", "auto"])
    func `a server that speaks HTTP/2 is checked in HTTP/2`(_ version: String) throws {
        let status = Shared("503")
        let seen = Shared("")
        let server = try ScriptedServer(certificate: trust.app, alpn: "h2") { connection in
            let peer = try HTTP2Peer(serving: connection)
            while peer.heads.isEmpty, try peer.next() != nil {}
            seen.with { $0 = peer.soFar(1).fields.map { "\($0.name): \($0.value)" }.joined(separator: "\n") }
            let fields = [(":status", status.value), ("content-length", "2")]
            try peer.send(
                HTTP2Frames.headers(1, [(":status", "103")], endsStream: false)
                    + HTTP2Frames.headers(1, fields, endsStream: false)
                    + HTTP2Frames.data(1, Array("ok".utf8), endsStream: true)
            )
            while try peer.next() != nil {}
        }
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"127.0.0.1:\(server.port)\"",
            upstream: "protocol = \"\(version)\"\n\(Self.often)"
        )
        try balanced.everyhop.waitForLog("server is down")
        #expect(balanced.everyhop.log.contains("status 503"))
        status.with { $0 = "200" }
        try balanced.everyhop.waitForLog("server is up again")
        let head = seen.value
        #expect(head.contains(":method: GET") && head.contains(":path: /healthz") && !head.contains("connection"))
        #expect(head.contains(":authority: app.internal"))
    }

    @Test func `a server that should speak HTTP/2 and does not has failed its check`() throws {
        let app = try AppServer("a", certificate: trust.app)
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"\(app.address)\"",
            upstream: "protocol = \"h2\"\n\(Self.often)"
        )
        try balanced.everyhop.waitForLog("server is down")
        #expect(balanced.everyhop.log.contains("no application protocol"))
    }
}
