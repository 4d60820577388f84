import Foundation
import Platform
import Support
import Testing

@testable import TLS

@Suite("Revoked certificates, end to end") struct RevokedTests {
    private let folder: TemporaryFolder
    private let trust: TestTrust
    private let root: OpenSSLAuthority

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        folder = try TemporaryFolder()
        trust = try TestTrust()
        try trust.write(to: folder)
        root = try OpenSSLAuthority("root", in: folder)
    }

    private func get(_ everyhop: EveryhopProcess, _ name: String? = nil) throws -> String {
        let shown = name.map { ["--cert", "\(folder.path)/\($0).pem", "--key", "\(folder.path)/\($0).key"] } ?? []
        return try Shell.run(
            [
                "curl", "-s", "-m", "20", "--cacert", "\(folder.path)/authority.pem", "-w", "%{http_code}", "-o",
                "/dev/null",
            ]
                + shown + ["https://localhost:\(everyhop.port)/"]
        ).text
    }

    @Test func `clients that are on the list are refused, from the moment on that the list is there`() throws {
        for name in ["alice", "bob"] { try root.issue(name, extensions: "extendedKeyUsage=clientAuth") }
        try root.list("clients.crl")
        let app = try AppServer("app", certificate: trust.app)
        let port = try freePort()
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(port: port, upstream: app.port).replacingOccurrences(
                of: "certificate = \"portal\"",
                with: "certificate = \"portal\"\nclient_ca = \"root/ca.pem\"\nclient_crl = [\"clients.crl\"]"
            )
        )
        #expect(try get(everyhop, "alice") == "200")
        #expect(try get(everyhop, "bob") == "200")
        // Living workers get the list when its file is replaced; nobody has to ask.
        try root.revoke("bob.leaf.pem")
        try root.list("clients.crl")
        // A handshake that falls into the change is refused, too, and for that reason.
        try waitUntil("the new list") {
            try get(everyhop, "bob") == "000" && everyhop.log.contains("certificate is revoked")
        }
        #expect(try get(everyhop, "alice") == "200")
        // A list that is none never replaces a good one.
        try folder.write("clients.crl", "nothing")
        try everyhop.waitForLog("revocation list \"clients.crl\": no PEM revocation list in it")
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("reload refused")
        #expect(try get(everyhop, "alice") == "200")
    }

    @Test func `a list that is good for nothing does not take the place of a good one`() throws {
        try root.issue("alice", extensions: "extendedKeyUsage=clientAuth")
        try root.list("clients.crl")
        let app = try AppServer("app", certificate: trust.app)
        let everyhop = try start(app, clients: "clients.crl")
        #expect(try get(everyhop, "alice") == "200")
        let stays = "what has changed is not replaced, the present one stays"
        try root.list("clients.crl", "-crl_lastupdate", "20240101000000Z", "-crl_nextupdate", "20240201000000Z")
        try everyhop.waitForLog("in \"clients.crl\" has expired")
        try everyhop.waitForLog(stays)
        #expect(try get(everyhop, "alice") == "200")
        let elsewhere = try TemporaryFolder()
        let impostor = try OpenSSLAuthority("root", in: elsewhere)
        try impostor.list("clients.crl")
        try folder.write("clients.crl", try File.read("\(elsewhere.path)/clients.crl"))
        try everyhop.waitForLog("in \"clients.crl\" is not signed by that authority")
        #expect(try get(everyhop, "alice") == "200")
        let other = try OpenSSLAuthority("other", in: folder)
        try other.list("clients.crl")
        try everyhop.waitForLog("no list in \"clients.crl\" is signed by an authority that is trusted here")
        #expect(try get(everyhop, "alice") == "200")
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("reload refused")
        #expect(try get(everyhop, "alice") == "200")
        #expect(!everyhop.log.contains("trust replaced"))
        try root.list("clients.crl")
        try everyhop.waitForLog("trust replaced")
        #expect(try get(everyhop, "alice") == "200")
        withExtendedLifetime(app) {}
    }

    @Test func `the end of a list is told when it comes, and whatever follows it is taken`() throws {
        try root.issue("alice", extensions: "extendedKeyUsage=clientAuth")
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "UTC")
        format.dateFormat = "yyyyMMddHHmmss'Z'"
        let end = Date(timeIntervalSinceNow: 15)
        try root.list("clients.crl", "-crl_nextupdate", format.string(from: end))
        let app = try AppServer("app", certificate: trust.app)
        let everyhop = try start(app, clients: "clients.crl")
        #expect(try get(everyhop, "alice") == "200" || Date() > end)
        // Nobody touches the file: it is the time that comes.
        try waitUntil("the end in \(everyhop.log)", seconds: 120) {
            everyhop.log.contains("[master] revocation list has expired")
        }
        try waitUntil("refusals") {
            try get(everyhop, "alice") == "000"
                && everyhop.log.contains("the revocation list of its authority has expired")
        }
        // There is nothing to lose any more.
        try root.list("clients.crl", "-crl_lastupdate", "20240101000000Z", "-crl_nextupdate", "20240201000000Z")
        try everyhop.waitForLog("what has changed is replaced, but:")
        try root.list("clients.crl")
        try waitUntil("the new list") { try get(everyhop, "alice") == "200" }
        withExtendedLifetime(app) {}
    }

    private func start(_ app: AppServer, clients list: String) throws -> EveryhopProcess {
        let port = try freePort()
        return try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(port: port, upstream: app.port).replacingOccurrences(
                of: "certificate = \"portal\"",
                with: "certificate = \"portal\"\nclient_ca = \"root/ca.pem\"\nclient_crl = [\"\(list)\"]"
            )
        )
    }

    @Test func `servers that are on the list get nothing`() throws {
        try root.issue("server", extensions: "subjectAltName=DNS:app.internal\nextendedKeyUsage=serverAuth")
        try root.revoke("server.leaf.pem")
        try root.list("servers.crl")
        let app = try AppServer(
            "app",
            certificate: CertificateMaker.Issued(
                certificatePEM: try File.read("\(folder.path)/server.pem"),
                keyPEM: try File.read("\(folder.path)/server.key")
            )
        )
        let port = try freePort()
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(
                port: port,
                upstream: app.port,
                trust: "{ ca = \"root/ca.pem\", crl = \"servers.crl\" }"
            )
        )
        #expect(try get(everyhop) == "502")
        try everyhop.waitForAccess("\"status\":502", "certificate is revoked")
        #expect(app.requests.value == 0)
    }

    @Test func `lists of others are warned of before anything is served`() throws {
        let other = try OpenSSLAuthority("other", in: folder)
        try other.list("other.crl")
        let text = try trust.configuration(
            port: 1,
            upstream: 2,
            trust: "{ ca = \"root/ca.pem\", crl = \"other.crl\" }"
        )
        let path = try folder.write("check.toml", text)
        let result = try Shell.run([EveryhopProcess.program, "check", "--config", path], merged: true)
        #expect(result.status == 0)
        #expect(result.text.contains("no list in \"other.crl\" is signed by an authority that is trusted here"))
    }
}
