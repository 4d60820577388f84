import Foundation
import Platform
import Support
import TLS
import Testing

/// A server that answers, and breaks its connection while the request is still coming (RFC 9112 §9.6).
@Suite("Last words of servers", .serialized) struct LastWordsTests {
    private typealias Frames = HTTP2Frames
    let bench: Bench
    private static let body = [UInt8](repeating: 0x61, count: 120_000)
    /// So large that the system makes room for more than one reading takes.
    private static let large = [UInt8](repeating: 0x62, count: 20_000_000)

    init() throws { bench = try Bench() }

    /// Answers one request, and the next one when it is time to.
    private func server(_ version: Int, _ isTime: Shared<Bool>, _ isBroken: Shared<Bool>) throws -> ScriptedServer {
        guard version == 2 else {
            return try bench.server { connection in
                for (status, body) in [("200 OK", Self.large), ("413 No", Self.body)] {
                    guard try connection.receive(until: "\r\n\r\n").hasPrefix("GET") || Self.wait(isTime) else {
                        return
                    }
                    try connection.send("HTTP/1.1 \(status)\r\nContent-Length: \(body.count)\r\n\r\n")
                    try connection.send(body)
                }
                try connection.waitUntilTaken()
                connection.abort()
                isBroken.with { $0 = true }
            }
        }
        return try ScriptedServer(certificate: bench.trust.app, alpn: "h2") { connection in
            let peer = try HTTP2Peer(serving: connection, settings: [(4, 1 << 30)])
            try peer.send(Frames.windowUpdate(0, 1 << 30))
            for (stream, body) in [(Int32(1), Self.large), (3, Self.body)] {
                try peer.receive { $0.heads.contains(stream) }
                guard stream == 1 || Self.wait(isTime) else { return }
                let fields = [(":status", stream == 1 ? "200" : "413"), ("content-length", "\(body.count)")]
                try peer.send(Frames.headers(stream, fields, endsStream: false))
                try peer.send(body, on: stream)
            }
            try connection.waitUntilTaken()
            peer.abort()
            isBroken.with { $0 = true }
        }
    }

    private static func wait(_ isTime: Shared<Bool>) -> Bool {
        (try? waitUntil("a client that cannot send any more") { isTime.value }) != nil
    }

    @Test(arguments: [1, 2])
    func `what a server has answered before it broke the connection is read to its end`(_ version: Int) throws {
        let isTime = Shared(false)
        let isBroken = Shared(false)
        let server = try server(version, isTime, isBroken)
        let everyhop = try bench.start(server.port) {
            $0.replacingOccurrences(of: "[[upstream]]\n", with: "[[upstream]]\nprotocol = \"auto\"\n")
        }
        let client = HTTP1Peer(try Connection(to: everyhop.port, bench.trust.client()))
        try client.connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try client.receive { $0.message.isWhole }
        #expect(client.message.body.count == Self.large.count)
        try client.connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n")
        client.connection.sendUntilFull([UInt8](repeating: 0x61, count: 65_536))
        // The answer and the end are there at once when the worker looks.
        let worker = try #require(try everyhop.workers().first)
        kill(worker, SIGSTOP)
        defer { kill(worker, SIGCONT) }
        isTime.with { $0 = true }
        try waitUntil("the server's end") { isBroken.value }
        kill(worker, SIGCONT)
        let answer = client.connection.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 413 "))
        #expect(answer.utf8.suffix(Self.body.count).allSatisfy { $0 == 0x61 } && answer.utf8.count > Self.body.count)
        try everyhop.waitForAccess("\"status\":413", "\"bytes_out\":\(Self.body.count)")
    }
}
