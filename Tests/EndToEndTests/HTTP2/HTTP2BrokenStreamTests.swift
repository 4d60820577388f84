import Foundation
import Platform
import Support
import TLS
import Testing

/// Streams that break, and what must not break with them.
@Suite("Broken streams of HTTP/2", .serialized) struct HTTP2BrokenStreamTests {
    private typealias Frames = HTTP2Frames
    let bench: Bench

    init() throws { bench = try Bench() }

    @Test func `a response that breaks off while the client does not read costs that stream alone`() throws {
        let isFull = Shared(false)
        let server = try bench.server { connection in
            while let head = try? connection.receive(until: "\r\n\r\n"), !head.isEmpty {
                guard head.hasPrefix("GET /big ") else {
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    continue
                }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                connection.sendUntilFull([UInt8](repeating: 0x61, count: 65_536))
                isFull.with { $0 = true }
                connection.abort()
                return
            }
        }
        let everyhop = try bench.start(server.port)
        let client = try bench.client(everyhop, settings: [(4, 1 << 30)])
        try client.send(Frames.windowUpdate(0, 1 << 30))
        let big = try client.request(Frames.get("/big"))
        try waitUntil("a server that nobody reads from") { isFull.value }
        // Slower than everyhop, which has more to send all the time, until it has come to the break.
        while !everyhop.log.contains("server failed"), try client.next() != nil { usleep(1000) }
        let other = try client.request(Frames.get("/other"))
        #expect(try client.answer(other).text == "ok")
        #expect(client.soFar(big).reset == 2)
        #expect(client.goAway == nil)
    }

    @Test func `an answer that does not agree to WebSocket is not taken for one that does`() throws {
        let server = try bench.server { connection in
            while let head = try? connection.receive(until: "\r\n\r\n"), !head.isEmpty {
                let status = head.hasPrefix("GET /no ") ? "403 Forbidden" : "200 OK"
                try connection.send("HTTP/1.1 \(status)\r\nContent-Length: 2\r\n\r\nno")
            }
        }
        let everyhop = try bench.start(server.port)
        let client = try bench.client(everyhop)
        for (path, status) in [("/200", 502), ("/no", 403)] {
            let stream = try client.request(
                [
                    (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", path),
                    (":authority", "localhost"), ("sec-websocket-version", "13"),
                ],
                endsStream: false
            )
            #expect(try client.answer(stream).status == status)
        }
        try everyhop.waitForAccess("\"path\":\"/200\"", "\"status\":502", "without changing to the protocol")
        #expect(try client.get("/").text == "no")
    }

    @Test func `trailers that are longer than allowed are never passed on in part`() throws {
        let seen = Shared("")
        let server = try bench.server { connection in
            while let bytes = try connection.receive() { seen.with { $0 += String(decoding: bytes, as: UTF8.self) } }
        }
        let everyhop = try bench.start(server.port, server: "[server.limits]\nhead = \"4KiB\"\n")
        let client = try bench.client(everyhop)
        let stream = try client.request(Frames.post(), endsStream: false)
        try client.send(Array("hi".utf8), on: stream, endsStream: false)
        try waitUntil("the body at the server") { seen.value.hasSuffix("hi\r\n") }
        let long = String(repeating: "a", count: 3000)
        try client.send(Frames.headers(stream, [("x-a", long), ("x-b", long), ("x-sum", "1")]))
        let answer = try client.answer(stream)
        #expect(answer.status == 400)
        try everyhop.waitForAccess("\"status\":400", "trailersTooLong")
        #expect(!seen.value.contains("x-a") && !seen.value.contains("\r\n0\r\n\r\n"))
    }

    @Test func `heads as long as the configuration allows pass in either version`() throws {
        let long = String(repeating: "a", count: 60_000)
        let names = (0..<5).map { "x-long-\($0)" }
        let server = try bench.server { connection in
            let head = try connection.receive(until: "\r\n\r\n")
            let lines = names.map { "\($0): \(long)\r\n" }
            let status = lines.allSatisfy(head.contains) ? 200 : 500
            try connection.send("HTTP/1.1 \(status) OK\r\nContent-Length: 2\r\n\(lines.joined())\r\nok")
        }
        let everyhop = try bench.start(server.port, server: "[server.limits]\nhead = \"1MiB\"\n")
        let client = try bench.client(everyhop)
        let stream = try client.request(Frames.get() + names.map { ($0, long) })
        let answer = try client.answer(stream)
        #expect(answer.status == 200 && answer.text == "ok")
        #expect(names.allSatisfy { answer[$0]?.count == long.count })
    }
}
