import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Renewal of what lives long", .serialized) struct RenewalTests {
    let reloaded: Reloaded
    var trust: TestTrust { reloaded.trust }
    var folder: TemporaryFolder { reloaded.folder }

    init() throws { reloaded = try Reloaded() }

    @Test func `a session of PostgreSQL lives through a renewal and through another trust`() throws {
        let server = try PostgresServer(trust)
        let database = { (pins: String) in
            trust.configuration(
                databases: """
                    [[database]]
                    name = "ehr"
                    protocol = "postgres"
                    server = "127.0.0.1:\(server.port)"
                    server_name = "app.internal"
                    trust = { ca = "authority.pem", pins = [\(pins)] }
                    [[database.binding]]
                    port = \(reloaded.port)
                    certificate = "portal"
                    """
            )
        }
        let pin = try trust.pin()
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: database("\"\(pin)\""))
        let workers = try everyhop.workers()
        let result = Shared("")
        let port = reloaded.port
        TestThread.start {
            let text = try? Shell.run(
                [
                    "psql",
                    "host=localhost hostaddr=127.0.0.1 port=\(port) user=alice password=secret dbname=postgres channel_binding=disable",
                    "-Atc", "SELECT pg_sleep(5)", "-c", "SELECT 'still here'",
                ],
                merged: true
            ).text
            result.with { $0 = text ?? "?" }
        }
        try waitUntil("the session") {
            try Shell.run([
                "psql",
                "host=localhost port=\(port) user=alice password=secret dbname=postgres channel_binding=disable",
                "-Atc",
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'",
            ]).text.hasPrefix("1")
        }
        let next = try reloaded.renew()
        try everyhop.waitForLog("pin=\"\(next)\"")
        let other = try trust.pin(of: CertificateMaker.selfSigned(names: ["x"]))
        try folder.write("everyhop.toml", database("\"\(pin)\", \"\(other)\""))
        #expect(try reloaded.reload().status == 0)
        let shown = try Shell.run([
            "sh", "-c",
            "openssl s_client -starttls postgres -connect 127.0.0.1:\(port) < /dev/null 2> /dev/null | openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64",
        ]).text
        #expect("\(next)" == "sha256/\(shown.dropLast())")
        try waitUntil("the session's end", seconds: 20) { !result.value.isEmpty }
        #expect(result.value.contains("still here"))
        #expect(try everyhop.workers() == workers)
    }

    @Test func `ticket keys of a fleet are read again when their file changes`() throws {
        let keys = { (0..<2).map { _ in (0..<80).map { _ in UInt8.random(in: 0...255) } } }()
        try folder.write("ticket.keys", keys[0])
        let text = try trust.configuration(
            port: reloaded.port,
            upstream: try reloaded.countingServer().port,
            more: "[tls]\ntickets = { keys = \"ticket.keys\" }"
        )
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: text)
        let context = try trust.client()
        #expect(try reloaded.ask(context).facts?.resumed == false)
        #expect(try reloaded.ask(context).facts?.resumed == true)
        // The new key first: tickets of the old one still open.
        try reloaded.replace("ticket.keys", keys[1] + keys[0])
        try everyhop.waitForLog("session ticket keys replaced")
        #expect(try reloaded.ask(context).facts?.resumed == true)
        // And with the old one gone, those that were made since do.
        try reloaded.replace("ticket.keys", keys[1])
        try everyhop.waitForLog("session ticket keys replaced", count: 2)
        #expect(try reloaded.ask(context).facts?.resumed == true)
        try reloaded.replace("ticket.keys", Array("short".utf8))
        try everyhop.waitForLog("holds no ticket keys")
        #expect(try reloaded.ask(context).facts?.resumed == true)
        try reloaded.replace("ticket.keys", keys[0])
        try everyhop.waitForLog("session ticket keys replaced", count: 3)
        #expect(try reloaded.ask(context).facts?.resumed == false)
    }

    @Test func `clients resume their sessions with a certificate that was renewed with its key`() throws {
        let everyhop = try EveryhopProcess(
            folder,
            port: reloaded.port,
            configuration: trust.configuration(
                port: reloaded.port,
                upstream: try reloaded.countingServer().port
            )
        )
        let context = try trust.client()
        _ = try reloaded.ask(context)
        // Another file for the same certificate is a change, too.
        try reloaded.replace("portal.pem", trust.portal.certificatePEM + trust.authority.certificatePEM)
        try everyhop.waitForLog("certificate replaced")
        #expect(try reloaded.ask(context).facts?.resumed == true)
    }

    @Test func `logs that are put away are begun anew without a signal`() throws {
        let text = try trust.configuration(
            port: reloaded.port,
            upstream: try reloaded.countingServer().port,
            more: "[audit]\nlog = \"audit.log\""
        ).replacingOccurrences(of: "access = \"stdout\"", with: "access = \"access.jsonl\"")
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: text)
        _ = try reloaded.ask()
        let path = "\(folder.path)/access.jsonl"
        try waitUntil("the first line") { ((try? File.read(path))?.count ?? 0) > 0 }
        for name in ["access.jsonl", "audit.log"] {
            try File.rename("\(folder.path)/\(name)", to: "\(folder.path)/\(name).1")
        }
        try everyhop.waitForLog("access log reopened")
        try everyhop.waitForLog("audit log reopened")
        let before = try File.read(path + ".1").count
        try waitUntil("a line in the new file") {
            _ = try reloaded.ask()
            return ((try? File.read(path))?.count ?? 0) > 0
        }
        #expect(try File.read(path + ".1").count == before)
        #expect(String(decoding: try File.read("\(folder.path)/audit.log"), as: UTF8.self).contains("\"rotated\""))
    }

    @Test func `clients whose authority is replaced come again and are refused`() throws {
        let authority = try CertificateMaker.authority(name: "clients")
        let nurse = try CertificateMaker.issue(names: ["nurse"], by: authority)
        try folder.write("clients.pem", authority.certificatePEM)
        let text = try trust.configuration(port: reloaded.port, upstream: try reloaded.countingServer().port)
            .replacingOccurrences(
                of: "certificate = \"portal\"\n[[upstream]]",
                with: "certificate = \"portal\"\nclient_ca = \"clients.pem\"\n[[upstream]]"
            )
        let everyhop = try EveryhopProcess(folder, port: reloaded.port, configuration: text)
        let context = try ClientContext(
            trust: ClientContext.Trust(authoritiesPEM: trust.authority.certificatePEM, pins: []),
            name: "localhost",
            identity: ServerIdentity(chainPEM: nurse.certificatePEM, keyPEM: nurse.keyPEM),
            policy: .nist80052r2,
            alpn: ["http/1.1"]
        )
        let connection = try Connection(to: reloaded.port, context)
        try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(try connection.receive(until: "connection 1").hasPrefix("HTTP/1.1 200"))
        let other = try CertificateMaker.authority(name: "other clients")
        try reloaded.replace("clients.pem", other.certificatePEM)
        // The connection that was good is ended; neither a new one nor the saved session is good any more.
        #expect(connection.receiveAll().isEmpty)
        for _ in 0..<2 { #expect(((try? reloaded.ask(context).text) ?? "").isEmpty) }
        _ = everyhop
    }
}
