import Foundation
import Platform
import Support
import TLS
import Testing

/// Which version each side of everyhop speaks.
struct Pair: Sendable, CustomTestStringConvertible {
    let client: Int
    let server: Int

    static let all = [1, 2].flatMap { client in [1, 2].map { Pair(client: client, server: $0) } }

    var testDescription: String { "HTTP/\(client) to HTTP/\(server)" }
}

/// How long a body is said to be.
enum BodyLength: Sendable {
    case none
    case told(Int)
    case untold

    var fields: [(String, String)] {
        if case .told(let count) = self { [("content-length", "\(count)")] } else { [] }
    }

    var isNone: Bool { if case .none = self { true } else { false } }

    /// What HTTP/1.1 says besides.
    fileprivate var coding: [(String, String)] {
        if case .untold = self { [("transfer-encoding", "chunked")] } else { [] }
    }

    fileprivate var isChunked: Bool { !coding.isEmpty }
}

private func lines(_ fields: [(String, String)]) -> String {
    fields.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n"
}

/// A client of either version, one exchange after another.
final class PairClient {
    private let http1: HTTP1Peer?
    private let http2: HTTP2Peer?
    private var stream: Int32 = 0
    private var length = BodyLength.none

    init(_ version: Int, _ everyhop: EveryhopProcess, _ trust: TestTrust, seconds: Int32 = 20) throws {
        let context = try trust.client(alpn: version == 1 ? "http/1.1" : "h2")
        http1 = version == 1 ? HTTP1Peer(try Connection(to: everyhop.port, context, seconds: seconds)) : nil
        http2 = version == 1 ? nil : try HTTP2Peer(to: everyhop, context, seconds: seconds)
    }

    /// Sends a request's head.
    func begin(
        _ method: String = "GET",
        _ path: String = "/",
        _ fields: [(String, String)] = [],
        _ length: BodyLength = .none
    ) throws {
        self.length = length
        if let http2 {
            let pseudo = [(":method", method)] + HTTP2Frames.get(path).dropFirst()
            stream = try http2.request(pseudo + length.fields + fields, endsStream: length.isNone)
            return
        }
        http1?.beginMessage()
        http1?.answersHead = method == "HEAD"
        let host = [("host", "localhost")]
        try http1?.connection.send(
            "\(method) \(path) HTTP/1.1\r\n" + lines(host + length.fields + length.coding + fields)
        )
    }

    /// Sends half of a request's head.
    func beginHalf() throws {
        try http1?.connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-")
        try http2?.send(HTTP2Frames.frame(HTTP2Frames.Kind.headers, stream: 1, HTTP2Frames.section(HTTP2Frames.get())))
    }

    /// Sends a piece of the body, as far as the other side takes it.
    func send(_ body: [UInt8]) throws {
        if let http2 {
            guard try body.isEmpty || http2.send(body, on: stream, endsStream: false) else {
                throw DeadlinePassed(description: "room in the window")
            }
        } else {
            try http1?.send(body, chunked: length.isChunked)
        }
    }

    /// Ends the body.
    func end(_ trailers: [(String, String)] = []) throws {
        if let http2 {
            try http2.send(
                trailers.isEmpty
                    ? HTTP2Frames.data(stream, [], endsStream: true) : HTTP2Frames.headers(stream, trailers)
            )
        } else if length.isChunked {
            try http1?.end(trailers: trailers)
        }
    }

    /// What has come so far.
    var soFar: HTTP2Peer.Answer { http1?.message ?? http2?.soFar(stream) ?? HTTP2Peer.Answer() }

    /// Waits for the answer's end, good or bad.
    func answer() throws -> HTTP2Peer.Answer {
        try http1?.receive { $0.message.isWhole }
        _ = try http2?.answer(stream)
        return soFar
    }

    /// Waits until something of the answer is there.
    func receive(until condition: (HTTP2Peer.Answer) -> Bool) throws {
        try http1?.receive { condition($0.message) }
        try http2?.receive { condition($0.soFar(stream)) }
    }

