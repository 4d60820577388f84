import ACME
import Foundation
import Platform
import Support
import TLS
import Testing

/// Whatever goes wrong, the certificate that is there goes on being shown.
@Suite("An authority that does not issue", .serialized) struct IssuanceFailureTests {
    /// Starts with a certificate at the end of its life, and waits until no new one has come for `reason`.
    private func fails(_ issued: Issued, _ directory: String, because reason: String) throws -> CertificateRecord {
        let old = try issued.keepOld(directory)
        let everyhop = try issued.start(directory)
        try waitUntil("the failure \"\(reason)\":\n\(everyhop.log)", seconds: 60) {
            everyhop.log.contains("certificate not issued, the present one stays")
        }
        let record = issued.record
        #expect(record.lastFailure?.contains(reason) == true, "\(record.lastFailure ?? "")")
        #expect(try issued.shown()?.fingerprint == old.fingerprint && issued.fingerprint == old.fingerprint)
        try waitUntil("the metrics") {
            issued.ask("/metrics").contains("everyhop_acme_failures_total{certificate=\"portal\"} 1")
        }
        #expect(record.failures == 1)
        return record
    }

    private var now: Int64 { Int64(Clock.unixMicroseconds() / 1_000_000) }

    @Test func `the directory cannot be reached`() throws {
        let issued = try Issued(try TestTrust(), nil)
        let record = try fails(issued, "https://localhost:\(try freePort())/dir", because: "refused")
        #expect((record.notBefore ?? 0) >= now + 20 && (record.notBefore ?? 0) <= now + 60)
    }

    @Test func `the directory's server is not the one that is trusted`() throws {
        let pebble = try Pebble(try TestTrust())
        _ = try fails(try Issued(try TestTrust(), pebble), pebble.directory, because: "certificate")
        #expect(!pebble.log.contains("newAccount") && pebble.issued == 0)
    }

    @Test func `nobody answers where the authority looks`() throws {
        let trust = try TestTrust()
        let pebble = try Pebble(trust)
        let record = try fails(try Issued(trust, nil), pebble.directory, because: "was not proved by http-01")
        #expect(record.lastFailure?.contains("acme-challenge/...") ?? false, "\(record.lastFailure ?? "")")
    }

    @Test func `the authority does not issue for the name`() throws {
        let trust = try TestTrust()
        let pebble = try Pebble(trust)
        var issued = try Issued(trust, pebble)
        issued.name = "refused.example.org"
        _ = try fails(issued, pebble.directory, because: "rejectedIdentifier")
    }

    @Test func `the authority wants to be left alone for an hour`() throws {
        let trust = try TestTrust()
        let server = try ScriptedServer(certificate: trust.portal) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            let body = "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"too many\"}"
            try connection.send(
                "HTTP/1.1 429 Too Many\r\nRetry-After: 3600\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            )
            connection.close()
        }
        let issued = try Issued(trust, nil)
        let record = try fails(issued, "https://localhost:\(server.port)/dir", because: "rateLimited: too many")
        #expect((3500...3600).contains((record.notBefore ?? 0) - now))
        // Neither a restart nor a reload makes it ask before that.
        let everyhop = try issued.start("https://localhost:\(server.port)/dir")
        try everyhop.waitForLog("certificate is kept", count: 2)
        try everyhop.waitForLog("ready", count: 2)
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 3)
        #expect(issued.record.failures == 1)
    }

    @Test func `an authority that is long in answering does not keep the master waiting`() throws {
        let trust = try TestTrust()
        let (port, questions, mayAnswer) = (Shared<UInt16>(0), Shared(0), Shared(0))
        let server = try ScriptedServer(certificate: trust.portal) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            let number = questions.with {
                $0 += 1
                return $0
            }
            try waitUntil("leave to answer", seconds: 60) { mayAnswer.value >= number }
            let address = "https://localhost:\(port.value)"
            let body =
                "{\"newNonce\":\"\(address)/nonce\",\"newAccount\":\"\(address)/account\",\"newOrder\":\"\(address)/order\"}"
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            connection.close()
        }
        port.with { $0 = server.port }
        defer { mayAnswer.with { $0 = 100 } }
        let issued = try Issued(trust, nil)
        let everyhop = try issued.start("https://localhost:\(server.port)/dir")
        try waitUntil("the first question:\n\(everyhop.log)") { questions.value == 1 }
        let issuer = try #require(try issued.issuer(of: everyhop))
        try waitUntil("the master to ask whether it is there") { try unread(by: issuer) > 0 }
        // So that it does not ask again at once.
        everyhop.signal(SIGSTOP)
        defer { everyhop.signal(SIGCONT) }
        mayAnswer.with { $0 = 1 }
        try waitUntil("the second question:\n\(everyhop.log)") { questions.value == 2 }
        try waitUntil("the answer to the master") { try unread(by: issuer) == 0 }
    }

    /// How many bytes of the master wait for a child.
    private func unread(by child: Int32) throws -> Int {
        let result = try Shell.run(
            [
                "python3", "-c",
                """
                import ctypes, fcntl, os, struct, termios
                channel = ctypes.CDLL(None, use_errno=True).syscall(438, os.pidfd_open(\(child)), 3, 0)
                assert channel >= 0, os.strerror(ctypes.get_errno())
                print(struct.unpack("i", fcntl.ioctl(channel, termios.FIONREAD, bytes(4)))[0])
                """,
            ],
            merged: true
        )
        return try #require(Int(result.text.trimmingCharacters(in: .whitespacesAndNewlines)), "\(result.text)")
    }

    @Test func `a reload keeps a working certificate whose file was damaged`() throws {
        let trust = try TestTrust()
        let issued = try Issued(trust, nil)
        let directory = "https://localhost:\(try freePort())/dir"
        let old = try issued.keepOld(directory)
        let everyhop = try issued.start(directory)
        try issued.folder.write("state/acme/certificates/portal/certificate.pem", "nothing\n")
        let text = try issued.configuration(directory).replacingOccurrences(of: "\"2s\"", with: "\"3s\"")
        try issued.folder.write("everyhop.toml", text)
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        #expect(everyhop.log.contains("is gone or damaged where it is kept: the one that is served stays"))
        #expect(try issued.shown()?.fingerprint == old.fingerprint)
        // Another program would not have it.
        everyhop.signal(SIGUSR2)
        try everyhop.waitForLog("upgrade failed, this program goes on")
        #expect(everyhop.log.contains("and only the present program has it"))
        #expect(try issued.shown()?.fingerprint == old.fingerprint)
    }

    @Test func `a placeholder stays the same over reloads, wherever the state is kept`() throws {
        let state = try TemporaryFolder()
        let issued = try Issued(try TestTrust(), nil)
        let directory = "https://localhost:\(try freePort())/dir"
        let text = try issued.configuration(directory)
            .replacingOccurrences(of: "state = \"state\"", with: "state = \"\(state.path)/state\"")
        let everyhop = try EveryhopProcess(issued.folder, port: issued.tls, configuration: text)
        let first = try #require(try issued.shown())
        #expect(first.isSelfSigned)
        try issued.folder.write("everyhop.toml", text.replacingOccurrences(of: "\"2s\"", with: "\"3s\""))
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        #expect(try issued.shown()?.fingerprint == first.fingerprint)
        #expect(everyhop.log.components(separatedBy: "has not been issued yet").count == 3)
    }
}
