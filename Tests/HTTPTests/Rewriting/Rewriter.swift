import Bytes
import HTTP
import Testing

/// A message as a site's rules leave it.
struct Rewriter {
    var rules = SiteRules()
    var authority = "portal.example.org"
    var target = "/x?y=1"
    var localPort: UInt16 = 443

    static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private var forwarding: ForwardingContext {
        ForwardingContext(
            clientAddress: Self.bytes("203.0.113.9"),
            isIPv6: false,
            scheme: .https,
            localPort: localPort,
            trusted: false,
            requestID: RequestID(),
            rules: rules
        )
    }

    func request(_ fields: String...) throws -> RequestHead {
        var parser = RequestParser(limit: 65_536)
        var head = RequestHead()
        let host = authority.isEmpty ? "GET \(target) HTTP/1.0\r\n" : "GET \(target) HTTP/1.1\r\nHost: \(authority)\r\n"
        let bytes = Self.bytes(host + fields.map { "\($0)\r\n" }.joined() + "\r\n")
        #expect(try parser.parse(bytes.span, into: &head) == bytes.count)
        return head
    }

    /// The lines of a request's head.
    func requestLines(_ fields: String...) throws -> [String] {
        var parser = RequestParser(limit: 65_536)
        var head = RequestHead()
        let text = "GET \(target) HTTP/1.1\r\nHost: \(authority)\r\n" + fields.map { "\($0)\r\n" }.joined() + "\r\n"
        let bytes = Self.bytes(text)
        #expect(try parser.parse(bytes.span, into: &head) == bytes.count)
        var queue = ByteQueue(pool: BufferPool())
        RequestWriter.write(head, forwarding, into: &queue)
        return StreamReader.text(queue.bytes).split(separator: "\r\n").map(String.init)
    }

    /// The lines of a response's head.
    func responseLines(_ fields: String..., status: String = "302 Found") throws -> [String] {
        var parser = ResponseParser(limit: 65_536)
        var head = ResponseHead()
        let bytes = Self.bytes("HTTP/1.1 \(status)\r\n" + fields.map { "\($0)\r\n" }.joined() + "\r\n")
        #expect(try parser.parse(bytes.span, into: &head, requestMethod: .get) == bytes.count)
        var queue = ByteQueue(pool: BufferPool())
        let context = ResponseContext(forwarding, keepAlive: true)
        let request = try request()
        if head.status == 101 {
            ResponseWriter.writeUpgrade(head, answering: request, context, into: &queue)
        } else if head.isInformational {
            ResponseWriter.writeInterim(head, answering: request, context, into: &queue)
        } else {
            ResponseWriter.write(head, answering: request, framing: .none, context, into: &queue)
        }
        return StreamReader.text(queue.bytes).split(separator: "\r\n").map(String.init)
    }

    /// What becomes of one field.
    func rewritten(_ name: String, _ value: String, status: String = "302 Found") throws -> String {
        let lines = try responseLines("\(name): \(value)", status: status)
        let line = try #require(lines.first { $0.hasPrefix("\(name): ") })
        return String(line.dropFirst(name.count + 2))
    }
}
