import Foundation
import Platform
import Support
import TLS

/// What the tests of HTTP/2 start: servers of HTTP/1.1, everyhop, and clients.
struct Bench {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    func start(
        _ upstream: UInt16,
        server: String = "",
        more: String = "",
        change: (String) -> String = { $0 }
    ) throws -> EveryhopProcess {
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: upstream, server: server, more: more)
        return try EveryhopProcess(folder, port: port, configuration: change(text))
    }

    func server(_ script: @escaping @Sendable (Connection) throws -> Void) throws -> ScriptedServer {
        try ScriptedServer(certificate: trust.app, script: script)
    }

    func client(_ everyhop: EveryhopProcess, settings: [(UInt16, UInt32)] = []) throws -> HTTP2Peer {
        try HTTP2Peer(to: everyhop, trust.client(alpn: "h2"), settings: settings)
    }

    /// Answers each request with its body, as it comes.
    func echo() throws -> ScriptedServer {
        try server { connection in
            var reader = EchoReader(connection)
            while try reader.serve() {}
        }
    }
}

/// One request after another, each answered with its own body in chunks.
struct EchoReader {
    private let connection: Connection
    private var waiting: [UInt8] = []

    init(_ connection: Connection) { self.connection = connection }

    /// False at the end of the connection.
    mutating func serve() throws -> Bool {
        guard let head = try line(Array("\r\n\r\n".utf8)) else { return false }
        let text = String(decoding: head, as: UTF8.self).lowercased()
        try connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if let range = text.range(of: "\r\ncontent-length: ") {
            var rest = Int(text[range.upperBound...].prefix { $0.isNumber }) ?? 0
            while rest > 0 {
                if waiting.isEmpty, try !more() { return false }
                let piece = Array(waiting.prefix(rest))
                waiting.removeFirst(piece.count)
                rest -= piece.count
                try chunk(piece)
            }
        } else if text.contains("\r\ntransfer-encoding: chunked") {
            while true {
                guard let size = try line(Array("\r\n".utf8)) else { return false }
                let count = Int(String(decoding: size.dropLast(2), as: UTF8.self), radix: 16) ?? 0
                while waiting.count < count + 2 { if try !more() { return false } }
                let piece = Array(waiting.prefix(count))
                waiting.removeFirst(count + 2)
                if count == 0 { break }
                try chunk(piece)
            }
        }
        try connection.send("0\r\n\r\n")
        return true
    }

    private func chunk(_ bytes: [UInt8]) throws {
        try connection.send(Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + [13, 10])
    }

    private mutating func more() throws -> Bool {
        guard let bytes = try connection.receive() else { return false }
        waiting += bytes
        return true
    }

    /// Up to and with `end`.
    private mutating func line(_ end: [UInt8]) throws -> [UInt8]? {
        var seen = 0
        while true {
            if waiting.count >= end.count {
                for start in seen...waiting.count - end.count where waiting[start...].starts(with: end) {
                    defer { waiting.removeFirst(start + end.count) }
                    return Array(waiting[..<(start + end.count)])
                }
                seen = waiting.count - end.count + 1
            }
            guard try more() else { return nil }
        }
    }
}
