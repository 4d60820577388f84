/// A raw request and what has to become of it.
public struct SmugglingCase: Sendable, CustomStringConvertible {
    /// What must happen.
    public enum Expectation: Sendable, Equatable {
        /// Answered with this status, the connection closed, nothing passed on.
        case refused(Int)
        /// Answered with 400 and closed; the server may have seen the beginning of it, never a whole request.
        case cutOff
        /// So many requests passed on.
        case forwarded(Int)
    }

    /// What is tried.
    public let description: String
    /// The bytes on the wire.
    public let bytes: [UInt8]
    /// What must happen.
    public let expectation: Expectation
}

/// Requests that two readers could take in two ways, by class; most of them must be refused.
public enum SmugglingCorpus {
    private static let host = "Host: localhost\r\n"

    /// All of them.
    public static let cases: [SmugglingCase] =
        lengths + encodings + both + lines + names + values + requestLines + hosts + targets + chunks + pipelines

    private static func refused(_ status: Int, _ name: String, _ text: String) -> SmugglingCase {
        SmugglingCase(description: name, bytes: Array(text.utf8), expectation: .refused(status))
    }

    private static func post(_ status: Int, _ name: String, _ fields: String, body: String = "") -> SmugglingCase {
        refused(status, name, "POST / HTTP/1.1\r\n\(host)\(fields)\r\n\r\n\(body)")
    }

    private static func get(_ status: Int, _ name: String, _ fields: String) -> SmugglingCase {
        refused(status, name, "GET / HTTP/1.1\r\n\(host)\(fields)\r\n\r\n")
    }

    private static func passes(_ count: Int, _ name: String, _ text: String) -> SmugglingCase {
        SmugglingCase(description: name, bytes: Array(text.utf8), expectation: .forwarded(count))
    }

    private static let lengths: [SmugglingCase] =
        [
            "+5", "-5", "-0", "0x5", "5.0", "5e0", "five", "", " ", "5 5", "5,5", "5, 5", "5,6", "5;5", "5\t5",
            "05 ,05", "1_0",
            "99999999999999999999", "18446744073709551616", "9223372036854775808", "٥", "5\u{00A0}", "5\"", "'5'",
        ].map { post(400, "Content-Length \"\($0)\"", "Content-Length: \($0)", body: "hello") }
        + [
            post(400, "two equal Content-Length lines", "Content-Length: 5\r\nContent-Length: 5", body: "hello"),
            post(400, "two different Content-Length lines", "Content-Length: 5\r\nContent-Length: 6", body: "hello!"),
            post(400, "Content-Length twice, case differs", "Content-Length: 5\r\ncontent-length: 0", body: "hello"),
            post(400, "Content-Length on GET with garbage", "Content-Length: x"),
        ]

