import Bytes
import Foundation
import HTTP
import Testing

/// Field sections as a client of HTTP/2 may send them, and what becomes of each.
@Suite("Requests from HTTP/2") struct HTTP2RequestTests {
    typealias Lines = [(String, String)]

    static let get: Lines = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")]
    static let post: Lines = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")]

    private static func block(_ lines: Lines) -> HeaderBlock {
        var block = HeaderBlock()
        for (name, value) in lines { block.append(name: Array(name.utf8).span, value: Array(value.utf8).span) }
        return block
    }

    private static func refusal(_ lines: Lines, endsStream: Bool = true) -> Int? {
        var head = RequestHead()
        do {
            try head.assemble(block(lines), endsStream: endsStream)
            return nil
        } catch { return error.status }
    }

    private static func written(_ lines: Lines, endsStream: Bool = true) throws -> String {
        var head = RequestHead()
        try head.assemble(block(lines), endsStream: endsStream)
        var queue = ByteQueue(pool: BufferPool())
        RequestWriter.write(head, .plain, into: &queue)
        return queue.bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }

    private static func with(_ name: String, _ value: String, _ base: Lines = get) -> Lines {
        base.map { $0.0 == name ? (name, value) : $0 }
    }

    private static func without(_ name: String) -> Lines { get.filter { $0.0 != name } }

    @Test func `a plain request reads as HTTP/1.1 has it`() throws {
        let text = try Self.written(Self.get + [("accept", "*/*"), ("te", "trailers")])
        #expect(text.hasPrefix("GET / HTTP/1.1\r\nHost: localhost\r\naccept: */*\r\n"))
        #expect(text.contains("\r\nVia: 2.0 everyhop\r\n") && !text.lowercased().contains("\r\nte:"))
        #expect(!text.contains("Transfer-Encoding") && !text.contains("Content-Length"))
    }

    @Test func `a body is framed by its length, or else by chunks`() throws {
        let told = try Self.written(Self.post + [("content-length", "5")], endsStream: false)
        #expect(told.contains("\r\nContent-Length: 5\r\n") && !told.contains("Transfer-Encoding"))
        let untold = try Self.written(Self.post, endsStream: false)
        #expect(untold.contains("\r\nTransfer-Encoding: chunked\r\n") && !untold.contains("Content-Length"))
        let empty = try Self.written(Self.post + [("content-length", "0")])
        #expect(empty.contains("\r\nContent-Length: 0\r\n"))
        // Servers of HTTP/1.1 answer a POST that tells no length with 411.
        for method in ["POST", "PUT", "PATCH"] {
            #expect(try Self.written(Self.with(":method", method)).contains("\r\nContent-Length: 0\r\n"))
        }
        #expect(try !Self.written(Self.with(":method", "DELETE")).contains("Content-Length"))
    }

    @Test func `cookies become one line again`() throws {
        let text = try Self.written(Self.get + [("cookie", "a=1"), ("accept", "x"), ("cookie", "b=2"), ("cookie", "")])
        #expect(text.contains("\r\ncookie: a=1; b=2; \r\n"))
        #expect(text.components(separatedBy: "cookie").count == 2)
    }

    @Test(arguments: [
        "a\rb", "a\nb", "a\r\nx: y", "a\u{0}b", "\u{0}", "\r\n", "a\u{7F}", "a\u{1}", "a\u{1F}b", " a", "a ", "\ta",
        "a\t", "a\u{B}", "a\u{C}b",
    ])
    func `a value that HTTP/1.1 could read otherwise is refused`(_ value: String) {
        #expect(Self.refusal(Self.get + [("x", value)]) == 400)
        #expect(Self.refusal(Self.get + [("cookie", value)]) == 400)
        #expect(Self.refusal(Self.get + [("host", value)]) == 400)
    }

