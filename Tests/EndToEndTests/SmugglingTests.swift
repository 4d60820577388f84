import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Request smuggling") struct SmugglingTests {
    /// Takes requests apart by RFC 9112 as simply as can be, independently of the proxy's own parser.
    private static func takeRequest(_ bytes: inout [UInt8]) -> [UInt8]? {
        let end = Array("\r\n\r\n".utf8)
        guard let head = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) else { return nil }
        let lines = String(decoding: bytes[..<head], as: UTF8.self).components(separatedBy: "\r\n")
        var length = head + 4
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            let value = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
            if parts[0].lowercased() == "content-length" { length += Int(value) ?? 0 }
            if parts[0].lowercased() == "transfer-encoding" {
                let last = Array("0\r\n".utf8)
                guard
                    let zero = bytes.indices.dropFirst(head + 2).first(where: {
                        bytes[$0...].starts(with: Array("\r\n".utf8) + last)
                            || ($0 == head + 4 && bytes[$0...].starts(with: last))
                    })
                else { return nil }
                guard let stop = bytes.indices.dropFirst(zero).first(where: { bytes[$0...].starts(with: end) }) else {
                    return nil
                }
                length = stop + 4
            }
        }
        guard bytes.count >= length else { return nil }
        defer { bytes.removeFirst(length) }
        return Array(bytes[..<length])
    }

    @Test func `what reaches a server is exactly what was answered for`() throws {
        SignalDescriptor.ignoreBrokenPipes()
        let trust = try TestTrust()
        let folder = try TemporaryFolder()
        try trust.write(to: folder)
        let seen = Shared<[UInt8]>([])
        let open = Shared(0)
        let whole = Shared(0)
        let server = try ScriptedServer(certificate: trust.app) { connection in
            open.with { $0 += 1 }
            defer { open.with { $0 -= 1 } }
            var waiting: [UInt8] = []
            while let bytes = try connection.receive() {
                seen.with { $0 += bytes }
                waiting += bytes
                while let request = Self.takeRequest(&waiting) {
                    whole.with { $0 += 1 }
                    let echo = request + Array("END-OF-ECHO".utf8)
                    let isHead = request.starts(with: Array("HEAD".utf8))
                    try connection.send(
                        Array("HTTP/1.1 200 OK\r\nContent-Length: \(echo.count)\r\n\r\n".utf8) + (isHead ? [] : echo)
                    )
                }
            }
        }
        let port = try freePort()
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(port: port, upstream: server.port)
        )
        #expect(SmugglingCorpus.cases.count >= 150)
        let context = try trust.client()
        // Those of which a part may arrive late come last, so that no other case sees it.
        let (late, others) = (
            SmugglingCorpus.cases.filter { $0.expectation == .cutOff },
            SmugglingCorpus.cases.filter { $0.expectation != .cutOff }
        )
        var wholeBefore = 0
        for (index, example) in (others + late).enumerated() {
            if index == others.count { wholeBefore = whole.value }
            seen.with { $0 = [] }
            let connection = try Connection(to: everyhop.port, context)
            try? connection.send(example.bytes)
            let answer: String
            switch example.expectation {
            case .refused(let status):
                answer = connection.receiveAll()
                #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(example): \(answer.prefix(60))")
                let isEmpty = seen.value.isEmpty
                #expect(isEmpty, "\(example) reached the server")
            case .cutOff:
                answer = connection.receiveAll()
                #expect(answer.hasPrefix("HTTP/1.1 400 "), "\(example): \(answer.prefix(60))")
            case .forwarded(let count):
                let withoutBody = String(decoding: example.bytes, as: UTF8.self).hasPrefix("HEAD") ? 1 : 0
                answer = try Self.read(connection, count - withoutBody, example.description)
                let heads = answer.components(separatedBy: "HTTP/1.1 200 OK\r\n").count - 1
                #expect(heads == count, "\(example): \(answer)")
                var received = seen.value
                // A HEAD request is answered without its echo.
                if withoutBody == 1 { _ = Self.takeRequest(&received) }
                let text = String(decoding: received, as: UTF8.self)
                #expect(Self.echoes(answer) == text, "\(example)")
                #expect(!text.contains("evil") && !text.lowercased().contains("content_length"), "\(example)")
            }
        }
        try waitUntil("the end of every connection to the server") { open.value == 0 }
        #expect(whole.value == wholeBefore, "a request with a broken body reached the server whole")
    }

    /// Reads until so many bodies have come.
    private static func read(_ connection: Connection, _ count: Int, _ name: String) throws -> String {
        var text = ""
        while text.components(separatedBy: "END-OF-ECHO").count <= count {
            do {
                guard let bytes = try connection.receive() else { return text }
                text += String(decoding: bytes, as: UTF8.self)
            } catch { throw DeadlinePassed(description: "\(name): \(error) after \(text)") }
        }
        return text
    }

    /// The bodies of all responses, one after another.
    private static func echoes(_ text: String) -> String {
        text.components(separatedBy: "END-OF-ECHO").dropLast().map { part in
            // The head of the response that carries this echo is the last one before it.
            guard let start = part.range(of: "HTTP/1.1 200 OK\r\n", options: .backwards),
                let end = part.range(of: "\r\n\r\n", range: start.upperBound..<part.endIndex)
            else { return "" }
            return String(part[end.upperBound...])
        }.joined()
    }
}
