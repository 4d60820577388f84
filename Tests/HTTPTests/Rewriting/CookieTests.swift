import HTTP
import Testing

@Suite("Cookies of a site") struct CookieTests {
    private func cookie(_ value: String, _ cookies: CookieRules, path: (String, String)? = nil) throws -> String {
        let map = path.map { PathMap(publicPrefix: Rewriter.bytes($0.0), serverPrefix: Rewriter.bytes($0.1)) }
        let hosts = OwnHosts(
            bindings: [],
            aliases: ["app.corp.internal", "app.example.org"].map {
                OwnHosts.Alias(name: Rewriter.bytes($0), port: nil)
            },
            ports: []
        )
        let rules = SiteRules(path: map, hosts: hosts, cookies: cookies)
        return try Rewriter(rules: rules).rewritten("Set-Cookie", value, status: "200 OK")
    }

    @Test(arguments: [
        ("a=b", "a=b; Secure"), ("a=b; Path=/; HttpOnly", "a=b; Path=/; HttpOnly; Secure"),
        ("a=b; secure", "a=b; secure"), ("a=b;SECURE;Path=/", "a=b;SECURE;Path=/"),
        ("a=b; Secure=0", "a=b; Secure=0"), ("a=secure", "a=secure; Secure"),
        ("a=b; Securely", "a=b; Securely; Secure"),
        // Browsers know no quotes here: what follows the semicolon is an attribute.
        ("a=\"x; Secure\"; Path=/", "a=\"x; Secure\"; Path=/; Secure"), ("a=\"x; Secure; y\"", "a=\"x; Secure; y\""),
        ("", "; Secure"), (";", ";; Secure"), ("a", "a; Secure"), ("a=b;", "a=b;; Secure"),
        ("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure"),
        ("a=b; SameSite=None", "a=b; SameSite=None; Secure"),
    ])
    func `every cookie is Secure once`(_ value: String, _ wanted: String) throws {
        #expect(try cookie(value, CookieRules(secure: true)) == wanted)
    }

    @Test func `HttpOnly and SameSite by option, but for exceptions`() throws {
        let rules = CookieRules(
            secure: false,
            httpOnly: true,
            sameSite: .lax,
            exceptions: [Rewriter.bytes("XSRF-TOKEN")]
        )
        #expect(try cookie("a=b", rules) == "a=b; HttpOnly; SameSite=Lax")
        #expect(try cookie("a=b; httponly; SAMESITE=none", rules) == "a=b; httponly; SAMESITE=none")
        #expect(try cookie("XSRF-TOKEN=b", rules) == "XSRF-TOKEN=b")
        #expect(try cookie("xsrf-token=b", rules) == "xsrf-token=b; HttpOnly; SameSite=Lax")
        #expect(try cookie("a=b", CookieRules(secure: true, sameSite: .strict)) == "a=b; Secure; SameSite=Strict")
        #expect(
            try cookie("a=b", CookieRules(secure: true, sameSite: CookieRules.SameSite.none))
                == "a=b; Secure; SameSite=None"
        )
    }

    @Test(arguments: [
        ("a=b; Path=/legacy", "a=b; Path=/app"), ("a=b; path = /legacy/x ;HttpOnly", "a=b; Path=/app/x;HttpOnly"),
        ("a=b; Path=/", "a=b; Path=/"), ("a=b; Path=/legacyx", "a=b; Path=/legacyx"), ("a=b; Path", "a=b; Path"),
        ("a=b; Path=", "a=b; Path="), ("a=b; Path=\"/legacy\"", "a=b; Path=\"/legacy\""),
        ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"),
        ("a=/legacy; Path=/legacy/", "a=/legacy; Path=/app/"),
    ])
    func `the path of a cookie follows the path of the site`(_ value: String, _ wanted: String) throws {
        #expect(try cookie(value, CookieRules(secure: false), path: ("/app", "/legacy")) == wanted)
    }

    @Test func `a cookie for everything is for the prefix, but one of the host is not`() throws {
        let rules = CookieRules(secure: false)
        #expect(try cookie("a=b; Path=/", rules, path: ("/app", "/")) == "a=b; Path=/app")
        #expect(try cookie("__HOST-a=b; Path=/", rules, path: ("/app", "/")) == "__HOST-a=b; Path=/")
        #expect(try cookie("a=b; Path=/legacy", rules, path: ("/", "/legacy")) == "a=b; Path=/")
    }

    @Test(arguments: [
        ("a=b; Domain=app.corp.internal; Path=/", "a=b; Path=/"), ("a=b; domain=.CORP.internal", "a=b"),
        ("a=b; Domain=internal", "a=b"), ("a=b; Domain=other.test", "a=b; Domain=other.test"),
        ("a=b; Domain=p.internal", "a=b; Domain=p.internal"), ("a=b; Domain=", "a=b; Domain="),
        ("a=b; Domain=.", "a=b; Domain=."),
        ("a=b; Domain=example.org", "a=b; Domain=example.org"), ("a=b; Domain=app.example.org", "a=b"),
        ("a=b; Domain", "a=b; Domain"),
    ])
    func `a domain that only the application knows is dropped`(_ value: String, _ wanted: String) throws {
        #expect(try cookie(value, CookieRules(secure: false)) == wanted)
    }

    @Test func `domains and paths are mapped by name`() throws {
        let rules = CookieRules(
            secure: false,
            domains: [
                CookieRules.Mapping(from: Rewriter.bytes("corp.internal"), to: Rewriter.bytes("example.org")),
                CookieRules.Mapping(from: Rewriter.bytes("gone"), to: []),
            ],
            paths: [
                CookieRules.Mapping(from: Rewriter.bytes("/Old"), to: Rewriter.bytes("/new")),
                CookieRules.Mapping(from: Rewriter.bytes("/gone"), to: []),
            ]
        )
        #expect(
            try cookie("a=b; Domain=.Corp.Internal; Path=/Old; X", rules) == "a=b; Domain=example.org; Path=/new; X"
        )
        #expect(try cookie("a=b; Domain=gone; Path=/gone", rules) == "a=b")
        #expect(try cookie("a=b; Path=/old", rules) == "a=b; Path=/old")
    }
}
