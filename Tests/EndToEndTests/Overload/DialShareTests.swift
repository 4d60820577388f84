import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Handshakes with servers beside other work", .serialized) struct DialShareTests {
    private static let dials = 8
    let bench: Bench

    init() throws { bench = try Bench() }

    /// Servers that answer the hello, when they may, with what is no TLS: whoever asked is told 502 in that very step.
    private func server(_ mayAnswer: Shared<Bool>, asked: Shared<Int>, done: Shared<Int>) throws -> ScriptedServer {
        try ScriptedServer(certificate: nil) { connection in
            _ = try connection.receive()
            asked.with { $0 += 1 }
            try waitUntil("the word to answer", seconds: 60) { mayAnswer.value }
            try connection.send("no TLS here\r\n\r\n")
            try connection.waitUntilTaken()
            done.with { $0 += 1 }
            while try connection.receive() != nil {}
        }
    }

    @Test func `a server that has answered in time is not blamed for the worker's own delay`() throws {
        let (mayAnswer, asked, done) = (Shared(false), Shared(0), Shared(0))
        let server = try server(mayAnswer, asked: asked, done: done)
        let everyhop = try bench.start(server.port) {
            $0.replacingOccurrences(of: "[[upstream]]", with: "[[upstream]]\ntimeouts = { connect = \"1s\" }")
        }
        let client = try Connection(to: everyhop.port, try bench.trust.client())
        try client.send("GET /app HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try waitUntil("the hello") { asked.value == 1 }
        let worker = try #require(try everyhop.workers().first)
        kill(worker, SIGSTOP)
        try waitUntil("a stopped worker") { ProcessState.summary(of: worker).hasPrefix("stopped") }
        mayAnswer.with { $0 = true }
        try waitUntil("the server's answer") { done.value == 1 }
        let stopped = Clock.monotonicMicroseconds()
        try waitUntil("the deadline to pass") { Clock.monotonicMicroseconds() - stopped > 1_500_000 }
        kill(worker, SIGCONT)
        // Not TLS (502), rather than late (504).
        #expect(try client.receivesAnswer(502))
    }

    @Test func `a turn that takes long for others takes all steps of handshakes that are due`() throws {
        let (mayAnswer, asked, done) = (Shared(false), Shared(0), Shared(0))
        let server = try server(mayAnswer, asked: asked, done: done)
        let everyhop = try bench.start(server.port) {
            $0.replacingOccurrences(
                of: "[[upstream]]",
                with: "[[site.route]]\npath = \"/own\"\nrespond = { status = 403 }\n[[upstream]]"
            )
        }
        let asking = try (0..<Self.dials).map { _ in
            let connection = try Connection(to: everyhop.port, try bench.trust.client())
            try connection.send("GET /app HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection
        }
        try waitUntil("all hellos") { asked.value == asking.count }
        let busy = try (0..<4).map { _ in try Connection(to: everyhop.port, try bench.trust.client()) }
        for connection in busy { #expect(try connection.answers(403, "/own")) }

        // All that follows is there when the worker goes on: more of others' requests than it reads in one turn.
        let worker = try #require(try everyhop.workers().first)
        kill(worker, SIGSTOP)
        try waitUntil("a stopped worker") { ProcessState.summary(of: worker).hasPrefix("stopped") }
        mayAnswer.with { $0 = true }
        try waitUntil("all servers' answers") { done.value == asking.count }
        let count = 100
        let filling = String(repeating: "x", count: 1000)
        let requests = String(repeating: "GET /own?\(filling) HTTP/1.1\r\nHost: localhost\r\n\r\n", count: count)
        for connection in busy { try connection.send(requests) }
        kill(worker, SIGCONT)
        try waitUntil("all log lines") { everyhop.access.count == asking.count + busy.count * (count + 1) }

        let lines = everyhop.access
        let own = lines.indices.filter { lines[$0].contains("\"status\":502") }
        #expect(own.count == asking.count)
        // Others' requests that came later are not served in between.
        #expect(own.last.map { $0 - own[0] } == own.count - 1, "\(own)")
        // And there were some left.
        #expect(own[own.count - 1] < lines.count - 1)
    }
}