    @Test(arguments: ["a\tb", "", "a b", "\u{FC}", "=\"x,y\""])
    func `other values pass`(_ value: String) { #expect(Self.refusal(Self.get + [("x", value)]) == nil) }

    @Test(arguments: [
        "X", "xY", "", " x", "x ", "x y", "x:", "x\r\ny", "x\u{0}", "x\u{FC}", "x(", "x\t", "x\n", "transfer-encoding ",
        "Transfer-Encoding", "Content-Length",
    ])
    func `a name that is none is refused`(_ name: String) { #expect(Self.refusal(Self.get + [(name, "1")]) == 400) }

    @Test(arguments: [
        ("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("transfer-encoding", ""),
        ("connection", "close"), ("connection", "x"), ("connection", ""), ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"), ("upgrade", "h2c"), ("upgrade", "websocket"), ("te", "gzip"),
        ("te", "trailers, deflate"), ("te", ""), ("te", "chunked"),
    ])
    func `a field of the connection is refused`(_ name: String, _ value: String) {
        #expect(Self.refusal(Self.get + [(name, value)]) == 400)
        #expect(Self.refusal(Self.post + [("content-length", "5"), (name, value)], endsStream: false) == 400)
    }

    @Test(arguments: [
        "", "+5", "-5", "0x5", "5 5", "5,5", "5, 5", "5;", "99999999999999999999", "18446744073709551615",
        "9223372036854775808", "٥", "1_0", "five", "5.0",
    ])
    func `a length that is no number is refused`(_ value: String) {
        #expect(Self.refusal(Self.post + [("content-length", value)], endsStream: false) == 400)
    }

    @Test func `lengths that contradict each other or the stream are refused`() {
        let five = ("content-length", "5")
        #expect(Self.refusal(Self.post + [five, five], endsStream: false) == 400)
        #expect(Self.refusal(Self.post + [five, ("content-length", "6")], endsStream: false) == 400)
        #expect(Self.refusal(Self.post + [five, ("content-length", "0")], endsStream: false) == 400)
        #expect(Self.refusal(Self.post + [five], endsStream: true) == 400)
        #expect(Self.refusal(Self.post + [five], endsStream: false) == nil)
    }

    @Test(arguments: [
        "", " ", "x", "a/b", "//x y", "/ HTTP/1.1", "/ ", " /", "/a b", "/a\tb", "/a\r\nb", "/\u{0}", "/#f", "/\u{FC}",
        "*", "http://localhost/", "https://other/", "localhost:443", "?q", "/\u{7F}",
    ])
    func `a path that is none is refused`(_ path: String) {
        #expect(Self.refusal(Self.with(":path", path)) == 400)
        #expect(Self.refusal(Self.with(":path", path, Self.post), endsStream: false) == 400)
    }

    @Test func `the asterisk is for OPTIONS`() throws {
        let options = Self.with(":method", "OPTIONS")
        #expect(try Self.written(Self.with(":path", "*", options)).hasPrefix("OPTIONS * HTTP/1.1\r\n"))
        #expect(Self.refusal(Self.with(":path", "**", options)) == 400)
    }

    @Test(arguments: [
        "", " ", "GET ", " GET", "G ET", "GET\r\n", "GET /x HTTP/1.1\r\nX:", "G\u{0}T", "GET:", "\u{FC}",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG",
    ])
    func `a method that is none is refused`(_ method: String) {
        let status = Self.refusal(Self.with(":method", method))
        #expect(status == 400 || status == 501)
    }

    @Test(arguments: ["", "ftp", "HTTPS", "https ", "https://localhost/x?", "javascript", "http\r\n"])
    func `another scheme is refused`(_ scheme: String) { #expect(Self.refusal(Self.with(":scheme", scheme)) == 400) }

    @Test(arguments: [
        "", " ", "user@localhost", "user:pass@localhost", "localhost/", "localhost/x", "localhost?", "localhost#",
        "localhost:0", "localhost:65536", "localhost:x", "localhost:+1", "local host", "localhost\r\n",
        "localhost\r\nx: y", "a,b", "[::1", "::1", "[", "localhost\u{0}", "\u{FC}", "local%68ost", "localhost\\",
        "\"a\"",
    ])
    func `an authority that is none is refused`(_ authority: String) {
        #expect(Self.refusal(Self.with(":authority", authority)) == 400)
        #expect(Self.refusal(Self.without(":authority") + [("host", authority)]) == 400)
    }

    @Test func `Host stands for the authority, or says the same`() throws {
        let bare = Self.without(":authority")
        #expect(Self.refusal(bare) == 400)
        #expect(try Self.written(bare + [("host", "localhost")]).hasPrefix("GET / HTTP/1.1\r\nHost: localhost\r\n"))
        #expect(Self.refusal(Self.get + [("host", "localhost")]) == nil)
        #expect(Self.refusal(Self.get + [("host", "LOCALHOST")]) == nil)
        #expect(try Self.written(Self.get + [("host", "localhost")]).components(separatedBy: "\r\nHost:").count == 2)
        for other in ["other", "localhost:443", "localhost.", "localhos", "localhostt", ""] {
            #expect(Self.refusal(Self.get + [("host", other)]) == 400, "\(other)")
        }
        #expect(Self.refusal(Self.get + [("host", "localhost"), ("host", "localhost")]) == 400)
    }

    @Test(arguments: [":method", ":scheme", ":path"])
    func `a pseudo-header field that is missing or told twice is refused`(_ name: String) {
        #expect(Self.refusal(Self.without(name)) == 400)
        let again = Self.get.filter { $0.0 == name }
        #expect(Self.refusal(Self.get + again) == 400)
        // Late: after a field of another kind.
        #expect(Self.refusal(Self.without(name) + [("x", "y")] + again) == 400)
        #expect(Self.refusal(Self.get + [("x", "y")] + again) == 400)
    }

    @Test(arguments: [":status", ":x", ":", ":Path", ":PATH", ":path ", "::path", ":host", ":protocol"])
    func `a pseudo-header field that has no place in a request is refused`(_ name: String) {
        #expect(Self.refusal(Self.get + [(name, "websocket")]) == 400)
        #expect(Self.refusal([(name, "websocket")] + Self.get) == 400)
        #expect(Self.refusal(Self.get + [("x", "y"), (name, "websocket")]) == 400)
    }

    @Test func `an empty section is refused`() {
        #expect(Self.refusal([]) == 400)
        #expect(Self.refusal([("x", "y")]) == 400)
    }

    @Test func `the only tunnel is WebSocket`() throws {
        let connect = Self.with(":method", "CONNECT")
        #expect(Self.refusal(connect, endsStream: false) == 501)
        #expect(Self.refusal([(":method", "CONNECT"), (":authority", "localhost:25")], endsStream: false) == 400)
        for name in ["", "WebSocket", "websocket ", "connect-udp", "connect-ip", "h2c", "http/1.1"] {
            #expect(Self.refusal(connect + [(":protocol", name)], endsStream: false) == 501, "\(name)")
        }
        var head = RequestHead()
        try head.assemble(Self.block(connect + [(":protocol", "websocket")]), endsStream: false)
        #expect(head.upgrade == .webSocket)
        // What follows is a tunnel, which has no length.
        let length = [(":protocol", "websocket"), ("content-length", "5")]
        #expect(Self.refusal(connect + length, endsStream: false) == 400)
        #expect(Self.refusal(Self.get + [(":protocol", "websocket")]) == 400)
    }

    @Test func `an expectation of another kind is refused`() throws {
        #expect(Self.refusal(Self.post + [("expect", "200-ok")], endsStream: false) == 417)
        let text = try Self.written(Self.post + [("expect", "100-continue")], endsStream: false)
        #expect(text.contains("\r\nExpect: 100-continue\r\n"))
        // Without a body there is nothing to wait for.
        #expect(try !Self.written(Self.post + [("expect", "100-continue")]).contains("Expect"))
    }

    @Test func `names that CGI takes for others are dropped`() throws {
        let lines = [("content_length", "50"), ("transfer_encoding", "chunked"), ("x_forwarded_for", "6.6.6.6")]
        let text = try Self.written(Self.get + lines)
        #expect(!text.contains("_"))
    }

    @Test func `a head is as new after one that was refused`() throws {
        var head = RequestHead()
        try? head.assemble(Self.block(Self.post + [("content-length", "5")]), endsStream: false)
        try? head.assemble(Self.block(Self.get + [("x", "\r")]), endsStream: false)
        try head.assemble(Self.block(Self.get), endsStream: true)
        #expect(head.framing == .none && head.method == .get && head.fields.count == 0 && !head.expectsContinue)
    }
}

extension RequestHead {
    fileprivate mutating func assemble(_ section: HeaderBlock, endsStream: Bool) throws(RequestError) {
        var section = section
        defer { #expect(section.count == 0) }
        try assemble(from: &section, endsStream: endsStream)
    }
}
