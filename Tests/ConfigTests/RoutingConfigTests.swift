import Config
import Testing

@Suite("Configuration of routing") struct RoutingConfigTests {
    private static let pin = "sha256/\(String(repeating: "A", count: 43))="
    private static let head =
        "[certificate.c]\nself_signed = [\"x\"]\n"
        + ["a", "b"]
        .map { "[[upstream]]\nname = \"\($0)\"\nservers = [\"10.0.0.1:443\"]\ntrust = { pins = [\"\(pin)\"] }\n" }
        .joined()

    private func decode(site: String = "upstream = \"a\"\n", binding: String = "", _ routes: String = "") throws
        -> Configuration.Decoded
    {
        let text =
            Self.head + "[[site]]\nname = \"s\"\n" + site + "[[site.binding]]\ncertificate = \"c\"\n" + binding + routes
        return Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    @Test func `every key of a route is read`() throws {
        let decoded = try decode(
            site: """
                upstream = "a"
                allow = ["10.0.0.0/8", "2001:db8::/32"]
                deny = ["10.0.0.7"]
                rate = { requests = 10, per = "minute", burst = 30 }

                """,
            """
            [[site.route]]
            path = "/API/v1/"
            host = "*.Example.org"
            upstream = "b"
            limits = { body = "1MiB" }
            timeouts = { response = "5s", total = "9s", tunnel = "1m" }
            allow = ["127.0.0.1"]
            rate = { requests = 3 }
            [[site.route]]
            path = "/maintenance"
            respond = { status = 503, file = "down.html" }
            [[site.route]]
            path = "/text"
            respond = { content_type = "text/x", body = "hello" }
            [[site.route]]
            path = "/bare"
            respond = { status = 404 }
            [[site.route]]
            path = "/old"
            redirect = { location = "/new?a=b" }
            [[site.route]]
            host = "old.example.org"
            redirect = { location = "https://new.example.org/", status = 308 }

            """
        )
        #expect(decoded.diagnostics.isEmpty, "\(decoded.diagnostics)")
        let site = decoded.configuration.sites[0]
        #expect(site.access.allow.count == 2 && site.access.deny.count == 1)
        #expect(site.rate?.requests == 10 && site.rate?.period == .minute && site.rate?.burst == 30)
        let routes = site.routes
        #expect(routes.map(\.prefix) == ["/api/v1", "/maintenance", "/text", "/bare", "/old", "/"])
        #expect(routes[0].host?.value.description == "*.example.org" && routes[0].bodyBytes == 1 << 20)
        #expect(routes[0].timeouts.response == 5000 && routes[0].timeouts.total == 9000)
        #expect(routes[0].timeouts.tunnel == 60_000 && routes[0].access.allow.count == 1)
        #expect(routes[0].rate == routes[0].rate.map { RateLimit(requests: 3, period: .second, burst: $0.requests) })
        guard case .upstream(let upstream) = routes[0].action, upstream.value == "b",
            case .respond(let maintenance) = routes[1].action, case .file(let file) = maintenance.body,
            case .respond(let text) = routes[2].action, case .text("hello") = text.body,
            case .respond(let bare) = routes[3].action, case .page = bare.body,
            case .redirect(let old) = routes[4].action, case .redirect(let host) = routes[5].action
        else {
            Issue.record("\(routes)")
            return
        }
        #expect(maintenance.status == 503 && maintenance.contentType == "text/html; charset=utf-8")
        #expect(file.value == "down.html" && text.status == 200 && text.contentType == "text/x" && bare.status == 404)
        #expect(old.status == 302 && old.location == "/new?a=b" && host.status == 308)
    }

    @Test(arguments: [
        ("", "[[site.route]]\nupstream = \"b\"\n"),
        ("host = \"a.org\"\n", "[[site.route]]\nhost = \"a.org\"\nupstream = \"b\"\n"),
        ("host = \"*.org\"\n", "[[site.route]]\nhost = \"*.org\"\npath = \"/\"\nrespond = {}\n"),
    ])
    func `routes that cover everything need no upstream beside them`(_ binding: String, _ route: String) throws {
        #expect(try decode(site: "", binding: binding, route).diagnostics.isEmpty)
        #expect(
            try decode(binding: binding, route).diagnostics.map(\.message).contains { $0.contains("never reached") }
        )
    }

