import HTTP
import Testing

@Suite("Paths below a folder") struct FilePathTests {
    private func read(_ path: String, below prefix: [String] = []) throws(FilePathError) -> (text: String, slash: Bool)
    {
        var file = FilePath()
        // What an earlier request has left must not count.
        try? file.read(Array("/left/over".utf8).span)
        try file.read(Array(path.utf8).span, below: prefix.map { Array($0.utf8) })
        return (String(decoding: file.bytes, as: UTF8.self), file.endsWithSlash)
    }

    @Test(arguments: [
        ("", "", true), ("/", "", true), ("/a", "a", false), ("/a/", "a", true), ("/a/b.txt", "a/b.txt", false),
        ("/A/b/", "A/b", true), ("/%41%20b", "A b", false), ("/%c3%a9", "\u{e9}", false), ("/\u{e9}", "\u{e9}", false),
        ("/a;b=1", "a;b=1", false), ("/a:b", "a:b", false), ("/a.", "a.", false), ("/a..b", "a..b", false),
        ("/a/b...", "a/b...", false), ("/%252e%252e/x", "%2e%2e/x", false), ("/a%3fb", "a?b", false),
        ("/-rf", "-rf", false), ("/a%20", "a ", false), ("/~root", "~root", false),
    ])
    func `names are taken as they are`(_ path: String, _ names: String, _ slash: Bool) throws {
        let read = try read(path)
        #expect(read.text == names && read.slash == slash)
    }

    @Test(
        arguments: [
            ("/..", .ambiguous(.dotSegment)), ("/.", .ambiguous(.dotSegment)), ("/a/../b", .ambiguous(.dotSegment)),
            ("/%2e%2e/etc/passwd", .ambiguous(.dotSegment)), ("/.%2E/x", .ambiguous(.dotSegment)),
            ("/a/%2e", .ambiguous(.dotSegment)), ("/a/../../x", .ambiguous(.dotSegment)),
            ("/a%2fb", .ambiguous(.hiddenSlash)), ("/..%2fx", .ambiguous(.hiddenSlash)),
            ("/%2Fetc/passwd", .ambiguous(.hiddenSlash)), ("/a\\b", .ambiguous(.hiddenSlash)),
            ("/..\\x", .ambiguous(.hiddenSlash)), ("/a%5cb", .ambiguous(.hiddenSlash)),
            ("/a%00", .ambiguous(.controlByte)), ("/a%00.html", .ambiguous(.controlByte)),
            ("/%0a", .ambiguous(.controlByte)), ("/%7f", .ambiguous(.controlByte)),
            ("/%", .ambiguous(.invalidEscape)), ("/%4", .ambiguous(.invalidEscape)),
            ("/%zz", .ambiguous(.invalidEscape)), ("/%u0041", .ambiguous(.invalidEscape)),
            ("/.git", .hidden), ("/.git/config", .hidden), ("/a/.htpasswd", .hidden), ("/%2egit", .hidden),
            ("/...", .hidden), ("/.. ", .hidden), ("/..;", .hidden), ("/a/.b/c", .hidden),
            ("//", .emptySegment), ("//a", .emptySegment), ("/a//b", .emptySegment), ("/a//", .emptySegment),
            ("*", .outside), ("a", .outside),
        ] as [(String, FilePathError)]
    )
    func `what could lead elsewhere is refused`(_ path: String, _ reason: FilePathError) {
        #expect(throws: reason) { try read(path) }
        #expect(reason.status == 404 || reason.status == 400)
    }

    @Test func `names and paths have the length that a file system takes`() throws {
        let longest = String(repeating: "x", count: 255)
        #expect(try read("/\(longest)").text == longest)
        #expect(throws: FilePathError.tooLong) { try read("/\(longest)x") }
        // 255 bytes when its escapes are resolved.
        #expect(try read("/" + String(repeating: "%41", count: 255)).text.count == 255)
        #expect(throws: FilePathError.tooLong) { try read(String(repeating: "/\(longest)", count: 16)) }
        #expect(throws: FilePathError.tooLong) { try read(String(repeating: "/ab", count: 20_000)) }
    }

    @Test(arguments: [
        ("/static", "", false), ("/static/", "", true), ("/STATIC/a", "a", false), ("/st%61tic/a/b/", "a/b", true),
    ])
    func `a route's own path is left out`(_ path: String, _ names: String, _ slash: Bool) throws {
        let read = try read(path, below: ["static"])
        #expect(read.text == names && read.slash == slash)
    }

    @Test(arguments: ["", "/", "/x", "/static.", "/static;a/x", "/statics/x", "/x/static"])
    func `a route's path in another spelling leads nowhere`(_ path: String) {
        #expect(throws: FilePathError.outside) { try read(path, below: ["static"]) }
    }

    @Test func `a route may be for a name with a dot`() throws {
        #expect(try read("/.well-known/security.txt", below: [".well-known"]).text == "security.txt")
        #expect(throws: FilePathError.hidden) { try read("/.well-known/.git", below: [".well-known"]) }
    }
}
