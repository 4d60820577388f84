import Bytes
import HTTP
import Support
import Testing

@testable import HTTP2

/// A client's and a server's session that hand their bytes to each other.
final class Pair {
    let client: HTTP2Session
    let server: HTTP2Session
    private(set) var clientEvents: [String] = []
    private(set) var heads: [HTTP2Stream] = []
    private(set) var pongs = 0
    private(set) var closed: [(stream: HTTP2Stream, code: UInt32)] = []
    private let pool = BufferPool()
    var now: UInt64 = 1

    init(_ limits: HTTP2Limits = HTTP2Limits()) throws {
        client = try HTTP2Session(.client, limits: limits, pool: pool)
        server = try HTTP2Session(.server, limits: limits, pool: pool)
        try exchange()
    }

    /// Until neither has anything to say.
    func exchange() throws {
        repeat {
            try move(from: client, to: server)
            try move(from: server, to: client)
            for event in server.takeEvents() {
                switch event {
                case .head(let stream), .interim(let stream): heads.append(stream)
                case .closed(let stream, let code): closed.append((stream, code))
                case .pong: pongs += 1
                case .goAway, .refusedStream, .fault: break
                }
            }
            clientEvents += client.takeEvents().map {
                switch $0 {
                case .head(let stream): "head \(stream.id)"
                case .interim(let stream): "interim \(stream.id)"
                case .closed(let stream, let code): "closed \(stream.id) \(code)"
                case .goAway(let last, let code): "goaway \(last) \(code)"
                case .pong: "pong"
                case .refusedStream: "refused"
                case .fault(let code): "fault \(code)"
                }
            }
        } while client.wantsToSend || server.wantsToSend
    }

    private func move(from sender: HTTP2Session, to receiver: HTTP2Session) throws {
        var queue = ByteQueue(pool: pool)
        try sender.send(into: &queue, upTo: 1 << 20)
        // In pieces that no frame agrees with.
        while !queue.isEmpty {
            let count = min(queue.count, 1000)
            try receiver.receive(queue.bytes.extracting(first: count), now: now)
            queue.consume(count)
        }
    }

    static func block(_ name: String, _ value: String) -> HeaderBlock {
        var block = HeaderBlock()
        block.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
        return block
    }

    static func queue(_ text: String) -> ByteQueue {
        var queue = ByteQueue(pool: BufferPool())
        let bytes = Array(text.utf8)
        queue.append(bytes.span)
        return queue
    }

    func request(_ head: String, endsStream: Bool = true) throws -> HTTP2Stream {
        let lines = Self.queue(head)
        let stream = client.request(head: lines, endsStream: endsStream)
        return try #require(stream)
    }

    func respond(_ stream: HTTP2Stream, _ head: String, endsStream: Bool = false) throws {
        let lines = Self.queue(head)
        try server.respond(stream, head: lines, bytes: lines.count, endsStream: endsStream)
    }
}

func text(_ bytes: Span<UInt8>) -> String { bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) } }

func lines(_ block: borrowing HeaderBlock) -> [String] {
    var all: [String] = []
    for index in 0..<block.count { all.append("\(text(block.name(index))): \(text(block.value(index)))") }
    return all
}

@Suite("HTTP/2 sessions") struct HTTP2SessionTests {
    private static let get = "GET /a?b HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    private static let post = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    private static let ok = "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 5\r\n\r\n"

    @Test func `frames of a long body end where records do, so that none is written for a few bytes`() throws {
        let pair = try Pair()
        let stream = try pair.request(Self.get)
        try pair.exchange()
        let served = try #require(pair.heads.first)
        try pair.respond(served, Self.ok)
        served.send([UInt8](repeating: 0x61, count: 60_000).span)
        pair.server.end(served)
        var queue = ByteQueue(pool: BufferPool())
        try pair.server.send(into: &queue, upTo: 3 * 16_384)
        #expect(queue.count == 3 * 16_384)
        while !queue.isEmpty {
            try pair.client.receive(queue.bytes, now: pair.now)
            queue.removeAll()
            try pair.server.send(into: &queue, upTo: 3 * 16_384)
        }
        #expect(stream.inbound.count == 60_000 && stream.inboundEnded)
    }

