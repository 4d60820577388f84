import Foundation
import Platform
import Support
import TLS
import Testing

/// Clients that are slow to see that a worker drains lose nothing.
@Suite("Draining") struct DrainTests {
    /// Longer than all that does not depend on `drain`: what a client is given to see the end, and then to go.
    private static let starvation: UInt32 = 5_000_000
    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

    let bench: Bench

    init() throws { bench = try Bench() }

    private func start(_ upstream: UInt16, drain: String = "40s") throws -> EveryhopProcess {
        try bench.start(upstream) { $0.replacingOccurrences(of: "drain = \"5s\"", with: "drain = \"\(drain)\"") }
    }

    private func server() throws -> ScriptedServer {
        try bench.server { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
    }

    private func reload(_ everyhop: EveryhopProcess) throws {
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
    }

    // MARK: HTTP/2

    @Test func `what a client asks before it has seen GOAWAY is answered, however late that is`() throws {
        let everyhop = try start(try server().port)
        do {
            let client = try bench.client(everyhop)
            #expect(try client.get().text == "ok")
            try reload(everyhop)
            usleep(Self.starvation)
            let streams = try (0..<3).map { _ in try client.request(HTTP2Frames.get()) }
            for stream in streams { #expect(try client.answer(stream).text == "ok") }
            try client.receive { _ in false }
            #expect(client.goAways == 2 && client.goAway?.code == 0 && client.goAway?.last == streams.last)
        }
        // It goes when the client has gone.
        try waitUntil("the old worker's end") { try everyhop.workers().count == 1 }
    }

    @Test func `what a client has not read when its connection ends is not destroyed by what it still sends`() throws {
        let everyhop = try start(try server().port)
        let client = try bench.client(everyhop)
        #expect(try client.get().text == "ok")
        try reload(everyhop)
        let stream = try client.request(HTTP2Frames.get())
        // Answers the PING unseen: the connection is at its end as soon as the stream is answered.
        try client.send(HTTP2Frames.frame(HTTP2Frames.Kind.ping, flags: 1, [UInt8](repeating: 0, count: 8)))
        for _ in 0..<5 {
            usleep(Self.starvation / 5)
            try client.send(HTTP2Frames.windowUpdate(0, 1))
        }
        #expect(try client.answer(stream).text == "ok")
        #expect(client.goAways == 2 && client.goAway?.last == stream)
    }

    @Test func `a client that never answers is waited for as long as the drain allows`() throws {
        let everyhop = try start(try server().port, drain: "4s")
        let client = try bench.client(everyhop)
        #expect(try client.get().text == "ok")
        try reload(everyhop)
        try waitUntil("the old worker's end") { try everyhop.workers().count == 1 }
        // It reads its end, and the last stream that was looked at.
        try client.receive { _ in false }
        #expect(client.goAways == 2 && client.goAway?.last == 1)
    }

    // MARK: HTTP/1.1

    @Test func `a connection that rested at a reload has its next request answered, and ends with it`() throws {
        let everyhop = try start(try server().port)
        let connection = try Connection(to: everyhop.port, try bench.trust.client())
        try connection.send(Self.get)
        #expect(try !connection.receive(until: "ok").contains("Connection: close"))
        try reload(everyhop)
        usleep(Self.starvation)
        try connection.send(Self.get)
        let answer = connection.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 200 OK") && answer.contains("Connection: close"), "\(answer)")
        _ = consume connection
        try waitUntil("the old worker's end") { try everyhop.workers().count == 1 }
    }

    @Test func `a response that had begun when the worker was told to drain is not the last one`() throws {
        let proceed = Shared(false)
        let server = try bench.server { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbe")
                try waitUntil("the reload", seconds: 60) { proceed.value }
                try connection.send("ta")
            }
        }
        let everyhop = try start(server.port)
        let connection = try Connection(to: everyhop.port, try bench.trust.client())
        try connection.send(Self.get)
        let head = try connection.receive(until: "\r\n\r\nbe")
        #expect(!head.contains("Connection: close"))
        try reload(everyhop)
        proceed.with { $0 = true }
        #expect(try connection.receive(until: "ta") == "ta")
        // Nobody has told the client that it may not.
        try connection.send(Self.get)
        let answer = connection.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 200 OK") && answer.contains("Connection: close"), "\(answer)")
        #expect(answer.hasSuffix("beta"))
    }

    @Test func `a connection that rests is ended by a stop, without waiting for a request`() throws {
        let everyhop = try start(try server().port)
        let connection = try Connection(to: everyhop.port, try bench.trust.client())
        try connection.send(Self.get)
        _ = try connection.receive(until: "ok")
        everyhop.signal(SIGTERM)
        #expect(connection.receiveAll().isEmpty)
        _ = consume connection
        #expect(try everyhop.waitForEnd() == 0)
    }

    // MARK: connections that are being made

    @Test(arguments: ["http/1.1", "h2"])
    func `a client whose handshake ends in a worker that drains is served once`(_ version: String) throws {
        let everyhop = try start(try server().port)
        var faults = FaultProxy.Faults()
        faults.delay = 1500
        let wire = try FaultProxy(to: everyhop.port, faults)
        let master = everyhop.process
        TestThread.start {
            guard (try? waitUntil("the client") { wire.count == 1 }) != nil else { return }
            kill(master, SIGHUP)
        }
        let context = try bench.trust.client(alpn: version)
        if version == "h2" {
            let client = try HTTP2Peer(to: everyhop, context, port: wire.port, seconds: 60)
            #expect(try client.get().text == "ok")
            try client.receive { _ in false }
            #expect(client.goAways == 2 && client.goAway?.last == 1)
        } else {
            let connection = try Connection(to: wire.port, context, seconds: 60)
            try connection.send(Self.get)
            let answer = connection.receiveAll()
            #expect(answer.hasPrefix("HTTP/1.1 200 OK") && answer.contains("Connection: close"), "\(answer)")
        }
    }
}
