import Platform
import Support
import Testing

@Suite("Exchanges, whatever version each side speaks", .serialized) struct ExchangeTests {
    private static func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
    }

    /// Answers each request with its own body.
    private static func echo(_ server: PairServer) throws {
        while let head = try server.head() {
            let request = try server.request()
            guard request.isWhole else { return }
            try server.respond(200, [], head[":path"] == "/untold" ? .untold : .told(request.body.count))
            try server.send(request.body)
            try server.end()
        }
    }

    @Test(arguments: Pair.all)
    func `bodies of every size come back as they went`(_ pair: Pair) throws {
        let bench = try PairBench(pair) { try Self.echo($0) }
        let client = try bench.client()
        for size in [0, 1, 1023, 16_384, 16_385, 65_535, 65_536, 131_072, 1_000_003, 4_194_304] {
            let body = Self.bytes(size)
            for (path, length) in [("/told", BodyLength.told(size)), ("/untold", .untold)] {
                try client.begin("POST", path, [], length)
                try client.send(body)
                try client.end()
                let answer = try client.answer()
                #expect(answer.status == 200 && answer.isWhole && answer.reset == nil, "\(path) \(size)")
                let isEqual = answer.body == body
                #expect(isEqual, "\(path): \(answer.body.count) bytes instead of \(size)")
            }
        }
        try bench.waitForRest()
    }

    /// In HTTP/2 a head may be the end and tell no length; a client in HTTP/1.1 would wait for a body.
    @Test(arguments: Pair.all.filter { $0.server == 2 })
    func `a head that is all of the answer leaves nothing to wait for`(_ pair: Pair) throws {
        let bench = try PairBench(pair) { server in
            for status in [200, 302, 404, 204] where try server.head() != nil {
                _ = try server.request()
                try server.respond(status)
            }
        }
        let client = try bench.client()
        for status in [200, 302, 404, 204] {
            try client.begin("GET", "/", [], .none)
            let answer = try client.answer()
            #expect(answer.status == status && answer.isWhole && answer.body.isEmpty)
        }
        try bench.waitForRest()
    }

    @Test(arguments: Pair.all)
    func `trailers pass both ways`(_ pair: Pair) throws {
        let seen = Shared<[String]>([])
        let bench = try PairBench(pair) { server in
            while try server.head() != nil {
                let request = try server.request()
                seen.with { $0 = request.trailers.map { "\($0.name): \($0.value)" } + [request.text] }
                try server.respond(200, [], .untold)
                try server.send(Array("ok".utf8))
                try server.end([("x-back", "2")])
            }
        }
        let client = try bench.client()
        for _ in 0..<2 {
            try client.begin("POST", "/", [], .untold)
            try client.send(Array("hi".utf8))
            try client.end([("x-sum", "1")])
            let answer = try client.answer()
            #expect(answer.text == "ok" && answer.isWhole)
            #expect(answer.trailers.map { "\($0.name): \($0.value)" } == ["x-back: 2"])
            #expect(seen.value == ["x-sum: 1", "hi"])
        }
        try bench.waitForRest()
    }

    @Test(arguments: Pair.all)
    func `interim answers pass in their order, and the body waits for 100-continue`(_ pair: Pair) throws {
        let early = Shared(0)
        let bench = try PairBench(pair) { server in
            while let head = try server.head() {
                guard head["expect"] == "100-continue" else { return }
                early.with { $0 += server.soFar.body.count }
                try server.interim(103, [("link", "</a>")])
                try server.interim(100)
                #expect(try server.request().text == "hello")
                try server.respond(200, text: "ok")
            }
        }
        let client = try bench.client()
        for _ in 0..<2 {
            try client.begin("POST", "/", [("expect", "100-continue")], .told(5))
            try client.receive { $0.interim.count >= 2 }
            #expect(client.soFar.interim == [103, 100])
            try client.send(Array("hello".utf8))
            try client.end()
            #expect(try client.answer().text == "ok")
        }
        #expect(early.value == 0)
        try bench.waitForRest()
    }

    @Test(arguments: Pair.all)
    func `HEAD, 204 and 304 have no body, and the connection goes on`(_ pair: Pair) throws {
        let bench = try PairBench(pair) { server in
            while let head = try server.head() {
                switch head[":path"] {
                case "/204": try server.respond(204)
                case "/304": try server.respond(304, [("etag", "\"x\""), ("content-length", "77")])
                case "/head": try server.respond(200, [("content-length", "1000")])
                default: try server.respond(200, text: "ok")
                }
            }
        }
        let client = try bench.client()
        for (method, path, status, length) in [
            ("HEAD", "/head", 200, "1000"), ("GET", "/204", 204, nil), ("GET", "/304", 304, "77"),
        ] {
            try client.begin(method, path)
            let answer = try client.answer()
            #expect(answer.status == status && answer.isWhole && answer.body.isEmpty, "\(path)")
            if method == "HEAD" { #expect(answer["content-length"] == length) }
            try client.begin()
            #expect(try client.answer().text == "ok", "after \(path)")
        }
        try bench.waitForRest()
    }

    /// Whatever the server does with the rest of a request that it has answered.
    enum Rest: CaseIterable, Sendable { case read, unread, refused }

    @Test(arguments: Pair.all, Rest.allCases)
    func `an early answer is whole, and both sides are told that the exchange is over`(_ pair: Pair, _ rest: Rest)
        throws
    {
        let broken = Shared(0)
        let bench = try PairBench(pair) { server in
            while let head = try server.head() {
                guard head[":path"] == "/early" else {
                    try server.respond(200, text: "ok")
                    continue
                }
                try server.receive(bytes: 10_000)
                try server.respond(403, text: "no")
                if rest == .refused, pair.server == 2 { try server.reset(0) }
                // What is in flight may be read or not: the other side ends it.
                if rest != .refused || pair.server == 1, try server.waitUntilBroken() { broken.with { $0 += 1 } }
                if pair.server == 1 { return }
            }
        }
        let client = try bench.client()
        try client.begin("POST", "/early", [], .told(50_000_000))
        // Once it is told to stop it may not be able to send any more.
        try client.send(Self.bytes(20_000))
        try client.receive { $0.isWhole || $0.reset != nil }
        #expect(client.soFar.status == 403 && client.soFar.text == "no" && client.soFar.isWhole)
        #expect(try client.waitUntilStopped() == (pair.client == 1 ? "closed" : "reset 0"))
        if rest != .refused || pair.server == 1 { try waitUntil("the server's word") { broken.value == 1 } }
        let next = pair.client == 1 ? try bench.client() : client
        try next.begin()
        #expect(try next.answer().text == "ok")
        try bench.waitForRest()
    }

    @Test(arguments: Pair.all)
    func `an upload that goes on is stopped by an early answer`(_ pair: Pair) throws {
        let bench = try PairBench(pair) { server in
            while let head = try server.head() {
                if head[":path"] == "/early" {
                    try server.receive(bytes: 100_000)
                    try server.respond(403, text: "no")
                    _ = try server.waitUntilBroken()
                    if pair.server == 1 { return }
                } else {
                    try server.respond(200, text: "ok")
                }
            }
        }
        let client = try bench.client()
        try client.begin("POST", "/early", [], .told(1_000_000_000_000))
        let piece = Self.bytes(16_384)
        var sent = 0
        // everyhop goes on reading for a while, so that the answer is not lost with the reset that ends the upload.
        let end = Clock.monotonicMicroseconds() + 20_000_000
        while pair.client == 1 ? sent < 500 : Clock.monotonicMicroseconds() < end,
            (try? client.send(piece)) != nil, client.soFar.reset == nil
        { sent += 1 }
        #expect(pair.client == 1 || client.soFar.reset == 0, "\(client.soFar.reset as Any) after \(sent)")
        let answer = try client.answer()
        #expect(answer.status == 403 && answer.text == "no" && answer.isWhole)
        #expect(try client.waitUntilStopped() == (pair.client == 1 ? "closed" : "reset 0"))
        try bench.waitForRest()
    }
}
