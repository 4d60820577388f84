import Evidence
import Foundation
import Platform
import Support
import TLS
import Testing

/// What a running everyhop writes into its audit log.
@Suite("Audit log of a running everyhop") struct RunningAuditLogTests {
    let audited: Audited

    init() throws { audited = try Audited() }

    private func entries() throws -> [[UInt8]] {
        try File.read("\(audited.folder.path)/audit.log").split(separator: 0x0A).map(Array.init)
    }

    private func waitForEntry(_ texts: String..., count: Int = 1) throws {
        var log = ""
        try waitUntil("\(texts) in the audit log:\n\(log)") {
            log = String(decoding: try File.read("\(audited.folder.path)/audit.log"), as: UTF8.self)
            return log.split(separator: "\n").filter { line in texts.allSatisfy { line.contains($0) } }.count >= count
        }
    }

    private func ask(_ everyhop: EveryhopProcess) throws -> String {
        let connection = try Connection(to: everyhop.port, try audited.trust.client())
        try connection.send("GET /patients?name=secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.receiveAll()
    }

    @Test func `start, refusals, reloads, changed trust and the end are written down, and the chain holds`() throws {
        let app = try Nginx(audited.trust)
        let port = try freePort()
        let other = try audited.trust.pin(of: CertificateMaker.selfSigned(names: ["app.internal"]))
        func configuration(_ trust: String?) throws -> String {
            audited.head() + audited.site(port: port) + (try audited.upstream(port: app.port, trust: trust))
        }
        let wrong = "{ ca = \"authority.pem\", pins = [\"\(other)\"] }"
        let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration(wrong))
        try waitForEntry("\"event\":\"start\"", "\"sha256\":\"")
        try waitForEntry("\"event\":\"certificate\"", "\"name\":\"portal\"")
        for _ in 0..<3 { #expect(try ask(everyhop).hasPrefix("HTTP/1.1 502")) }
        try waitForEntry("\"event\":\"hop-refused\"", "\"hop\":\"app\"", "pin mismatch", "127.0.0.1:\(app.port)")
        try audited.folder.write("everyhop.toml", "nonsense")
        everyhop.signal(1)
        try waitForEntry("\"event\":\"reload-refused\"")
        try audited.folder.write("everyhop.toml", configuration(nil))
        everyhop.signal(1)
        try waitForEntry("\"event\":\"reload\"")
        try waitForEntry("\"event\":\"trust\"", "\"before_pins\":\"\(other)\"")
        #expect(try ask(everyhop).hasPrefix("HTTP/1.1 404"))
        everyhop.signal(15)
        #expect(try everyhop.waitForEnd() == 0)
        let bytes = try File.read("\(audited.folder.path)/audit.log")
        let log = AuditLogVerification(bytes)
        #expect(log.broken == nil)
        #expect(try log.entries == entries().count)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains("\"event\":\"stop\""), "\(text)")
        #expect(!text.contains("secret") && !text.contains("patients"))
        // One refusal is told of at once; those like it are counted, and told of later.
        #expect(text.components(separatedBy: "hop-refused").count == 2)
    }

    @Test func `whoever reads the hop map by its data is written down, too`() throws {
        let (port, admin) = (try freePort(), try freePort())
        let configuration =
            audited.head().replacing("[server]", with: "[server]\nadmin = \"127.0.0.1:\(admin)\"")
            + audited.site(port: port) + (try audited.upstream(port: freePort()))
        let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
        let map = try Shell.run(["curl", "-sS", "http://127.0.0.1:\(admin)/hops.json"], merged: true)
        #expect(map.text.contains("everyhop-hops/1"), "\(map.text) \(everyhop.log)")
        try waitForEntry("\"event\":\"admin-access\"", "\"count\":\"1\"")
    }

    @Test func `an audit log that another process holds, or that is none, keeps everyhop from starting`() throws {
        try audited.folder.write("audit.log", "something else\n")
        let port = try freePort()
        let configuration = audited.head() + audited.site(port: port) + (try audited.upstream(port: freePort()))
        let file = try audited.folder.write("everyhop.toml", configuration)
        let result = try Shell.run([EveryhopProcess.program, "run", "--config", file], merged: true)
        #expect(result.status == 1 && result.text.contains("audit.log does not end with an entry"), "\(result.text)")
    }
}
