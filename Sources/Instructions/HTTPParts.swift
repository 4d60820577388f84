import Bytes
import HTTP

/// Heads as browsers and application servers write them.
enum Sample {
    static let request = bytes(
        "GET /patients/4711/documents?page=2&sort=date HTTP/1.1\r\nHost: portal.example.org\r\n"
            + "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
            + "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: de,en;q=0.5\r\n"
            + "Accept-Encoding: gzip, deflate, br\r\nReferer: https://portal.example.org/patients/4711\r\n"
            + "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nConnection: keep-alive\r\n"
            + "Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nPriority: u=1\r\n\r\n"
    )

    static let response = bytes(
        "HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 10:00:00 GMT\r\nServer: Microsoft-IIS/10.0\r\n"
            + "Content-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\nCache-Control: private, no-store\r\n"
            + "Set-Cookie: session=0123456789abcdef0123456789abcdef; path=/app; HttpOnly\r\nX-Frame-Options: SAMEORIGIN\r\n"
            + "Content-Location: http://legacy:8080/app/documents\r\nVary: Accept-Encoding\r\n\r\n"
    )

    static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    static func head() -> RequestHead {
        var head = RequestHead()
        var parser = RequestParser(limit: 65_536)
        require((try? parser.parse(request.span, into: &head)) == request.count, "the sample request")
        return head
    }

    /// A site without rules of its own, or one that changes what a legacy application says.
    static func context(rewrites: Bool) -> ForwardingContext {
        ForwardingContext(
            clientAddress: bytes("203.0.113.24"),
            isIPv6: false,
            scheme: .https,
            localPort: 443,
            trusted: false,
            requestID: RequestID(),
            rules: rewrites ? rules : SiteRules()
        )
    }

    private static let rules = SiteRules(
        host: bytes("legacy:8080"),
        path: PathMap(publicPrefix: bytes("/"), serverPrefix: bytes("/app")),
        hosts: OwnHosts(
            bindings: [OwnHosts.Binding(name: bytes("portal.example.org"), isWildcard: false, port: 443)],
            aliases: [OwnHosts.Alias(name: bytes("legacy"), port: 8080)],
            ports: [80, 8080]
        ),
        cookies: CookieRules(
            secure: true,
            httpOnly: true,
            sameSite: .lax,
            exceptions: [],
            domains: [],
            paths: [CookieRules.Mapping(from: bytes("/app"), to: bytes("/"))]
        ),
        requestFields: fields,
        responseFields: fields,
        strictTransport: bytes("max-age=31536000"),
        upgradesInsecureRequests: true
    )

    private static let fields = FieldRules(
        set: [FieldTemplate(name: bytes("X-Client"), pieces: [.text(bytes("a ")), .variable(.clientAddress)])],
        add: [],
        remove: [bytes("x-frame-options")]
    )
}

final class RequestReading: Part {
    private var head = RequestHead()

    init() { super.init("HTTP/1 request read") }

    override func once() {
        var parser = RequestParser(limit: 65_536)
        require((try? parser.parse(Sample.request.span, into: &head)) == Sample.request.count, "a request")
    }
}

final class ResponseReading: Part {
    private var head = ResponseHead()

    init() { super.init("HTTP/1 response read") }

    override func once() {
        var parser = ResponseParser(limit: 65_536)
        let count = try? parser.parse(Sample.response.span, into: &head, requestMethod: .get)
        require(count == Sample.response.count, "a response")
    }
}

final class RequestWriting: Part {
    private let head = Sample.head()
    private let context: ForwardingContext
    private var queue = ByteQueue(pool: BufferPool())

    init(rewrites: Bool) {
        context = Sample.context(rewrites: rewrites)
        super.init(rewrites ? "request written by rules" : "request written")
    }

    override func once() {
        RequestWriter.write(head, context, into: &queue)
        require(queue.count > 500, "a written request")
        queue.removeAll()
    }
}

final class ResponseWriting: Part {
    private var head = ResponseHead()
    private let request = Sample.head()
    private let context: ResponseContext
    private var queue = ByteQueue(pool: BufferPool())

    init(rewrites: Bool) {
        var parser = ResponseParser(limit: 65_536)
        _ = try? parser.parse(Sample.response.span, into: &head, requestMethod: .get)
        context = ResponseContext(Sample.context(rewrites: rewrites), keepAlive: true)
        super.init(rewrites ? "response written by rules" : "response written")
    }

    override func once() {
        ResponseWriter.write(head, answering: request, framing: .length(1024), context, into: &queue)
        require(queue.count > 300, "a written response")
        queue.removeAll()
    }
}

final class ChunkReading: Part {
    private let body: [UInt8]
    private var trailers = HeaderBlock()

    init() {
        let chunk = Sample.bytes("400\r\n") + [UInt8](repeating: 0x61, count: 1024) + Sample.bytes("\r\n")
        body = (0..<16).flatMap { _ in chunk } + Sample.bytes("0\r\n\r\n")
        super.init("16 chunks read")
    }

    override func once() {
        let body = body
        var decoder = ChunkedDecoder()
        var offset = 0
        var total = 0
        while let step = try? decoder.next(body.span, from: &offset, trailers: &trailers) {
            guard case .data(let range) = step else { break }
            total += range.count
        }
        require(total == 16_384, "a chunked body")
    }
}

final class PathReading: Part {
    private static let path = Sample.bytes("/patients/4711/Documents/%C3%84nderung;v=1/scan.pdf")
    private var matching = MatchingPath()

    init() { super.init("path made ready for routes") }

    override func once() {
        let path = Self.path
        require((try? matching.read(path.span)) != nil, "a path")
    }
}

final class ProxyHeaderReading: Part {
    private static let header = Sample.bytes("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n")

    init() { super.init("PROXY header read") }

    override func once() {
        let header = Self.header
        require((try? ProxyHeader.parse(header.span))?.count == header.count, "a PROXY header")
    }
}
