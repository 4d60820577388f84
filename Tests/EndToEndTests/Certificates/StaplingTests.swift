import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Answers of authorities, stapled") struct StaplingTests {
    private let folder: TemporaryFolder
    private let trust: TestTrust
    private let app: AppServer
    private let root: OpenSSLAuthority
    private let issuer: OpenSSLAuthority
    private let responder: UInt16
    private let admin: UInt16

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        folder = try TemporaryFolder()
        trust = try TestTrust()
        try trust.write(to: folder)
        app = try AppServer("app", certificate: trust.app)
        root = try OpenSSLAuthority("root", in: folder)
        // curl looks for the issuer in what the server sends, where no root is.
        issuer = try OpenSSLAuthority("issuer", in: folder, under: root)
        responder = try freePort()
        admin = try freePort()
    }

    private func issue(_ name: String = "portal", must: Bool = false, rsa: Bool = false) throws {
        try issuer.issue(
            name,
            extensions: "subjectAltName=DNS:localhost\nauthorityInfoAccess=OCSP;URI:http://127.0.0.1:\(responder)/x\n"
                + (must ? "tlsfeature=status_request\n" : ""),
            chain: [issuer],
            rsa: rsa
        )
    }

    private func start(tls: String = "", certificate: String = "", binding: String = "\"portal\"") throws
        -> EveryhopProcess
    {
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: app.port, server: "admin = \"127.0.0.1:\(admin)\"")
            .replacingOccurrences(of: "key = \"portal.key\"", with: "key = \"portal.key\"\n\(certificate)")
            .replacingOccurrences(of: "certificate = \"portal\"", with: "certificate = \(binding)")
        return try EveryhopProcess(folder, port: port, configuration: "[tls]\n\(tls)\n\(text)")
    }

    /// What a client that asks is shown.
    private func shown(_ everyhop: EveryhopProcess, _ more: String...) throws -> String {
        try Shell.run(
            [
                "sh", "-c", "timeout 20 openssl s_client \"$@\" 2>&1 < /dev/null", "sh", "-connect",
                "127.0.0.1:\(everyhop.port)", "-servername", "localhost", "-CAfile", root.certificate, "-status",
            ] + more
        ).text
    }

    private func metrics() throws -> String {
        try Shell.run(["curl", "-s", "-m", "20", "http://127.0.0.1:\(admin)/metrics"]).text
    }

    private func curl(_ everyhop: EveryhopProcess) throws -> String {
        try Shell.run([
            "curl", "-s", "-m", "20", "--cert-status", "--cacert", root.certificate, "-w", "%{http_code}", "-o",
            "/dev/null", "https://localhost:\(everyhop.port)/",
        ]).text
    }

    @Test func `each certificate of a binding has its own, in both versions`() throws {
        try issue(must: true)
        try issue("old", rsa: true)
        let answers = try issuer.respond(on: responder)
        let everyhop = try start(
            certificate: "[certificate.old]\nchain = \"old.pem\"\nkey = \"old.key\"",
            binding: "[\"portal\", \"old\"]"
        )
        try everyhop.waitForLog("an OCSP answer is stapled", count: 2)
        for (version, signature, serial) in [
            ("-tls1_3", "ECDSA+SHA256", "1000"), ("-tls1_3", "RSA-PSS+SHA256", "1001"),
            ("-tls1_2", "ECDSA+SHA256", "1000"), ("-tls1_2", "RSA+SHA256", "1001"),
        ] {
            let text = try shown(everyhop, version, "-sigalgs", signature)
            #expect(text.contains("OCSP Response Status: successful") && text.contains("Cert Status: good"), "\(text)")
            #expect(text.contains("Serial Number: \(serial)\n"), "\(text)")
        }
        // Nobody who does not ask is shown one.
        #expect(try curl(everyhop) == "200")
        let text = try metrics()
        for line in [
            "everyhop_ocsp_status{certificate=\"portal\",status=\"good\"} 1",
            "everyhop_ocsp_status{certificate=\"old\",status=\"missing\"} 0",
            "everyhop_ocsp_must_staple{certificate=\"portal\"} 1",
            "everyhop_ocsp_failures_total{certificate=\"old\"} 0",
        ] { #expect(text.contains("\n\(line)\n"), "\(text)") }
        withExtendedLifetime(answers) {}
    }

    @Test func `an answer outlives its responder, a reload and a worker`() throws {
        try issue()
        try issuer.issue("delegate", extensions: "keyUsage=digitalSignature\nextendedKeyUsage=OCSPSigning")
        var answers: OpenSSLAuthority.Responder? = try issuer.respond(on: responder, signer: "delegate")
        let everyhop = try start()
        try everyhop.waitForLog("an OCSP answer is stapled")
        withExtendedLifetime(answers) {}
        answers = nil
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        #expect(try shown(everyhop).contains("Cert Status: good"))
        for worker in try everyhop.workers() { kill(worker, SIGKILL) }
        try everyhop.waitForLog("serves", count: 3)
        try waitUntil("an answer from the new worker") { try shown(everyhop).contains("Cert Status: good") }
        #expect(!everyhop.log.contains("there is no"))
    }

    @Test func `a revoked certificate is told of, loudly and to clients`() throws {
        try issue()
        try issuer.revoke("portal.leaf.pem")
        let answers = try issuer.respond(on: responder)
        let everyhop = try start()
        try everyhop.waitForLog("the certificate is revoked, and clients are told")
        #expect(try shown(everyhop).contains("Cert Status: revoked"))
        #expect(try curl(everyhop) == "000")
        #expect(try metrics().contains("\neveryhop_ocsp_status{certificate=\"portal\",status=\"revoked\"} 1\n"))
        withExtendedLifetime(answers) {}
    }

    @Test func `without an answer it is served all the same, told once, and asked again`() throws {
        try issue(must: true)
        let everyhop = try start()
        try everyhop.waitForLog("there is no OCSP answer to staple, which the certificate demands")
        #expect(try shown(everyhop).contains("OCSP response: no response sent"))
        #expect(try curl(everyhop) == "000")
        #expect(try metrics().contains("\neveryhop_ocsp_status{certificate=\"portal\",status=\"missing\"} 1\n"))
        let answers = try issuer.respond(on: responder)
        try everyhop.waitForLog("an OCSP answer is stapled")
        #expect(try curl(everyhop) == "200")
        #expect(everyhop.log.components(separatedBy: "which the certificate demands").count == 2)
        withExtendedLifetime(answers) {}
    }

    @Test func `an answer that does not hold is not stapled, and each reason is told`() throws {
        try issue()
        let everyhop = try start()
        try everyhop.waitForLog("there is no OCSP answer to staple; asking goes on")
        let stranger = try OpenSSLAuthority("stranger", in: folder)
        let answers = try stranger.respond(on: responder)
        try everyhop.waitForLog("127.0.0.1: the answer is not signed by the certificate's issuer")
        #expect(try shown(everyhop).contains("OCSP response: no response sent"))
        withExtendedLifetime(answers) {}
    }

    @Test func `a file holds the answer, and nobody is asked`() throws {
        try issue()
        try issuer.answer("portal.der", about: "portal.leaf.pem", "-ndays", "2")
        let everyhop = try start(tls: "ocsp = \"off\"", certificate: "ocsp_file = \"portal.der\"")
        try everyhop.waitForLog("an OCSP answer is stapled")
        #expect(try shown(everyhop).contains("Cert Status: good"))
    }

    @Test func `a file with another answer is refused`() throws {
        try issue()
        try issuer.issue("other", extensions: "subjectAltName=DNS:other")
        try issuer.answer("other.der", about: "other.leaf.pem", "-ndays", "2")
        for (file, message) in [
            ("other.der", "ocsp_file \"other.der\": the answer is about another certificate"),
            ("app.pem", "ocsp_file \"app.pem\": not an OCSP response"),
            ("none.der", "ocsp_file \"none.der\" cannot be read"),
        ] {
            let text = try trust.configuration(port: 1, upstream: 2)
                .replacingOccurrences(of: "key = \"portal.key\"", with: "key = \"portal.key\"\nocsp_file = \"\(file)\"")
            let path = try folder.write("check.toml", text)
            let result = try Shell.run([EveryhopProcess.program, "check", "--config", path], merged: true)
            #expect(result.status == 1 && result.text.contains(message), "\(result.text)")
        }
    }
}
