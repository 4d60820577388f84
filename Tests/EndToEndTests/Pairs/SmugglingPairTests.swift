import Foundation
import Platform
import Support
import TLS
import Testing

/// The corpora of both versions against a server in HTTP/2; those against HTTP/1.1 are in tests of their own, where the
/// bytes count.
@Suite("Request smuggling towards HTTP/2", .serialized) struct SmugglingPairTests {
    private static let end = "END-OF-ECHO"
    /// What everyhop adds to each request.
    private static let added: Set<String> = [
        "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip", "x-request-id",
        "via",
        "forwarded",
    ]
    private static let forbidden: Set<String> = [
        "connection", "transfer-encoding", "keep-alive", "proxy-connection", "upgrade", "host", "content_length",
        "transfer_encoding",
    ]

    /// What has come to the server.
    private struct Seen: Sendable {
        var heads = 0
        var whole: [HTTP2Peer.Answer] = []
    }

    /// Answers each request with its own body.
    private static func bench(_ client: Int, _ seen: Shared<Seen>) throws -> PairBench {
        try PairBench(Pair(client: client, server: 2)) { server in
            while let head = try server.head() {
                seen.with { $0.heads += 1 }
                let request = try server.request()
                guard request.isWhole else { continue }
                seen.with { $0.whole.append(request) }
                let length = BodyLength.told(request.body.count + end.utf8.count)
                guard head[":method"] != "HEAD" else {
                    try server.respond(200, length.fields)
                    continue
                }
                try server.respond(200, [], length)
                try server.send(request.body + Array(end.utf8))
                try server.end()
            }
        }
    }

    /// What is true of every request that is passed on.
    private static func check(_ request: HTTP2Peer.Answer, _ name: String) {
        let names = request.fields.map(\.name)
        #expect(forbidden.isDisjoint(with: names), "\(name): \(names)")
        for pseudo in [":method", ":scheme", ":path", ":authority"] {
            #expect(names.count { $0 == pseudo } == 1, "\(name): \(names)")
        }
        #expect(names.drop { $0.hasPrefix(":") }.allSatisfy { !$0.hasPrefix(":") }, "\(name): \(names)")
        #expect(request[":authority"]?.lowercased().hasPrefix("localhost") == true, "\(name)")
        #expect(request[":path"]?.contains("evil") == false && request[":path"] != "/hidden", "\(name)")
        let lengths = request.fields.filter { $0.name == "content-length" }.map(\.value)
        #expect(lengths.isEmpty || lengths == ["\(request.body.count)"], "\(name): \(lengths)")
        #expect(request.trailers.allSatisfy { !["content-length", "host"].contains($0.name) }, "\(name)")
    }

    @Test func `what HTTP/1.1 could hide reaches a server in HTTP/2 as what was answered for, or not at all`() throws {
        let seen = Shared(Seen())
        let bench = try Self.bench(1, seen)
        let context = try bench.bench.trust.client()
        // Those of which a part may arrive late come last, so that no other case sees it.
        let cases = SmugglingCorpus.cases
        for example in cases.filter({ $0.expectation != .cutOff }) + cases.filter({ $0.expectation == .cutOff }) {
            seen.with { $0 = Seen() }
            let connection = try Connection(to: bench.everyhop.port, context)
            try? connection.send(example.bytes)
            switch example.expectation {
            case .refused(let status):
                let answer = connection.receiveAll()
                #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(example): \(answer.prefix(60))")
                #expect(seen.value.heads == 0, "\(example) reached the server")
            case .cutOff:
                #expect(connection.receiveAll().hasPrefix("HTTP/1.1 400 "), "\(example)")
                #expect(seen.value.whole.isEmpty, "\(example) reached the server whole")
            case .forwarded(let count):
                let withoutBody = String(decoding: example.bytes, as: UTF8.self).hasPrefix("HEAD") ? 1 : 0
                var text = ""
                while text.components(separatedBy: Self.end).count <= count - withoutBody {
                    guard let bytes = try connection.receive() else { break }
                    text += String(decoding: bytes, as: UTF8.self)
                }
                #expect(text.components(separatedBy: "HTTP/1.1 200 ").count - 1 == count, "\(example): \(text)")
                let requests = seen.value.whole
                #expect(requests.count == count && seen.value.heads == count, "\(example)")
                for request in requests { Self.check(request, example.description) }
                let bodies = requests.map { $0[":method"] == "HEAD" ? "" : $0.text + Self.end }.joined()
                #expect(Self.bodies(text) == bodies, "\(example)")
            }
        }
        try bench.waitForRest()
        #expect(seen.value.whole.isEmpty, "a request with a broken body reached the server whole")
    }

    /// The bodies of all answers, one after another.
    private static func bodies(_ text: String) -> String {
        text.components(separatedBy: "HTTP/1.1 ").filter { $0.hasPrefix("200 ") }.map {
            $0.components(separatedBy: "\r\n\r\n").dropFirst().joined(separator: "\r\n\r\n")
        }.joined()
    }

    /// The fields in any order; of a host its case counts for nothing, and of no body its length.
    private static func lines(_ fields: [(name: String, value: String)], without dropped: Set<String>) -> [String] {
        fields.filter { !dropped.contains($0.name) && $0 != ("content-length", "0") }
            .map { "\($0.name): \($0.name == ":authority" ? $0.value.lowercased() : $0.value)" }.sorted()
    }

    @Test func `what reaches a server in HTTP/2 is exactly the request, field by field`() throws {
        let seen = Shared(Seen())
        let bench = try Self.bench(2, seen)
        let cases = HTTP2SmugglingCorpus.cases
        for example in cases.filter({ $0.expectation != .cutOff }) + cases.filter({ $0.expectation == .cutOff }) {
            seen.with { $0 = Seen() }
            let client = try bench.bench.client(bench.everyhop)
            try client.send(example.bytes)
            try client.receive { ($0.answers[1].map { $0.isWhole || $0.reset != nil }) ?? false }
            let answer = client.soFar(1)
            let isRefused = answer.reset != nil || answer.status >= 400 || client.goAway != nil
            switch example.expectation {
            case .refused:
                #expect(isRefused, "\(example): \(answer.status)")
                #expect(seen.value.heads == 0, "\(example) reached the server")
            case .cutOff:
                #expect(isRefused, "\(example): \(answer.status)")
                #expect(seen.value.whole.isEmpty, "\(example) reached the server whole")
            case .forwarded:
                #expect(answer.status == 200 && answer.text == example.body + Self.end, "\(example): \(answer)")
                #expect(seen.value.heads == 1 && seen.value.whole.count == 1, "\(example)")
                let request = try #require(seen.value.whole.first)
                Self.check(request, example.description)
                let dropped = Self.added.union(["host", "content_length"])
                #expect(Self.lines(request.fields, without: dropped) == Self.lines(example.fields, without: dropped))
                #expect(request.text == example.body, "\(example)")
            }
        }
        try bench.waitForRest()
        #expect(seen.value.whole.isEmpty, "a request with a broken body reached the server whole")
    }
}
