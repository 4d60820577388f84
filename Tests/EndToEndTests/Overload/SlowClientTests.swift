import Foundation
import Platform
import Support
import TLS
import Testing

/// Clients that trickle, where each pause alone would be allowed; and those that only look as if they did.
@Suite("Slow clients", .serialized) struct SlowClientTests {
    private typealias Frames = HTTP2Frames
    let bench: Bench
    let admin: UInt16
    let everyhop: EveryhopProcess

    init() throws {
        bench = try Bench()
        admin = try freePort()
        let server = try bench.server { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard !head.isEmpty else { return }
                if head.contains("/big") {
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                    for _ in 0..<1000 { try connection.send([UInt8](repeating: 0x61, count: 100_000)) }
                } else if head.contains("/late") {
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nbefore")
                    usleep(4_000_000)
                    try connection.send("-after")
                } else if head.contains("POST") {
                    // Whole before anything is said, or never.
                    var body = 0
                    while body < 4000, let more = try connection.receive() { body += more.count }
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                }
            }
        }
        let settings = """
            admin = "127.0.0.1:\(admin)"
            [server.timeouts]
            body = "1500ms"
            write = "1500ms"
            [server.limits]
            minimum_rate = "1KiB/s"
            """
        everyhop = try bench.start(server.port, server: settings)
    }

    private func waitForMetric(_ line: String) throws {
        try waitUntil(line) {
            try Shell.run(["curl", "-sS", "http://127.0.0.1:\(admin)/metrics"]).text.contains("\n\(line)\n")
        }
    }

    private func client() throws -> Connection { try Connection(to: everyhop.port, try bench.trust.client()) }

    /// Sends the body in pieces of so many bytes, twenty a second; false when the other side ends it.
    private func trickle(_ bytes: Int, of size: Int, _ send: ([UInt8]) throws -> Void) -> Bool {
        for _ in stride(from: 0, to: size, by: bytes) {
            guard (try? send([UInt8](repeating: 0x62, count: bytes))) != nil else { return false }
            usleep(50_000)
        }
        return true
    }

    @Test func `a body that trickles is 408, one that keeps to the rate is not`() throws {
        let slow = try client()
        try slow.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n")
        // A fifth of the rate: ended after two seconds or so, in which less than a tenth has come.
        _ = trickle(10, of: 4000) { try slow.send($0) }
        #expect(slow.receiveAll().hasPrefix("HTTP/1.1 408 "))
        try waitForMetric("everyhop_slow_bodies_total 1")
        let steady = try client()
        try steady.send("POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4000\r\n\r\n")
        #expect(trickle(80, of: 4000) { try steady.send($0) })
        #expect(steady.receiveAll().hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `a body that trickles in HTTP/2 is 408, one that keeps to the rate is not`() throws {
        let peer = try bench.client(everyhop)
        let slow = try peer.request(Frames.post(), endsStream: false)
        let steady = try peer.request(Frames.post(), endsStream: false)
        #expect(
            trickle(80, of: 4000) {
                try peer.send(Frames.data(slow, [1, 2], endsStream: false))
                try peer.send(Frames.data(steady, $0, endsStream: false))
            }
        )
        #expect(try peer.answer(slow).status == 408)
        try peer.send(Frames.data(steady, [], endsStream: true))
        #expect(try peer.answer(steady).status == 200)
        try waitForMetric("everyhop_slow_bodies_total 1")
    }

    @Test func `a reader that trickles is cut off, one that keeps to the rate is not`() throws {
        let slow = try client()
        try slow.send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let end = Clock.monotonicMicroseconds() + 15_000_000
        // A quarter of the rate.
        while slow.drop(12), Clock.monotonicMicroseconds() < end { usleep(50_000) }
        try waitForMetric("everyhop_slow_readers_total 1")
        try everyhop.waitForAccess("/big", "the client took too little for too long")
        let steady = try client()
        try steady.send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        var taken = 0
        for _ in 0..<80 {
            taken += try steady.receive()?.count ?? -1_000_000
            usleep(50_000)
        }
        #expect(taken > 0)
    }

    @Test(arguments: [(0, 1_000_000), (1, 0)])
    func `windows that open in drops are cut off`(_ which: Int32, _ initial: UInt32) throws {
        let peer = try bench.client(everyhop, settings: [(4, initial)])
        peer.opensWindows = false
        // The other of the two windows is wide.
        if initial == 0 { try peer.send(Frames.windowUpdate(0, 10_000_000)) }
        let stream = try peer.request(Frames.get("/big"))
        let end = Clock.monotonicMicroseconds() + 15_000_000
        while peer.soFar(stream).reset == nil, Clock.monotonicMicroseconds() < end {
            try peer.send(Frames.windowUpdate(which, 5))
            usleep(50_000)
            // Each step brings a frame, or the end.
            try peer.next()
        }
        #expect(peer.soFar(stream).reset == 8)
        try waitForMetric("everyhop_http2_slow_readers_total 1")
    }

    @Test func `a server that is silent is not its client's fault`() throws {
        let client = try client()
        try client.send("GET /late HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let peer = try bench.client(everyhop)
        let stream = try peer.request(Frames.get("/late"))
        #expect(try peer.answer(stream).text == "before-after")
        #expect(client.receiveAll().hasSuffix("before-after"))
    }
}
