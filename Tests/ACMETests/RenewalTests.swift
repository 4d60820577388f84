import ACME
import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("When a certificate is asked for, and where it is kept") struct RenewalTests {
    private static let directory = "https://ca.test/dir"
    private let question = RenewalPlan.Question(directory: directory, names: ["a.test", "B.test"], key: .ecdsa)

    private func facts(names: [String] = ["a.test", "b.test"], key: CertificateMaker.KeyKind = .ecdsa, days: Int = 90)
        throws
        -> CertificateFacts
    {
        try CertificateFacts.read(
            pem: try CertificateMaker.selfSigned(names: names, key: key, days: days).certificatePEM
        )[0]
    }

    private func record(_ directory: String = directory) -> CertificateRecord {
        var record = CertificateRecord()
        record.succeeded(directory, now: 1)
        return record
    }

    @Test func `at two thirds of its life, or up to a thirtieth later, and always the same`() throws {
        for _ in 0..<20 {
            let facts = try facts()
            let life = facts.notAfter - facts.notBefore
            let due = RenewalPlan.next(facts, record(), asks: question, now: 1000)
            #expect(due >= facts.notBefore + life / 3 * 2 && due <= facts.notBefore + life / 3 * 2 + life / 30)
            #expect(due == RenewalPlan.next(facts, record(), asks: question, now: 1000))
        }
        #expect(Set(try (0..<10).map { _ in RenewalPlan.renewal(of: try facts()) % 100_000 }).count > 1)
    }

    @Test func `at once when there is none, or when something else is asked for`() throws {
        #expect(RenewalPlan.next(nil, CertificateRecord(), asks: question, now: 1000) == 0)
        #expect(RenewalPlan.next(try facts(names: ["a.test"]), record(), asks: question, now: 1000) == 0)
        #expect(
            RenewalPlan.next(try facts(names: ["a.test", "b.test", "c.test"]), record(), asks: question, now: 1000) == 0
        )
        #expect(RenewalPlan.next(try facts(key: .rsa), record(), asks: question, now: 1000) == 0)
        #expect(RenewalPlan.next(try facts(), record("https://other.test/dir"), asks: question, now: 1000) == 0)
    }

    @Test func `after failures ever later, and not before the authority says`() throws {
        var record = CertificateRecord()
        var pauses: [Int64] = []
        for _ in 0..<14 {
            record.failed(IssuanceFailure("x"), asked: question.text, now: 1000, jitter: 1)
            pauses.append(RenewalPlan.next(nil, record, asks: question, now: 1000) - 1000)
        }
        #expect(pauses.prefix(4) == [60, 120, 240, 480] && pauses.last == 43_200)
        record.failed(IssuanceFailure("x", retryAfter: 100_000), asked: question.text, now: 1000, jitter: 0)
        #expect(RenewalPlan.next(nil, record, asks: question, now: 1000) == 101_000)
        record.failed(IssuanceFailure("x", retryAfter: .max), asked: question.text, now: 1000, jitter: 0)
        #expect(RenewalPlan.next(nil, record, asks: question, now: 1000) == 1000 + 7 * 86_400)
        // Later than that, the clock was wrong when it failed.
        #expect(RenewalPlan.next(nil, record, asks: question, now: 1000 - 86_400) == 0)
        // Another question need not wait, and its first failure is a first one.
        let other = RenewalPlan.Question(directory: Self.directory, names: ["a.test"], key: .ecdsa)
        #expect(RenewalPlan.next(nil, record, asks: other, now: 1000) == 0)
        record.failed(IssuanceFailure("x"), asked: other.text, now: 1000, jitter: 0)
        #expect(RenewalPlan.next(nil, record, asks: other, now: 1000) == 1030 && record.failures == 17)
    }

    @Test func `what is kept is its owner's alone, and what is no file of ours is not believed`() throws {
        let folder = try TemporaryFolder()
        let state = CertificateFolder(state: folder.path)
        #expect(state.certificate("c") == nil && state.read(.record, "c") == nil)
        let made = try CertificateMaker.selfSigned(names: ["a.test"])
        let file = CertificateFile(chainPEM: made.certificatePEM, keyPEM: made.keyPEM)
        try state.write(.certificate, "c", file.bytes)
        let path = state.path(.certificate, "c")
        #expect(state.certificate("c")?.file == file)
        #expect(try File.mode(of: path) == 0o600)
        #expect(try File.mode(of: "\(folder.path)/acme/certificates/c") == 0o700)
        try state.write(.record, "c", record().json)
        #expect(state.read(.record, "c").flatMap { CertificateRecord(json: $0) } == record())
        // A link is not followed, and half a file is none.
        let elsewhere = try folder.write("elsewhere.pem", file.bytes)
        File.remove(path)
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: elsewhere)
        #expect(state.certificate("c") == nil)
        File.remove(path)
        try File.write(made.certificatePEM, to: path, mode: 0o600)
        #expect(state.certificate("c") == nil)
        let odd = CertificateRecord(
            json: Array("{\"asked\":\"\",\"directory\":\"\",\"failures\":-9,\"failuresInARow\":99999999999}".utf8)
        )
        #expect(odd?.failures == 0 && odd?.failuresInARow == 1000)
        #expect(CertificateRecord(json: Array("[]".utf8)) == nil)
    }

    @Test func `one process issues at a time`() throws {
        let folder = try TemporaryFolder()
        let state = CertificateFolder(state: folder.path)
        var first = try state.lock()
        #expect(first != nil)
        #expect(try state.lock() == nil)
        first = nil
        #expect(try state.lock() != nil)
    }

    @Test func `a file is taken apart by its blocks`() throws {
        let made = try CertificateMaker.selfSigned(names: ["a.test"])
        let noise = Array(
            "text\n-----BEGIN CERTIFICATE-----\nunended\n-----BEGIN X509 CRL-----\nx\n-----END X509 CRL-----\n".utf8
        )
        let file = CertificateFile(noise + made.keyPEM + made.certificatePEM + made.certificatePEM)
        #expect(file.keyPEM == made.keyPEM && file.chainPEM == made.certificatePEM + made.certificatePEM)
        #expect(CertificateFile([]).chainPEM.isEmpty && CertificateFile([0xFF, 0x0A, 0x2D]).keyPEM.isEmpty)
        let many = CertificateFile((0..<50).flatMap { _ in made.certificatePEM })
        #expect(many.chainPEM.count == 10 * made.certificatePEM.count)
    }

    @Test func `keys of accounts elsewhere are Base64 for URLs`() {
        #expect(
            AccountSettings.External(identifier: "a", encodedKey: Array("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV\n".utf8))
                != nil
        )
        for text in ["", "short", "zWNDZM6eQGHWpSRTPal5eIUYFTu7Eaj+V", String(repeating: "A", count: 33)] {
            #expect(AccountSettings.External(identifier: "a", encodedKey: Array(text.utf8)) == nil, "\(text)")
        }
    }
}
