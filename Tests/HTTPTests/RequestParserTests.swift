import Bytes
import Foundation
import HTTP
import Support
import Testing

/// What came of some bytes: what a reader of the other side would see.
struct Reading: Equatable {
    var heads: [String] = []
    var bodies: [[UInt8]] = []
    var refusal: Int?
    var isBodyBroken = false
}

/// Reads a stream of requests as the proxy does, in pieces of any size.
struct StreamReader {
    private var parser = RequestParser(limit: 65_536)
    private var decoder: ChunkedDecoder?
    private var remaining: UInt64?
    private var trailers = HeaderBlock()
    private var waiting: [UInt8] = []
    private(set) var reading = Reading()

    mutating func feed(_ bytes: [UInt8]) {
        waiting += bytes
        while reading.refusal == nil, !reading.isBodyBroken, step() {}
    }

    private mutating func step() -> Bool {
        if decoder != nil { return chunk() }
        if let length = remaining {
            let count = Int(min(UInt64(waiting.count), length))
            reading.bodies[reading.bodies.count - 1] += waiting.prefix(count)
            waiting.removeFirst(count)
            remaining = length - UInt64(count) == 0 ? nil : length - UInt64(count)
            return remaining == nil
        }
        guard !waiting.isEmpty else { return false }
        var head = RequestHead()
        do {
            let bytes = waiting
            guard let count = try parser.parse(bytes.span, into: &head) else { return false }
            waiting.removeFirst(count)
            parser.reset()
        } catch {
            reading.refusal = error.status
            return false
        }
        reading.heads.append(
            Self.text(head.methodBytes) + " " + Self.text(head.target) + " " + Self.text(head.authority)
        )
        reading.bodies.append([])
        switch head.framing {
        case .length(let length): remaining = length > 0 ? length : nil
        case .chunked: decoder = ChunkedDecoder()
        case .none, .untilClose: break
        }
        return true
    }

    private mutating func chunk() -> Bool {
        var offset = 0
        do {
            let bytes = waiting
            switch try decoder?.next(bytes.span, from: &offset, trailers: &trailers) {
            case .data(let range):
                reading.bodies[reading.bodies.count - 1] += waiting[range]
                waiting.removeFirst(offset)
                return true
            case .end:
                decoder = nil
                trailers.removeAll()
                waiting.removeFirst(offset)
                return true
            case .needMore, nil:
                waiting.removeFirst(offset)
                return false
            }
        } catch {
            reading.isBodyBroken = true
            return false
        }
    }

    static func text(_ bytes: Span<UInt8>) -> String {
        var text: [UInt8] = []
        for index in bytes.indices { text.append(bytes[index]) }
        return String(decoding: text, as: UTF8.self)
    }
}

@Suite("Request parser") struct RequestParserTests {
    @Test(arguments: SmugglingCorpus.cases)
    func `the corpus is refused or read, whole or in any pieces`(_ example: SmugglingCase) {
        var whole = StreamReader()
        whole.feed(example.bytes)
        switch example.expectation {
        case .refused(let status): #expect(whole.reading.refusal == status)
        case .cutOff: #expect(whole.reading.isBodyBroken)
        case .forwarded(let count): #expect(whole.reading.heads.count >= count)
        }
        var single = StreamReader()
        for byte in example.bytes { single.feed([byte]) }
        #expect(single.reading == whole.reading)
        guard example.bytes.count < 1000 else { return }
        for split in 1..<max(2, example.bytes.count) {
            var two = StreamReader()
            two.feed(Array(example.bytes[..<split]))
            two.feed(Array(example.bytes[split...]))
            #expect(two.reading == whole.reading, "split at \(split)")
        }
    }