    /// Nothing more is read.
    func stopReading() { http2?.opensWindows = false }

    /// Waits until it is told that the rest of its request is not wanted: how, in words.
    func waitUntilStopped() throws -> String {
        try http1?.receive { _ in false }
        try http2?.receive { $0.soFar(stream).reset != nil }
        if let http1 { return http1.isClosed ? "closed" : "open" }
        return soFar.reset.map { "reset \($0)" } ?? "none"
    }

    /// Breaks the exchange off.
    func reset() throws {
        http1?.connection.abort()
        try http2?.send(HTTP2Frames.reset(stream))
    }

    /// Breaks the connection off; it is closed when this is released.
    func abort() {
        http1?.connection.abort()
        http2?.abort()
    }
}

/// What a server of either version has of the exchanges on one connection, one after another.
final class PairServer {
    private let http1: HTTP1Peer?
    private let http2: HTTP2Peer?
    private var stream: Int32 = 0
    private var taken = 0
    private var length = BodyLength.none
    private var endless: [(stream: Int32, sent: Shared<Int>)] = []
    private static let piece = [UInt8](repeating: 0x61, count: 16_384)

    init(_ version: Int, _ connection: Connection) throws {
        http1 = version == 1 ? HTTP1Peer(connection) : nil
        http2 = version == 1 ? nil : try HTTP2Peer(serving: connection)
    }

    /// The next request's head; nil at the end of the connection.
    func head() throws -> HTTP2Peer.Answer? {
        if let http2 {
            while http2.heads.count <= taken {
                try pump(http2)
                guard try http2.next() != nil else { return nil }
            }
            stream = http2.heads[taken]
            taken += 1
            return soFar
        }
        http1?.beginMessage()
        try http1?.receive { $0.hasHead }
        return http1?.hasHead == true ? soFar : nil
    }

    /// What has come of the request so far.
    var soFar: HTTP2Peer.Answer { http1?.message ?? http2?.soFar(stream) ?? HTTP2Peer.Answer() }

    /// Waits for the request's end, good or bad.
    func request() throws -> HTTP2Peer.Answer {
        try http1?.receive { $0.message.isWhole }
        _ = try http2?.answer(stream)
        return soFar
    }

    /// Waits until so many bytes of the body have come.
    func receive(bytes: Int) throws {
        try http1?.receive { $0.message.body.count >= bytes }
        try http2?.receive { $0.soFar(stream).body.count >= bytes }
    }

    /// Whether the exchange was broken off from the other side; waits for it.
    func waitUntilBroken() throws -> Bool {
        try http1?.receive { _ in false }
        try http2?.receive { $0.soFar(stream).reset != nil }
        return soFar.reset != nil || http1?.isClosed == true || http2?.isClosed == true
    }

    func interim(_ status: Int, _ fields: [(String, String)] = []) throws {
        try http1?.connection.send("HTTP/1.1 \(status) Interim\r\n" + lines(fields))
        try http2?.send(HTTP2Frames.headers(stream, [(":status", "\(status)")] + fields, endsStream: false))
    }

    /// Sends the head of a response.
    func respond(_ status: Int, _ fields: [(String, String)] = [], _ length: BodyLength = .none) throws {
        self.length = length
        try http1?.connection.send("HTTP/1.1 \(status) Status\r\n" + lines(length.fields + length.coding + fields))
        try http2?.send(
            HTTP2Frames.headers(
                stream,
                [(":status", "\(status)")] + length.fields + fields,
                endsStream: length.isNone
            )
        )
    }

    /// Sends half of a response's head.
    func respondHalf() throws {
        try http1?.connection.send("HTTP/1.1 200 OK\r\nX-")
        try http2?.send(
            HTTP2Frames.frame(HTTP2Frames.Kind.headers, stream: stream, HTTP2Frames.section([(":status", "200")]))
        )
    }

