import Foundation
import Platform
import Support
import TLS
import Testing

/// What happens when a worker has no place, no descriptor or no memory left, and after that.
@Suite("A worker at its limits", .serialized) struct ExhaustionTests {
    let bench: Bench
    let admin: UInt16

    init() throws {
        bench = try Bench()
        admin = try freePort()
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

    private func start(files: Int? = nil, server: String = "") throws -> EveryhopProcess {
        let port = try freePort()
        let text = try bench.trust.configuration(
            port: port,
            upstream: try self.server().port,
            server: "admin = \"127.0.0.1:\(admin)\"\n\(server)"
        )
        let prefix = files.map { ["prlimit", "--nofile=\($0):\($0)"] } ?? []
        return try EveryhopProcess(bench.folder, port: port, configuration: text, prefix: prefix)
    }

    private func metric(_ name: String) throws -> Int {
        let text = try Shell.run([
            "curl", "-sS", "--retry", "9", "--retry-connrefused", "http://127.0.0.1:\(admin)/metrics",
        ])
        .text
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(name) ") } ?? ""
        return Int(line.split(separator: " ").last ?? "") ?? -1
    }

    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

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
        try waitUntil("readers cut off") { try metric("everyhop_readers_cut_total") > 0 }
        try everyhop.waitForLog("buffers are used up")
        try waitUntil("buffers below their limit") {
            let held = try metric("everyhop_buffer_bytes")
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
        #expect(try metric("everyhop_readers_cut_total") < 50)
        readers.forEach { $0.abort() }
    }
}
