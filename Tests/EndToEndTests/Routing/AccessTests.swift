import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Who is served, and how often") struct AccessTests {
    static let versions = ["--http1.1", "--http2"]
    let trust: TestTrust
    let folder: TemporaryFolder
    let app: AppServer

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        app = try AppServer("app", certificate: trust.app)
    }

    private static let trusting = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]"

    @Test(arguments: versions) func `a site's lists decide by the peer's address`(_ version: String) throws {
        for (lists, status) in [
            ("allow = [\"127.0.0.0/8\"]", "200"), ("allow = [\"::ffff:127.0.0.1\"]", "200"),
            ("allow = [\"::/0\"]", "403"),
            ("deny = [\"127.0.0.1\"]", "403"), ("allow = [\"0.0.0.0/0\"]\ndeny = [\"127.0.0.1/32\"]", "403"),
            ("deny = [\"127.0.0.2\", \"::1\"]", "200"),
        ] {
            let folder = try TemporaryFolder()
            try trust.write(to: folder)
            let routed = try Routed(trust, folder, [app], site: "upstream = \"app\"\n\(lists)")
            // Whoever is not trusted may say what it likes.
            #expect(try routed.status("/", "-H", "X-Forwarded-For: 192.0.2.1", version: version) == status, "\(lists)")
            guard status == "403" else { continue }
            try routed.everyhop.waitForAccess(
                "\"status\":403",
                "\"error\":\"the site does not admit the address 127.0.0.1\"",
                "\"site\":\"portal\""
            )
            try routed.waitForMetric("everyhop_requests_denied_total 1")
            #expect(try routed.curl("/", version: version).contains("<h1>403 Forbidden</h1>"))
        }
    }

    @Test(arguments: versions) func `behind a trusted proxy its word decides`(_ version: String) throws {
        let routed = try Routed(
            trust,
            folder,
            [app],
            site: "upstream = \"app\"\ndeny = [\"192.0.2.66\"]",
            routes:
                "[[site.route]]\npath = \"/lan\"\nupstream = \"app\"\nallow = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n",
            server: Self.trusting
        )
        for (forwarded, site, route) in [
            ("192.0.2.1", "200", "200"), ("192.0.2.66", "403", "403"), ("198.51.100.1", "200", "403"),
            ("192.0.2.1, 198.51.100.1", "200", "403"), ("198.51.100.1, 192.0.2.1, 10.1.2.3", "200", "200"),
            ("192.0.2.66, 192.0.2.1", "200", "200"), ("2001:db8::9", "200", "200"), ("2001:db9::9", "200", "403"),
            ("::ffff:192.0.2.66", "403", "403"), ("[2001:db8::9]:443", "200", "200"), ("unknown", "403", "403"),
            ("192.0.2.1, nonsense", "403", "403"),
        ] {
            let field = "X-Forwarded-For: \(forwarded)"
            #expect(try routed.status("/", "-H", field, version: version) == site, "\(forwarded)")
            #expect(try routed.status("/LAN/x", "-H", field, version: version) == route, "\(forwarded)")
        }
        // The proxy itself is not on the list.
        #expect(try routed.status("/lan", version: version) == "403")
        try routed.everyhop.waitForAccess("route /lan does not admit the address 2001:db9::9")
        try routed.everyhop.waitForAccess("in X-Forwarded-For, which is not readable")
    }

    @Test(arguments: versions) func `a client that asks too often waits`(_ version: String) throws {
        let routed = try Routed(
            trust,
            folder,
            [app],
            site: "upstream = \"app\"\nrate = { requests = 1, per = \"minute\", burst = 3 }",
            routes:
                "[[site.route]]\npath = \"/login\"\nupstream = \"app\"\nrate = { requests = 1, per = \"minute\" }\n",
            server: Self.trusting
        )
        func status(_ path: String, _ client: String) throws -> String {
            try routed.status(path, "-H", "X-Forwarded-For: \(client)", version: version)
        }
        for expected in ["200", "200", "200", "429", "429"] { #expect(try status("/", "192.0.2.1") == expected) }
        let refused = try routed.curl("/", "-i", "-H", "X-Forwarded-For: 192.0.2.1", version: version)
        let wait = refused.lowercased().components(separatedBy: "\r\nretry-after: ").dropFirst().first?.prefix {
            $0.isNumber
        }
        #expect(
            (1...60).contains(wait.flatMap { Int($0) } ?? 0) && refused.contains("<h1>429 Too Many Requests</h1>"),
            "\(refused)"
        )
        #expect(try status("/login", "192.0.2.2") == "200" && status("/login", "192.0.2.2") == "429")
        // It counts for the site as well, which still has one.
        #expect(try status("/", "192.0.2.2") == "200" && status("/", "192.0.2.2") == "429")
        // An IPv6 client is its network.
        for last in 1...4 { #expect(try status("/", "2001:db8::\(last)") == (last < 4 ? "200" : "429")) }
        #expect(try status("/", "2001:db8:0:1::1") == "200")
        try routed.everyhop.waitForAccess("\"status\":429", "the site has served the address 192.0.2.1 often enough")
        try routed.everyhop.waitForAccess(
            "\"status\":429",
            "route /login has served the address 192.0.2.2 often enough"
        )
        try routed.waitForMetric("everyhop_requests_limited_total 6")
    }

    @Test func `tokens come back with time`() throws {
        let routed = try Routed(trust, folder, [app], site: "upstream = \"app\"\nrate = { requests = 5, burst = 1 }")
        let connection = try Connection(to: routed.everyhop.port, try trust.client())
        var refused = 0
        try waitUntil("three served and one refused") {
            try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if try connection.receive(until: "\r\n\r\n").contains(" 429 ") { refused += 1 }
            return app.requests.value >= 3 && refused > 0
        }
    }
}
