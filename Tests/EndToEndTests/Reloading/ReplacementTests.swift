import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Certificates and trust replaced in living workers", .serialized) struct ReplacementTests {
    let reloaded: Reloaded
    var trust: TestTrust { reloaded.trust }
    var folder: TemporaryFolder { reloaded.folder }

    init() throws { reloaded = try Reloaded() }

    private func start(_ upstream: UInt16, server: String = "", more: String = "", workers: Int = 2) throws
        -> EveryhopProcess
    {
        let text = try trust.configuration(port: reloaded.port, upstream: upstream, server: server, more: more)
            .replacingOccurrences(of: "workers = 1", with: "workers = \(workers)")
        return try EveryhopProcess(folder, port: reloaded.port, configuration: text)
    }

    private static let upgrade =
        "GET /chart HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    @Test func `a WebSocket lives through a renewal, while new handshakes see the new certificate`() throws {
        let server = try PeerServer(trust, script: "websocket_server.py")
        let everyhop = try start(server.port)
        let workers = try everyhop.workers()
        let socket = try Connection(to: reloaded.port, try trust.client())
        try socket.send(Self.upgrade)
        _ = try socket.receive(until: "\r\n\r\n")
        let next = try reloaded.renew()
        try reloaded.waitUntilShown(next, everyhop)
        for _ in 0..<8 { #expect(try reloaded.isShown(next)) }
        #expect(try !reloaded.isShown(try reloaded.pin(trust.portal)))
        try socket.send([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])
        #expect(try socket.receive() == [0x81, 0x02, 0x68, 0x69])
        #expect(try everyhop.workers() == workers)
        try everyhop.waitForLog("certificate replaced certificate=\"portal\" not_after=\"")
        try everyhop.waitForLog("pin=\"\(next)\"")
    }

    @Test func `a pair that does not belong together is refused, and taken when it does`() throws {
        let everyhop = try start(try reloaded.countingServer().port)
        let old = try reloaded.pin(trust.portal)
        let next = try CertificateMaker.issue(names: ["localhost", "127.0.0.1"], by: trust.authority)
        try reloaded.replace("portal.pem", next.certificatePEM)
        try everyhop.waitForLog("what has changed is not replaced, the present one stays")
        try everyhop.waitForLog("the private key does not belong to the certificate")
        #expect(try reloaded.isShown(old))
        try reloaded.replace("portal.key", next.keyPEM)
        try reloaded.waitUntilShown(try reloaded.pin(next), everyhop)
        #expect(try everyhop.workers().count == 2)
    }

    @Test func `one certificate that is not good does not hold up another`() throws {
        let everyhop = try start(
            try reloaded.countingServer().port,
            more: """
                [certificate.other]
                chain = "other.pem"
                key = "other.key"
                """
                .replacingOccurrences(of: "other.pem", with: "app.pem").replacingOccurrences(
                    of: "other.key",
                    with: "app.key"
                )
        )
        try reloaded.replace("app.pem", Array("nonsense".utf8))
        try everyhop.waitForLog("certificate \"other\"")
        let next = try reloaded.renew()
        try reloaded.waitUntilShown(next, everyhop)
    }

    @Test func `a secret of Kubernetes is followed when its links are turned`() throws {
        let manager = FileManager.default
        func version(_ name: String, _ issued: CertificateMaker.Issued) throws {
            try File.makeFolder("\(folder.path)/secret/..\(name)")
            try folder.write("secret/..\(name)/tls.crt", issued.certificatePEM)
            try folder.write("secret/..\(name)/tls.key", issued.keyPEM)
            try manager.createSymbolicLink(atPath: "\(folder.path)/secret/..tmp", withDestinationPath: "..\(name)")
            try File.rename("\(folder.path)/secret/..tmp", to: "\(folder.path)/secret/..data")
        }
        try File.makeFolder("\(folder.path)/secret")
        try version("one", trust.portal)
        for name in ["tls.crt", "tls.key"] {
            try manager.createSymbolicLink(
                atPath: "\(folder.path)/secret/\(name)",
                withDestinationPath: "..data/\(name)"
            )
        }
        let text = try trust.configuration(port: reloaded.port, upstream: try reloaded.countingServer().port)
            .replacingOccurrences(of: "\"portal.pem\"", with: "\"secret/tls.crt\"")
            .replacingOccurrences(of: "\"portal.key\"", with: "\"secret/tls.key\"")
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: text)
        for name in ["two", "three"] {
            let next = try CertificateMaker.issue(names: ["localhost", "127.0.0.1"], by: trust.authority)
            try version(name, next)
            try reloaded.waitUntilShown(try reloaded.pin(next), everyhop)
        }
    }

    @Test func `without watching nothing happens before a reload`() throws {
        let everyhop = try start(try reloaded.countingServer().port, server: "watch = false")
        let workers = try everyhop.workers()
        let next = try reloaded.renew()
        usleep(1_000_000)
        #expect(try !reloaded.isShown(next))
        #expect(try reloaded.reload().status == 0)
        #expect(try reloaded.isShown(next))
        #expect(try everyhop.workers() == workers)
    }

    @Test func `a reload after a renewal that was noticed already is no new generation`() throws {
        let everyhop = try start(try reloaded.countingServer().port)
        let workers = try everyhop.workers()
        let next = try reloaded.renew()
        try reloaded.waitUntilShown(next, everyhop)
        let result = try reloaded.reload()
        #expect(result.status == 0 && result.text.contains("replaced in place"), "\(result.text)")
        #expect(try everyhop.workers() == workers)
        // Without any change, whoever asks wants new workers.
        #expect(try reloaded.reload().text.contains("generation 2 serves"))
        #expect(try everyhop.workers() != workers)
    }

    @Test func `a worker that is started later has the new certificate`() throws {
        let everyhop = try start(try reloaded.countingServer().port, workers: 1)
        let next = try reloaded.renew()
        try reloaded.waitUntilShown(next, everyhop)
        kill(try everyhop.workers()[0], SIGKILL)
        try everyhop.waitForLog("died; its connections are lost")
        try reloaded.waitUntilShown(next, everyhop)
    }

    @Test func `a changed pin keeps the workers, and drops what was made under the old one`() throws {
        let server = try reloaded.countingServer()
        let everyhop = try start(server.port, workers: 1)
        let workers = try everyhop.workers()
        #expect(try reloaded.ask().text.hasSuffix("connection 1"))
        #expect(try reloaded.ask().text.hasSuffix("connection 1"))
        let other = try trust.pin(of: CertificateMaker.selfSigned(names: ["x"]))
        let text = try trust.configuration(port: reloaded.port, upstream: server.port)
        let both = text.replacingOccurrences(of: "pins = [", with: "pins = [\"\(other)\", ")
        try folder.write("everyhop.toml", both)
        #expect(try reloaded.reload().status == 0)
        // The same server is still good, but what was verified before is verified anew, and in full.
        try waitUntil("another connection") { try reloaded.ask().text.hasSuffix("connection 2") }
        try everyhop.waitForAccess("\"server_tls_resumed\":false", "\"server_reused\":false")
        let wrong = text.replacingOccurrences(of: try trust.pin(), with: other)
        try folder.write("everyhop.toml", wrong)
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("no new generation is needed", count: 2)
        #expect(try reloaded.ask().text.hasPrefix("HTTP/1.1 502"))
        #expect(try everyhop.workers() == workers)
    }

    @Test func `a request under way ends on the connection it has, which is not used again`() throws {
        let (isAsked, goOn) = (Shared(false), Shared(false))
        let count = Shared(0)
        let server = try ScriptedServer(certificate: trust.app) { connection in
            let number = count.with {
                $0 += 1
                return $0
            }
            while true {
                let request = try connection.receive(until: "\r\n\r\n")
                if request.isEmpty { return }
                if request.contains("/slow") {
                    isAsked.with { $0 = true }
                    try waitUntil("the test's word") { goOn.value }
                }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n#\(number)")
            }
        }
        let everyhop = try start(server.port, workers: 1)
        let slow = try Connection(to: reloaded.port, try trust.client())
        try slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        try waitUntil("the request at the server") { isAsked.value }
        let other = try trust.pin(of: CertificateMaker.selfSigned(names: ["x"]))
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        try folder.write("everyhop.toml", text.replacingOccurrences(of: "pins = [", with: "pins = [\"\(other)\", "))
        #expect(try reloaded.reload().status == 0)
        goOn.with { $0 = true }
        #expect(slow.receiveAll().hasSuffix("#1"))
        #expect(try reloaded.ask().text.hasSuffix("#2"))
        _ = everyhop
    }

    @Test func `authorities of an upstream are replaced when their file changes`() throws {
        let server = try reloaded.countingServer()
        let text = try trust.configuration(
            port: reloaded.port,
            upstream: server.port,
            trust: "{ ca = \"upstream.pem\" }"
        )
        try folder.write("upstream.pem", trust.authority.certificatePEM)
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: text)
        #expect(try reloaded.ask().text.hasPrefix("HTTP/1.1 200"))
        let other = try CertificateMaker.authority(name: "another authority")
        try reloaded.replace("upstream.pem", other.certificatePEM)
        try everyhop.waitForLog("trust replaced of=\"upstream app\"")
        try waitUntil("refusals") { try reloaded.ask().text.hasPrefix("HTTP/1.1 502") }
        try reloaded.replace("upstream.pem", trust.authority.certificatePEM + other.certificatePEM)
        try waitUntil("answers") { try reloaded.ask().text.hasPrefix("HTTP/1.1 200") }
    }

    @Test func `checks of servers use another trust at once, and the audit log tells what was replaced`() throws {
        let text = try trust.configuration(
            port: reloaded.port,
            upstream: try reloaded.countingServer().port,
            more: "[audit]\nlog = \"audit.log\"",
            upstreamMore: "health = { path = \"/\", interval = \"200ms\" }"
        )
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: text)
        let workers = try everyhop.workers()
        try everyhop.waitForLog("server is up")
        let pin = try trust.pin()
        let other = try trust.pin(of: CertificateMaker.selfSigned(names: ["x"]))
        try folder.write("everyhop.toml", text.replacingOccurrences(of: pin, with: other))
        #expect(try reloaded.reload().status == 0)
        try everyhop.waitForLog("server is down")
        try folder.write("everyhop.toml", text)
        #expect(try reloaded.reload().status == 0)
        try everyhop.waitForLog("server is up again")
        let next = try reloaded.renew()
        try reloaded.waitUntilShown(next, everyhop)
        #expect(try everyhop.workers() == workers)
        let before = try reloaded.pin(trust.portal)
        let audit = String(decoding: try File.read("\(folder.path)/audit.log"), as: UTF8.self).split(separator: "\n")
        for texts in [
            ["\"event\":\"trust\"", "\"before_pins\":\"\(pin)\"", "\"pins\":\"\(other)\""],
            ["\"event\":\"certificate\"", "\"before_pin\":\"\(before)\"", "\"pin\":\"\(next)\""],
        ] { #expect(audit.contains { line in texts.allSatisfy { line.contains($0) } }, "\(texts) in \(audit)") }
    }
}
