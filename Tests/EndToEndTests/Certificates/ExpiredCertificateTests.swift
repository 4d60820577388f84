import Foundation
import Platform
import Support
import TLS
import Testing

/// A certificate of our own that nobody has renewed: no reason for the application to be down, and told everywhere.
@Suite("Certificates that have expired", .serialized) struct ExpiredCertificateTests {
    let reloaded: Reloaded
    var trust: TestTrust { reloaded.trust }
    var folder: TemporaryFolder { reloaded.folder }

    init() throws { reloaded = try Reloaded() }

    /// Puts a certificate into the portal's place whose time is over.
    private func expire() throws {
        let old = try CertificateMaker.issue(
            names: ["localhost", "127.0.0.1"],
            by: trust.authority,
            validFrom: -10,
            days: 5
        )
        try folder.write("portal.key", old.keyPEM)
        try folder.write("portal.pem", old.certificatePEM)
    }

    private func start(_ server: String = "") throws -> EveryhopProcess {
        let upstream = try reloaded.countingServer().port
        let text = try trust.configuration(port: reloaded.port, upstream: upstream, server: server)
        return try EveryhopProcess(folder, port: reloaded.port, configuration: text)
    }

    /// What a client is told that does not ask for the time.
    private func answer() throws -> String {
        try Shell.run([
            "curl", "-sk", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", "https://localhost:\(reloaded.port)/",
        ])
        .text
    }

    private func check() throws -> ProgramResult {
        try Shell.run([EveryhopProcess.program, "check", "--config", "\(folder.path)/everyhop.toml"], merged: true)
    }

    @Test func `a start after the end serves it and says so, and a reload for something else is not refused`() throws {
        try expire()
        let everyhop = try start()
        #expect(try answer() == "200")
        #expect(everyhop.log.contains("warning: certificate \"portal\" expired 5 days ago"), "\(everyhop.log)")
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        try folder.write("everyhop.toml", text.replacingOccurrences(of: "drain = \"5s\"", with: "drain = \"6s\""))
        let result = try reloaded.reload()
        #expect(result.status == 0 && result.text.contains("expired 5 days ago"), "\(result.text)")
        #expect(try answer() == "200")
        let checked = try check()
        #expect(checked.status == 1 && checked.text.contains("error: certificate \"portal\" expired 5 days ago"))
        let pin = try reloaded.renew()
        try reloaded.waitUntilShown(pin, everyhop)
        #expect(try check().status == 0)
    }

    @Test func `one that has expired does not take the place of another`() throws {
        let everyhop = try start("watch = false")
        let served = try reloaded.pin(trust.portal)
        try expire()
        let result = try reloaded.reload()
        #expect(
            result.status == 1 && result.text.contains("certificate \"portal\" expired 5 days ago"),
            "\(result.text)"
        )
        #expect(try reloaded.isShown(served))
        withExtendedLifetime(everyhop) {}
    }
}