    @Test func `heads, bodies and trailers pass both ways, without what belongs to the connection`() throws {
        let pair = try Pair()
        let stream = try pair.request(Self.post, endsStream: false)
        stream.send(Array("hello".utf8).span)
        pair.client.end(stream, trailers: Pair.block("X-Sum", "1"))
        try pair.exchange()
        let served = try #require(pair.heads.first)
        #expect(lines(served.fields) == [":method: POST", ":scheme: https", ":path: /", ":authority: localhost"])
        #expect(text(served.inbound.bytes) == "hello" && served.inboundEnded)
        #expect(lines(served.trailers) == ["x-sum: 1"])
        try pair.respond(served, Self.ok)
        served.send(Array("world".utf8).span)
        pair.server.end(served, trailers: Pair.block("X-Back", "2"))
        try pair.exchange()
        #expect(lines(stream.fields) == [":status: 200", "x-a: b"])
        #expect(text(stream.inbound.bytes) == "world" && stream.inboundEnded)
        #expect(lines(stream.trailers) == ["x-back: 2"])
        #expect(pair.closed.map(\.code) == [0])
        #expect(pair.clientEvents == ["head 1", "closed 1 0"])
    }

    @Test func `a window opens only when the bytes were consumed`() throws {
        var limits = HTTP2Limits()
        limits.streamWindow = 100_000
        limits.connectionWindow = 150_000
        let pair = try Pair(limits)
        let first = try pair.request(Self.post, endsStream: false)
        let second = try pair.request(Self.post, endsStream: false)
        for stream in [first, second] { stream.send([UInt8](repeating: 0x61, count: 400_000).span) }
        try pair.exchange()
        #expect(pair.heads.count == 2)
        #expect(pair.heads[0].inbound.count <= 100_000 && pair.heads[1].inbound.count <= 100_000)
        #expect(pair.heads[0].inbound.count + pair.heads[1].inbound.count == 150_000)
        // What one stream's reader takes lets the other go on.
        let taken = pair.heads[0].inbound.count
        pair.heads[0].inbound.consume(taken)
        pair.server.took(taken, from: pair.heads[0])
        try pair.exchange()
        #expect(pair.heads[0].inbound.count + pair.heads[1].inbound.count == 150_000)
        // What nobody wants any more holds up nobody.
        pair.server.discardInbound(pair.heads[0])
        try pair.exchange()
        #expect(pair.heads[0].inbound.isEmpty && pair.heads[1].inbound.count == 100_000)
    }

