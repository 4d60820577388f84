import Foundation
import Platform
import Support
import TLS
import Testing

/// What servers in HTTP/2 do that is rare, and what must not follow from it.
@Suite("Faults of servers in HTTP/2", .serialized) struct HTTP2ServerFaultTests {
    private typealias Frames = HTTP2Frames
    let bench: Bench

    init() throws { bench = try Bench() }

    private func start(_ upstream: UInt16, _ version: String = "h2", more: String = "") throws -> EveryhopProcess {
        try bench.start(upstream) {
            $0.replacingOccurrences(of: "[[upstream]]\n", with: "[[upstream]]\nprotocol = \"\(version)\"\n") + more
        }
    }

    /// A server that does to each connection what the test says.
    private func server(
        settings: [(UInt16, UInt32)] = [],
        _ script: @escaping @Sendable (HTTP2Peer) throws -> Void
    ) throws -> ScriptedServer {
        try ScriptedServer(certificate: bench.trust.app, alpn: "h2") {
            try script(HTTP2Peer(serving: $0, settings: settings))
        }
    }

    /// Calls `answer` with each request whose head has come.
    private static func serve(_ peer: HTTP2Peer, _ answer: (Int32, String) throws -> Void) throws {
        var taken = 0
        while true {
            try peer.receive { $0.heads.count > taken }
            guard peer.heads.count > taken else { return }
            let stream = peer.heads[taken]
            taken += 1
            try answer(stream, peer.soFar(stream)[":path"] ?? "")
        }
    }

    private static func ok(_ stream: Int32) -> [UInt8] {
        Frames.headers(stream, [(":status", "200")], endsStream: false)
            + Frames.data(stream, Array("ok".utf8), endsStream: true)
    }

    @Test func `a stream that is reset without an error before its answer is whole has failed`() throws {
        let server = try server { peer in
            try Self.serve(peer) { stream, path in
                if path == "/begun" {
                    try peer.send(
                        Frames.headers(stream, [(":status", "200")], endsStream: false)
                            + Frames.data(stream, Array("half".utf8), endsStream: false)
                    )
                }
                try peer.send(path == "/" ? Self.ok(stream) : Frames.reset(stream, code: 0))
            }
        }
        let client = try bench.client(try start(server.port))
        #expect(try client.get("/nothing").status == 502)
        let begun = try client.get("/begun")
        #expect(begun.reset == 2 && !begun.isWhole)
        #expect(try client.get().text == "ok")
    }

    @Test(arguments: ["reset", "close", "abort"])
    func `an answer that is whole reaches a slow client, whatever the server does then`(_ end: String) throws {
        let size = 190_000
        let isSent = Shared(false)
        let server = try server { peer in
            try Self.serve(peer) { stream, path in
                guard path == "/" else { return try peer.send(Frames.headers(stream, [(":status", "204")])) }
                try peer.send(Frames.headers(stream, [(":status", "200")], endsStream: false))
                try peer.send([UInt8](repeating: 0x61, count: size), on: stream)
                if end == "reset" { try peer.send(Frames.reset(stream)) }
                // Everything was taken when a PING comes back; only then may the end overtake nothing.
                try peer.send(Frames.frame(Frames.Kind.ping, [UInt8](repeating: 0, count: 8)))
                while let frame = try peer.next(), frame.kind != Frames.Kind.ping {}
                isSent.with { $0 = true }
                if end == "abort" { peer.abort() }
                if end != "reset" { throw DeadlinePassed(description: "the end") }
            }
        }
        let everyhop = try start(server.port)
        let client = try bench.client(everyhop)
        client.opensWindows = false
        // A server that resets a stream does so because it does not want the rest of the request.
        let stream = try client.request(Frames.post(), endsStream: end != "reset")
        try waitUntil("the whole answer") { isSent.value }
        try client.receive { $0.soFar(stream).body.count >= 65_535 }
        // The end of the server's connection has been seen once another request is answered over the next one.
        #expect(try client.get("/next").status == 204)
        client.opensWindows = true
        try client.send(Frames.windowUpdate(0, 1 << 20) + Frames.windowUpdate(stream, 1 << 20))
        let answer = try client.answer(stream)
        #expect(answer.isWhole && answer.body.count == size && answer.reset ?? 0 == 0)
    }

