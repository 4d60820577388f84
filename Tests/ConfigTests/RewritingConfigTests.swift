import Config
import Foundation
import Testing

@Suite("What a site changes in messages") struct RewritingConfigTests {
    private func decode(_ lines: String) throws -> Configuration.Decoded {
        let text =
            "[[site]]\nname = \"s\"\nupstream = \"a\"\n\(lines)\n[[site.binding]]\ncertificate = \"c\"\n"
            + "[certificate.c]\nself_signed = [\"x\"]\n[[upstream]]\nname = \"a\"\nservers = [\"unix:/a\"]\nplaintext = true\n"
        return Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    private func rewriting(_ lines: String) throws -> Rewriting {
        let decoded = try decode(lines)
        #expect(decoded.diagnostics.isEmpty, "\(decoded.diagnostics)")
        return try #require(decoded.configuration.sites.first).rewriting
    }

    @Test func `what is always right is on, all else is off`() throws {
        let rewriting = try rewriting("")
        #expect(rewriting.rewritesLinks && rewriting.cookies.secure)
        #expect(rewriting.upstreamHost == nil && rewriting.path == nil && rewriting.strictTransport == nil)
        #expect(!rewriting.upgradesInsecureRequests && !rewriting.cookies.httpOnly && rewriting.cookies.sameSite == nil)
        #expect(rewriting.requestHeaders.isEmpty && rewriting.responseHeaders.isEmpty && rewriting.ownHosts.isEmpty)
    }

    @Test func `every key is read`() throws {
        let rewriting = try rewriting(
            """
            upstream_host = "App.Internal:8080"
            own_hosts = ["old", "[2001:DB8::1]", "[::1]:81", "10.0.0.1:80"]
            rewrite_links = false
            path_map = { public = "/", server = "/legacy/x" }
            hsts = { max_age = "730d", include_subdomains = true, preload = true }
            upgrade_insecure_requests = true
            [site.cookies]
            secure = false
            http_only = true
            same_site = "lax"
            except = ["XSRF-TOKEN"]
            domains = { ".Corp.Internal" = "example.org", "gone" = "" }
            paths = { "/Old" = "/new", "/gone" = "" }
            [site.request_headers]
            set = { "X-Real-IP" = "${client_address}", "X-Price" = "1 $$ at ${host}:${port}" }
            add = { "Accept-Language" = "de" }
            remove = ["X-Debug"]
            [site.response_headers]
            set = { "X-Frame-Options" = "DENY" }
            """
        )
        #expect(rewriting.upstreamHost?.description == "app.internal:8080")
        #expect(rewriting.ownHosts.map(\.description) == ["old", "[2001:db8::1]", "[::1]:81", "10.0.0.1:80"])
        #expect(rewriting.ownHosts.map(\.port) == [nil, nil, 81, 80])
        #expect(!rewriting.rewritesLinks && rewriting.upgradesInsecureRequests)
        #expect(rewriting.path?.publicPrefix == "/" && rewriting.path?.serverPrefix == "/legacy/x")
        let transport = try #require(rewriting.strictTransport)
        #expect(transport.maximumAge == 63_072_000 && transport.includesSubdomains && transport.preload)
        let cookies = rewriting.cookies
        #expect(!cookies.secure && cookies.httpOnly && cookies.sameSite == .lax && cookies.exceptions == ["XSRF-TOKEN"])
        #expect(
            cookies.domains.map(\.from) == ["corp.internal", "gone"]
                && cookies.domains.map(\.to) == ["example.org", ""]
        )
        #expect(cookies.paths.map(\.from) == ["/Old", "/gone"] && cookies.paths.map(\.to) == ["/new", ""])
        let headers = rewriting.requestHeaders
        #expect(headers.replaced.map(\.name) == ["X-Real-IP", "X-Price"] && headers.removed == ["X-Debug"])
        #expect(headers.replaced[0].pieces == [.variable(.clientAddress)])
        #expect(
            headers.replaced[1].pieces == [
                .text("1 "), .text("$"), .text(" at "), .variable(.host), .text(":"), .variable(.port),
            ]
        )
        #expect(headers.added.map(\.pieces) == [[.text("de")]])
        #expect(rewriting.responseHeaders.replaced.map(\.name) == ["X-Frame-Options"])
    }

    private static func file(_ name: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
        return try String(contentsOf: root.appendingPathComponent(name), encoding: .utf8)
    }

    @Test(arguments: ["docs/legacy-applications.md", "docs/compression.md"])
    func `what the documentation shows is good`(_ name: String) throws {
        let blocks = try Self.file(name).components(separatedBy: "```toml\n").dropFirst()
        #expect(!blocks.isEmpty)
        for block in blocks {
            let lines = block.components(separatedBy: "```")[0]
            let found = try decode(lines).diagnostics
            #expect(found.isEmpty, "\(lines)\n\(found)")
        }
    }

    @Test func `what the example shows in comments is good`() throws {
        let text = try Self.file("config.example.toml")
        let site = try #require(
            text.components(separatedBy: "[[site]]\n").last?.components(separatedBy: "# Site bindings").first
        )
        let keys = try Regex("(?m)^# (?=[a-z_]+ = )")
        let shown = site.replacing(keys, with: "").components(separatedBy: "redirect = ")[1].split(separator: "\n")
            .dropFirst()
        #expect(
            shown.filter { $0.hasPrefix("path_map") || $0.hasPrefix("remove = ") || $0.hasPrefix("domains") }.count == 4
        )
        let lines = shown.joined(separator: "\n")
        let found = try decode(lines).diagnostics
        #expect(found.isEmpty, "\(found)")
    }

    @Test func `browsers can be made to forget`() throws {
        #expect(try rewriting("hsts = { max_age = \"0s\" }").strictTransport?.maximumAge == 0)
    }

    @Test(arguments: [
        ("upstream_host = \"\"", "4:17", "is not a host"), ("upstream_host = \"a b\"", "4:17", "is not a host"),
        ("upstream_host = \"a:0\"", "4:17", "is not a host"), ("upstream_host = \"a:99999\"", "4:17", "is not a host"),
        ("upstream_host = \"*.a\"", "4:17", "is not a host"), ("upstream_host = \"::1\"", "4:17", "is not a host"),
        ("upstream_host = \"[1.2.3.4]\"", "4:17", "is not a host"),
        ("upstream_host = \"a/b\"", "4:17", "is not a host"),
        ("upstream_host = \"a\\r\\nX: y\"", "4:17", "is not a host"),
        ("upstream_host = 1", "4:17", "has to be a string"),
        ("own_hosts = [\"a\", \"http://b\"]", "4:19", "own_hosts \"http://b\" is not a host"),
        ("rewrite_links = \"yes\"", "4:17", "has to be true or false"),
        ("path_map = { public = \"/a\" }", "4:12", "path_map has no server"),
        ("path_map = { server = \"/a\" }", "4:12", "path_map has no public"),
        ("path_map = { public = \"a\", server = \"/\" }", "4:23", "is not a prefix of paths"),
        ("path_map = { public = \"/a/\", server = \"/\" }", "4:23", "is not a prefix of paths"),
        ("path_map = { public = \"/a/../b\", server = \"/\" }", "4:23", "is not a prefix of paths"),
        ("path_map = { public = \"/a%20\", server = \"/\" }", "4:23", "is not a prefix of paths"),
        ("path_map = { public = \"//a\", server = \"/\" }", "4:23", "is not a prefix of paths"),
        ("path_map = { public = \"/a?b\", server = \"/\" }", "4:23", "is not a prefix of paths"),
        ("path_map = { public = \"/a\", server = \"/b c\" }", "4:38", "is not a prefix of paths"),
        ("path_map = { public = \"/a\", server = \"/a\" }", "4:12", "maps a prefix to itself"),
        ("path_map = { public = \"/a\", server = \"/b\", x = 1 }", "4:44", "unknown key \"x\" in path_map"),
        ("hsts = \"365d\"", "4:8", "hsts has to be a table"), ("hsts = {}", "4:8", "hsts has no max_age"),
        ("hsts = { max_age = \"1y\" }", "4:20", "is not a time"),
        ("hsts = { max_age = \"1d\", preload = true }", "4:36", "a year and every subdomain"),
        (
            "hsts = { max_age = \"1d\" }\nresponse_headers = { remove = [\"strict-transport-security\"] }", "4:8",
            "both write"
        ),
        ("cookies = { same_site = \"none\", secure = false }", "4:25", "refuse SameSite=None"),
        ("cookies = { same_site = \"off\" }", "4:25", "is not known"),
        ("cookies = { except = [\"a\"] }", "4:22", "no meaning without"),
        ("cookies = { domains = { \"a b\" = \"c\" } }", "4:25", "\"a b\" is not the domain of a cookie"),
        ("cookies = { domains = { a = \"b;c\" } }", "4:29", "\"b;c\" is not the domain of a cookie"),
        ("cookies = { domains = { a = 1 } }", "4:29", "domains has to hold strings"),
        ("cookies = { paths = { a = \"/\" } }", "4:23", "\"a\" is not the path of a cookie"),
        ("cookies = { paths = { \"/a\" = \"/b;c\" } }", "4:30", "\"/b;c\" is not the path of a cookie"),
        ("cookies = { secured = true }", "4:13", "did you mean \"secure\""),
        ("request_headers = { remove = [\"a b\"] }", "4:31", "is not the name of a header"),
        ("request_headers = { set = { \"\" = \"x\" } }", "4:29", "is not the name of a header"),
        ("request_headers = { set = { \"X:\" = \"x\" } }", "4:29", "is not the name of a header"),
        ("request_headers = { set = { Host = \"x\" } }", "4:29", "everyhop's own"),
        ("request_headers = { add = { x_forwarded_for = \"x\" } }", "4:29", "everyhop's own"),
        ("response_headers = { remove = [\"Content-Length\"] }", "4:32", "everyhop's own"),
        ("request_headers = { set = { X = \"\" } }", "4:33", "the value is empty"),
        ("request_headers = { set = { X = \"a\\nb\" } }", "4:33", "not one line"),
        ("request_headers = { set = { X = \"a\\r\" } }", "4:33", "not one line"),
        ("request_headers = { set = { X = \"\\u0000\" } }", "4:33", "not one line"),
        ("request_headers = { set = { X = \" a\" } }", "4:33", "not one line"),
        ("request_headers = { set = { X = \"\u{E9}\" } }", "4:33", "not one line"),
        ("request_headers = { set = { X = 1 } }", "4:33", "X has to be a string"),
        ("request_headers = { set = { X = \"$host\" } }", "4:33", "begins no known variable"),
        ("request_headers = { set = { X = \"${hostname}\" } }", "4:33", "begins no known variable"),
        ("request_headers = { set = { X = \"${host\" } }", "4:33", "begins no known variable"),
        ("request_headers = { set = { X = \"5$\" } }", "4:33", "begins no known variable"),
        ("request_headers = { set = { X-A = \"a\", x_a = \"b\" } }", "4:19", "sets or removes \"x_a\" twice"),
        ("request_headers = { set = { X = \"a\" }, remove = [\"x\"] }", "4:19", "sets or removes \"x\" twice"),
        ("request_headers = { sett = { X = \"a\" } }", "4:21", "did you mean \"set\""),
    ])
    func `each mistake is told with its place`(_ lines: String, _ place: String, _ message: String) throws {
        let decoded = try decode(lines)
        #expect(!decoded.isUsable)
        let found = decoded.diagnostics.first { ($0.message + " " + $0.fix).contains(message) }
        #expect(found != nil, "\(decoded.diagnostics)")
        if let found { #expect("\(found.position.line):\(found.position.column)" == place) }
    }
}
