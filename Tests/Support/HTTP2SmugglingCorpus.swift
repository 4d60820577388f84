/// Frames of one request on stream 1 and what has to become of it; what HTTP/1.1 could read otherwise is never passed on.
public struct HTTP2SmugglingCase: Sendable, CustomStringConvertible {
    /// What must happen.
    public enum Expectation: Sendable, Equatable {
        /// Reset, or answered with 4xx or 5xx: the server sees nothing of it.
        case refused
        /// Reset or refused in mid-body: the server sees no whole request.
        case cutOff
        /// The server sees exactly this: request line, then lines that have to be there, then the body.
        case forwarded(line: String, body: String)
    }

    /// What is tried.
    public let description: String
    /// The bytes on the wire, after the preface.
    public let bytes: [UInt8]
    /// The fields and the body of a request that is good, as they were before they were framed.
    public var fields: [(name: String, value: String)] = []
    /// The body that goes with them.
    public var body = ""
    /// What must happen.
    public let expectation: Expectation
}

/// Requests in HTTP/2 that turn into others when they are written down in HTTP/1.1 without care.
public enum HTTP2SmugglingCorpus {
    private typealias Frames = HTTP2Frames
    private typealias Lines = [(String, String)]

    /// All of them.
    public static let cases: [HTTP2SmugglingCase] =
        [
            values, names, paths, methods, authorities, hosts, schemes, connection, lengths, twoLengths, bodies,
            doubled, missing,
            pseudo, good,
        ].flatMap { $0 }

    private static let inner = "GET /evil HTTP/1.1\r\nHost: evil"

    private static func refused(_ name: String, _ fields: [(String, String)], body: String? = nil) -> HTTP2SmugglingCase
    {
        var bytes = Frames.headers(1, fields, endsStream: body == nil)
        if let body { bytes += Frames.data(1, Array(body.utf8), endsStream: true) }
        return HTTP2SmugglingCase(description: name, bytes: bytes, expectation: .refused)
    }

    private static func with(_ name: String, _ value: String) -> [(String, String)] {
        Frames.post().map { $0.0 == name ? (name, value) : $0 }
    }

    private static let values: [HTTP2SmugglingCase] =
        [
            "a\r\nTransfer-Encoding: chunked", "a\nTransfer-Encoding: chunked", "a\rTransfer-Encoding: chunked",
            "a\r\n\r\n\(inner)\r\n\r\n", "a\n\n\(inner)\n\n", "\r\n", "\n", "\r", "a\u{0}b", "\u{0}", "a\u{1}",
            "a\u{B}b",
            "a\u{C}b", "a\u{7F}", "a\r\n b", " a", "a ", "\ta", "a\t",
        ].flatMap { value -> [HTTP2SmugglingCase] in
            ["x", "cookie", "user-agent", "content-type", "x-forwarded-for", "accept", "content-length"].map {
                refused("\($0): \(value.debugDescription)", Frames.post() + [($0, value)], body: "0\r\n\r\n")
            }
        }

    private static let names: [HTTP2SmugglingCase] = [
        "x\r\ntransfer-encoding", "x: y\r\ntransfer-encoding", "x\n", "x\r", "x\u{0}", "x ", " x", "x:", "x: y", "",
        "X", "Transfer-Encoding", "transfer-encoding ", "transfer-encoding:", "Content-Length", "content-length ",
        "content-length\t", "x\ty", "x(y", "x\u{FC}", "x\r\n\r\n\(inner)\r\nx", "\r\nx", "host ", "Host",
    ].map { refused("the name \($0.debugDescription)", Frames.post() + [($0, "chunked")], body: "0\r\n\r\n") }

    private static let paths: [HTTP2SmugglingCase] = [
        "", " ", "x", "/ HTTP/1.1\r\n\(inner)\r\n\r\nx: ", "/ HTTP/1.1", "/ ", " /", "/a b", "/a\tb", "/a\r\nx: y",
        "/a\nx: y", "/\u{0}", "/#f", "/\u{FC}", "*", "http://localhost/", "https://evil/", "localhost:443", "?q",
        "/\u{7F}",
        "//a b", "/a\u{B}b", "/?q r",
    ].map { refused(":path \($0.debugDescription)", with(":path", $0), body: "x=y") }

