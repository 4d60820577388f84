import Bytes
import Config
import HTTP

/// The parsers, and what has to hold for whatever they are given.
struct Target: ~Copyable {
    private(set) var accepted = 0
    private(set) var relayed = 0
    private(set) var asked = 0
    private(set) var greeted = 0
    private(set) var http2 = HTTP2Target()
    private let pool = BufferPool()
    private var head = RequestHead()
    private var again = RequestHead()
    private var response = ResponseHead()
    private var trailers = HeaderBlock()
    private var inputs = 0

    /// What is wrong with how `input` was read, or nil.
    mutating func check(_ input: [UInt8], _ random: inout Random) -> String? {
        inputs += 1
        // TOML is slower to parse than all else together.
        if inputs % 16 == 0 { return checkConfiguration(input) }
        return checkRequest(input, &random) ?? checkResponse(input, &random) ?? checkChunks(input, &random)
            ?? NegotiationTarget.check(input, &random, relayed: &relayed)
            ?? ClientTarget.check(input, asked: &asked) ?? http2.check(input, &random)
            ?? ProxyHeaderTarget.check(input, &random) ?? HelloTarget.check(input, plain: &greeted)
    }

    /// Pieces agree with the whole, and what is sent on reads as exactly the request that was accepted.
    private mutating func checkRequest(_ input: [UInt8], _ random: inout Random) -> String? {
        var parser = RequestParser(limit: 1024)
        let whole = Self.parse(&parser, input, &head)
        var pieces = RequestParser(limit: 1024)
        let split = random.below(input.count + 1)
        var outcome = Self.parse(&pieces, Array(input[..<split]), &again)
        if outcome == .more { outcome = Self.parse(&pieces, input, &again) }
        if outcome != whole { return "split at \(split): \(outcome) instead of \(whole)" }
        guard case .head(let count) = whole else { return nil }
        if count > input.count { return "consumed more than there is" }
        accepted += 1
        if let wrong = checkPath() ?? FileTarget.check(head, &random) { return wrong }
        var queue = ByteQueue(pool: pool)
        let context = RewritingTarget.context(trusted: random.below(2) == 0, rewrites: random.below(2) == 0)
        RequestWriter.write(head, context, into: &queue)
        let written = Self.copy(queue.bytes)
        var reader = RequestParser(limit: 65_536)
        // A client of HTTP/1.0 may name no host; a server of HTTP/1.1 then refuses, which is its right.
        if head.authority.isEmpty { return nil }
        guard Self.parse(&reader, written, &again) == .head(written.count) else {
            return "what was written is not one request"
        }
        if again.framing != head.framing || again.method != head.method { return "what was written is another request" }
        return nil
    }

    /// What routes are matched with has one reading: no empty segment, none of dots, no second slash or backslash.
    private func checkPath() -> String? {
        var path = MatchingPath()
        guard (try? path.read(head.path)) != nil else { return nil }
        for segment in path.bytes.split(separator: 0x2F, omittingEmptySubsequences: false).dropFirst() {
            if segment.allSatisfy({ $0 == 0x2E }) { return "a path with a segment of dots, or with none, is matched" }
            if segment.contains(0x5C) || segment.contains(0) { return "a path with a backslash or zero is matched" }
        }
        return nil
    }

    private mutating func checkResponse(_ input: [UInt8], _ random: inout Random) -> String? {
        var parser = ResponseParser(limit: 1024)
        guard let count = try? parser.parse(input.span, into: &response, requestMethod: .get) else { return nil }
        if count > input.count { return "consumed more than there is" }
        var queue = ByteQueue(pool: pool)
        ResponseWriter.write(
            response,
            answering: head,
            framing: response.framing,
            ResponseContext(
                RewritingTarget.context(trusted: false, rewrites: random.below(2) == 0),
                keepAlive: true
            ),
            into: &queue
        )
        let framing = response.framing
        let lines = response.fields.count
        let written = Self.copy(queue.bytes)
        var reader = ResponseParser(limit: 65_536)
        guard (try? reader.parse(written.span, into: &response, requestMethod: .get)) == written.count else {
            return "what was written is not one response"
        }
        // Framing, Via and X-Request-ID, and four of the site's.
        if response.fields.count > lines + 7 { return "what was written has lines that nobody wrote" }
        return response.framing == framing ? nil : "what was written is framed otherwise"
    }

    private mutating func checkChunks(_ input: [UInt8], _ random: inout Random) -> String? {
        let whole = decode(input, split: input.count)
        let split = decode(input, split: random.below(input.count + 1))
        return whole == split ? nil : "a chunked body in pieces reads otherwise"
    }

    /// The data, and whether the body ended (1), broke (2) or goes on (0).
    private mutating func decode(_ input: [UInt8], split: Int) -> [UInt8] {
        var decoder = ChunkedDecoder()
        var data: [UInt8] = []
        trailers.removeAll()
        for piece in [Array(input[..<split]), Array(input[split...])] {
            var offset = 0
            reading: while true {
                guard let step = try? decoder.next(piece.span, from: &offset, trailers: &trailers) else {
                    return data + [2]
                }
                switch step {
                case .data(let range): data += piece[range]
                case .needMore: break reading
                case .end: return data + [1]
                }
            }
        }
        return data + [0]
    }

    /// No file traps; what parses comes back from its encoding.
    private func checkConfiguration(_ input: [UInt8]) -> String? {
        guard let document = try? TOMLDocument.parse(input) else { return nil }
        _ = Configuration.decode(document)
        guard let again = try? TOMLDocument(decoding: document.encoded()) else { return "a tree does not come back" }
        return again == document ? nil : "a tree comes back changed"
    }

    private enum Outcome: Equatable {
        case head(Int)
        case more
        case refused(Int)
    }

    private static func parse(_ parser: inout RequestParser, _ bytes: [UInt8], _ head: inout RequestHead) -> Outcome {
        do {
            guard let count = try parser.parse(bytes.span, into: &head) else { return .more }
            return .head(count)
        } catch { return .refused(error.status) }
    }

    private static func copy(_ bytes: Span<UInt8>) -> [UInt8] {
        var copy: [UInt8] = []
        copy.reserveCapacity(bytes.count)
        for index in bytes.indices { copy.append(bytes[index]) }
        return copy
    }
}