    private func parse(_ text: String) throws -> RequestHead {
        var parser = RequestParser(limit: 65_536)
        var head = RequestHead()
        let bytes = Array(text.utf8)
        let count = try parser.parse(bytes.span, into: &head)
        #expect(count == bytes.count)
        return head
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true), ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false), ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
    ])
    func `whether the connection stays follows RFC 9112`(_ text: String, _ stays: Bool) throws {
        #expect(try parse(text).keepAlive == stays)
    }

    private func written(_ text: String, trusted: Bool = false) throws -> String {
        let head = try parse(text)
        var queue = ByteQueue(pool: BufferPool())
        var bytes = [UInt8](repeating: 0xAB, count: 16)
        bytes[0] = 1
        let context = ForwardingContext(
            clientAddress: Array("2001:db8::7".utf8),
            isIPv6: true,
            scheme: .https,
            localPort: 443,
            trusted: trusted,
            requestID: RequestID(bytes.span),
            rules: SiteRules()
        )
        RequestWriter.write(head, context, into: &queue)
        return StreamReader.text(queue.bytes)
    }

    private static let claims =
        "GET /x HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nVia: 1.0 b\r\n"
        + "X-Forwarded-Proto: gopher\r\nX-Request-ID: mine\r\nX_Forwarded_For: 7.7.7.7\r\n\r\n"

    @Test func `what a stranger says of itself is replaced`() throws {
        let text = try written(Self.claims)
        #expect(
            text
                == "GET /x HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-For: 2001:db8::7\r\nX-Forwarded-Proto: https\r\n"
                + "X-Forwarded-Host: a:1\r\nX-Forwarded-Port: 443\r\n"
                + "Forwarded: for=\"[2001:db8::7]\";proto=https;host=\"a:1\"\r\nVia: 1.1 everyhop\r\n"
                + "X-Request-ID: 01\(String(repeating: "ab", count: 15))\r\n\r\n"
        )
    }

    @Test func `what a trusted proxy says is kept and added to`() throws {
        let text = try written(Self.claims, trusted: true)
        #expect(text.contains("\r\nX-Forwarded-For: 6.6.6.6, 2001:db8::7\r\n"))
        #expect(text.contains("\r\nForwarded: for=6.6.6.6, for=\"[2001:db8::7]\""))
        #expect(text.contains("\r\nVia: 1.0 b, 1.1 everyhop\r\n"))
        #expect(text.contains("\r\nX-Forwarded-Proto: gopher\r\n") && text.contains("\r\nX-Request-ID: mine\r\n"))
        #expect(!text.contains("7.7.7.7"))
    }

    @Test(arguments: [
        "X-Original-URL", "x-rewrite-url", "X_Original_URL", "X-Forwarded-Prefix", "X-Forwarded-Server",
        "x-forwarded_x",
        "X-Real-IP", "X_Real_IP", "X-Original-Host",
    ])
    func `what applications believe a proxy only is passed on from a trusted one only`(_ name: String) throws {
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\(name): /admin\r\nX-Original: 1\r\nX-Forwarded: 2\r\n\r\n"
        let text = try written(request)
        #expect(!text.contains("/admin") && text.contains("X-Original: 1") && text.contains("X-Forwarded: 2"))
        #expect(try written(request, trusted: true).contains("\(name): /admin"))
    }

    @Test(arguments: [
        ("OPTIONS http://a", "OPTIONS * "), ("OPTIONS http://a/", "OPTIONS / "), ("OPTIONS http://a?b", "OPTIONS /?b "),
        ("OPTIONS *", "OPTIONS * "), ("OPTIONS /", "OPTIONS / "), ("GET http://a", "GET / "),
    ])
    func `an absolute target goes on as its path`(_ line: String, _ expected: String) throws {
        #expect(try written("\(line) HTTP/1.1\r\nHost: a\r\n\r\n").hasPrefix(expected))
    }

    @Test func `lines are passed on as they should be written, with nothing of those between them`() throws {
        let text = try written(
            "GET / HTTP/1.1\r\nA: 1\r\nB:2\r\nHost: a\r\nC:  3\r\nD: 4 \r\nE: 5\r\nF: 6\r\nKeep-Alive: 7\r\nG:\r\n"
                + "H: \r\nI: 8\t9\r\nTrailer: x\r\n\r\n"
        )
        let wanted =
            "Host: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\nG: \r\nH: \r\nI: 8\t9\r\nX-Forwarded-For: "
        #expect(text.hasPrefix("GET / HTTP/1.1\r\n" + wanted))
    }

    @Test func `fields of this hop are not passed on`() throws {
        let text = try written(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
                + "Upgrade: h2c\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\nCookie: z\r\n\r\n"
        )
        for field in ["X-Hop", "Keep-Alive", "TE:", "Upgrade", "Proxy-"] { #expect(!text.contains(field), "\(field)") }
        #expect(text.contains("\r\nCookie: z\r\n"))
    }
}

