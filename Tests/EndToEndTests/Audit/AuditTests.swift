import Evidence
import Foundation
import Platform
import Support
import TLS
import Testing

/// Good and deliberately bad set-ups: every fault is found, none is invented (docs/audit.md lists both).
@Suite("Audit of every hop", .serialized) struct AuditTests {
    let audited: Audited
    var trust: TestTrust { audited.trust }

    init() throws { audited = try Audited() }

    /// What nginx needs so that nothing is found but what a test is about.
    private static let good = """
        add_header Strict-Transport-Security max-age=31536000 always;
        ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        """

    /// Nothing listens there, or something that is of no interest to the test.
    private func nobody() throws -> UInt16 { try freePort() }

    @Test func `a set-up without faults holds, hop by hop, and the exit code is 0`() throws {
        let app = try Nginx(trust)
        let postgres = try PostgresServer(trust)
        let mariadb = try MariaDBServer(trust)
        let tds = try PeerServer(trust, script: "tds_server.py", "--encryption", "req")
        let (port, redirect) = (try freePort(), try freePort())
        let site = "redirect = [\"127.0.0.1:\(redirect)\"]\nhsts = { max_age = \"365d\" }"
        let configuration =
            audited.head() + audited.site(port: port, more: site) + (try audited.upstream(port: app.port))
            + (try audited.database("postgres", port: postgres.port, binding: freePort()))
            + (try audited.database("mysql", port: mariadb.port, binding: freePort()))
            + (try audited.database("tds", port: tds.port, binding: freePort()))
        let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
        let (report, _) = try audited.audit(configuration)
        #expect(report.faults.isEmpty, "\(everyhop.log)")
        for hop in report.hops where hop.kind != .storage {
            // MariaDB says only to those who may log in whether it insists on encryption.
            let missing = hop.findings.filter { $0.verdict != .holds }
                .filter { hop.name != "mysql" || $0.check != .databasePlaintext || $0.verdict != .notChecked }
            #expect(missing.isEmpty, "\(hop.kind) \(hop.name)")
        }
        #expect(report.hops.map(\.kind).filter { $0 == .database }.count == 3)
        // Nobody was named who may ask how databases store their data: that is said, and not taken for good.
        #expect(report.findings(.storageEncrypted).map(\.verdict) == [.notChecked, .notChecked, .notChecked])
        #expect(report.verdict == .notChecked)
        let kinds = Set(report.hops.flatMap(\.findings).map(\.check))
        let elsewhere: Set<Check> = [.processAdmin, .documentRootEncrypted, .documentRootRecovery]
        #expect(kinds == Set(Check.allCases).subtracting(elsewhere))
    }

    @Test func `a site alone that holds gives exit code 0, and the reports are kept, signed and chained`() throws {
        let app = try Nginx(trust)
        let port = try freePort()
        let configuration =
            audited.head("reports = \"reports\"") + audited.site(port: port) + (try audited.upstream(port: app.port))
        let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
        for _ in 0..<2 {
            let (report, status) = try audited.audit(configuration)
            #expect(status == 0, "\(report.faults) \(everyhop.log)")
            #expect(report.verdict == .holds)
        }
        let program = EveryhopProcess.program
        let verified = try Shell.run([program, "audit", "verify", "\(audited.folder.path)/reports"], merged: true)
        #expect(verified.status == 0 && verified.text.contains("all 2 reports"), "\(verified.text)")
        let log = try Shell.run([program, "audit", "verify-log", "\(audited.folder.path)/audit.log"], merged: true)
        #expect(log.status == 0, "\(log.text)")
    }

    @Test func `TLS 1.0 and weak suites at the binding are found`() throws {
        let old = "TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0"
        let server = try Nginx(TestTrust(likeness: trust), protocols: old)
        let (report, status) = try audited.audit(
            audited.head() + audited.site(port: server.port) + (try audited.upstream(port: nobody()))
        )
        #expect(status == 1)
        #expect(report.faults == ["client.versions", "client.suites", "client.hsts"])
        let versions = report.findings(.clientVersions)[0]
        #expect(versions.statement == "TLS 1.0 and TLS 1.1 are accepted")
        #expect(report.findings(.clientSuites)[0].statement.contains("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"))
    }

