import HTTP
import Testing

@Suite("Paths that routes are matched with") struct MatchingPathTests {
    private func isBelow(_ path: String, _ prefix: String) throws(PathAmbiguity) -> Bool {
        var matching = MatchingPath()
        // What an earlier request has left must not count.
        try? matching.read(Array("/left/over".utf8).span)
        try matching.read(Array(path.utf8).span)
        return matching.isBelow(prefix == "/" ? [] : Array(prefix.utf8))
    }

    @Test(arguments: ["", "*", "/", "/api", "/x/y/z", "/;a", "/%41"])
    func `everything is below the root`(_ path: String) throws { #expect(try isBelow(path, "/")) }

    @Test(arguments: [
        "/api", "/api/", "/api/x", "/api/x/y.z", "/API", "/Api/X", "/%61pi", "/a%50i/x", "/api;jsessionid=1",
        "/api;a/x", "/api:$DATA", "/api::$INDEX_ALLOCATION/x", "/api.", "/api.%20./x", "/api%20", "/api%3Bx",
        "/api%3a", "/;x/api", "/;/api", "/api//x", "/api/;/x", "/api;..", "/api/50%25off",
    ])
    func `what a server may take for the path is below it`(_ path: String) throws { #expect(try isBelow(path, "/api")) }

    @Test(arguments: ["/", "/apix", "/ap", "/x/api", "/api-v2", "/api%2dv2", "/.api", "/%20api", "/api%C3%A9"])
    func `other paths are not`(_ path: String) throws { #expect(try !isBelow(path, "/api")) }

    @Test func `longer prefixes are matched by whole segments`() throws {
        #expect(try isBelow("/api/v1/x", "/api/v1") && isBelow("/api//v1", "/api/v1"))
        #expect(try !isBelow("/api/v10", "/api/v1") && !isBelow("/api", "/api/v1"))
    }

    @Test(
        arguments: [
            ("/api/../admin", .dotSegment), ("/./admin", .dotSegment), ("/x/..", .dotSegment), ("/x/.", .dotSegment),
            ("/%2e%2e/admin", .dotSegment), ("/.%2E/admin", .dotSegment), ("/..;x/admin", .dotSegment),
            ("/..;/admin", .dotSegment), ("/.../admin", .dotSegment), ("/.%20/admin", .dotSegment),
            ("/%20/admin", .dotSegment), ("/..:x/admin", .dotSegment), ("/%3b/admin", .dotSegment),
            ("/x%2fadmin", .hiddenSlash), ("/x%2Fadmin", .hiddenSlash), ("/x\\admin", .hiddenSlash),
            ("/x%5cadmin", .hiddenSlash), ("/%", .invalidEscape), ("/%4", .invalidEscape), ("/%zz", .invalidEscape),
            ("/%u0061dmin", .invalidEscape), ("/%2561dmin", .doubleEscape), ("/%252e%252e/admin", .doubleEscape),
            ("/%25%32%65", .doubleEscape), ("/%252fadmin", .doubleEscape), ("/admin%00", .controlByte),
            ("/a%0ddmin", .controlByte), ("/%7f", .controlByte), ("/%c0%ae%c0%ae/admin", .overlong),
            ("/x%c1%9cadmin", .overlong), ("/x%e0%80%afadmin", .overlong), ("/x%f0%80%80%afadmin", .overlong),
            ("//admin", .leadingSlashes), ("//host/admin", .leadingSlashes), ("///", .leadingSlashes),
        ] as [(String, PathAmbiguity)]
    )
    func `what two readers could take in two ways is refused`(_ path: String, _ reason: PathAmbiguity) {
        #expect(throws: reason) { try isBelow(path, "/admin") }
    }

    @Test func `Latin letters in escapes of an old application pass`() throws {
        #expect(try isBelow("/caf%E9/x", "/") && isBelow("/%C0bc", "/") && isBelow("/%E2%82%AC", "/"))
    }
}
