import HTTP
import Testing

@Suite("Paths of a site") struct PathMapTests {
    @Test(arguments: [
        ("/app/x?y", "/legacy/x?y"), ("/app", "/legacy"), ("/app?y=/../", "/legacy?y=/../"), ("/app/", "/legacy/"),
        ("/app//x", "/legacy//x"), ("/app/...", "/legacy/..."), ("/app/.hidden", "/legacy/.hidden"),
        ("/app/a..b/", "/legacy/a..b/"), ("/app/%2e", "/legacy/%2e"), ("/app/%252e%252e/", "/legacy/%252e%252e/"),
        ("http://portal.example.org/app/x", "/legacy/x"), ("/app/%", "/legacy/%"), ("/app/%2", "/legacy/%2"),
    ])
    func `a request below the prefix is sent on below the other`(_ target: String, _ wanted: String) throws {
        let map = PathMap(publicPrefix: Rewriter.bytes("/app"), serverPrefix: Rewriter.bytes("/legacy"))
        let rewriter = Rewriter(rules: SiteRules(path: map), target: target)
        #expect(map.verdict(on: try rewriter.request()) == .inside)
        #expect(try rewriter.requestLines()[0] == "GET \(wanted) HTTP/1.1")
    }

    @Test(arguments: [
        ("/", "/legacy", "/x", "/legacy/x"), ("/", "/legacy", "/", "/legacy/"), ("/app", "/", "/app", "/"),
        ("/", "/legacy", "http://portal.example.org", "/legacy"), ("/app", "/", "/app?q", "/?q"),
        ("/", "/legacy", "http://portal.example.org?q", "/legacy?q"), ("/app", "/", "/app/x", "/x"),
    ])
    func `a prefix may be everything`(_ seen: String, _ served: String, _ target: String, _ wanted: String) throws {
        let map = PathMap(publicPrefix: Rewriter.bytes(seen), serverPrefix: Rewriter.bytes(served))
        let rewriter = Rewriter(rules: SiteRules(path: map), target: target)
        #expect(map.verdict(on: try rewriter.request()) == .inside)
        #expect(try rewriter.requestLines()[0] == "GET \(wanted) HTTP/1.1")
    }

    @Test(arguments: ["/", "/ap", "/appx", "/App/x", "//app/x", "/%61pp/x", "http://portal.example.org", "/x?/app/"])
    func `what does not begin with the prefix is outside`(_ target: String) throws {
        let map = PathMap(publicPrefix: Rewriter.bytes("/app"), serverPrefix: Rewriter.bytes("/legacy"))
        #expect(map.verdict(on: try Rewriter(target: target).request()) == .outside)
    }

    @Test(arguments: [
        "/app/..", "/app/../x", "/app/x/../../y", "/app/%2e%2e/x", "/app/.%2E/x", "/app/%2e./x", "/app/..%2fx",
        "/app/x%5c..%5cy", "/app/x\\..\\y", "/app/..\\x", "/app/..;a=b/x", "/app/..;/x", "/app/..?q",
        "/app/%2e%2e%3b/x",
    ])
    func `what a server would follow out of the prefix is told`(_ target: String) throws {
        let map = PathMap(publicPrefix: Rewriter.bytes("/app"), serverPrefix: Rewriter.bytes("/legacy"))
        #expect(map.verdict(on: try Rewriter(target: target).request()) == .climbs)
    }
}
