import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("The hop map", .serialized) struct HopMapTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        chmod(folder.path, 0o755)
    }

    private func database(_ kind: String, _ server: UInt16, _ door: UInt16) throws -> String {
        """
        [[database]]
        name = "ehr"
        protocol = "\(kind)"
        server = "127.0.0.1:\(server)"
        trust = { pins = ["\(try trust.pin())"] }
        [[database.binding]]
        port = \(door)
        """
    }

    @Test func `every hop is told with version, cipher, key and expiry, and so is the last audit`() throws {
        let app = try AppServer("a", certificate: trust.app)
        let postgres = try PostgresServer(trust)
        try File.makeFolder("\(folder.path)/reports")
        try folder.write(
            "reports/audit-20260101T101500Z.json",
            """
            {"schema":"everyhop-audit/1","program":"everyhop","host":"h","configuration":{"path":"p","sha256":"s"},
            "begun":"2026-01-01T10:15:00Z","ended":"2026-01-01T10:15:09Z","verdict":"falls-short","hops":[],"provider":[]}
            """
        )
        let door = try freePort()
        let mapped = try Mapped(
            trust,
            folder,
            servers: [app.address],
            databases: try database("postgres", postgres.port, door),
            audit: "reports = \"reports\""
        )
        let holds = { (hop: [String: Any]) in hop["verdict"] as? String == "holds" }
        let hops = [
            try mapped.waitForHop("client", holds), try mapped.waitForHop("app", holds),
            try mapped.waitForHop("database", holds),
        ]
        for hop in hops {
            #expect(hop["version"] as? String == "TLSv1.3" && hop["pin"] as? String == "matches")
            #expect((hop["cipher"] as? String)?.hasPrefix("TLS_AES_") == true)
            #expect((hop["days_left"] as? Int ?? 0) > 0 && (hop["valid_until"] as? String)?.hasSuffix("Z") == true)
        }
        let pins = (own: try trust.pin(of: trust.portal), server: try trust.pin())
        #expect(hops[0]["key"] as? String == pins.own)
        #expect(hops[1]["key"] as? String == pins.server && hops[1]["health"] as? String == "unchecked")
        #expect(hops[2]["doors"] as? [String] == ["127.0.0.1:\(door) (plain, inside this host)"])
        let audit = try #require(try mapped.map()["audit"] as? [String: Any])
        #expect(audit["state"] as? String == "known" && audit["verdict"] as? String == "falls-short")
        #expect(audit["ended"] as? String == "2026-01-01T10:15:09Z")
        try mapped.waitForMetric("everyhop_audit_last_timestamp_seconds 1767262509")
        try mapped.waitForMetric("everyhop_audit_last_verdict{verdict=\"falls-short\"} 1")
        // Looks are not sessions, and no request.
        try mapped.waitForMetric("everyhop_database_sessions_total{database=\"ehr\"} 0")
        #expect(app.requests.value == 0)
        try Self.checkContrib(try #require(mapped.body("/metrics")))
    }

    /// Every metric that `contrib` speaks of is one that everyhop has.
    private static func checkContrib(_ metrics: String) throws {
        let names = Set(
            metrics.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }.map { $0.split(separator: " ")[2] }
        )
        let root = #filePath.components(separatedBy: "/Tests/")[0]
        for file in ["contrib/prometheus/everyhop.rules.yml", "contrib/grafana/everyhop.json"] {
            let text = try String(contentsOfFile: "\(root)/\(file)", encoding: .utf8)
            let used = Set(text.matches(of: /everyhop_[a-z0-9_]+/).map { $0.output })
            #expect(used.count > 10)
            for name in used {
                let base = name.replacing(/_(bucket|sum|count)$/, with: "")
                #expect(names.contains(name) || names.contains(base), "\(file) speaks of \(name)")
            }
            if file.hasSuffix(".json") { _ = try JSONSerialization.jsonObject(with: Data(text.utf8)) }
        }
    }

    @Test func `a server that changes its key falls short, is counted and logged once, and holds again`() throws {
        let nginx = try Nginx(trust)
        let mapped = try Mapped(trust, folder, servers: ["127.0.0.1:\(nginx.port)"])
        let labels = "hop=\"app\",name=\"app\",place=\"127.0.0.1:\(nginx.port)\""
        try mapped.waitForMetric("everyhop_hop_holds{\(labels)} 1")
        let other = try CertificateMaker.issue(names: ["app.internal"], by: trust.authority)
        try Self.change(nginx, to: other)
        let pin = try trust.pin(of: other)
        // What an untrusted server shows is seen by a second connection: nginx may answer it with the old key still.
        let fallen = try mapped.waitForHop("app") {
            $0["verdict"] as? String == "falls-short" && $0["key"] as? String == pin
        }
        #expect((fallen["statement"] as? String)?.contains("pin mismatch") == true)
        #expect(fallen["pin"] as? String == "mismatch")
        try mapped.waitForMetric("everyhop_hop_holds{\(labels)} 0")
        try mapped.waitForMetric("everyhop_hop_pin_mismatch{\(labels)} 1")
        try mapped.waitForMetric("everyhop_hop_checked{\(labels)} 1")
        // Some more rounds say the same, and are not logged again.
        let first = try #require(fallen["seen"] as? String)
        _ = try mapped.waitForHop("app") { ($0["seen"] as? String ?? "") > first }
        #expect(mapped.everyhop.log.components(separatedBy: "hop falls short").count == 2)
        try Self.change(nginx, to: trust.app)
        try mapped.everyhop.waitForLog("hop holds again")
        try mapped.waitForMetric("everyhop_hop_holds{\(labels)} 1")
    }

    private static func change(_ nginx: Nginx, to issued: CertificateMaker.Issued) throws {
        try nginx.folder.write("app.pem", issued.certificatePEM)
        try nginx.folder.write("app.key", issued.keyPEM)
        let process = String(decoding: try File.read("\(nginx.folder.path)/pid"), as: UTF8.self)
        kill(try #require(Int32(process.trimmingCharacters(in: .whitespacesAndNewlines))), SIGHUP)
    }

    @Test func `a prober that dies is replaced, what it saw stays, and a monitor that dies is told again`() throws {
        let app = try AppServer("a", certificate: trust.app)
        let mapped = try Mapped(trust, folder, servers: [app.address, "127.0.0.1:1"], interval: "1h")
        _ = try mapped.waitForHop("app") { $0["verdict"] as? String == "holds" }
        let unreachable = try mapped.waitForHop("app") { ($0["statement"] as? String ?? "").contains("not be reached") }
        #expect(unreachable["verdict"] as? String == "not-checked" && unreachable["version"] == nil)
        kill(try #require(try mapped.helper("prober")), SIGKILL)
        try mapped.everyhop.waitForLog("the prober died")
        try mapped.request()
        #expect(app.requests.value == 1)
        kill(try #require(try mapped.helper("monitor")), SIGKILL)
        try mapped.everyhop.waitForLog("the monitor died")
        _ = try mapped.waitForHop("app") { $0["verdict"] as? String == "holds" }
        try waitUntil("a new prober") { try mapped.helper("prober") != nil }
    }

    @Test func `a binding that demands a certificate is looked at without a client being refused`() throws {
        let app = try AppServer("a", certificate: trust.app)
        let mapped = try Mapped(trust, folder, servers: [app.address], binding: "client_ca = \"authority.pem\"")
        let hop = try mapped.waitForHop("client") { $0["verdict"] as? String == "holds" }
        #expect(hop["version"] as? String == "TLSv1.3" && hop["pin"] as? String == "matches")
        let first = try #require(hop["seen"] as? String)
        _ = try mapped.waitForHop("client") { ($0["seen"] as? String ?? "") > first }
        try mapped.waitForMetric("everyhop_client_certificates_refused_total 0")
    }

    @Test func `a MariaDB server is not looked at so often that it would refuse this host`() throws {
        let server = try MariaDBServer(trust)
        let tap = try Tap(to: server.port)
        let door = try freePort()
        let mapped = try Mapped(
            trust,
            folder,
            servers: ["127.0.0.1:1"],
            databases: try database("mysql", tap.port, door),
            interval: "20ms"
        )
        let waiting = try mapped.waitForHop("database", seconds: 120) { $0["waits"] != nil }
        #expect(waiting["verdict"] as? String == "holds" && waiting["version"] as? String == "TLSv1.3")
        let looks = tap.connections.count
        #expect(looks == 20)
        // A reload is no reason to begin anew.
        mapped.everyhop.signal(SIGHUP)
        try mapped.everyhop.waitForLog("worker 0 serves", count: 2)
        _ = try mapped.waitForHop("app") { ($0["seen"] as? String ?? "") > (waiting["seen"] as? String ?? "") }
        #expect(tap.connections.count == 20)
        let labels = "hop=\"database\",name=\"ehr\",place=\"127.0.0.1:\(tap.port)\""
        try mapped.waitForMetric("everyhop_hop_probe_waits{\(labels)} 1")
        let query = [
            "mariadb", "--no-defaults", "--skip-ssl", "-h127.0.0.1", "-P\(door)", "-ubob", "-ps3cret-Password", "-e",
            "SELECT 1",
        ]
        #expect(try Shell.run(query, merged: true).status == 0)
        try waitUntil("looks again") { tap.connections.count > looks + 1 }
    }
}