    @Test func `client certificates of a binding are read`() throws {
        let decoded = try decode(
            binding: "client_ca = \"ca.pem\"\nclient_pins = [\"\(Self.pin)\"]\nclient_certificate = \"optional\"\n"
        )
        #expect(decoded.diagnostics.isEmpty)
        let clients = try #require(decoded.configuration.sites[0].bindings[0].clients)
        #expect(clients.ca?.value == "ca.pem" && clients.pins.count == 1 && clients.demand == .optional)
        let alone = try decode(binding: "client_ca = \"ca.pem\"\n").configuration.sites[0].bindings[0].clients
        #expect(alone?.demand == .require)
        #expect(try decode().configuration.sites[0].bindings[0].clients == nil)
    }

    @Test(arguments: [
        ("client_certificate = \"require\"\n", "names nobody whose certificates are good"),
        ("client_pins = []\n", "names nobody whose certificates are good"),
        ("client_ca = \"x\"\nclient_certificate = \"maybe\"\n", "client_certificate \"maybe\" is not known"),
        ("client_pins = [\"sha256/x\"]\n", "\"sha256/x\" is not a pin"),
        ("client_ca = \"\"\n", "client_ca has to be the path of a file"),
        ("client_ca = 1\n", "client_ca has to be a string"),
    ])
    func `each mistake of client certificates is told`(_ binding: String, _ message: String) throws {
        let decoded = try decode(binding: binding)
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }

    @Test(arguments: [
        ("allow = []\n", "allow names nobody"),
        ("deny = [\"10.0.0.0/33\"]\n", "\"10.0.0.0/33\" is no address and no network"),
        ("allow = \"10.0.0.1\"\n", "allow has to be an array"),
        ("rate = {}\n", "rate has no requests"),
        ("rate = { requests = 0 }\n", "requests 0 is out of range"),
        ("rate = { requests = 1, per = \"hour\" }\n", "per \"hour\" is not known"),
        ("rate = { requests = 1, burst = 0 }\n", "burst 0 is out of range"),
        ("rate = { requests = 1, bust = 1 }\n", "unknown key \"bust\" in rate"),
        ("rate = 5\n", "rate has to be a table"),
    ])
    func `each mistake of a site's lists is told`(_ site: String, _ message: String) throws {
        for text in [
            try decode(site: "upstream = \"a\"\n" + site),
            try decode("[[site.route]]\npath = \"/x\"\nupstream = \"b\"\n" + site),
        ] {
            #expect(!text.isUsable)
            #expect(text.diagnostics.contains { $0.message.contains(message) }, "\(text.diagnostics)")
        }
    }

