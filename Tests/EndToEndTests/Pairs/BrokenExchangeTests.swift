import Foundation
import Platform
import Support
import Testing

@Suite("Exchanges that break, whatever version each side speaks", .serialized) struct BrokenExchangeTests {
    private static let piece = [UInt8](repeating: 0x61, count: 65_536)

    /// Where an exchange is broken off.
    enum Point: CaseIterable, Sendable { case midHead, afterHead, midRequest, midResponse }

    /// How.
    enum End: CaseIterable, Sendable { case exchange, connection }

    private static func answerRest(_ server: PairServer, unless special: (HTTP2Peer.Answer) throws -> Bool) throws {
        while let head = try server.head() {
            if try special(head) { return }
            if server.soFar.isWhole, head[":path"] == "/ok" { try server.respond(200, text: "ok") }
        }
    }

    private static func expectGood(_ bench: PairBench) throws {
        let next = try bench.client()
        try next.begin("GET", "/ok")
        #expect(try next.answer().text == "ok")
    }

    @Test(arguments: Pair.all)
    func `a client that breaks off is gone at the server, too`(_ pair: Pair) throws {
        let events = Shared<[String]>([])
        let bench = try PairBench(pair) { server in
            try Self.answerRest(server) { head in
                guard let path = head[":path"], path != "/ok" else { return false }
                if path == "/midRequest" { try server.receive(bytes: 5) }
                if path == "/midResponse" {
                    try server.respond(200, [], .told(1000))
                    try server.send(Array("half".utf8))
                }
                events.with { $0.append("here") }
                if try server.waitUntilBroken() { events.with { $0.append("broken") } }
                #expect(path != "/midRequest" || !server.soFar.isWhole)
                return pair.server == 1
            }
        }
        for point in Point.allCases {
            for end in End.allCases {
                events.with { $0 = [] }
                let lines = bench.everyhop.access.count
                var client: PairClient? = try bench.client()
                try begin(point, client)
                if point != .midHead { try waitUntil("the server's part") { events.value == ["here"] } }
                if point == .midResponse { try client?.receive { $0.text == "half" } }
                if end == .exchange, point != .midHead { try client?.reset() } else { client?.abort() }
                if pair.client == 1 || end == .connection || point == .midHead { client = nil }
                if point != .midHead {
                    try waitUntil("the server's word") { events.value == ["here", "broken"] }
                    let status = "\"status\":\(point == .midResponse ? 200 : 499)"
                    try waitUntil(status) { bench.everyhop.access.dropFirst(lines).contains { $0.contains(status) } }
                }
                try Self.expectGood(bench)
                try bench.waitForRest()
                // What was not even a request has reached nobody.
                if point == .midHead { #expect(events.value.isEmpty) }
            }
        }
    }

    private func begin(_ point: Point, _ client: PairClient?) throws {
        switch point {
        case .midHead: try client?.beginHalf()
        case .midRequest:
            try client?.begin("POST", "/\(point)", [], .told(1000))
            try client?.send(Array("hello".utf8))
        case .afterHead, .midResponse: try client?.begin("GET", "/\(point)")
        }
    }

    @Test(arguments: Pair.all)
    func `a server that breaks off is 502, or cuts off what has begun`(_ pair: Pair) throws {
        let isSeen = Shared(false)
        let bench = try PairBench(pair) { server in
            try Self.answerRest(server) { head in
                guard let path = head[":path"], path != "/ok" else { return false }
                if path.hasPrefix("/midHead") { try server.respondHalf() }
                if path.hasPrefix("/midRequest") { try server.receive(bytes: 5) }
                if path.hasPrefix("/midResponse") {
                    try server.respond(200, [], .told(1000))
                    try server.send(Array("half".utf8))
                    // A reset may overtake what was sent before it.
                    try waitUntil("the client") { isSeen.value }
                }
                // Half of a head can be followed by nothing but the end.
                guard path.hasSuffix("/exchange"), !path.hasPrefix("/midHead") else {
                    server.abort()
                    return true
                }
                try server.reset()
                return pair.server == 1
            }
        }
        for point in Point.allCases {
            for end in End.allCases {
                isSeen.with { $0 = false }
                let client = try bench.client()
                let hasBody = point == .midRequest || point == .afterHead
                let path = "/\(point)/\(end)"
                try client.begin(hasBody ? "POST" : "GET", path, [], hasBody ? .told(1000) : .none)
                if hasBody { try client.send(Array("hello".utf8)) }
                if point == .midResponse { try client.receive { $0.text == "half" } }
                isSeen.with { $0 = true }
                let answer = try client.answer()
                if point == .midResponse {
                    #expect(answer.status == 200 && !answer.isWhole && answer.text == "half", "\(path)")
                    // HTTP/2 ends with INTERNAL_ERROR, HTTP/1.1 with the connection.
                    #expect(answer.reset == (pair.client == 2 ? 2 : nil), "\(path)")
                } else {
                    #expect(answer.status == 502 && answer.isWhole, "\(path): \(answer.status)")
                }
                try bench.everyhop.waitForAccess(path, "\"error\":")
                try Self.expectGood(bench)
            }
        }
        try bench.waitForRest()
    }

    @Test(arguments: Pair.all)
    func `a client that reads nothing makes the server wait, in bounded memory, and no other client`(
        _ pair: Pair
    ) throws {
        let sent = Shared(0)
        let stalled = 8
        let bench = try PairBench(pair) { server in
            try Self.answerRest(server) { head in
                guard head[":path"] == "/big" else { return false }
                try server.respond(200, [], .told(1_000_000_000))
                try server.sendEndlessly(sent)
                return pair.server == 1
            }
        }
        try Self.expectGood(bench)
        let before = try bench.memory()
        var clients: [PairClient] = []
        for _ in 0..<stalled {
            let client = try bench.client()
            client.stopReading()
            try client.begin("GET", "/big")
            clients.append(client)
        }
        var last = -1
        try waitUntil("the server's pause") {
            defer { last = sent.value }
            usleep(300_000)
            return last == sent.value && last > 0
        }
        #expect(sent.value < stalled * 16 << 20)
        let held = try bench.memory() - before
        #expect(held < 1024 * stalled, "\(held) KiB")
        try Self.expectGood(bench)
        for client in clients { client.abort() }
        clients = []
        try bench.waitForRest()
    }

    @Test(arguments: Pair.all)
    func `a server that reads nothing makes the client wait, in bounded memory`(_ pair: Pair) throws {
        let isOver = Shared(false)
        defer { isOver.with { $0 = true } }
        let bench = try PairBench(pair) { server in
            try Self.answerRest(server) { head in
                guard head[":path"] == "/deaf" else { return false }
                try waitUntil("the test's end", seconds: 60) { isOver.value }
                return true
            }
        }
        try Self.expectGood(bench)
        let before = try bench.memory()
        let client = try bench.client(seconds: 3)
        try client.begin("POST", "/deaf", [], .told(1_000_000_000))
        var sent = 0
        while sent < 2000, (try? client.send(Self.piece)) != nil { sent += 1 }
        #expect(sent < 500)
        let held = try bench.memory() - before
        #expect(held < 4096, "\(held) KiB")
        client.abort()
    }

    @Test(arguments: Pair.all)
    func `a client that stops in mid-body is 408, and the server is told`(_ pair: Pair) throws {
        let broken = Shared(0)
        let bench = try PairBench(pair, timeouts: "timeouts = { body = \"500ms\" }") { server in
            try Self.answerRest(server) { head in
                guard head[":path"] != "/ok" else { return false }
                if try server.waitUntilBroken(), !server.soFar.isWhole { broken.with { $0 += 1 } }
                return pair.server == 1
            }
        }
        let client = try bench.client()
        try client.begin("POST", "/", [], .told(10))
        try client.send(Array("half".utf8))
        let answer = try client.answer()
        #expect(answer.status == 408 && answer.isWhole)
        #expect(try client.waitUntilStopped() == (pair.client == 1 ? "closed" : "reset 0"))
        try bench.everyhop.waitForAccess("\"status\":408", "the request's body did not come in time")
        try waitUntil("the server's word") { broken.value == 1 }
        try Self.expectGood(bench)
        try bench.waitForRest()
    }

    @Test(arguments: Pair.all)
    func `a server that stops in mid-body cuts the answer off`(_ pair: Pair) throws {
        let bench = try PairBench(pair, response: "500ms") { server in
            try Self.answerRest(server) { head in
                guard head[":path"] != "/ok" else { return false }
                try server.respond(200, [], .told(10))
                try server.send(Array("half".utf8))
                _ = try server.waitUntilBroken()
                return pair.server == 1
            }
        }
        let client = try bench.client()
        try client.begin()
        let answer = try client.answer()
        #expect(answer.status == 200 && !answer.isWhole && answer.text == "half")
        try bench.everyhop.waitForAccess("\"status\":200", "no response in time")
        try Self.expectGood(bench)
        try bench.waitForRest()
    }
}
