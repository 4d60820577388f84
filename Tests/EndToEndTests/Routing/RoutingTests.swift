import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Routing inside a site") struct RoutingTests {
    static let versions = ["--http1.1", "--http2"]
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func apps(_ names: String..., mode: AppServer.Mode = .serve) throws -> [AppServer] {
        try names.map { try AppServer($0, certificate: trust.app, mode: mode) }
    }

    private static func route(_ path: String, _ action: String) -> String {
        "[[site.route]]\npath = \"\(path)\"\n\(action)\n"
    }

    @Test(arguments: versions) func `paths and hosts lead to upstreams of their own`(_ version: String) throws {
        let apps = try apps("app", "api", "users", "other", "wild")
        let routed = try Routed(
            trust,
            folder,
            apps,
            routes: Self.route("/api", "upstream = \"api\"") + Self.route("/api/users/", "upstream = \"users\"")
                + "[[site.route]]\nhost = \"other.test\"\nupstream = \"other\"\n"
                + "[[site.route]]\nhost = \"*.test\"\nupstream = \"wild\"\n"
        )
        for (path, name) in [
            ("/", "app"), ("/api", "api"), ("/api?x=/api/users", "api"), ("/api/x", "api"), ("/apix", "app"),
            ("/API/Users/7", "users"), ("/api/users", "users"), ("/api/userspace", "api"), ("/x/api", "app"),
            ("/api;jsessionid=7/users", "users"),
        ] {
            #expect(try routed.curl(path, version: version) == name, "\(path)")
        }
        for (path, host, name) in [
            ("/", "other.test", "other"), ("/", "OTHER.test:99", "other"), ("/", "x.test", "wild"),
            ("/", "x.y.test", "app"), ("/api/x", "other.test", "api"),
        ] {
            #expect(try routed.curl(path, "-H", "Host: \(host)", version: version) == name, "\(host)\(path)")
        }
        try routed.everyhop.waitForAccess("\"path\":\"/api/x\"", "\"site\":\"portal\"", "\"upstream\":\"api\"")
    }

    @Test func `the server gets the path as the client wrote it, and what the route rewrites`() throws {
        let apps = try apps("app", "api")
        let routed = try Routed(
            trust,
            folder,
            apps,
            site: "upstream = \"app\"\nrequest_headers = { set = { X-Of = \"site\" } }",
            routes: Self.route("/api", "upstream = \"api\"\npath_map = { public = \"/api\", server = \"/v1\" }")
                + Self.route("/plain", "upstream = \"api\"\nrequest_headers = { set = { X-Of = \"route\" } }")
        )
        #expect(try routed.curl("/plain;a=1//%41b/x?q=%2e") == "api")
        #expect(apps[1].last.value.hasPrefix("GET /plain;a=1//%41b/x?q=%2e HTTP/1.1\r\n"))
        #expect(apps[1].last.value.contains("\r\nX-Of: route\r\n"))
        #expect(try routed.curl("/api/x") == "api")
        #expect(apps[1].last.value.hasPrefix("GET /v1/x HTTP/1.1\r\n"))
        #expect(apps[1].last.value.contains("\r\nX-Of: site\r\n"))
    }

    @Test(arguments: versions) func `a rule on a path cannot be walked around`(_ version: String) throws {
        let apps = try apps("app", "admin")
        let routed = try Routed(
            trust,
            folder,
            apps,
            routes: Self.route("/admin", "upstream = \"admin\"\ndeny = [\"0.0.0.0/0\", \"::/0\"]")
                + Self.route("/public", "upstream = \"app\"")
        )
        for path in [
            "/admin", "/admin/", "/admin/x?y", "/ADMIN", "/%61dmin", "/%41DMIN/x", "/admin;x", "/admin;x=1/y",
            "/admin//x",
            "/admin.", "/admin%20", "/admin..%20/x", "/admin::$INDEX_ALLOCATION/x", "/;/admin", "/;x=1/admin/y",
            "/admin%3bx", "/admin%3fx",
        ].filter({ $0 != "/admin%3fx" }) {
            #expect(try routed.status(path, version: version) == "403", "\(path)")
        }
        for path in [
            "/public/../admin", "/./admin", "/public/%2e%2e/admin", "/public/.%2E/admin", "/public/..;/admin",
            "//admin",
            "//x/admin", "/public%2f..%2fadmin", "/x%2fadmin", "/public\\..\\admin", "/public%5c..%5cadmin",
            "/%2561dmin", "/public/%252e%252e/admin", "/%c0%ae%c0%ae/admin", "/public%c0%afadmin", "/admin%00",
            "/%u0061dmin", "/public/.../admin", "/admin%0a", "/%",
        ] {
            #expect(try routed.status(path, version: version) == "400", "\(path)")
        }
        #expect(apps.allSatisfy { $0.requests.value == 0 })
        #expect(try routed.curl("/public/x..y/.z/a%20b", version: version) == "app")
        try routed.everyhop.waitForAccess(
            "\"status\":403",
            "\"site\":\"portal\"",
            "\"error\":\"route /admin does not admit the address 127.0.0.1\""
        )
        try routed.everyhop.waitForAccess("\"status\":400", "the path has a segment of dots")
        try routed.waitForMetric("everyhop_requests_denied_total 16")
    }

    @Test func `an absolute target and OPTIONS for everything are routed too`() throws {
        let apps = try apps("app", "root")
        let routed = try Routed(
            trust,
            folder,
            apps,
            site: "",
            routes: Self.route("/", "upstream = \"root\"") + Self.route("/app", "upstream = \"app\"")
        )
        for (line, name) in [
            ("GET https://localhost HTTP/1.1", "root"), ("GET https://localhost?/app HTTP/1.1", "root"),
            ("GET https://localhost/app/x HTTP/1.1", "app"), ("OPTIONS * HTTP/1.1", "root"),
        ] {
            let connection = try Connection(to: routed.everyhop.port, try trust.client())
            try connection.send("\(line)\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            #expect(connection.receiveAll().hasSuffix("\r\n\r\n\(name)"), "\(line)")
        }
    }

    @Test(arguments: versions) func `a site with hsts says so in its own answers, too`(_ version: String) throws {
        let apps = try apps("app")
        let routed = try Routed(
            trust,
            folder,
            apps,
            site: "upstream = \"app\"\nhsts = { max_age = \"1d\" }",
            routes: Self.route("/gone", "respond = { status = 410 }")
                + Self.route("/fixed", "respond = { body = \"x\" }")
                + Self.route("/old", "redirect = { location = \"/new\" }")
                + Self.route("/denied", "deny = [\"0.0.0.0/0\"]\nupstream = \"app\"")
        )
        apps[0].mode.with { $0 = .hangUp }
        let cases = [
            ("/gone", "410"), ("/fixed", "200"), ("/old", "302"), ("/denied", "403"), ("/", "502"), ("/%2e%2e/", "400"),
        ]
        for (path, status) in cases {
            let answer = try routed.curl(path, "-i", version: version).lowercased()
            #expect(answer.contains(" \(status)"), "\(path)")
            #expect(
                answer.components(separatedBy: "strict-transport-security: max-age=86400\r\n").count == 2,
                "\(path)"
            )
        }
        // Not understood, but on a connection of the site's.
        let connection = try Connection(to: routed.everyhop.port, try trust.client())
        try connection.send("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n")
        let answer = connection.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 400") && answer.contains("Strict-Transport-Security: max-age=86400\r\n"))
    }

    @Test(arguments: versions) func `answers come from the configuration and from files`(_ version: String) throws {
        let page = "<h1>Back at six</h1>" + String(repeating: "x", count: 60_000)
        try folder.write("down.html", page)
        let apps = try apps("app")
        let routed = try Routed(
            trust,
            folder,
            apps,
            routes: Self.route("/down", "respond = { status = 503, file = \"down.html\" }")
                + Self.route("/robots.txt", "respond = { body = \"User-agent: *\\n\" }")
                + Self.route("/json", "respond = { content_type = \"application/json\", body = \"{}\" }")
                + Self.route("/gone", "respond = { status = 410 }") + Self.route("/none", "respond = { status = 204 }")
                + Self.route("/old", "redirect = { location = \"/new?a=b\", status = 301 }")
                + Self.route("/away", "redirect = { location = \"https://other.test/\" }")
        )
        // The file was read when the configuration was loaded.
        try FileManager.default.removeItem(atPath: "\(folder.path)/down.html")
        let down = try routed.curl("/down/x", "-i", version: version)
        #expect(down.contains(" 503") && down.hasSuffix(page) && down.lowercased().contains("retry-after: 5\r\n"))
        #expect(down.lowercased().contains("content-type: text/html; charset=utf-8\r\n"))
        #expect(down.lowercased().contains("content-length: \(page.utf8.count)\r\n"))
        let head = try routed.curl("/down", "-I", version: version).lowercased()
        #expect(head.contains("content-length: \(page.utf8.count)\r\n") && head.hasSuffix("\r\n\r\n"))
        let robots = try routed.curl("/robots.txt", "-i", version: version).lowercased()
        #expect(robots.contains(" 200") && robots.hasSuffix("\r\n\r\nuser-agent: *\n"))
        #expect(robots.contains("content-type: text/plain; charset=utf-8\r\n") && robots.contains("x-request-id: "))
        let json = try routed.curl("/json", "-i", "-X", "POST", version: version).lowercased()
        #expect(json.contains("content-type: application/json\r\n") && json.hasSuffix("{}"))
        #expect(try routed.curl("/json", "-d", "posted").hasSuffix("{}"))
        #expect(try routed.curl("/gone", version: version).contains("<h1>410 Gone</h1>"))
        let none = try routed.curl("/none", "-i", version: version).lowercased()
        #expect(none.contains(" 204") && !none.contains("content-") && none.hasSuffix("\r\n\r\n"))
        let old = try routed.curl("/old", "-i", version: version).lowercased()
        #expect(
            old.contains(" 301") && old.contains("\r\nlocation: /new?a=b\r\n") && old.contains("content-length: 0\r\n")
        )
        let away = try routed.curl("/away", "-i", version: version).lowercased()
        #expect(away.contains(" 302") && away.contains("\r\nlocation: https://other.test/\r\n"))
        #expect(apps[0].requests.value == 0)
        try routed.everyhop.waitForAccess("\"path\":\"/robots.txt\"", "\"status\":200", "\"site\":\"portal\"")
        #expect(!routed.everyhop.access.contains { $0.contains("\"error\"") })
    }

    @Test func `answers leave the connection usable`() throws {
        let routed = try Routed(
            trust,
            folder,
            try apps("app"),
            routes: Self.route("/x", "respond = { body = \"fixed\" }")
        )
        let connection = try Connection(to: routed.everyhop.port, try trust.client())
        for (path, body) in [("/x", "fixed"), ("/", "app"), ("/x", "fixed")] {
            try connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _ = try connection.receive(until: "\r\n\r\n\(body)")
        }
    }

    @Test func `routes have limits of their own`() throws {
        let apps = try apps("app", "small")
        let routed = try Routed(
            trust,
            folder,
            apps,
            routes: Self.route("/small", "upstream = \"small\"\nlimits = { body = 10 }")
                + Self.route("/large", "upstream = \"small\"\nlimits = { body = \"1KiB\" }"),
            server: "limits = { body = 100 }"
        )
        for (path, most) in [("/small", 10), ("/large", 1024), ("/", 100)] {
            let body = String(repeating: "x", count: most + 1)
            for framing in ["", "Transfer-Encoding: chunked"] {
                #expect(try routed.status(path, "-d", body, "-H", framing) == "413", "\(path) \(framing)")
            }
            let client = try HTTP2Peer(to: routed.everyhop, trust.client(alpn: "h2"))
            let fields = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
            let told = try client.request(fields + [("content-length", "\(most + 1)")], endsStream: false)
            #expect(try client.answer(told).status == 413)
            let untold = try client.request(fields, endsStream: false)
            try client.send(Array(body.utf8), on: untold, endsStream: false)
            #expect(try client.answer(untold).status == 413)
            #expect(try routed.status(path, "-I") == "200")
        }
        try routed.everyhop.waitForAccess(
            "\"path\":\"/small\"",
            "\"status\":413",
            "larger than the configuration allows"
        )
    }

    @Test func `routes have time limits of their own`() throws {
        let held = try AppServer("app", certificate: trust.app, mode: .hold)
        let routed = try Routed(
            trust,
            folder,
            [held],
            routes: Self.route("/response", "upstream = \"app\"\ntimeouts = { response = \"200ms\" }")
                + Self.route("/total", "upstream = \"app\"\ntimeouts = { total = \"200ms\" }")
        )
        #expect(try routed.status("/response") == "504")
        try routed.everyhop.waitForAccess("\"path\":\"/response\"", "no response in time")
        #expect(try routed.status("/total") == "504")
        try routed.everyhop.waitForAccess("\"path\":\"/total\"", "took longer than the configuration allows")
        held.mode.with { $0 = .hangUp }
    }

    @Test func `they hold for servers in HTTP 2, and for WebSocket`() throws {
        let server = try PeerServer(trust, script: "h2_server.py")
        let routed = try Routed(
            trust,
            folder,
            [],
            peer: server,
            site: "upstream = \"peer\"",
            routes: Self.route("/silence", "upstream = \"peer\"\ntimeouts = { response = \"1s\" }"),
            upstream: "protocol = \"h2\""
        )
        #expect(try routed.status("/silence") == "504")
        let other = try TemporaryFolder()
        try trust.write(to: other)
        let chat = try PeerServer(trust, script: "websocket_server.py")
        let tunnelled = try Routed(
            trust,
            other,
            [],
            peer: chat,
            site: "upstream = \"peer\"",
            routes: Self.route("/chart", "upstream = \"peer\"\ntimeouts = { tunnel = \"300ms\" }")
        )
        let connection = try Connection(to: tunnelled.everyhop.port, try trust.client())
        try connection.send(
            "GET /chart HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        _ = try connection.receive(until: "\r\n\r\n")
        #expect(connection.receiveAll().isEmpty)
        try tunnelled.everyhop.waitForAccess("nothing went over the upgraded connection for too long")
    }

    @Test func `files that cannot be answered with are told by check`() throws {
        try folder.write("large.html", String(repeating: "x", count: 65_537))
        try folder.write("not.pem", "x")
        let text = try Routed.configuration(
            trust,
            [("app", 9)],
            binding: "client_ca = \"not.pem\"",
            routes: Self.route("/a", "respond = { file = \"large.html\" }")
                + Self.route("/b", "respond = { file = \"missing.html\" }")
        )
        let file = try folder.write("everyhop.toml", text)
        let result = try Shell.run([EveryhopProcess.program, "check", "--config", file], merged: true)
        #expect(result.status == 1)
        for message in [
            "file \"large.html\" is larger than 64KiB",
            "file \"missing.html\" cannot be read: No such file or directory",
            "client_ca \"not.pem\": no PEM certificate in it",
        ] { #expect(result.text.contains(message), "\(result.text)") }
    }
}
