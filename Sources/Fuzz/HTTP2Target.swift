import Bytes
import HTTP
import HTTP2

/// What has to hold for frames and field sections of HTTP/2, whatever a client sends.
struct HTTP2Target: ~Copyable {
    /// Frames after the preface, and field sections as lines.
    static let seeds: [[UInt8]] =
        [
            frame(1, flags: 5, stream: 1, get) + frame(1, flags: 5, stream: 3, get),
            frame(1, flags: 4, stream: 1, post) + frame(0, stream: 1, [0x68, 0x69])
                + frame(0, flags: 1, stream: 1, [0x21]),
            frame(1, flags: 4, stream: 1, post) + frame(0, stream: 1, [0x68]) + frame(1, flags: 5, stream: 1, trailers),
            frame(1, flags: 1, stream: 1, Array(get[..<20])) + frame(9, flags: 4, stream: 1, Array(get[20...])),
            frame(1, flags: 5, stream: 1, get) + frame(3, stream: 1, [0, 0, 0, 8]) + frame(8, [0, 0, 1, 0]),
            frame(4, [0, 4, 0, 1, 0, 0]) + frame(4, flags: 1, []) + frame(6, [UInt8](repeating: 7, count: 8)),
            frame(1, flags: 0x2D, stream: 1, [2, 0x80, 0, 0, 0, 16] + get + [0, 0])
                + frame(2, stream: 5, [0, 0, 0, 1, 9]),
            frame(0x10, [0, 0, 0, 1, 0x75]) + frame(7, [0, 0, 0, 0, 0, 0, 0, 0]),
            // Indexed fields of HPACK's static table.
            frame(1, flags: 5, stream: 1, [0x82, 0x87, 0x84, 0x41, 1, 0x61, 0x40, 1, 0x78, 1, 0x79]),
        ]
        + [
            ":method: GET\n:scheme: https\n:path: /a?b\n:authority: a.example:443\naccept: */*\ncookie: a=1\ncookie: b=2\n",
            ":method: POST\n:scheme: https\n:path: /\n:authority: a\ncontent-length: 5\nexpect: 100-continue\nx: y\n",
            ":method: OPTIONS\n:scheme: http\n:path: *\nhost: [::1]:80\nte: trailers\nx-forwarded-for: 1.2.3.4\n",
            ":method: CONNECT\n:protocol: websocket\n:scheme: https\n:path: /\n:authority: a\n",
        ].map { Array($0.utf8) }

    private static let begin = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, [])
    private static let get = section(":method", "GET") + common
    private static let post = section(":method", "POST") + common
    private static let common = section(":scheme", "https") + section(":path", "/") + section(":authority", "a")
    private static let trailers = section("x-sum", "1")

    private let pool = BufferPool()
    private(set) var accepted = 0
    private var head = RequestHead()
    private var again = RequestHead()

    /// What is wrong with how `input` was read, or nil.
    mutating func check(_ input: [UInt8], _ random: inout Random) -> String? {
        checkSection(input) ?? checkFrames(input, random.below(input.count + 1))
    }

    /// Frames in pieces agree with the whole, and the requests in them go on as exactly one each.
    private mutating func checkFrames(_ input: [UInt8], _ split: Int) -> String? {
        guard let whole = run([Self.begin + input]),
            let pieces = run([Self.begin, Array(input[..<split]), Array(input[split...])])
        else { return "no session" }
        if let failure = whole.failure ?? pieces.failure { return failure }
        // A connection that ends may have had requests before its fault, or be judged before it is read.
        let isEqual = whole.ends == pieces.ends && (whole.ends || whole.requests == pieces.requests)
        return isEqual ? nil : "frames in pieces read otherwise"
    }

    private struct Outcome {
        var requests = 0
        var ends = false
        var failure: String?
    }

    private mutating func run(_ pieces: [[UInt8]]) -> Outcome? {
        guard let session = try? HTTP2Session(.server, limits: HTTP2Limits(), pool: pool) else { return nil }
        var outcome = Outcome()
        for piece in pieces where !outcome.ends && !piece.isEmpty {
            outcome.ends = (try? session.receive(piece.span, now: 1)) == nil
            for event in session.takeEvents() {
                guard case .head(let stream) = event, !stream.isOversized else { continue }
                outcome.requests += 1
                if let failure = checkHead(stream.fields, endsStream: false) { outcome.failure = failure }
            }
            session.forEachReady { stream in
                let count = stream.inbound.count
                stream.inbound.consume(count)
                session.took(count, from: stream)
                return false
            }
        }
        var queue = ByteQueue(pool: pool)
        if !outcome.ends { outcome.ends = (try? session.send(into: &queue, upTo: 65_536)) == nil }
        return outcome
    }

    /// Lines of a name and a value, whatever bytes they are of.
    private mutating func checkSection(_ input: [UInt8]) -> String? {
        var block = HeaderBlock()
        for line in input.split(separator: 0x0A) {
            let colon = line.dropFirst().firstIndex(of: 0x3A) ?? line.endIndex
            let name = Array(line[..<colon])
            let value = Array(line[min(colon + 2, line.endIndex)...])
            block.append(name: name.span, value: value.span)
        }
        return checkHead(block, endsStream: true) ?? checkHead(block, endsStream: false)
    }

    /// A section that is accepted, written down for a server of HTTP/1.1, reads as one equal request.
    private mutating func checkHead(_ section: borrowing HeaderBlock, endsStream: Bool) -> String? {
        guard (try? head.assemble(from: section, endsStream: endsStream)) != nil, head.upgrade == nil else {
            return nil
        }
        accepted += 1
        var queue = ByteQueue(pool: pool)
        let context = ForwardingContext(
            clientAddress: [0x31],
            isIPv6: false,
            scheme: .https,
            localPort: 443,
            trusted: endsStream,
            requestID: RequestID(),
            rules: SiteRules()
        )
        RequestWriter.write(head, context, into: &queue)
        var reader = RequestParser(limit: 1 << 20)
        guard let count = try? reader.parse(queue.bytes, into: &again), count == queue.count else {
            return "what was written for HTTP/2 is not one request"
        }
        let isEqual =
            again.framing == head.framing && again.method == head.method && Self.equal(again.target, head.target)
            && Self.equal(again.methodBytes, head.methodBytes) && Self.equal(again.authority, head.authority)
        return isEqual ? nil : "what was written for HTTP/2 is another request"
    }

    private static func equal(_ one: Span<UInt8>, _ other: Span<UInt8>) -> Bool {
        guard one.count == other.count else { return false }
        for index in one.indices where one[index] != other[index] { return false }
        return true
    }

    private static func frame(_ kind: UInt8, flags: UInt8 = 0, stream: UInt8 = 0, _ payload: [UInt8]) -> [UInt8] {
        [0, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF), kind, flags, 0, 0, 0, stream] + payload
    }

    private static func section(_ name: String, _ value: String) -> [UInt8] {
        [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
    }
}