    private static let encodings: [SmugglingCase] =
        [
            "identity", "gzip", "chunked, identity", "identity, chunked", "gzip, chunked", "chunked, chunked",
            "chunked,",
            ",chunked", "x, chunked", "xchunked", "chunkedx", "chunke", "\"chunked\"", "'chunked'", "chunked;q=1",
            "chunked; x",
            "chunked chunked", "cow", "", "chunked\u{2028}", "ｃhunked",
        ].map { post(501, "Transfer-Encoding \"\($0)\"", "Transfer-Encoding: \($0)", body: "0\r\n\r\n") }
        + [
            post(
                501,
                "two Transfer-Encoding lines",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                body: "0\r\n\r\n"
            ),
            post(
                501,
                "chunked, then identity on its own line",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                body: "0\r\n\r\n"
            ),
            post(501, "chunked, then a cow", "Transfer-Encoding: chunked\r\nTransfer-encoding: cow", body: "0\r\n\r\n"),
            post(400, "vertical tab before chunked", "Transfer-Encoding: \u{0B}chunked", body: "0\r\n\r\n"),
            post(400, "form feed after chunked", "Transfer-Encoding: chunked\u{0C}", body: "0\r\n\r\n"),
            post(400, "NUL after chunked", "Transfer-Encoding: chunked\u{00}", body: "0\r\n\r\n"),
            post(400, "DEL after chunked", "Transfer-Encoding: chunked\u{7F}", body: "0\r\n\r\n"),
            refused(
                400,
                "Transfer-Encoding in HTTP/1.0",
                "POST / HTTP/1.0\r\n\(host)Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            passes(1, "chunked in capitals", "POST / HTTP/1.1\r\n\(host)Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n"),
            passes(
                1,
                "chunked with spaces around",
                "POST / HTTP/1.1\r\n\(host)Transfer-Encoding: \t chunked \t\r\n\r\n0\r\n\r\n"
            ),
        ]

    private static let both: [SmugglingCase] = [
        post(400, "CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked", body: "0\r\n\r\nG"),
        post(
            400,
            "TE.CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
            body: "5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"
        ),
        post(400, "CL.TE with zero length", "Content-Length: 0\r\nTransfer-Encoding: chunked", body: "0\r\n\r\n"),
        post(400, "both, the coding unknown", "Content-Length: 5\r\nTransfer-Encoding: cow", body: "hello"),
        post(400, "both, names in capitals", "CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: chunked", body: "0\r\n\r\n"),
        passes(
            1,
            "underscored Content_Length is dropped",
            "POST / HTTP/1.1\r\n\(host)Content_Length: 50\r\nContent-Length: 5\r\n\r\nhello"
        ),
        passes(
            1,
            "underscored Transfer_Encoding is dropped",
            "POST / HTTP/1.1\r\n\(host)Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"
        ),
        passes(
            1,
            "Connection nominates Content-Length",
            "POST / HTTP/1.1\r\n\(host)Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello"
        ),
        passes(
            1,
            "Connection nominates Transfer-Encoding",
            "POST / HTTP/1.1\r\n\(host)Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        passes(1, "Connection nominates Host", "GET / HTTP/1.1\r\n\(host)Connection: Host\r\n\r\n"),
    ]

    private static let lines: [SmugglingCase] = [
        refused(400, "bare line feeds throughout", "GET / HTTP/1.1\nHost: localhost\n\n"),
        refused(400, "bare line feed after the request line", "GET / HTTP/1.1\nHost: localhost\r\n\r\n"),
        refused(400, "bare line feed after a field", "GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n"),
        refused(400, "bare line feed at the end of the head", "GET / HTTP/1.1\r\nHost: localhost\r\n\n"),
        refused(400, "line feed before carriage return", "GET / HTTP/1.1\n\rHost: localhost\n\r\n\r"),
        get(400, "bare carriage return in a value", "X: a\rb"),
        get(400, "bare carriage return hides a field", "X: a\rTransfer-Encoding: chunked"),
        get(400, "two carriage returns before a line feed", "X: a\r"),
        get(400, "folded line with a space", "X: a\r\n b"),
        get(400, "folded line with a tab", "X: a\r\n\tb"),
        get(400, "folded Transfer-Encoding", "Transfer-Encoding:\r\n chunked"),
        refused(400, "space before the first field", "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n"),
        refused(400, "carriage return in the request line", "GET /\r HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "bare line feed first", "\nGET / HTTP/1.1\r\n\(host)\r\n"),
        passes(1, "one empty line first", "\r\nGET / HTTP/1.1\r\n\(host)\r\n"),
    ]

    private static let names: [SmugglingCase] = [
        post(400, "space before the colon of Content-Length", "Content-Length : 5", body: "hello"),
        post(400, "tab before the colon of Transfer-Encoding", "Transfer-Encoding\t: chunked", body: "0\r\n\r\n"),
        get(400, "empty name", ": x"),
        get(400, "no colon", "Xy"),
        get(400, "space in a name", "X y: z"),
        get(400, "NUL in a name", "X\u{00}y: z"),
        get(400, "control byte in a name", "X\u{01}: z"),
        get(400, "byte above ASCII in a name", "Xé: z"),
        get(400, "parenthesis in a name", "X(y): z"),
        get(400, "slash in a name", "X/y: z"),
        get(400, "quote in a name", "\"X\": z"),
        get(400, "at sign in a name", "X@y: z"),
        get(400, "bracket in a name", "[X]: z"),
        get(400, "equals sign in a name", "X=y: z"),
        get(400, "comma in a name", "X,y: z"),
        get(400, "carriage return before the colon", "X\r: z"),
        get(400, "NUL before the name", "\u{00}Transfer-Encoding: chunked"),
        get(400, "a line of a space", " "),
    ]

    private static let values: [SmugglingCase] =
        ([0x00, 0x01, 0x02, 0x07, 0x08, 0x0B, 0x0C, 0x0E, 0x1B, 0x1F, 0x7F] as [UInt8]).map { byte in
            SmugglingCase(
                description: "byte \(byte) in a value",
                bytes: Array("GET / HTTP/1.1\r\n\(host)X: a".utf8) + [byte] + Array("b\r\n\r\n".utf8),
                expectation: .refused(400)
            )
        } + [
            get(417, "an unknown expectation", "Expect: 200-ok"),
            get(417, "two expectations", "Expect: 100-continue, x"),
        ]

    private static let requestLines: [SmugglingCase] = [
        refused(505, "HTTP/2.0 in the request line", "GET / HTTP/2.0\r\n\(host)\r\n"),
        refused(505, "HTTP/1.2", "GET / HTTP/1.2\r\n\(host)\r\n"),
        refused(505, "HTTP/0.9", "GET / HTTP/0.9\r\n\(host)\r\n"),
        refused(505, "HTTP/3.1", "GET / HTTP/3.1\r\n\(host)\r\n"),
        refused(400, "no version", "GET /\r\n\(host)\r\n"),
        refused(400, "small letters in the version", "GET / http/1.1\r\n\(host)\r\n"),
        refused(400, "another protocol", "GET / HTTPS/1.1\r\n\(host)\r\n"),
        refused(400, "long version", "GET / HTTP/1.10\r\n\(host)\r\n"),
        refused(400, "short version", "GET / HTTP/1\r\n\(host)\r\n"),
        refused(400, "space after the version", "GET / HTTP/1.1 \r\n\(host)\r\n"),
        refused(400, "two spaces before the target", "GET  / HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "two spaces before the version", "GET /  HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "tab instead of a space", "GET\t/ HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "tab before the version", "GET /\tHTTP/1.1\r\n\(host)\r\n"),
        refused(400, "space before the method", " GET / HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "no method", "/ HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "colon in the method", "GE:T / HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "NUL in the method", "GET\u{00} / HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "overlong method", "\(String(repeating: "G", count: 40)) / HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "a TLS record in plain", "\u{16}\u{03}\u{01}\u{02}\u{00}\u{01}\r\n\r\n"),
        refused(505, "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        refused(501, "CONNECT", "CONNECT localhost:443 HTTP/1.1\r\n\(host)\r\n"),
    ]

    private static let hosts: [SmugglingCase] =
        [
            refused(400, "no Host", "GET / HTTP/1.1\r\n\r\n"),
            refused(400, "two Hosts", "GET / HTTP/1.1\r\n\(host)\(host)\r\n"),
            refused(400, "two different Hosts", "GET / HTTP/1.1\r\n\(host)Host: evil.example\r\n\r\n"),
            refused(400, "absolute target with another host", "GET http://evil.example/ HTTP/1.1\r\n\(host)\r\n"),
            refused(400, "absolute target without Host", "GET http://localhost/ HTTP/1.1\r\n\r\n"),
            refused(400, "absolute target with another port", "GET https://localhost:1/ HTTP/1.1\r\n\(host)\r\n"),
            refused(400, "userinfo in an absolute target", "GET https://a@localhost/ HTTP/1.1\r\n\(host)\r\n"),
            passes(1, "absolute target with the same host", "GET https://localhost/ HTTP/1.1\r\n\(host)\r\n"),
            passes(1, "absolute target without a path", "GET https://localhost HTTP/1.1\r\n\(host)\r\n"),
            passes(1, "Host in capitals", "GET / HTTP/1.1\r\nHOST: LOCALHOST\r\n\r\n"),
        ]
        + [
            "", "a b", "localhost,evil", "localhost/x", "user@localhost", "localhost:x", "localhost:0",
            "localhost:65536",
            "localhost:443:443", "localhost:+1", "[::1", "[x]", "loc\\alhost", "localhost?x", "localhost#x",
            "<localhost>",
            "local%00host", "http://localhost",
        ].map { refused(400, "Host \"\($0)\"", "GET / HTTP/1.1\r\nHost: \($0)\r\n\r\n") }

    private static let targets: [SmugglingCase] = [
        refused(400, "fragment", "GET /#x HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "target without a slash", "GET x HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "asterisk with GET", "GET * HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "another scheme", "GET ftp://localhost/ HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "file scheme", "GET file:///etc/passwd HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "NUL in the target", "GET /\u{00} HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "byte above ASCII in the target", "GET /é HTTP/1.1\r\n\(host)\r\n"),
        refused(400, "DEL in the target", "GET /\u{7F} HTTP/1.1\r\n\(host)\r\n"),
        refused(
            414,
            "a target longer than a head",
            "GET /\(String(repeating: "a", count: 70_000)) HTTP/1.1\r\n\(host)\r\n"
        ),
        get(431, "a field longer than a head", "X: \(String(repeating: "a", count: 70_000))"),
        get(431, "three hundred fields", (1...300).map { "X\($0): y" }.joined(separator: "\r\n")),
        passes(1, "asterisk with OPTIONS", "OPTIONS * HTTP/1.1\r\n\(host)\r\n"),
        passes(1, "two slashes", "GET //x HTTP/1.1\r\n\(host)\r\n"),
        passes(1, "brackets and pipes in a query", "GET /?a[]=b|c HTTP/1.1\r\n\(host)\r\n"),
    ]

    private static func chunked(_ name: String, _ body: String) -> SmugglingCase {
        SmugglingCase(
            description: "chunked body: \(name)",
            bytes: Array("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\n\(body)".utf8),
            expectation: .cutOff
        )
    }

    private static let chunks: [SmugglingCase] =
        [
            ("size with a sign", "+5\r\nhello\r\n0\r\n\r\n"), ("negative size", "-5\r\nhello\r\n0\r\n\r\n"),
            ("size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"), ("size with a leading space", " 5\r\nhello\r\n0\r\n\r\n"),
            ("size with a space after", "5 \r\nhello\r\n0\r\n\r\n"), ("no size", "\r\nhello\r\n0\r\n\r\n"),
            ("size that is no number", "g\r\nhello\r\n0\r\n\r\n"),
            ("size that overflows", "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
            ("size of 2^64 + 5", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
            ("bare line feed after the size", "5\nhello\r\n0\r\n\r\n"),
            ("bare carriage return after the size", "5\rhello\r\n0\r\n\r\n"),
            ("bare line feed after the data", "5\r\nhello\n0\r\n\r\n"),
            ("no line end after the data", "5\r\nhello0\r\n\r\n"),
            ("data longer than its size", "4\r\nhello\r\n0\r\n\r\n"),
            ("bare line feed in an extension", "5;a=b\nhello\r\n0\r\n\r\n"),
            ("carriage return in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
            ("NUL in an extension", "5;a\u{00}\r\nhello\r\n0\r\n\r\n"),
            ("an endless extension", "5;\(String(repeating: "a", count: 300))\r\nhello\r\n0\r\n\r\n"),
            ("underscore in the size", "5_0\r\nhello\r\n0\r\n\r\n"), ("comma in the size", "5,5\r\nhello\r\n0\r\n\r\n"),
            ("bare line feed ends it", "0\r\n\n"), ("bare line feed after the last size", "0\n\r\n"),
            ("a folded trailer", "0\r\nX: a\r\n b\r\n\r\n"), ("a trailer without a colon", "0\r\nX\r\n\r\n"),
            ("space before a trailer's colon", "0\r\nX : y\r\n\r\n"),
            ("carriage return in a trailer", "0\r\nX: a\rb\r\n\r\n"),
            ("control byte in a trailer", "0\r\nX: \u{01}\r\n\r\n"),
        ].map { chunked($0.0, $0.1) } + [
            passes(
                1,
                "an extension is dropped",
                "POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"
            ),
            passes(
                1,
                "capital and leading zeros in a size",
                "POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\n00A\r\nhellohello\r\n0\r\n\r\n"
            ),
            passes(
                1,
                "a framing field as a trailer is dropped",
                "POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 50\r\nHost: evil\r\n\r\n"
            ),
        ]

    private static let pipelines: [SmugglingCase] = [
        passes(2, "two requests at once", "GET /1 HTTP/1.1\r\n\(host)\r\nGET /2 HTTP/1.1\r\n\(host)\r\n"),
        passes(
            2,
            "a body that looks like a request, then a request",
            "POST /1 HTTP/1.1\r\n\(host)Content-Length: 24\r\n\r\nGET /hidden HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\(host)\r\n"
        ),
        passes(
            2,
            "a chunk that looks like a request, then a request",
            "POST /1 HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\n18\r\nGET /hidden HTTP/1.1\r\n\r\n\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n\(host)\r\n"
        ),
        passes(
            1,
            "a request behind Connection: close is not read",
            "GET /1 HTTP/1.1\r\n\(host)Connection: close\r\n\r\nGET /2 HTTP/1.1\r\n\(host)\r\n"
        ),
        passes(1, "a bad request behind a good one", "GET /1 HTTP/1.1\r\n\(host)\r\nGET /2 HTTP/1.1\r\n\r\n"),
        passes(1, "GET with a body of its own", "GET /1 HTTP/1.1\r\n\(host)Content-Length: 5\r\n\r\nhello"),
        passes(2, "HEAD, then GET", "HEAD /1 HTTP/1.1\r\n\(host)\r\nGET /2 HTTP/1.1\r\n\(host)\r\n"),
        passes(1, "HTTP/1.0 without keep-alive ends", "GET /1 HTTP/1.0\r\n\(host)\r\nGET /2 HTTP/1.0\r\n\(host)\r\n"),
    ]
}
