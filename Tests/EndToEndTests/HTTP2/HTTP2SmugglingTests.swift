import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Request smuggling from HTTP/2") struct HTTP2SmugglingTests {
    /// What the server saw, each connection for itself.
    private final class Record: Sendable {
        let connections = Shared<[[UInt8]]>([])

        func begin() -> Int {
            connections.with {
                $0.append([])
                return $0.count - 1
            }
        }
    }

    /// Whether a head and the end of its body are there.
    private static func isWhole(_ text: String) -> Bool {
        guard let end = text.range(of: "\r\n\r\n") else { return false }
        let head = text[..<end.lowerBound].lowercased()
        if head.contains("\r\ntransfer-encoding: chunked") {
            return text[end.lowerBound...].contains("\r\n0\r\n") && text.hasSuffix("\r\n\r\n")
        }
        guard let length = head.range(of: "\r\ncontent-length: ") else { return true }
        let told = Int(head[length.upperBound...].prefix { $0.isNumber }) ?? 0
        return text[end.upperBound...].utf8.count >= told
    }

    @Test func `what reaches a server is exactly the request, byte for byte`() throws {
        let bench = try Bench()
        let record = Record()
        let server = try bench.server { connection in
            let index = record.begin()
            while let bytes = try connection.receive() {
                let text = record.connections.with {
                    $0[index] += bytes
                    return String(decoding: $0[index], as: UTF8.self)
                }
                if Self.isWhole(text) {
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                    return
                }
            }
        }
        let everyhop = try bench.start(server.port)
        #expect(HTTP2SmugglingCorpus.cases.count >= 300)
        for example in HTTP2SmugglingCorpus.cases {
            record.connections.with { $0 = [] }
            let client = try bench.client(everyhop)
            try client.send(example.bytes)
            try client.receive { ($0.answers[1].map { $0.isWhole || $0.reset != nil }) ?? false }
            let answer = client.soFar(1)
            let seen = record.connections.value.map { String(decoding: $0, as: UTF8.self) }
            switch example.expectation {
            case .refused:
                let isRefused = answer.reset != nil || answer.status >= 400 || client.goAway != nil
                #expect(isRefused, "\(example): \(answer.status)")
                #expect(seen.joined().isEmpty, "\(example) reached the server: \(seen)")
            case .cutOff:
                #expect(
                    answer.reset != nil || answer.status == 400 || client.goAway != nil,
                    "\(example): \(answer.status)"
                )
                #expect(!seen.contains { Self.isWhole($0) }, "\(example) reached the server whole: \(seen)")
            case .forwarded(let line, let body):
                #expect(answer.status == 200, "\(example): \(answer.status), reset \(String(describing: answer.reset))")
                let text = try #require(seen.first)
                let end = try #require(text.range(of: "\r\n\r\n"))
                let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
                #expect(lines[0] == line && lines[1].lowercased() == "host: localhost", "\(example): \(lines)")
                #expect(text[end.upperBound...] == body, "\(example): \(text)")
                let lengths = lines.count { $0.lowercased().hasPrefix("content-length:") }
                let codings = lines.count { $0.lowercased().hasPrefix("transfer-encoding:") }
                #expect(seen.count == 1 && lengths + codings == 1, "\(example): \(seen)")
                #expect(!lines.joined().contains("content_length"))
            }
        }
    }
}