    private static let methods: [HTTP2SmugglingCase] = [
        "", " ", "POST ", " POST", "PO ST", "GET /evil HTTP/1.1\r\nHost: evil\r\n\r\nPOST", "POST\r\n", "P\u{0}",
        "POST:",
        "\u{FC}", "CONNECT", "POST /", "(POST)",
    ].map { refused(":method \($0.debugDescription)", with(":method", $0), body: "x=y") }

    private static let authorities: [HTTP2SmugglingCase] = noAuthorities.flatMap { value -> [HTTP2SmugglingCase] in
        let bare: Lines = Array(Frames.get().dropLast())
        return [
            refused(":authority \(value.debugDescription)", with(":authority", value)),
            refused("host \(value.debugDescription)", bare + [("host", value)]),
        ]
    }

    private static let noAuthorities: [String] = [
        "", " ", "user@localhost", "user:password@localhost", "localhost/", "localhost/evil", "localhost?",
        "localhost#",
        "localhost:0", "localhost:65536", "localhost:x", "localhost\r\nx: y", "localhost\r\n\r\nGET /evil",
        "localhost\n",
        "a,b", "[::1", "::1", "local host", "localhost\u{0}", "local%68ost", "localhost\\evil", "localhost:443:443",
    ]

    private static let hosts: [HTTP2SmugglingCase] = [
        refused("host against :authority", Frames.get() + [("host", "evil")]),
        refused("host with a port against :authority", Frames.get() + [("host", "localhost:443")]),
        refused("two equal hosts", Frames.get() + [("host", "localhost"), ("host", "localhost")]),
        refused("neither host nor :authority", Array(Frames.get().dropLast())),
    ]

    private static let schemes: [HTTP2SmugglingCase] = [
        "", "ftp", "https://evil/x?", "http\r\nx: y", "https ", "file", "h t",
    ].map { refused(":scheme \($0.debugDescription)", with(":scheme", $0), body: "x=y") }

