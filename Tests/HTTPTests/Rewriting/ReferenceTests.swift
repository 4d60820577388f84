import HTTP
import Testing

@Suite("References to the site itself") struct ReferenceTests {
    private static func hosts() -> OwnHosts {
        OwnHosts(
            bindings: [
                OwnHosts.Binding(name: Rewriter.bytes("portal.example.org"), isWildcard: false, port: 443),
                OwnHosts.Binding(name: Rewriter.bytes(".apps.example.org"), isWildcard: true, port: 8443),
            ],
            aliases: [
                OwnHosts.Alias(name: Rewriter.bytes("app.internal"), port: nil),
                OwnHosts.Alias(name: Rewriter.bytes("old"), port: 9000),
                OwnHosts.Alias(name: Rewriter.bytes("[2001:db8::5]"), port: nil),
            ],
            ports: [80, 443, 8443, 8080]
        )
    }

    private static let plain = Rewriter(rules: SiteRules(hosts: hosts()))

    @Test(arguments: [
        ("http://portal.example.org/a?b#c", "https://portal.example.org/a?b#c"),
        ("http://portal.example.org", "https://portal.example.org"),
        ("http://portal.example.org?q", "https://portal.example.org?q"),
        ("http://portal.example.org:80/", "https://portal.example.org/"),
        ("http://portal.example.org:8080/", "https://portal.example.org/"),
        ("http://portal.example.org:443/", "https://portal.example.org/"),
        ("http://portal.example.org:/", "https://portal.example.org/"),
        ("HTTP://Portal.EXAMPLE.org/A", "https://portal.example.org/A"),
        ("//portal.example.org:80/a", "https://portal.example.org/a"),
        ("http://a.apps.example.org/", "https://a.apps.example.org:8443/"),
        ("http://a.apps.example.org:8443/", "https://a.apps.example.org:8443/"),
        ("http://app.internal/a", "https://portal.example.org/a"),
        ("http://app.internal:8080/a", "https://portal.example.org/a"),
        ("https://app.internal/a", "https://portal.example.org/a"),
        ("https://app.internal:8443/a", "https://portal.example.org/a"),
        ("http://old:9000/", "https://portal.example.org/"),
        ("http://[2001:DB8::5]:8080/", "https://portal.example.org/"),
    ])
    func `plain references to the site become https as the client sees it`(_ value: String, _ wanted: String) throws {
        for field in ["Location", "Content-Location"] {
            #expect(try Self.plain.rewritten(field, value) == wanted)
        }
    }

    @Test(arguments: [
        "http://other.example.org/", "http://portal.example.org:9000/", "http://portal.example.org.evil.test/",
        "http://evil.test/http://portal.example.org/", "https://portal.example.org/a", "https://portal.example.org:9/",
        "http://user@portal.example.org/", "http://portal.example.org@evil.test/", "http://u:p@portal.example.org/",
        "http://portal.example.org\\@evil.test/", "http://portal.example.org\\/", "http:/portal.example.org/",
        "http:portal.example.org", "http:///portal.example.org/", "http://", "http://:80/", "//", "//evil.test/", "/",
        "/a//b", "", "relative", "?q", "#f", "ftp://portal.example.org/", "httpx://portal.example.org/",
        "javascript:http://portal.example.org/", "http://portal.example.org:99999/", "http://portal.example.org:8o/",
        "http://portal.example.org:080000/", "http://a.b.apps.example.org/", "http://apps.example.org/",
        "http://.apps.example.org/", "http://[2001:db8::6]/", "http://[2001:db8::5/", "http://portal.example.org /",
        "ht\ttp://portal.example.org/", "http://portal.example.org\u{A0}/", "http://app.internal:9000/", "http://ol/",
        "http://portal%2eexample.org/",
    ])
    func `everything else stays as it is`(_ value: String) throws {
        #expect(try Self.plain.rewritten("Location", value) == value)
    }

    @Test(arguments: [
        ("portal.example.org:8443", 8443 as UInt16, "http://portal.example.org/", "https://portal.example.org:8443/"),
        ("portal.example.org:8443", 8443, "http://portal.example.org:8443/", "https://portal.example.org:8443/"),
        // The port is mapped on the way here: clients do not know it.
        ("portal.example.org", 8443, "http://portal.example.org:8443/", "https://portal.example.org/"),
        ("a.apps.example.org", 8443, "http://b.apps.example.org/", "https://b.apps.example.org/"),
        ("[2001:db8::1]:8443", 8443, "http://[2001:DB8::1]/", "https://[2001:db8::1]:8443/"),
        ("[2001:db8::1]:8443", 8443, "http://app.internal/", "https://[2001:db8::1]:8443/"),
        // A client of HTTP/1.0 that named no host.
        ("", 443, "http://portal.example.org/", "https://portal.example.org/"),
        ("", 8443, "http://a.apps.example.org/", "https://a.apps.example.org:8443/"),
        ("", 443, "http://app.internal/", "http://app.internal/"),
        ("", 443, "http:///", "http:///"),
    ])
    func `the port is the one that the client knows`(
        _ authority: String,
        _ port: UInt16,
        _ value: String,
        _ wanted: String
    ) throws {
        let rewriter = Rewriter(rules: SiteRules(hosts: Self.hosts()), authority: authority, localPort: port)
        #expect(try rewriter.rewritten("Location", value) == wanted)
    }