@Suite("Response parser") struct ResponseParserTests {
    /// How the body is framed; nil when the head is not whole.
    private func parse(_ text: String, _ method: Method = .get) throws -> BodyFraming? {
        var parser = ResponseParser(limit: 65_536)
        var head = ResponseHead()
        let bytes = Array(text.utf8)
        return try parser.parse(bytes.span, into: &head, requestMethod: method) == nil ? nil : head.framing
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method.get, BodyFraming.length(5)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", .head, .none),
        ("HTTP/1.1 204 No Content\r\n\r\n", .get, .none),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", .get, .none),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .get, .chunked),
        ("HTTP/1.0 200 OK\r\n\r\n", .get, .untilClose),
        ("HTTP/1.1 100 Continue\r\n\r\n", .get, .none), ("HTTP/1.1 200\r\n\r\n", .get, .untilClose),
    ])
    func `the body is framed by RFC 9112`(_ text: String, _ method: Method, _ framing: BodyFraming) throws {
        #expect(try parse(text, method) == framing)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 600 High\r\n\r\n",
        "HTTP/2 200\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200 O\u{01}K\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n",
    ])
    func `an ambiguous or malformed head is refused`(_ text: String) {
        #expect(throws: ResponseError.self) { try parse(text) }
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"), ("HTTP/1.0 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 404", "HTTP/1.1 404 "), ("HTTP/1.1 500 ", "HTTP/1.1 500 "),
    ])
    func `a status line goes on as HTTP 1.1, with the fields behind it`(_ line: String, _ written: String) throws {
        var parser = ResponseParser(limit: 65_536)
        var head = ResponseHead()
        let bytes = Array("\(line)\r\nA: 1\r\nContent-Length: 5\r\nB: 2\r\nC:3\r\n\r\n".utf8)
        #expect(try parser.parse(bytes.span, into: &head, requestMethod: .get) == bytes.count)
        var queue = ByteQueue(pool: BufferPool())
        let context = ResponseContext(.plain, keepAlive: true)
        ResponseWriter.write(head, answering: RequestHead(), framing: head.framing, context, into: &queue)
        let wanted = "\(written)\r\nA: 1\r\nB: 2\r\nC: 3\r\nContent-Length: 5\r\nVia: "
        #expect(StreamReader.text(queue.bytes).hasPrefix(wanted))
    }

    @Test func `an error page's length is what is announced, in both forms`() throws {
        for status in [400, 404, 408, 413, 414, 417, 421, 431, 501, 502, 503, 504, 505] {
            for json in [true, false] {
                var queue = ByteQueue(pool: BufferPool())
                LocalResponse.write(
                    status: status,
                    requestID: RequestID(),
                    json: json,
                    headOnly: false,
                    keepAlive: true,
                    date: DateCache(),
                    into: &queue
                )
                let text = StreamReader.text(queue.bytes)
                let end = try #require(text.range(of: "\r\n\r\n"))
                #expect(try parse(text) == .length(UInt64(text[end.upperBound...].utf8.count)))
            }
        }
    }

    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (1_709_210_096, "Thu, 29 Feb 2024 12:34:56 GMT"), (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
    ])
    func `dates are IMF-fixdate`(_ seconds: UInt64, _ text: String) {
        var date = DateCache()
        date.update(unixSeconds: seconds)
        var queue = ByteQueue(pool: BufferPool())
        date.write(into: &queue)
        #expect(StreamReader.text(queue.bytes) == text)
    }
}
