import Config
import HTTP
import Testing

@testable import Proxy

@Suite("Choice of routes") struct RouteTableTests {
    /// A site whose routes have these paths and hosts, in this order.
    private func table(_ routes: [(path: String, host: String)], more: String = "") throws -> RouteTable? {
        var text = "[[site]]\nname = \"s\"\nupstream = \"a\"\n\(more)"
        for route in routes {
            text += "[[site.route]]\nrespond = {}\n"
            if !route.path.isEmpty { text += "path = \"\(route.path)\"\n" }
            if !route.host.isEmpty { text += "host = \"\(route.host)\"\n" }
        }
        let document = try TOMLDocument.parse(Array(text.utf8))
        var rates = 0
        return RouteTable(try #require(Configuration.decode(document).configuration.sites.first), rates: &rates)
    }

    private func chosen(_ table: RouteTable?, _ path: String, _ host: String = "h") throws -> Int? {
        var matching = MatchingPath()
        try matching.read(Array(path.utf8).span)
        return try #require(table).entry(for: matching, host: Array(host.utf8).span)?.route
    }

    @Test func `a site without routes and lists has no table`() throws {
        #expect(try table([]) == nil)
        #expect(try table([], more: "deny = [\"::1\"]\n")?.matchesPaths == false)
        #expect(try table([("", "a.org")])?.matchesPaths == false)
        #expect(try table([("/x", "")])?.matchesPaths == true)
    }

    @Test func `the longest path wins, whatever the order`() throws {
        let routes = [("/api", ""), ("/api/v1/users", ""), ("/api/v1", "")]
        for order in [routes, routes.reversed()] {
            let table = try table(order)
            let index = { (path: String) in order.firstIndex { $0.0 == path } }
            #expect(try chosen(table, "/api/v1/users/7") == index("/api/v1/users"))
            #expect(try chosen(table, "/api/v1/user") == index("/api/v1"))
            #expect(try chosen(table, "/API/V2") == index("/api"))
            #expect(try chosen(table, "/apix") == nil && chosen(table, "/") == nil)
        }
    }

    @Test func `a longer path goes before a closer host, a name before a wildcard`() throws {
        let table = try table([
            ("", "*.a.org"), ("/api", ""), ("", "x.a.org"), ("/api", "x.a.org"), ("/api", "*.a.org"), ("/admin", ""),
        ])
        #expect(try chosen(table, "/", "x.a.org") == 2 && chosen(table, "/", "X.A.org") == 2)
        #expect(try chosen(table, "/", "x.a.org.") == 2 && chosen(table, "/", "y.a.org.") == 0)
        #expect(try chosen(table, "/", ".") == nil && chosen(table, "/", "") == nil)
        #expect(try chosen(table, "/", "y.a.org") == 0 && chosen(table, "/", "y.x.a.org") == nil)
        #expect(try chosen(table, "/api", "x.a.org") == 3 && chosen(table, "/api", "y.a.org") == 4)
        #expect(try chosen(table, "/api", "b.org") == 1 && chosen(table, "/admin/x", "x.a.org") == 5)
    }
}