    @Test(arguments: [
        ("path = \"/x\"\n", "says not what becomes of requests"),
        ("path = \"/x\"\nupstream = \"b\"\nrespond = {}\n", "says more than one thing to do"),
        ("path = \"/x\"\nupstream = \"c\"\n", "there is no upstream \"c\""),
        ("path = \"/x\"\nupstraem = \"b\"\nrespond = {}\n", "unknown key \"upstraem\" in [[site.route]]"),
        ("path = \"x\"\nupstream = \"b\"\n", "path \"x\" is not a prefix of paths"),
        ("path = \"\"\nupstream = \"b\"\n", "is not a prefix of paths"),
        ("path = \"/a//b\"\nupstream = \"b\"\n", "is not a prefix of paths"),
        ("path = \"/a/../b\"\nupstream = \"b\"\n", "is not a prefix of paths"),
        ("path = \"/a/.\"\nupstream = \"b\"\n", "is not a prefix of paths"),
        ("path = \"/a%20b\"\nupstream = \"b\"\n", "is not a prefix of paths"),
        ("path = \"/a?b\"\nupstream = \"b\"\n", "is not a prefix of paths"),
        ("path = \"/\u{e9}\"\nupstream = \"b\"\n", "is not a prefix of paths"),
        ("path = \"/a;b\"\nupstream = \"b\"\n", "is not a prefix of paths"),
        ("path = 1\nupstream = \"b\"\n", "path has to be a string"),
        ("host = \"a b\"\nupstream = \"b\"\n", "host \"a b\" is not a host name"),
        ("path = \"/x\"\nrespond = { status = 199 }\n", "status 199 is out of range"),
        ("path = \"/x\"\nrespond = { body = \"a\", file = \"b\" }\n", "both body and file"),
        ("path = \"/x\"\nrespond = { status = 204, body = \"a\" }\n", "status 204 has no body"),
        ("path = \"/x\"\nrespond = { content_type = \"a/b\" }\n", "content_type has no meaning"),
        ("path = \"/x\"\nrespond = { content_type = \"a/b\\r\\n\", body = \"a\" }\n", "is not a media type"),
        ("path = \"/x\"\nrespond = { content_type = \"html\", body = \"a\" }\n", "is not a media type"),
        ("path = \"/x\"\nrespond = { boddy = \"a\" }\n", "unknown key \"boddy\" in respond"),
        ("path = \"/x\"\nrespond = { body = \"\(String(repeating: "x", count: 65_537))\" }\n", "larger than 64KiB"),
        ("path = \"/x\"\nredirect = {}\n", "redirect has no location"),
        ("path = \"/x\"\nredirect = { location = \"http://a.org/\" }\n", "neither a path nor an https address"),
        ("path = \"/x\"\nredirect = { location = \"//a.org/\" }\n", "neither a path nor an https address"),
        ("path = \"/x\"\nredirect = { location = \"/a b\" }\n", "neither a path nor an https address"),
        ("path = \"/x\"\nredirect = { location = \"/a\\r\\nb\" }\n", "neither a path nor an https address"),
        ("path = \"/x\"\nredirect = { location = \"/a\", status = 304 }\n", "status 304 sends nobody anywhere"),
        ("path = \"/x\"\nupstream = \"b\"\nlimits = { boddy = 1 }\n", "unknown key \"boddy\" in [site.route.limits]"),
        ("path = \"/x\"\nupstream = \"b\"\nlimits = { body = \"1\" , head = 1 }\n", "unknown key \"head\""),
        ("path = \"/x\"\nupstream = \"b\"\ntimeouts = { connect = \"1s\" }\n", "unknown key \"connect\""),
        ("path = \"/x\"\nupstream = \"b\"\ntimeouts = { total = \"x\" }\n", "total \"x\" is not a time"),
        ("path = \"/x\"\nrespond = {}\ntimeouts = { total = \"1s\" }\n", "timeouts have no meaning"),
        ("path = \"/x\"\nrespond = {}\nlimits = { body = 1 }\n", "limits have no meaning"),
        ("path = \"/x\"\nrespond = {}\nhsts = { max_age = \"1d\" }\n", "unknown key \"hsts\" in [[site.route]]"),
        ("path = \"/x\"\nupstream = \"b\"\npath_map = { public = \"/x\" }\n", "path_map has no server"),
        (
            "path = \"/x\"\nupstream = \"b\"\n[[site.route]]\npath = \"/X/\"\nrespond = {}\n",
            "of /x clashes with the one of line 16"
        ),
        ("host = \"a.org\"\nupstream = \"b\"\n[[site.route]]\nhost = \"A.org\"\nrespond = {}\n", "clashes with"),
        ("upstream = \"b\"\n", "the upstream of site \"s\" is never reached"),
    ])
    func `each mistake of a route is told`(_ route: String, _ message: String) throws {
        let decoded = try decode("[[site.route]]\n" + route)
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }

    @Test(arguments: [
        ("host = \"a.org\"\n", "host = \"b.org\"\nupstream = \"b\"\n", "no binding of the site is for host \"b.org\""),
        ("host = \"*.a.org\"\n", "host = \"x.y.a.org\"\nupstream = \"b\"\n", "no binding of the site is for host"),
        ("host = \"a.org\"\n", "host = \"*.a.org\"\nupstream = \"b\"\n", "no binding of the site is for host"),
        (
            "host = \"a.org\"\n",
            "path = \"/x\"\nupstream = \"b\"\n[[site.route]]\npath = \"/x\"\nhost = \"a.org\"\nupstream = \"b\"\n",
            "no request reaches the route of /x: those with hosts take all of them"
        ),
        (
            "host = \"x.a.org\"\n",
            "path = \"/x\"\nhost = \"*.a.org\"\nupstream = \"b\"\n[[site.route]]\npath = \"/x\"\nhost = \"x.a.org\"\nupstream = \"b\"\n",
            "no request reaches the route of /x"
        ),
    ])
    func `routes that no request reaches are told`(_ binding: String, _ route: String, _ message: String) throws {
        let decoded = try decode(binding: binding, "[[site.route]]\n" + route)
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }

    @Test func `what no route takes needs an upstream`() throws {
        let partial = "[[site.route]]\npath = \"/x\"\nupstream = \"b\"\n"
        #expect(
            try decode(site: "", partial).diagnostics.contains {
                $0.message.contains("for requests that no route takes")
            }
        )
        #expect(try decode(site: "", "").diagnostics.contains { $0.message == "[[site]] has no upstream" })
        let hosts = "[[site.route]]\nhost = \"a.org\"\nupstream = \"b\"\n"
        #expect(try !decode(site: "", hosts).isUsable)
        #expect(try decode(site: "", binding: "host = \"a.org\"\n", hosts).isUsable)
    }
}
