import Bytes
import HTTP
import Testing

@testable import HTTP2

@Suite("Heads that wait for their frames") struct KeptHeadTests {
    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

    @Test func `heads that wait together arrive as they were written`() throws {
        let pair = try Pair()
        let streams = try (0..<8).map { _ in try pair.request(Self.get) }
        try pair.exchange()
        try #require(pair.heads.count == 8)
        for (index, served) in pair.heads.enumerated() {
            let early = Pair.queue("HTTP/1.1 103 Early Hints\r\nLink: </\(index)>\r\n\r\n")
            if index.isMultiple(of: 2) { try pair.server.respondInterim(served, head: early) }
            let value = String(repeating: "\(index)", count: 1000)
            try pair.respond(served, "HTTP/1.1 200 OK\r\nX-A-Name-Of-Many-Letters: \(value)\r\nSeven7: Z\r\n\r\n")
            served.send(Array("body".utf8).span)
            pair.server.end(served, trailers: Pair.block("X-Sum", "\(index)"))
        }
        try pair.exchange()
        for (index, stream) in streams.enumerated() {
            let value = String(repeating: "\(index)", count: 1000)
            #expect(lines(stream.fields) == [":status: 200", "x-a-name-of-many-letters: \(value)", "seven7: Z"])
            #expect(stream.interimCount == (index.isMultiple(of: 2) ? 1 : 0))
            #expect(lines(stream.trailers) == ["x-sum: \(index)"])
        }
        #expect(pair.closed.count == 8 && pair.closed.allSatisfy { $0.code == 0 })
    }

    @Test func `names are made small up to the colon, and values left alone`() throws {
        let pair = try Pair()
        let stream = try pair.request(Self.get)
        try pair.exchange()
        let names = ["AZaz09", "X", "ABCDEFGH", "ABCDEFGHI", "A-Very-Long-NAME-Of-A-Field"]
        let fields = names.map { "\($0): V:\($0)\r\n" }.joined()
        try pair.respond(try #require(pair.heads.first), "HTTP/1.1 204 No Content\r\n\(fields)\r\n", endsStream: true)
        try pair.exchange()
        #expect(lines(stream.fields).dropFirst() == names.map { "\($0.lowercased()): V:\($0)" }[...])
    }

    @Test func `a second head is refused, and the first one sent`() throws {
        let pair = try Pair()
        let stream = try pair.request(Self.get)
        try pair.exchange()
        let served = try #require(pair.heads.first)
        try pair.respond(served, "HTTP/1.1 200 OK\r\nX-First: 1\r\n\r\n", endsStream: true)
        #expect(throws: HTTP2Error.self) {
            try pair.respond(served, "HTTP/1.1 500 No\r\nX-Second-Which-Is-Longer: 2\r\n\r\n", endsStream: true)
        }
        try pair.exchange()
        #expect(lines(stream.fields) == [":status: 200", "x-first: 1"])
    }

    @Test func `request identifiers do not drive lasting fields out of the table`() throws {
        let pair = try Pair()
        var sizes: [Int] = []
        for index in 0..<150 {
            _ = try pair.request(Self.get)
            try pair.exchange()
            let lasting = "Server: a name of some length that lasts, and lasts"
            let identifier = String(1_000_000_000_000_000 + index * 7919, radix: 16)
            try pair.respond(
                try #require(pair.heads.last),
                "HTTP/1.1 200 OK\r\n\(lasting)\r\nX-Request-ID: \(identifier)\r\n\r\n",
                endsStream: true
            )
            var queue = ByteQueue(pool: BufferPool())
            try pair.server.send(into: &queue, upTo: 65_536)
            sizes.append(queue.count)
            try pair.client.receive(queue.bytes, now: 1)
        }
        let later = sizes.dropFirst()
        let (least, most) = (try #require(later.min()), try #require(later.max()))
        #expect(most < sizes[0] - 30 && most - least < 16, "\(sizes)")
    }

    @Test func `a stream that is over with its head is named once it is asked for`() throws {
        let pair = try Pair()
        _ = try pair.request(Self.get)
        try pair.exchange()
        var named = 0
        let count: (HTTP2Stream) -> Bool = { _ in
            named += 1
            return false
        }
        pair.server.forEachReady(count)
        #expect(named == 0)
        pair.server.remind(try #require(pair.heads.first))
        pair.server.forEachReady(count)
        pair.server.forEachReady(count)
        #expect(named == 1)
    }
}
