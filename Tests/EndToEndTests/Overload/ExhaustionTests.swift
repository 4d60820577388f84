import Foundation
import Platform
import Support
import TLS
import Testing

/// What happens when a worker has no place, no descriptor or no memory left, and after that.
@Suite("A worker at its limits", .serialized) struct ExhaustionTests {
    let bench: Bench
    let admin: EveryhopAdmin

    init() throws {
        bench = try Bench()
        admin = try EveryhopAdmin()
    }

    /// `/big` is 100 MB, `/wait` is answered when the client has gone, all else at once.
    private func server() throws -> ScriptedServer {
        try bench.server { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard !head.isEmpty else { return }
                if head.contains("/wait") {
                    while try connection.receive() != nil {}
                    return
                }
                guard head.contains("/big") else {
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    continue
                }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                for _ in 0..<1000 { try connection.send([UInt8](repeating: 0x61, count: 100_000)) }
            }
        }
    }

    private func start(files: Int? = nil, server: String = "", upstream: String = "") throws -> EveryhopProcess {
        let port = try freePort()
        let text = try bench.trust.configuration(
            port: port,
            upstream: try self.server().port,
            server: "\(admin.setting)\n\(server)",
            upstreamMore: upstream
        )
        let prefix = files.map { ["prlimit", "--nofile=\($0):\($0)"] } ?? []
        return try EveryhopProcess(bench.folder, port: port, configuration: text, prefix: prefix)
    }

    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

    /// A client with a request, which is served some time.
    private func askLater(_ everyhop: EveryhopProcess, _ served: Shared<Int>) {
        let (port, trust) = (everyhop.port, bench.trust)
        TestThread.start {
            guard let client = try? Connection(to: port, trust.client(), seconds: 90) else { return }
            try? client.send(Self.get)
            if (try? client.receive(until: "ok"))?.hasPrefix("HTTP/1.1 200") == true { served.with { $0 += 1 } }
        }
    }

    @Test func `at the limit of connections new clients wait, and are served when others have gone`() throws {
        // (100 - 64) / 2 = 18 clients.
        let everyhop = try start(files: 100, server: "timeouts = { handshake = \"2m\", head = \"5m\" }")
        let context = try bench.trust.client()
        // The look at the binding may be one of them, and goes.
        var held: [Connection] = []
        try waitUntil("the limit") {
            if held.count < 18 { held.append(try Connection(to: everyhop.port, context)) }
            return held.count == 18 && everyhop.log.contains("connection limit reached: new clients wait limit=\"18\"")
        }
        let served = Shared(0)
        for _ in 0..<10 { askLater(everyhop, served) }
        // Those who are connected are served meanwhile.
        for client in held.prefix(5) {
            try client.send(Self.get)
            #expect(try client.receive(until: "ok").hasPrefix("HTTP/1.1 200"))
        }
        #expect(served.value == 0)
        #expect(try admin.metric("everyhop_client_connections") <= 18)
        held.removeLast(10)
        try waitUntil("ten who waited", seconds: 90) { served.value == 10 }
        try everyhop.waitForLog("accepting again")
        #expect(try admin.metric("everyhop_connection_limit_reached_total") >= 1)
    }

    @Test func `without a descriptor requests are 503 and clients wait; no server is blamed, and all of it passes`()
        throws
    {
        let everyhop = try start(
            files: 64,
            server: "timeouts = { handshake = \"2m\", head = \"5m\" }",
            upstream: "timeouts = { connect = \"2m\", response = \"5m\" }"
        )
        let peer = try bench.client(everyhop)
        // Each needs a connection to the server, and there are not so many descriptors.
        let waiting = try (0..<80).map { _ in try peer.request(HTTP2Frames.get("/wait")) }
        try everyhop.waitForAccess("\"status\":503", "no connection to a server can be made on this host")
        let served = Shared(0)
        askLater(everyhop, served)
        try everyhop.waitForLog("no descriptor left")
        let told = Clock.monotonicMicroseconds()
        // It is tried twice a second, and not told each time.
        try waitUntil("four tries") { Clock.monotonicMicroseconds() - told > 2_000_000 }
        #expect(served.value == 0)
        let lines = everyhop.log.components(separatedBy: "no descriptor left").count - 1
        #expect(lines <= 1 + Int((Clock.monotonicMicroseconds() - told) / 9_000_000))
        for stream in waiting { try peer.send(HTTP2Frames.reset(stream)) }
        try waitUntil("the client that waited", seconds: 90) { served.value == 1 }
        #expect(!everyhop.log.contains("ejected") && !everyhop.log.contains("server failed"))
        #expect(try everyhop.workers().count == 1)
    }

    @Test func `buffers stay within their limit: nobody new is let in, and the slowest readers go`() throws {
        let everyhop = try start(server: "[server.limits]\nbuffers = \"2MiB\"")
        let context = try bench.trust.client()
        let worker = try #require(try everyhop.workers().first)
        // Fifty readers who take nothing would hold up to 12 MiB.
        let readers = try (0..<50).map { _ in
            let reader = try Connection(to: everyhop.port, context)
            try reader.send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return reader
        }
        try waitUntil("readers cut off") { try admin.metric("everyhop_readers_cut_total") > 0 }
        try everyhop.waitForLog("buffers are used up")
        try waitUntil("buffers below their limit") {
            let held = try admin.metric("everyhop_buffer_bytes")
            return held > 0 && held <= 2 << 20
        }
        try waitUntil("a good client", seconds: 60) {
            let client = try Connection(to: everyhop.port, context, seconds: 60)
            try client.send(Self.get)
            let answer = try client.receive(until: "\r\n\r\n")
            guard answer.hasPrefix("HTTP/1.1 503") else { return answer.hasPrefix("HTTP/1.1 200") }
            #expect(answer.contains("\r\nRetry-After: "))
            return false
        }
        #expect(try everyhop.workers().first == worker)
        #expect(try admin.metric("everyhop_readers_cut_total") < 50)
        readers.forEach { $0.abort() }
    }
}
