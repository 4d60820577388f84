import ACME
import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Certificates from an authority", .serialized) struct IssuanceTests {
    @Test func `http-01: a placeholder first, then the authority's certificate, kept for its owner alone`() throws {
        let trust = try TestTrust()
        let pebble = try Pebble(trust, refusedNonces: 20)
        var issued = try Issued(trust, pebble, settings: ", email = \"a@example.org\"")
        if getuid() == 0 { issued.server = "user = \"nobody\"" }
        let everyhop = try issued.start(pebble.directory)
        #expect(everyhop.log.contains("a self-signed placeholder is shown"))
        try waitUntil("the certificate:\n\(everyhop.log)\n\(pebble.log)", seconds: 60) {
            try issued.shown()?.issuer.contains("Pebble") == true
        }
        let facts = try #require(try issued.shown())
        #expect(facts.names == ["portal.example.org"] && facts.keyType == "ECDSA P-256")
        #expect(facts.fingerprint == issued.fingerprint, "\(everyhop.log)\n\(issued.record)")
        try waitUntil("the metrics") {
            issued.ask("/metrics").contains("everyhop_acme_placeholder{certificate=\"portal\"} 0")
        }
        let metrics = issued.ask("/metrics")
        #expect(metrics.contains("everyhop_acme_failures_total{certificate=\"portal\"} 0"))
        #expect(metrics.contains("everyhop_acme_last_success_timestamp_seconds{certificate=\"portal\"} 1"))
        #expect(metrics.contains("everyhop_acme_next_renewal_timestamp_seconds{certificate=\"portal\"} 1"))
        #expect(issued.ask("/readyz").contains("certificate portal: issued"))
        // Nothing that proves anything is told to anybody else.
        let told = everyhop.log + everyhop.access.joined(separator: "\n")
        #expect(told.contains("\"path\":\"/.well-known/acme-challenge/\"") && !told.contains("PRIVATE KEY"))
        for piece in told.components(separatedBy: "acme-challenge/").dropFirst() { #expect(piece.hasPrefix("\"")) }
        let owner = NSUserName()
        let list = try Shell.run(["find", "\(issued.folder.path)/state", "-printf", "%y%m %u\n"]).text
        #expect(Set(list.split(separator: "\n")) == ["d700 \(owner)", "f600 \(owner)"])
        // Once the authority has looked, nothing is shown any more.
        try waitUntil("no proof") {
            try issued.plain("GET /.well-known/acme-challenge/AAAAAAAAAAAAAAAAAAAAAA").contains(" 404 ")
        }
        #expect(try issued.plain("GET /.well-known/acme-challenge").contains(" 308 "))
        #expect(try issued.plain("POST /.well-known/acme-challenge/").contains(" 404 "))
        #expect(try issued.plain("GET /x").contains("Location: https://portal.example.org"))
    }

    @Test func `tls-alpn-01, an RSA key, an account that is tied to another one, and a binding that says it itself`()
        throws
    {
        let trust = try TestTrust()
        let pebble = try Pebble(trust, demandsExternal: true)
        let issued = try Issued(
            trust,
            pebble,
            settings:
                ", challenge = \"tls-alpn-01\", key = \"rsa-2048\", eab = { kid = \"\(Pebble.external.name)\", key_file = \"eab.key\" }"
        )
        try issued.folder.write("eab.key", Pebble.external.key + "\n")
        let everyhop = try issued.start(pebble.directory)
        try waitUntil("the certificate:\n\(everyhop.log)\n\(pebble.log)", seconds: 60) {
            try issued.shown()?.issuer.contains("Pebble") == true
        }
        #expect(try issued.shown()?.keyType == "RSA 2048")
        // A client that wants to see a proof gets none, and nothing else either.
        let client = try ClientContext.inspecting(name: issued.name, alpn: [ServerNameTable.challengeProtocol])
        #expect(throws: (any Error).self) { _ = try Connection(to: issued.tls, client) }
    }

    @Test func `a certificate is kept over a restart, and asked for again when names change`() throws {
        let trust = try TestTrust()
        let pebble = try Pebble(trust)
        let issued = try Issued(trust, pebble)
        var everyhop: EveryhopProcess? = try issued.start(pebble.directory)
        try everyhop?.waitForLog("certificate issued")
        let first = try #require(issued.fingerprint)
        everyhop?.signal(SIGTERM)
        _ = try everyhop?.waitForEnd()
        everyhop = try issued.start(pebble.directory)
        try everyhop?.waitForLog("certificate is kept")
        #expect(try issued.shown()?.fingerprint == first && pebble.issued == 1)
        let names = ["portal.example.org", "www.example.org"]
        try issued.folder.write("everyhop.toml", try issued.configuration(pebble.directory, names: names))
        everyhop?.signal(SIGHUP)
        try waitUntil("a certificate for both names:\n\(everyhop?.log ?? "")", seconds: 60) {
            try issued.shown()?.names.sorted() == names
        }
        #expect(pebble.issued == 2)
    }

    @Test func `a certificate is renewed at two thirds of its life`() throws {
        let trust = try TestTrust()
        let pebble = try Pebble(trust, seconds: 12)
        let issued = try Issued(trust, pebble)
        let everyhop = try issued.start(pebble.directory)
        try waitUntil("the first:\n\(everyhop.log)", seconds: 60) { issued.fingerprint != nil }
        let first = try #require(issued.state.certificate("portal")).facts
        try waitUntil("the second:\n\(everyhop.log)", seconds: 60) { issued.fingerprint != first.fingerprint }
        let second = try #require(issued.state.certificate("portal")).facts
        #expect((6...12).contains(second.notBefore - first.notBefore), "\(second.notBefore - first.notBefore)")
        #expect(second.pin != first.pin)
        try waitUntil("it to be shown:\n\(everyhop.log)") { try issued.shown()?.notBefore ?? 0 >= second.notBefore }
    }

    @Test func `an issuer that is killed at any moment leaves a certificate with its own key`() throws {
        let trust = try TestTrust()
        // Due again soon after it is there.
        let pebble = try Pebble(trust, seconds: 6)
        let issued = try Issued(trust, pebble)
        let everyhop = try issued.start(pebble.directory)
        try waitUntil("the first:\n\(everyhop.log)", seconds: 60) { issued.fingerprint != nil }
        var kills = 0
        var seen: Set<String> = []
        var next = Clock.monotonicMicroseconds()
        try waitUntil("five kills and two certificates:\n\(everyhop.log)", seconds: 90) {
            let fingerprint = try #require(issued.fingerprint, "the pair is torn")
            seen.insert(fingerprint)
            if kills < 5, Clock.monotonicMicroseconds() >= next, let process = try issued.issuer(of: everyhop) {
                kill(process, SIGKILL)
                kills += 1
                next = Clock.monotonicMicroseconds() + UInt64.random(in: 200_000...4_000_000)
            }
            return kills >= 5 && seen.count >= 2
        }
        #expect(try issued.shown() != nil)
    }
}
