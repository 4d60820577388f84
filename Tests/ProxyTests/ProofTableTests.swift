import ACME
import Bytes
import Config
import HTTP
import TLS
import Testing

@testable import Proxy

@Suite("What authorities are shown") struct ProofTableTests {
    private static let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

    private func table() throws -> ProofTable {
        var table = ProofTable(version: 7)
        table.entries.append(
            ProofTable.Entry(
                challenge: .http01,
                name: "a.test",
                token: Self.token,
                answer: Array("\(Self.token).thumb".utf8)
            )
        )
        let made = try CertificateMaker.challenge(name: "b.test", digest: SHA256.digest([1]))
        table.entries.append(
            ProofTable.Entry(challenge: .tlsALPN01, name: "b.test", certificate: made.certificatePEM, key: made.keyPEM)
        )
        return table
    }

    private func isAnswered(_ proofs: ShownProofs, _ request: String) throws -> Bool {
        var parser = RequestParser(limit: 8192)
        var head = RequestHead()
        let bytes = Array("\(request)\r\n\r\n".utf8)
        _ = try parser.parse(bytes.span, into: &head)
        return proofs.answer(to: head) != nil
    }

    @Test func `a table comes out as it went in, and half of one is none`() throws {
        let table = try table()
        let bytes = table.encoded()
        #expect(try ProofTable(decoding: bytes) == table)
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: WireReader.Malformed.self) { try ProofTable(decoding: Array(bytes.prefix(count))) }
        }
        let part = KeptPart(.record, "c", [1, 2])
        #expect(try KeptPart(decoding: part.encoded()) == part)
        var record = CertificateRecord()
        record.failed(IssuanceFailure("why"), asked: "", now: 5, jitter: 0)
        let update = IssuanceUpdate(.failed, "c", isIssued: false, next: 9, record)
        #expect(try IssuanceUpdate(decoding: update.encoded()) == update && update.reason == "why")
    }

    @Test func `a token is answered to its own host only, to GET only, and nothing else is`() throws {
        let proofs = try ShownProofs(try table())
        let path = "/.well-known/acme-challenge/\(Self.token)"
        #expect(try isAnswered(proofs, "GET \(path) HTTP/1.1\r\nHost: a.test"))
        #expect(try isAnswered(proofs, "GET \(path)?x HTTP/1.1\r\nHost: A.TEST:8080"))
        for request in [
            "GET \(path) HTTP/1.1\r\nHost: b.test", "HEAD \(path) HTTP/1.1\r\nHost: a.test",
            "POST \(path) HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0", "GET \(path)x HTTP/1.1\r\nHost: a.test",
            "GET \(path)/ HTTP/1.1\r\nHost: a.test", "GET /.well-known/acme-challenge/ HTTP/1.1\r\nHost: a.test",
            "GET /.well-known/acme-challenge/%65\(Self.token.dropFirst()) HTTP/1.1\r\nHost: a.test",
            "GET /x\(path) HTTP/1.1\r\nHost: a.test",
        ] { #expect(try !isAnswered(proofs, request), "\(request)") }
        #expect(Array(proofs.contexts.keys) == ["b.test"])
    }

    @Test func `what is no certificate is not shown`() throws {
        var table = try table()
        table.entries[1].key = try CertificateMaker.selfSigned(names: ["b.test"]).keyPEM
        #expect(throws: (any Error).self) { try ShownProofs(table) }
    }

    @Test func `metrics and readiness tell of a placeholder and of failures`() {
        var record = CertificateRecord()
        record.failed(IssuanceFailure("refused"), asked: "", now: 5, jitter: 0)
        let update = IssuanceUpdate(.failed, "c", isIssued: false, next: 9, record)
        let text = IssuanceMetrics.write([update])
        #expect(text.contains("everyhop_acme_placeholder{certificate=\"c\"} 1\n"))
        #expect(text.contains("everyhop_acme_failures_total{certificate=\"c\"} 1\n"))
        #expect(text.contains("everyhop_acme_last_success_timestamp_seconds{certificate=\"c\"} 0\n"))
        let readiness = IssuanceMetrics.readiness([update])
        #expect(readiness == "certificate c: NOT ISSUED YET, a self-signed placeholder is shown; failed: refused\n")
        #expect(IssuanceMetrics.write([]).isEmpty && IssuanceMetrics.readiness([]).isEmpty)
    }
}
