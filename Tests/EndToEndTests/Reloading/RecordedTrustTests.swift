import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Replaced trust is written down") struct RecordedTrustTests {
    private let reloaded: Reloaded
    private let root: OpenSSLAuthority
    private var folder: TemporaryFolder { reloaded.folder }
    private var trust: TestTrust { reloaded.trust }

    init() throws {
        reloaded = try Reloaded()
        root = try OpenSSLAuthority("root", in: reloaded.folder)
    }

    private func waitForEntry(_ texts: String...) throws {
        func text() -> String { (try? String(contentsOfFile: "\(folder.path)/audit.log", encoding: .utf8)) ?? "" }
        try waitUntil("\(texts) in \(text())") {
            text().split(separator: "\n").contains { line in texts.allSatisfy { line.contains($0) } }
        }
    }

    private func waitForReplaced(_ what: String, of name: String, _ everyhop: EveryhopProcess) throws {
        try waitUntil("\(what) of \(name) in \(everyhop.log)") {
            everyhop.log.split(separator: "\n").contains {
                $0.contains("trust replaced of=\"\(name)") && $0.contains("what=\"\(what)\"")
            }
        }
    }

    private func configuration(_ clients: String) throws -> String {
        try trust.configuration(
            port: reloaded.port,
            upstream: try reloaded.countingServer().port,
            trust: "{ ca = \"root/ca.pem\", crl = \"servers.crl\" }",
            more: "[audit]\nlog = \"audit.log\""
        )
        .replacingOccurrences(of: "certificate = \"portal\"", with: "certificate = \"portal\"\n\(clients)")
    }

    @Test func `authorities, lists and pins of clients, and lists of servers`() throws {
        for file in ["clients.crl", "servers.crl"] { try root.list(file) }
        try folder.write("clients.pem", try File.read(root.certificate))
        let clients = "client_ca = \"clients.pem\"\nclient_crl = [\"clients.crl\"]"
        let text = try configuration(clients)
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: text)
        let workers = try everyhop.workers()
        try waitForEntry("\"event\":\"trust\"", "\"name\":\"clients of ", "\"crl_sha256\":\"", "\"demand\":\"require\"")

        try root.list("clients.next")
        try reloaded.replace("clients.crl", try File.read("\(folder.path)/clients.next"))
        try waitForReplaced("crl", of: "clients of ", everyhop)
        try waitForEntry("\"event\":\"trust\"", "\"name\":\"clients of ", "\"before_crl_sha256\":\"")

        try root.list("servers.next")
        try reloaded.replace("servers.crl", try File.read("\(folder.path)/servers.next"))
        try waitForReplaced("crl", of: "upstream app", everyhop)
        try waitForEntry("\"event\":\"trust\"", "\"name\":\"upstream app\"", "\"before_crl_sha256\":\"")

        let more = try File.read(root.certificate) + trust.authority.certificatePEM
        try reloaded.replace("clients.pem", more)
        try waitForReplaced("authorities", of: "clients of ", everyhop)
        try waitForEntry("\"event\":\"trust\"", "\"name\":\"clients of ", "\"before_authorities_sha256\":\"")
        #expect(try everyhop.workers() == workers)
    }

    @Test func `pins of clients`() throws {
        try root.list("servers.crl")
        let pin = try trust.pin()
        let other = try trust.pin(of: CertificateMaker.selfSigned(names: ["x"]))
        let text = try configuration("client_pins = [\"\(pin)\"]")
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: text)
        try folder.write("everyhop.toml", text.replacingOccurrences(of: pin, with: other))
        #expect(try reloaded.reload().text.contains("replaced in place"))
        try waitForReplaced("pins", of: "clients of ", everyhop)
        try waitForEntry("\"event\":\"trust\"", "\"before_pins\":\"\(pin)\"", "\"pins\":\"\(other)\"")
    }

    @Test func `answers of authorities`() throws {
        try root.list("servers.crl")
        try root.issue("portal", extensions: "subjectAltName=DNS:localhost", chain: [root])
        try root.answer("portal.ocsp", about: "portal.leaf.pem", "-ndays", "3")
        let text = try configuration("")
            .replacingOccurrences(of: "key = \"portal.key\"", with: "key = \"portal.key\"\nocsp_file = \"portal.ocsp\"")
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: text)
        try waitForEntry("\"event\":\"certificate\"", "\"ocsp_file_sha256\":\"")
        try root.answer("next.ocsp", about: "portal.leaf.pem", "-ndays", "4")
        try reloaded.replace("portal.ocsp", try File.read("\(folder.path)/next.ocsp"))
        try everyhop.waitForLog("ocsp_file replaced certificate=\"portal\"")
        try waitForEntry("\"event\":\"certificate\"", "\"before_ocsp_file_sha256\":\"")
    }
}