    func send(_ body: [UInt8]) throws {
        if let http2 {
            guard try body.isEmpty || http2.send(body, on: stream, endsStream: false) else {
                throw DeadlinePassed(description: "room in the window")
            }
        } else {
            try http1?.send(body, chunked: length.isChunked)
        }
    }

    /// Sends a body without end, counting its bytes: in HTTP/1.1 until the connection breaks, in HTTP/2 besides what else
    /// is asked for.
    func sendEndlessly(_ sent: Shared<Int>) throws {
        endless.append((stream, sent))
        while let http1, (try? http1.connection.send(Self.piece)) != nil { sent.with { $0 += Self.piece.count } }
    }

    private func pump(_ http2: HTTP2Peer) throws {
        for (stream, sent) in endless where http2.soFar(stream).reset == nil {
            while case let count = try http2.sendNow(Self.piece, on: stream), count > 0 { sent.with { $0 += count } }
        }
    }

    func end(_ trailers: [(String, String)] = []) throws {
        if let http2 {
            try http2.send(
                trailers.isEmpty
                    ? HTTP2Frames.data(stream, [], endsStream: true) : HTTP2Frames.headers(stream, trailers)
            )
        } else if length.isChunked {
            try http1?.end(trailers: trailers)
        }
    }

    /// Answers with a body.
    func respond(_ status: Int, _ fields: [(String, String)] = [], text: String) throws {
        try respond(status, fields, .told(text.utf8.count))
        try send(Array(text.utf8))
        try end()
    }

    /// Breaks the exchange off.
    func reset(_ code: UInt32 = 2) throws {
        http1?.connection.abort()
        try http2?.send(HTTP2Frames.reset(stream, code: code))
    }

    /// Breaks the connection off; it is closed when the script ends.
    func abort() {
        http1?.connection.abort()
        http2?.abort()
    }
}

/// everyhop between a client and a server of a pair.
struct PairBench {
    let pair: Pair
    let bench: Bench
    let admin: UInt16
    let server: ScriptedServer
    let everyhop: EveryhopProcess

    /// - Parameters:
    ///   - timeouts: of everyhop's own side.
    ///   - response: how long a server may be silent.
    ///   - script: what the server does with each connection.
    init(
        _ pair: Pair,
        timeouts: String = "",
        response: String = "20s",
        script: @escaping @Sendable (PairServer) throws -> Void
    ) throws {
        self.pair = pair
        bench = try Bench()
        admin = try freePort()
        server = try ScriptedServer(certificate: bench.trust.app, alpn: pair.server == 1 ? "http/1.1" : "h2") {
            try script(PairServer(pair.server, $0))
        }
        let port = try freePort()
        let version = pair.server == 1 ? "http/1.1" : "h2"
        everyhop = try EveryhopProcess(
            bench.folder,
            port: port,
            configuration: try bench.trust.configuration(
                port: port,
                upstream: server.port,
                server: "admin = \"127.0.0.1:\(admin)\"\n\(timeouts)",
                upstreamMore: "protocol = \"\(version)\"\n[upstream.timeouts]\nresponse = \"\(response)\""
            )
        )
    }

    func client(seconds: Int32 = 20) throws -> PairClient {
        try PairClient(pair.client, everyhop, bench.trust, seconds: seconds)
    }

    /// Waits until no exchange is counted as under way at the server, and none was counted out twice.
    func waitForRest() throws {
        try waitUntil("no request under way:\n\(everyhop.access.suffix(3))") {
            let text = try Shell.run([
                "curl", "-sS", "http://127.0.0.1:\(admin)/metrics",
            ]).text
            return text.split(separator: "\n").contains {
                $0.hasPrefix("everyhop_server_requests{") && $0.hasSuffix(" 0")
            }
        }
    }

    /// What the worker holds, in KiB.
    func memory() throws -> Int {
        let worker = try #require(try everyhop.workers().first)
        let status = String(decoding: try File.read("/proc/\(worker)/status"), as: UTF8.self)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS") } ?? ""
        return Int(line.split(separator: " ").dropLast().last ?? "") ?? 0
    }
}