    @Test func `plain HTTP at the binding and at the plain port is found`() throws {
        let plain = try ScriptedServer(certificate: nil) { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                return
            }
        }
        let tls = try Nginx(TestTrust(likeness: trust), more: Self.good)
        let site = "redirect = [\"127.0.0.1:\(plain.port)\"]"
        let (report, _) = try audited.audit(
            audited.head() + audited.site(port: tls.port, more: site) + (try audited.upstream(port: nobody()))
        )
        #expect(report.faults == ["client.redirect"])
    }

    @Test func `a certificate that ends soon, one for another name, and one of nobody's authority are found`() throws {
        let soon = try CertificateMaker.issue(names: ["localhost"], by: trust.authority, validFrom: -390, days: 397)
        let other = try CertificateMaker.issue(names: ["elsewhere.example"], by: trust.authority)
        let lonely = try CertificateMaker.selfSigned(names: ["localhost"])
        for (certificate, faults) in [
            (soon, ["client.expiry"]), (other, ["client.certificate"]), (lonely, ["client.certificate"]),
        ] {
            let server = try Nginx(TestTrust(trust, serverShows: certificate), more: Self.good)
            if faults == ["client.expiry"] {
                // The binding's own, which nothing else is wrong with.
                try audited.folder.write("portal.pem", certificate.certificatePEM)
                try audited.folder.write("portal.key", certificate.keyPEM)
            }
            let (report, _) = try audited.audit(
                audited.head() + audited.site(port: server.port) + (try audited.upstream(port: nobody()))
            )
            #expect(report.faults == Set(faults))
        }
    }

    @Test func `a wrong pin, a server of TLS 1.1, and one that also answers in plain are found`() throws {
        let app = try Nginx(trust)
        let old = try Nginx(trust, protocols: "TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0")
        let both = try Nginx(trust, more: "listen 127.0.0.1:\(try freePort());")
        let plain = UInt16(try #require(both.plainPort))
        let wrong = try trust.pin(of: CertificateMaker.selfSigned(names: ["app.internal"]))
        let cases: [(UInt16, String?, String, Set<String>)] = [
            (app.port, "{ ca = \"authority.pem\", pins = [\"\(wrong)\"] }", "", ["app.trust"]),
            (old.port, nil, "", ["app.version"]), (both.port, nil, "plain_ports = [\(plain)]", ["app.plaintext"]),
        ]
        for (port, text, audit, faults) in cases {
            let (report, _) = try audited.audit(
                audited.head(audit) + audited.site(port: try nobody()) + (try audited.upstream(port: port, trust: text))
            )
            #expect(report.faults == faults)
        }
    }

    @Test func `databases that let others in without encryption are found`() throws {
        let postgres = try PostgresServer(trust, hasTLS: true, alsoPlain: true)
        let tds = try PeerServer(trust, script: "tds_server.py", "--encryption", "off")
        for (kind, port) in [("postgres", postgres.port), ("tds", tds.port)] {
            let (report, _) = try audited.audit(
                audited.head() + (try audited.database(kind, port: port, binding: nobody()))
            )
            #expect(report.faults == ["database.plaintext"], "\(kind): \(report.hops)")
            #expect(report.findings(.databaseTrust).map(\.verdict) == [.holds])
        }
    }

    @Test func `MariaDB is asked over TLS whether it insists on encryption`() throws {
        try audited.folder.write("bob.pass", "s3cret-Password\n")
        for isRequired in [true, false] {
            let mariadb = try MariaDBServer(trust, requiresTLS: isRequired)
            let database = try audited.database("mysql", port: mariadb.port, binding: nobody())
            let credentials = "catalog = \"clinic\"\ncredentials = { user = \"bob\", password_file = \"bob.pass\" }\n"
            let (report, _) = try audited.audit(
                audited.head()
                    + database.replacing("[[database.binding]]", with: credentials + "[[database.binding]]")
            )
            let verdicts = report.findings(.databasePlaintext).map(\.verdict)
            #expect(verdicts == [isRequired ? .holds : .fallsShort], "\(report.findings(.databasePlaintext))")
        }
    }

    @Test(arguments: [
        ("hostssl all alice 127.0.0.1/32 scram-sha-256", false, Verdict.notChecked),
        ("hostssl all alice 127.0.0.1/32 scram-sha-256", true, .holds),
        ("host all all 127.0.0.1/32 ident", false, .fallsShort),
    ])
    func `PostgreSQL refuses names and proofs, too: that is not taken for encryption`(
        rules: String,
        isNamed: Bool,
        expected: Verdict
    ) throws {
        try audited.folder.write("alice.pass", "secret\n")
        let postgres = try PostgresServer(trust, hasTLS: true, rules: rules)
        var database = try audited.database("postgres", port: postgres.port, binding: nobody())
        if isNamed {
            let credentials = "credentials = { user = \"alice\", password_file = \"alice.pass\" }\n"
            database = database.replacing("[[database.binding]]", with: credentials + "[[database.binding]]")
        }
        let (report, _) = try audited.audit(audited.head() + database)
        #expect(report.findings(.databasePlaintext).map(\.verdict) == [expected], "\(report.hops)")
    }

    @Test(arguments: [
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nBad Field : x\r\n\r\n", "",
    ])
    func `a plain port whose answer tells nothing is not taken for closed`(answer: String) throws {
        let app = try Nginx(trust)
        let plain = try ScriptedServer(certificate: nil) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send(answer)
            // Without an answer, it is the audit that gives up.
            if answer.isEmpty { _ = connection.receiveAll() }
        }
        let site = "hsts = { max_age = \"365d\" }\nredirect = [\"127.0.0.1:\(plain.port)\"]"
        let tls = try Nginx(TestTrust(likeness: trust), more: Self.good)
        let (report, _) = try audited.audit(
            audited.head("plain_ports = [\(plain.port)]") + audited.site(port: tls.port, more: site)
                + (try audited.upstream(port: app.port))
        )
        #expect(report.findings(.appPlaintext).map(\.verdict) == [.notChecked], "\(report.hops)")
        #expect(report.findings(.clientRedirect).map(\.verdict) == [.notChecked], "\(report.hops)")
    }

    @Test func `another program with a good certificate of the same name is found`() throws {
        let other = try CertificateMaker.issue(names: ["localhost"], by: trust.authority)
        let server = try Nginx(TestTrust(trust, serverShows: other), more: Self.good)
        let (report, _) = try audited.audit(
            audited.head() + audited.site(port: server.port) + (try audited.upstream(port: nobody()))
        )
        #expect(report.faults == ["client.certificate"])
    }

    @Test func `a plain server inside this host that does not answer is not checked`() throws {
        let (report, _) = try audited.audit(
            audited.head() + audited.site(port: try nobody())
                + "[[upstream]]\nname = \"app\"\nservers = [\"127.0.0.1:\(try nobody())\"]\nplaintext = true\n"
        )
        #expect(report.hops.filter { $0.kind == .app }.map(\.verdict) == [.notChecked])
    }

    @Test func `databases with another key, and those without TLS, are found`() throws {
        let wrong = try trust.pin(of: CertificateMaker.selfSigned(names: ["db"]))
        let postgres = try PostgresServer(trust)
        let bare = try PostgresServer(trust, hasTLS: false)
        let silent = try PeerServer(trust, script: "tds_server.py", "--encryption", "not_sup")
        let cases: [(String, UInt16, String?, Set<String>)] = [
            ("postgres", postgres.port, wrong, ["database.trust"]),
            ("postgres", bare.port, nil, ["database.version", "database.plaintext"]),
            ("tds", silent.port, nil, ["database.version", "database.plaintext"]),
        ]
        for (kind, port, pin, faults) in cases {
            let (report, _) = try audited.audit(
                audited.head() + (try audited.database(kind, port: port, binding: nobody(), pin: pin))
            )
            #expect(report.faults == faults, "\(kind)")
        }
    }

    @Test func `keys and logs that anybody reads, logged queries and workers as root are found`() throws {
        let port = try freePort()
        chmod("\(audited.folder.path)/portal.key", 0o644)
        let access = try audited.folder.write("access.jsonl", "")
        chmod(access, 0o644)
        let configuration =
            """
            [server]
            workers = 1
            [log]
            access = "access.jsonl"
            query = true
            [certificate.portal]
            chain = "portal.pem"
            key = "portal.key"

            """ + audited.site(port: port) + (try audited.upstream(port: nobody()))
        let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
        let (report, _) = try audited.audit(configuration)
        var faults: Set<String> = ["process.key-files", "process.logs", "process.audit-log"]
        if Privileges.isRoot { faults.insert("process.sandbox") }
        #expect(report.faults.filter { $0.hasPrefix("process") } == faults, "\(everyhop.log)")
    }

    @Test func `a binding that asks for a certificate is looked at with one`() throws {
        let auditor = try CertificateMaker.issue(names: ["auditor"], by: trust.authority)
        try audited.folder.write("auditor.pem", auditor.certificatePEM)
        try audited.folder.write("auditor.key", auditor.keyPEM)
        let port = try freePort()
        let site = audited.site(port: port).replacing(
            "certificate = \"portal\"",
            with: "certificate = \"portal\"\nclient_ca = \"authority.pem\"\nclient_certificate = \"require\""
        )
        let mine = "[certificate.auditor]\nchain = \"auditor.pem\"\nkey = \"auditor.key\"\n"
        for (index, audit) in ["", "client_certificate = \"auditor\""].enumerated() {
            let configuration = audited.head(audit) + mine + site + (try audited.upstream(port: nobody()))
            let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
            // Both write into one log.
            try waitUntil("this one") { everyhop.log.components(separatedBy: " ready ").count > index + 1 }
            let (report, _) = try audited.audit(configuration)
            let expected: Verdict = audit.isEmpty ? .notChecked : .holds
            #expect(report.findings(.clientTransportSecurity).map(\.verdict) == [expected], "\(everyhop.log)")
            #expect(report.findings(.clientCertificate).map(\.verdict) == [.holds])
            #expect(report.faults.isEmpty)
        }
    }

    @Test func `a document root in plain is found, though the configuration allows it`() throws {
        try File.makeFolder("\(audited.folder.path)/www")
        let site = audited.site(port: try nobody())
            .replacing("upstream = \"app\"", with: "root = \"www\"\nplaintext_root = true")
        let (report, status) = try audited.audit(audited.head() + site)
        #expect(status == 1 && report.faults == ["document-root.encrypted"])
        #expect(report.findings(.documentRootEncrypted)[0].statement.contains("allows that by plaintext_root"))
    }

    @Test func `an authority that cannot be read is an error, not a check that was not made`() throws {
        let port = try freePort()
        try audited.folder.write(
            "everyhop.toml",
            audited.head().replacing("authority.pem", with: "missing.pem") + audited.site(port: port)
                + (try audited.upstream(port: nobody()))
        )
        let file = "\(audited.folder.path)/everyhop.toml"
        let result = try Shell.run([EveryhopProcess.program, "audit", "--config", file], merged: true)
        #expect(result.status == 2 && result.text.contains("clients_trust \"missing.pem\" cannot be read"))
    }

    @Test func `a configuration that was not loaded, and an emptied audit log, are found`() throws {
        let app = try Nginx(trust)
        let port = try freePort()
        let configuration = audited.head() + audited.site(port: port) + (try audited.upstream(port: app.port))
        let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
        #expect(try audited.audit(configuration).report.faults.isEmpty, "\(everyhop.log)")
        let (changed, _) = try audited.audit(configuration + "# changed\n")
        #expect(changed.faults == ["process.configuration"])
        #expect(truncate("\(audited.folder.path)/audit.log", 0) == 0)
        #expect(try audited.audit(configuration).report.faults == ["process.audit-log"])
    }

    @Test func `what another process wrote into the audit log says nothing of this one`() throws {
        let port = try freePort()
        let configuration = audited.head() + audited.site(port: port) + (try audited.upstream(port: nobody()))
        let first = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
        try waitUntil("the start in the audit log") {
            try String(decoding: File.read("\(audited.folder.path)/audit.log"), as: UTF8.self).contains("\"start\"")
        }
        #expect(kill(first.process, SIGKILL) == 0)
        _ = try first.waitForEnd()
        let other = configuration.replacing("log = \"audit.log\"", with: "")
        let next = try EveryhopProcess(audited.folder, port: port, configuration: other)
        // Both write into one log.
        try waitUntil("the next one") { next.log.components(separatedBy: " ready ").count > 2 }
        let (report, _) = try audited.audit(configuration)
        #expect(report.findings(.processConfiguration).map(\.verdict) == [.notChecked], "\(next.log)")
    }

    @Test(.enabled(if: Privileges.isRoot)) func `a key that another user owns is found`() throws {
        let port = try freePort()
        let configuration = audited.head() + audited.site(port: port) + (try audited.upstream(port: nobody()))
        let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
        #expect(chown("\(audited.folder.path)/portal.key", 65_534, 0) == 0)
        #expect(try audited.audit(configuration).report.faults == ["process.key-files"], "\(everyhop.log)")
    }

    @Test func `an audit log whose end was cut off since the last report is found`() throws {
        let port = try freePort()
        let configuration =
            audited.head("reports = \"reports\"") + audited.site(port: port) + (try audited.upstream(port: nobody()))
        let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
        everyhop.signal(15)
        #expect(try everyhop.waitForEnd() == 0)
        let path = "\(audited.folder.path)/audit.log"
        for _ in 0..<2 { #expect(try audited.audit(configuration).report.faults.isEmpty) }
        let lines = try File.read(path).split(separator: 0x0A)
        try File.write(Array(lines.dropLast().joined(separator: [0x0A])) + [0x0A], to: path, mode: 0o600)
        let found = try audited.audit(configuration).report
        #expect(found.faults == ["process.audit-log"])
        #expect(found.findings(.processAuditLog)[0].statement.contains("lines were cut off"))
    }

    @Test func `an audit log that was changed is found`() throws {
        let app = try Nginx(trust)
        let port = try freePort()
        let configuration = audited.head() + audited.site(port: port) + (try audited.upstream(port: app.port))
        let everyhop = try EveryhopProcess(audited.folder, port: port, configuration: configuration)
        let path = "\(audited.folder.path)/audit.log"
        var text = ""
        try waitUntil("start and trust in the audit log") {
            text = String(decoding: try File.read(path), as: UTF8.self)
            return text.contains("\"event\":\"start\"") && text.contains("\"event\":\"trust\"")
        }
        try File.write(
            Array(text.replacing("\"event\":\"start\"", with: "\"event\":\"stop\"").utf8),
            to: path,
            mode: 0o600
        )
        let (report, _) = try audited.audit(configuration)
        #expect(report.faults == ["process.audit-log"], "\(everyhop.log)")
    }
}

extension TestTrust {
    /// The same authority; servers show the clients' certificate.
    init(likeness trust: TestTrust) { self.init(trust, serverShows: trust.portal) }
}

extension Nginx {
    /// The second port of its server, which `more` has it listen on.
    var plainPort: Int? {
        let text = (try? String(decoding: File.read("\(folder.path)/nginx.conf"), as: UTF8.self)) ?? ""
        let ports = text.components(separatedBy: "listen 127.0.0.1:").dropFirst()
            .compactMap { Int($0.prefix { $0.isNumber }) }
        return ports.first { $0 != Int(port) }
    }
}