    @Test(arguments: [
        ("5; url=http://app.internal/a", "5; url=https://portal.example.org/a"),
        ("0;URL=http://app.internal/a", "0;URL=https://portal.example.org/a"),
        ("5;url = 'http://app.internal/a'; b", "5;url = 'https://portal.example.org/a'; b"),
        ("5,url=\"http://app.internal/a", "5,url=\"https://portal.example.org/a"),
        ("1.5 ; http://app.internal/", "1.5 ; https://portal.example.org/"),
        ("5; url=\"http://app.internal\" x", "5; url=\"https://portal.example.org\" x"),
        ("5; url", "5; url"), ("5;", "5;"), ("5", "5"), ("", ""), ("http://app.internal/", "http://app.internal/"),
        ("5 url=http://app.internal/", "5 url=http://app.internal/"), ("5; url='", "5; url='"),
    ])
    func `a refresh leads to https`(_ value: String, _ wanted: String) throws {
        #expect(try Self.plain.rewritten("Refresh", value) == wanted)
    }

    @Test(arguments: [
        ("<http://app.internal/a>; rel=next", "<https://portal.example.org/a>; rel=next"),
        (
            "<http://app.internal/a>;rel=\"x\", <http://other/>, </b>, <http://app.internal>",
            "<https://portal.example.org/a>;rel=\"x\", <http://other/>, </b>, <https://portal.example.org>"
        ),
        (
            "</a>; title=\"<http://app.internal/>\\\"<http://app.internal/>\", <http://app.internal/>",
            "</a>; title=\"<http://app.internal/>\\\"<http://app.internal/>\", <https://portal.example.org/>"
        ),
        ("<http://app.internal/", "<http://app.internal/"),
        ("</a>; title=\"<http://app.internal/>", "</a>; title=\"<http://app.internal/>"),
        ("\"\\", "\"\\"), ("<", "<"), ("<>", "<>"), ("", ""), (">", ">"),
    ])
    func `links lead to https, quoted text stays`(_ value: String, _ wanted: String) throws {
        #expect(try Self.plain.rewritten("Link", value) == wanted)
        #expect(try Self.plain.rewritten("Link", value, status: "103 Early Hints") == wanted)
    }

    private static let mapped = Rewriter(
        rules: SiteRules(
            path: PathMap(publicPrefix: Rewriter.bytes("/app"), serverPrefix: Rewriter.bytes("/legacy")),
            hosts: hosts()
        ),
        target: "/app/x"
    )

    @Test(arguments: [
        ("/legacy/a?b", "/app/a?b"), ("/legacy", "/app"), ("/legacy?q", "/app?q"), ("/legacy#f", "/app#f"),
        ("/legacy;s=1", "/app;s=1"), ("/legacyx", "/legacyx"), ("/other", "/other"), ("/", "/"), ("legacy", "legacy"),
        ("//legacy/a", "//legacy/a"), ("http://app.internal/legacy/a", "https://portal.example.org/app/a"),
        ("https://portal.example.org/legacy/a", "https://portal.example.org/app/a"),
        ("http://portal.example.org/other", "https://portal.example.org/other"),
        ("https://portal.example.org:8443/legacy/a", "https://portal.example.org:8443/legacy/a"),
        ("http://other/legacy/a", "http://other/legacy/a"),
    ])
    func `the server's path becomes the public one`(_ value: String, _ wanted: String) throws {
        #expect(try Self.mapped.rewritten("Location", value) == wanted)
    }

    @Test(arguments: [
        ("/", "/legacy", "/legacy/a", "/a"), ("/", "/legacy", "/legacy", "/"), ("/", "/legacy", "/legacy?q", "/?q"),
        // What follows two slashes would be taken for a host.
        ("/", "/legacy", "/legacy//evil.test/", "/.//evil.test/"),
        ("/", "/legacy", "/legacy/\\evil.test/", "/./\\evil.test/"),
        ("/", "/legacy", "http://app.internal/legacy//a", "https://portal.example.org//a"),
        ("/app", "/", "/a", "/app/a"), ("/app", "/", "/", "/app/"),
        ("/app", "/", "http://app.internal", "https://portal.example.org/app"),
        ("/app", "/", "http://app.internal?q", "https://portal.example.org/app?q"), ("/app", "/", "", ""),
        ("/app", "/", "?q", "?q"),
    ])
    func `a prefix may be the whole site`(
        _ seen: String,
        _ served: String,
        _ value: String,
        _ wanted: String
    ) throws {
        let map = PathMap(publicPrefix: Rewriter.bytes(seen), serverPrefix: Rewriter.bytes(served))
        let rewriter = Rewriter(rules: SiteRules(path: map, hosts: Self.hosts()))
        #expect(try rewriter.rewritten("Location", value) == wanted)
    }

    @Test func `without rules nothing is changed`() throws {
        for field in ["Location", "Content-Location", "Refresh", "Link"] {
            #expect(try Rewriter().rewritten(field, "http://portal.example.org/") == "http://portal.example.org/")
        }
        #expect(try Rewriter().rewritten("Set-Cookie", "a=b; Path=/") == "a=b; Path=/")
    }

    @Test func `names spelt with underscores are other fields`() throws {
        #expect(try Self.plain.rewritten("Content_Location", "http://app.internal/") == "http://app.internal/")
    }
}