    @Test func `a request that is answered before the server takes all of it leaves no stream behind`() throws {
        let codes = Shared<[UInt32]>([])
        let server = try server { peer in
            peer.opensWindows = false
            try Self.serve(peer) { stream, _ in
                try peer.receive { $0.soFar(stream).body.count >= 65_535 }
                try peer.send(Self.ok(stream))
                try peer.receive { $0.soFar(stream).reset != nil || $0.soFar(stream).isWhole }
                codes.with { $0.append(peer.soFar(stream).reset ?? .max) }
            }
        }
        let client = try bench.client(try start(server.port))
        let stream = try client.request(Frames.post(), endsStream: false)
        try client.send([UInt8](repeating: 0x61, count: 80_000), on: stream)
        #expect(try client.answer(stream).text == "ok")
        try waitUntil("the stream's end") { codes.value == [8] }
    }

    @Test func `an answer without a body is whole with its head, and a stream that is never ended is reset`() throws {
        let isTaken = Shared(false)
        let codes = Shared<[UInt32]>([])
        let server = try server { peer in
            try Self.serve(peer) { stream, path in
                guard path != "/" else { return try peer.send(Self.ok(stream)) }
                let fields = [(":status", "200"), ("content-length", path == "/head" ? "7" : "0")]
                try peer.send(Frames.headers(stream, fields, endsStream: false))
                if path == "/never" { try peer.receive { $0.soFar(stream).reset != nil } }
                try waitUntil("the client") { isTaken.value }
                if path != "/never" { try peer.send(Frames.data(stream, [], endsStream: true)) }
                codes.with { $0.append(peer.soFar(stream).reset ?? 0) }
            }
        }
        let everyhop = try start(server.port, more: "\n[upstream.timeouts]\nresponse = \"1s\"\n")
        let client = try bench.client(everyhop)
        for (method, path) in [("GET", "/empty"), ("HEAD", "/head"), ("GET", "/never")] {
            isTaken.with { $0 = false }
            let stream = try client.request([(":method", method)] + Frames.get(path).dropFirst())
            let answer = try client.answer(stream)
            #expect(answer.status == 200 && answer.isWhole && answer.reset == nil, "\(path)")
            try everyhop.waitForAccess(path)
            let ended = codes.value.count + 1
            isTaken.with { $0 = true }
            try waitUntil("the end of \(path)") { codes.value.count == ended }
            #expect(try client.get().text == "ok", "after \(path)")
        }
        #expect(codes.value == [0, 0, 8])
        #expect(!everyhop.access.contains { $0.contains("\"error\":") }, "\(everyhop.access)")
    }