    @Test func `an answer that is complete before the request is whole, and the client can be told to stop`() throws {
        let pair = try Pair()
        let stream = try pair.request(Self.post, endsStream: false)
        stream.send([UInt8](repeating: 0x61, count: 400_000).span)
        try pair.exchange()
        let served = try #require(pair.heads.first)
        try pair.respond(served, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n")
        served.send(Array("no".utf8).span)
        pair.server.end(served)
        pair.server.discardInbound(served)
        try pair.exchange()
        #expect(text(stream.inbound.bytes) == "no")
        #expect(pair.clientEvents == ["head 1"])
        pair.server.reset(served, .none)
        try pair.exchange()
        #expect(pair.clientEvents == ["head 1", "closed 1 0"])
    }

    @Test func `interim heads come before the final one`() throws {
        let pair = try Pair()
        let stream = try pair.request(Self.get)
        try pair.exchange()
        let served = try #require(pair.heads.first)
        try pair.server.respondInterim(served, head: Pair.queue("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"))
        try pair.exchange()
        try pair.server.respondInterim(served, head: Pair.queue("HTTP/1.1 100 Continue\r\n\r\n"))
        try pair.exchange()
        #expect(lines(try #require(stream.takeInterim())) == [":status: 103", "link: </a>"] && !stream.headIsComplete)
        #expect(lines(try #require(stream.takeInterim())) == [":status: 100"])
        #expect(stream.takeInterim() == nil && stream.interimCount == 2)
        try pair.respond(served, "HTTP/1.1 204 No Content\r\n\r\n", endsStream: true)
        try pair.exchange()
        #expect(lines(stream.fields) == [":status: 204"] && stream.headIsComplete && stream.inboundEnded)
        #expect(pair.clientEvents == ["interim 1", "interim 1", "head 1", "closed 1 0"])
    }

    @Test func `after GOAWAY what was begun is finished, and nothing new is taken`() throws {
        let pair = try Pair()
        let stream = try pair.request(Self.get)
        try pair.exchange()
        pair.server.announceShutdown()
        try pair.exchange()
        #expect(pair.clientEvents == ["goaway \(Int32.max) 0"])
        pair.server.goAway()
        try pair.exchange()
        #expect(pair.clientEvents.last == "goaway 1 0")
        try pair.respond(pair.heads[0], Self.ok)
        pair.server.end(pair.heads[0])
        try pair.exchange()
        #expect(stream.inboundEnded && pair.server.isOver)
    }

    @Test func `a PING follows the announcement of the end, also where there is little room`() throws {
        let pair = try Pair()
        var queue = ByteQueue(pool: BufferPool())
        // nghttp2's own clients have nothing to say after GOAWAY unless they wait for an answer.
        _ = try pair.request(Self.get)
        try pair.exchange()
        pair.server.announceShutdown()
        var kinds: [UInt8] = []
        while pair.server.wantsToSend {
            try pair.server.send(into: &queue, upTo: 1)
            guard !queue.isEmpty else { continue }
            kinds.append(queue.bytes[3])
            try pair.client.receive(queue.bytes, now: pair.now)
            queue.removeAll()
        }
        #expect(kinds == [7, 6])
        try pair.exchange()
        #expect(pair.pongs == 1 && pair.heads.count == 1)
        pair.server.goAway()
        try pair.exchange()
        // Told of the end, nobody is asked again.
        #expect(pair.pongs == 1)
        #expect(pair.clientEvents == ["goaway \(Int32.max) 0", "goaway 1 0"])
    }

    @Test func `a request that still waits when GOAWAY comes was refused, not lost`() throws {
        var limits = HTTP2Limits()
        limits.concurrentStreams = 1
        let pair = try Pair(limits)
        _ = try pair.request(Self.get)
        let waiting = try pair.request(Self.get)
        try pair.exchange()
        pair.server.goAway()
        try pair.exchange()
        #expect(pair.clientEvents == ["goaway 1 0"])
        try pair.respond(pair.heads[0], "HTTP/1.1 204 No Content\r\n\r\n", endsStream: true)
        try pair.exchange()
        #expect(pair.clientEvents == ["goaway 1 0", "head 1", "closed 1 0", "closed 3 7"])
        #expect(waiting.isClosed)
    }

    @Test func `a request that GOAWAY overtakes was refused, not lost`() throws {
        let pair = try Pair()
        var queue = ByteQueue(pool: BufferPool())
        pair.server.goAway()
        try pair.server.send(into: &queue, upTo: 1 << 20)
        _ = try pair.request(Self.get)
        try pair.client.receive(queue.bytes, now: pair.now)
        try pair.exchange()
        #expect(pair.clientEvents == ["goaway 0 0", "closed 1 7"])
    }

    @Test func `more streams than are allowed wait or are refused`() throws {
        var limits = HTTP2Limits()
        limits.concurrentStreams = 4
        let pair = try Pair(limits)
        for _ in 0..<6 { _ = try pair.request(Self.get) }
        try pair.exchange()
        #expect(pair.heads.count == 4)
        try pair.respond(pair.heads[0], "HTTP/1.1 204 No Content\r\n\r\n", endsStream: true)
        try pair.exchange()
        #expect(pair.heads.count == 5)
    }

    @Test func `thousands of requests use the same few streams`() throws {
        let pair = try Pair()
        for _ in 0..<2000 {
            let stream = try pair.request(Self.get)
            try pair.exchange()
            let served = try #require(pair.server.streams.last)
            #expect(lines(served.fields).count == 5)
            try pair.respond(served, Self.ok)
            served.send(Array("ok".utf8).span)
            pair.server.end(served)
            try pair.exchange()
            #expect(text(stream.inbound.bytes) == "ok")
            pair.server.recycle(served)
            pair.client.recycle(stream)
        }
        #expect(pair.server.streams.isEmpty && pair.client.streams.isEmpty)
    }

    @Test func `a ready stream is offered until it is taken`() throws {
        let pair = try Pair()
        let stream = try pair.request(Self.post, endsStream: false)
        stream.send(Array("x".utf8).span)
        try pair.exchange()
        var offered = 0
        for keeps in [true, true, false, false] {
            pair.server.forEachReady { _ in
                offered += 1
                return keeps
            }
        }
        #expect(offered == 3)
    }
}
