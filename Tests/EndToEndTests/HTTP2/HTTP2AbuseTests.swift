import Foundation
import Platform
import Support
import TLS
import Testing

/// What each attack costs, and how it ends: a word to the client, a line in the log, a metric.
@Suite("Abuse of HTTP/2", .serialized) struct HTTP2AbuseTests {
    private typealias Frames = HTTP2Frames
    let bench: Bench
    let admin: UInt16
    let everyhop: EveryhopProcess

    init() throws {
        bench = try Bench()
        admin = try freePort()
        let timeouts = "[server.timeouts]\nhead = \"2s\"\nbody = \"2s\"\nwrite = \"3s\"\nkeep_alive = \"3s\""
        let server = try bench.server { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard !head.isEmpty else { return }
                guard head.contains("/big") else {
                    try connection.send(
                        "HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + String(repeating: "a", count: 1024)
                    )
                    continue
                }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                for _ in 0..<1000 { try connection.send([UInt8](repeating: 0x61, count: 100_000)) }
            }
        }
        everyhop = try bench.start(server.port, server: "admin = \"127.0.0.1:\(admin)\"\n\(timeouts)")
    }

    private func metrics() throws -> String {
        try Shell.run(["curl", "-sS", "--retry", "5", "--retry-connrefused", "http://127.0.0.1:\(admin)/metrics"]).text
    }

    private func memory() throws -> Int {
        let worker = try everyhop.workers().first ?? 0
        let status = String(decoding: try File.read("/proc/\(worker)/status"), as: UTF8.self)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS") } ?? ""
        return Int(line.split(separator: " ").dropLast().last ?? "") ?? 0
    }

    /// Microseconds within which 99 of 100 requests were answered.
    private func slowest(_ client: HTTP2Peer) throws -> UInt64 {
        var times: [UInt64] = []
        for _ in 0..<200 {
            let start = Clock.monotonicMicroseconds()
            #expect(try client.get().status == 200)
            times.append(Clock.monotonicMicroseconds() - start)
        }
        return times.sorted()[197]
    }

    private static let eight = [UInt8](repeating: 0, count: 8)

    private static func many(_ count: Int32, _ make: (Int32) -> [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        for index in 0..<count { bytes += make(1 + 2 * index) }
        return bytes
    }

    private static let resets = many(500) { Frames.headers($0, Frames.get()) + Frames.reset($0) }
    private static let pings = many(500) { _ in Frames.frame(Frames.Kind.ping, eight) }
    private static let settings = many(500) { _ in Frames.settings() }
    private static let priorities = many(2000) { _ in
        Frames.frame(Frames.Kind.priority, stream: 3, [0, 0, 0, 1, 9])
    }
    private static let unknown = many(500) { _ in Frames.frame(0x42, eight) }
    private static let open = Frames.headers(1, Frames.post(), endsStream: false)
    private static let empty = many(500) { _ in Frames.data(1, [], endsStream: false) }
    private static let begun = Frames.frame(Frames.Kind.headers, stream: 1, Frames.section(Frames.get()))
    private static let more = many(200) { _ in
        Frames.frame(Frames.Kind.continuation, stream: 1, Frames.section([("x", "y")]))
    }

    private static let windows = many(2500) { _ in Frames.windowUpdate(0, 1) }

    private static let floods: [(kind: String, bytes: [UInt8])] = [
        ("resets", resets), ("pings", pings), ("settings", settings), ("priorities", priorities),
        ("unknown_frames", unknown), ("empty_frames", open + empty), ("continuations", begun + more),
        ("window_updates", windows),
    ]

    @Test func `each flood ends with its word, its log line and its metric`() throws {
        for flood in Self.floods {
            let attacker = try bench.client(everyhop)
            try? attacker.send(flood.bytes)
            try attacker.receive { _ in false }
            #expect(attacker.goAway?.code == 11, "\(flood.kind): \(String(describing: attacker.goAway))")
            let wanted = "everyhop_http2_abuse_total{kind=\"\(flood.kind)\"} 1"
            try waitUntil(wanted) { try metrics().contains(wanted) }
        }
        try everyhop.waitForLog("HTTP/2 abuse: ", count: Self.floods.count)
        #expect(try bench.client(everyhop).get().status == 200)
    }

    @Test func `another client is served while floods go on, in flat memory; how fast is told`() throws {
        let quiet = try bench.client(everyhop)
        _ = try slowest(quiet)
        let before = try memory()
        let usual = try slowest(quiet)
        for flood in Self.floods {
            let goesOn = Shared(true)
            let isOver = Shared(false)
            let attackers = Shared(0)
            let (bench, everyhop, bytes) = (UncheckedBox(self.bench), UncheckedBox(self.everyhop), flood.bytes)
            TestThread.start {
                while goesOn.value, attackers.value < 300 {
                    if let attacker = try? bench.value.client(everyhop.value) {
                        try? attacker.send(bytes)
                        try? attacker.receive { _ in false }
                    }
                    attackers.with { $0 += 1 }
                }
                isOver.with { $0 = true }
            }
            let attacked = try slowest(quiet)
            goesOn.with { $0 = false }
            try waitUntil("the attacker's end", seconds: 120) { isOver.value }
            print("\(flood.kind): p99 \(usual) us quiet, \(attacked) us with \(attackers.value) attackers")
            // No bound: beside other tests, noise alone is tens of milliseconds.
            // The attacker's own connection counts as idle by then.
            _ = try? quiet.get()
        }
        let grown = try memory() - before
        print("memory: \(grown) KiB more")
        #expect(grown < 8192)
    }

    @Test func `a reader that stalls holds bounded memory and is cut off`() throws {
        let before = try memory()
        let attacker = try bench.client(everyhop)
        attacker.opensWindows = false
        var streams: [Int32] = []
        for _ in 0..<50 { streams.append(try attacker.request(Frames.get("/big"))) }
        try everyhop.waitForLog("window stays closed", count: 1)
        let held = try memory() - before
        print("50 stalled streams of 100 MB: \(held) KiB")
        #expect(held < 50 * 400)
        try attacker.receive { peer in streams.allSatisfy { peer.soFar($0).reset != nil } }
        #expect(streams.allSatisfy { attacker.soFar($0).reset == 8 })
        #expect(try metrics().contains("everyhop_http2_slow_readers_total 50"))
    }

    @Test func `a connection without a request is told to go`() throws {
        let client = try bench.client(everyhop)
        #expect(try client.get().status == 200)
        try client.receive { $0.goAway != nil }
        #expect(client.goAway?.code == 0)
        try client.receive { _ in false }
        #expect(client.isClosed)
    }

    @Test func `a client that never says a word is told to go`() throws {
        let silent = try Connection(to: everyhop.port, bench.trust.client(alpn: "h2"))
        _ = silent.receiveAll()
        let trickling = try bench.client(everyhop)
        try trickling.send(Frames.frame(Frames.Kind.headers, stream: 1, Frames.section(Frames.get())))
        try trickling.receive { _ in false }
        #expect(trickling.isClosed)
    }
}

/// Something of the test that a thread of it uses.
private struct UncheckedBox<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
