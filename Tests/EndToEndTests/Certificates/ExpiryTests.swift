import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Certificates that come to their end") struct ExpiryTests {
    @Test func `each is told once, whatever is reloaded, and in metrics`() throws {
        SignalDescriptor.ignoreBrokenPipes()
        let folder = try TemporaryFolder()
        let trust = try TestTrust()
        try trust.write(to: folder)
        let portal = try CertificateMaker.issue(names: ["localhost"], by: trust.authority, validFrom: -380, days: 390)
        try folder.write("portal.pem", portal.certificatePEM + trust.authority.certificatePEM)
        try folder.write("portal.key", portal.keyPEM)
        let server = try CertificateMaker.issue(
            names: ["app.internal"],
            by: trust.authority,
            validFrom: -380,
            days: 385
        )
        let app = try AppServer("app", certificate: server)
        let port = try freePort()
        let admin = try freePort()
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(
                port: port,
                upstream: app.port,
                server: "admin = \"127.0.0.1:\(admin)\"",
                trust: "{ ca = \"authority.pem\" }"
            )
        )
        // Whole days; the first second of the tenth may still run.
        try waitUntil("a warning") { warnings(everyhop, "9", "10") == 1 }
        // Seen by a probe.
        try waitUntil("a warning of the server's") { warnings(everyhop, "4", "5") == 1 }
        #expect(everyhop.log.contains("127.0.0.1:\(app.port)"))
        func metrics() throws -> String {
            try Shell.run(["curl", "-s", "-m", "20", "http://127.0.0.1:\(admin)/metrics"]).text
        }
        let end = try CertificateFacts.read(pem: portal.certificatePEM)[0].notAfter
        try waitUntil("metrics") { try metrics().contains("everyhop_certificate_not_after_seconds") }
        let text = try metrics()
        #expect(
            text.contains(
                "\neveryhop_certificate_not_after_seconds{role=\"certificate\",certificate=\"portal\",subject=\"CN = localhost\","
            ) && text.contains("} \(end)\n")
        )
        #expect(
            text.contains("everyhop_certificate_not_after_seconds{role=\"authority\",certificate=\"upstream app\",")
        )
        #expect(text.contains("\neveryhop_certificate_expires_in_days{role=\"certificate\",certificate=\"portal\","))
        func lastLook() throws -> Substring? {
            try metrics().split(separator: "\n").last {
                $0.hasPrefix("everyhop_hop_probe_timestamp_seconds{hop=\"app\"")
            }
        }
        let before = try lastLook()
        // Something that a living worker does not take over.
        let file = try String(contentsOfFile: "\(folder.path)/everyhop.toml", encoding: .utf8)
        let other = file.replacingOccurrences(of: "drain = \"5s\"", with: "drain = \"6s\"")
        try folder.write("everyhop.toml", other)
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        // Each hop is looked at once a minute.
        try waitUntil("another look", seconds: 90) {
            let now = try lastLook()
            return now != nil && now != before
        }
        #expect(warnings(everyhop, "9", "10") == 1)
        #expect(warnings(everyhop, "4", "5") == 1)
    }

    private func warnings(_ everyhop: EveryhopProcess, _ days: String...) -> Int {
        days.map { everyhop.log.components(separatedBy: "[master] certificate expires in \($0) days").count - 1 }
            .reduce(0, +)
    }
}