    private static let connection: [HTTP2SmugglingCase] = [
        ("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("transfer-encoding", "gzip, chunked"),
        ("transfer-encoding", ""), ("connection", "keep-alive"), ("connection", "content-length"),
        ("connection", "x-forwarded-for"), ("connection", "close"), ("connection", ""), ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"), ("upgrade", "h2c"), ("upgrade", "websocket"), ("upgrade", "TLS/1.0"),
        ("te", "chunked"), ("te", "trailers, chunked"), ("te", "gzip"), ("te", ""),
    ].flatMap { field -> [HTTP2SmugglingCase] in
        [
            refused("\(field.0): \(field.1)", Frames.post() + [field], body: "0\r\n\r\n\(inner)\r\n\r\n"),
            refused(
                "\(field.0): \(field.1), with a length",
                Frames.post() + [("content-length", "5"), field],
                body: "0\r\n\r\n"
            ),
        ]
    }

    private static let lengths: [HTTP2SmugglingCase] = [
        "", "+5", "-5", "-0", "0x5", "5 5", "5,5", "5, 5", "5;", "99999999999999999999", "18446744073709551616",
        "9223372036854775808", "٥", "1_0", "five", "5.0", "5e0", "'5'",
    ].map { refused("content-length \($0)", Frames.post() + [("content-length", $0)], body: "hello") }

    private static let twoLengths: [HTTP2SmugglingCase] = [
        refused("two lengths", Frames.post() + [("content-length", "5"), ("content-length", "6")], body: "hello"),
        refused(
            "the same length twice",
            Frames.post() + [("content-length", "5"), ("content-length", "5")],
            body: "hello"
        ),
        refused("a length and nothing", Frames.post() + [("content-length", "5")]),
    ]

    private static func cutOff(_ name: String, _ fields: [(String, String)], _ frames: [UInt8]) -> HTTP2SmugglingCase {
        let head = Frames.headers(1, Frames.post() + fields, endsStream: false)
        return HTTP2SmugglingCase(description: name, bytes: head + frames, expectation: .cutOff)
    }

    private static let bodies: [HTTP2SmugglingCase] = [
        cutOff(
            "more than was told",
            [("content-length", "5")],
            Frames.data(1, Array("hello\(inner)".utf8), endsStream: true)
        ),
        cutOff(
            "more than was told, in another frame",
            [("content-length", "5")],
            Frames.data(1, Array("hello".utf8), endsStream: false) + Frames.data(1, Array(inner.utf8), endsStream: true)
        ),
        cutOff("less than was told", [("content-length", "50")], Frames.data(1, Array("hello".utf8), endsStream: true)),
        cutOff(
            "less than was told, then trailers",
            [("content-length", "50")],
            Frames.data(1, Array("hello".utf8), endsStream: false) + Frames.headers(1, [("x", "y")])
        ),
        cutOff("something where zero was told", [("content-length", "0")], Frames.data(1, [0x61], endsStream: true)),
        cutOff(
            "trailers with a line end",
            [],
            Frames.data(1, Array("hello".utf8), endsStream: false) + Frames.headers(1, [("x", "y\r\n\r\n\(inner)")])
        ),
        cutOff(
            "trailers with pseudo-header fields",
            [],
            Frames.data(1, Array("hello".utf8), endsStream: false) + Frames.headers(1, [(":path", "/evil")])
        ),
        cutOff(
            "trailers with transfer-encoding",
            [],
            Frames.data(1, Array("hello".utf8), endsStream: false)
                + Frames.headers(1, [("transfer-encoding", "chunked")])
        ),
        cutOff(
            "trailers that end nothing",
            [],
            Frames.data(1, Array("hello".utf8), endsStream: false) + Frames.headers(1, [("x", "y")], endsStream: false)
        ),
        cutOff("padding longer than the frame", [], Frames.frame(0, flags: 9, stream: 1, [200, 0x61])),
    ]

    private static let doubled: [HTTP2SmugglingCase] = [":method", ":scheme", ":path", ":authority"].flatMap {
        name -> [HTTP2SmugglingCase] in
        let again: Lines = Frames.post().filter { $0.0 == name }
        let others: Lines = Frames.post().filter { $0.0 != name }
        return [
            refused("\(name) twice", Frames.post() + again, body: "x"),
            refused("\(name) after a field", others + [("x", "y")] + again, body: "x"),
        ]
    }

    private static let missing: [HTTP2SmugglingCase] = [":method", ":scheme", ":path"].map { name in
        refused("no \(name)", Frames.post().filter { $0.0 != name }, body: "x")
    }

    private static let pseudo: [HTTP2SmugglingCase] =
        [":status", ":protocol", ":x", ":", ":Path", "::path", ":path "].map { name -> HTTP2SmugglingCase in
            let line: Lines = [(name, "200")]
            return refused("\(name) in a request", line + Frames.post(), body: "x")
        }

    private static func forwarded(
        _ name: String,
        _ fields: [(String, String)],
        body: String,
        line: String = "POST / HTTP/1.1",
        sees: String? = nil
    ) -> HTTP2SmugglingCase {
        let frames = Frames.headers(1, fields, endsStream: false) + Frames.data(1, Array(body.utf8), endsStream: true)
        let chunks = body.isEmpty ? "0\r\n\r\n" : "\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\n\r\n"
        return HTTP2SmugglingCase(
            description: name,
            bytes: frames,
            fields: fields.map { ($0.0, $0.1) },
            body: body,
            expectation: .forwarded(line: line, body: sees ?? chunks)
        )
    }

    private static let good: [HTTP2SmugglingCase] = [
        forwarded("a body that looks like a request", Frames.post(), body: "0\r\n\r\n\(inner)\r\n\r\n"),
        forwarded(
            "a body that looks like a request, with its length",
            Frames.post() + [("content-length", "5")],
            body: "0\r\n\r\n",
            sees: "0\r\n\r\n"
        ),
        forwarded("an empty body", Frames.post(), body: "", sees: ""),
        forwarded("names that CGI takes for others", Frames.post() + [("content_length", "50")], body: "hello"),
        forwarded(
            "a query with everything",
            with(":path", "/a?b=%0d%0ac&d=\"<>|^`{}\\"),
            body: "x",
            line: "POST /a?b=%0d%0ac&d=\"<>|^`{}\\ HTTP/1.1"
        ),
        forwarded("host that agrees", Frames.post() + [("host", "LocalHost")], body: "x"),
        forwarded("tabs and bytes above ASCII in a value", Frames.post() + [("x", "a\tb\u{FC}")], body: "x"),
    ]
}