    @Test func `many requests at once to a server that turns out to speak HTTP/1.1 are all served`() throws {
        let everyhop = try start(try bench.echo().port, "auto")
        let client = try bench.client(everyhop)
        var streams: [Int32] = []
        for _ in 0..<8 { streams.append(try client.request(Frames.get())) }
        for stream in streams { #expect(try client.answer(stream).status == 200) }
    }

    @Test func `what exceeds the server's number of streams goes over another connection`() throws {
        let connections = Shared(0)
        let isHeld = Shared(false)
        let server = try server(settings: [(3, 1)]) { peer in
            connections.with { $0 += 1 }
            try Self.serve(peer) { stream, path in
                if path == "/hold" { isHeld.with { $0 = true } } else { try peer.send(Self.ok(stream)) }
            }
        }
        let client = try bench.client(try start(server.port))
        #expect(try client.get().text == "ok")
        _ = try client.request(Frames.get("/hold"))
        try waitUntil("the held stream") { isHeld.value }
        #expect(try client.get().text == "ok")
        #expect(connections.value == 2)
    }

    @Test func `a connection that is dead without a word is given up after a request has waited too long`() throws {
        let isOver = Shared(false)
        defer { isOver.with { $0 = true } }
        let connections = Shared(0)
        let server = try server { peer in
            let isFirst = connections.with {
                $0 += 1
                return $0 == 1
            }
            try Self.serve(peer) { stream, _ in
                if isFirst { try waitUntil("the test's end", seconds: 60) { isOver.value } }
                try peer.send(Self.ok(stream))
            }
        }
        let client = try bench.client(
            try start(server.port, more: "\n[upstream.timeouts]\nresponse = \"300ms\"\n")
        )
        #expect(try client.get().status == 504)
        try waitUntil("another connection") { try client.get().status == 200 }
        #expect(connections.value == 2)
    }

    @Test func `what is not allowed to have a body has none, whatever the server sends`() throws {
        let server = try server { peer in
            try Self.serve(peer) { stream, path in
                guard path != "/" else { return try peer.send(Self.ok(stream)) }
                let status = path == "/head" ? "200" : String(path.dropFirst())
                try peer.send(
                    Frames.headers(stream, [(":status", status)], endsStream: false)
                        + Frames.data(stream, Array("HTTP/1.1 200 OK\r\n\r\n".utf8), endsStream: true)
                )
            }
        }
        let everyhop = try start(server.port)
        for (method, path) in [("HEAD", "/head"), ("GET", "/204"), ("GET", "/304")] {
            let client = try PairClient(1, everyhop, bench.trust)
            try client.begin(method, path)
            #expect(try client.answer().body.isEmpty)
            // The connection has ended, or goes on with the next answer: nothing is in between.
            if (try? client.begin()) != nil, let next = try? client.answer(), next.status != 0 {
                #expect(next.status == 200 && next.text == "ok")
            }
        }
    }

    @Test func `trailers that are longer than allowed break the answer off`() throws {
        let server = try server { peer in
            try Self.serve(peer) { stream, path in
                guard path == "/long" else { return try peer.send(Self.ok(stream)) }
                let long = String(repeating: "a", count: 3000)
                try peer.send(
                    Frames.headers(stream, [(":status", "200")], endsStream: false)
                        + Frames.data(stream, Array("ok".utf8), endsStream: false)
                        + Frames.headers(stream, [("x-a", long), ("x-b", long), ("grpc-status", "0")])
                )
            }
        }
        let everyhop = try bench.start(server.port, server: "[server.limits]\nhead = \"4KiB\"\n") {
            $0.replacingOccurrences(of: "[[upstream]]\n", with: "[[upstream]]\nprotocol = \"h2\"\n")
        }
        let client = try bench.client(everyhop)
        let answer = try client.get("/long")
        #expect(answer.reset == 2 && !answer.isWhole && answer.trailers.isEmpty)
        #expect(try client.get().text == "ok")
    }

    @Test func `a request that ends every connection it comes on is tried twice at most`() throws {
        let tries = Shared(0)
        let isOver = Shared(false)
        let server = try server(settings: [(3, 1)]) { peer in
            try Self.serve(peer) { stream, path in
                if path == "/poison" {
                    tries.with { $0 += 1 }
                    throw DeadlinePassed(description: "the end")
                }
                try peer.send(Frames.headers(stream, [(":status", "103")], endsStream: false))
                try waitUntil("all others") { isOver.value }
                try peer.send(Self.ok(stream))
            }
        }
        let client = try bench.client(try start(server.port))
        // Four connections, each of which has carried more than one request.
        var streams: [Int32] = []
        for _ in 0..<4 {
            let stream = try client.request(Frames.get("/hold"))
            try client.receive { $0.soFar(stream).interim == [103] }
            streams.append(stream)
        }
        isOver.with { $0 = true }
        for stream in streams { #expect(try client.answer(stream).text == "ok") }
        #expect(try client.get("/poison").status == 502)
        #expect(tries.value == 2)
    }

    @Test func `connections that take no stream at all are not kept`() throws {
        let open = Shared(0)
        let all = Shared(0)
        let server = try server(settings: [(3, 0)]) { peer in
            open.with { $0 += 1 }
            all.with { $0 += 1 }
            defer { open.with { $0 -= 1 } }
            try Self.serve(peer) { stream, _ in try peer.send(Frames.reset(stream, code: 7)) }
        }
        let client = try bench.client(try start(server.port))
        for _ in 0..<3 { #expect(try client.get().status == 502) }
        try waitUntil("the end of all connections") { all.value == 12 && open.value == 0 }
    }
}
