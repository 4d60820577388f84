import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Certificates of clients, end to end") struct ClientCertificateTests {
    static let versions = ["--http1.1", "--http2"]
    let trust: TestTrust
    let folder: TemporaryFolder
    let app: AppServer
    let alice: CertificateFacts

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        app = try AppServer("app", certificate: trust.app)
        let clients = try CertificateMaker.authority(name: "clients")
        try folder.write("clients.pem", clients.certificatePEM)
        let stranger = try CertificateMaker.authority(name: "strangers")
        for (name, authority) in [("alice", clients), ("bob", clients), ("mallory", stranger)] {
            let issued = try CertificateMaker.issue(names: [name], by: authority)
            try folder.write("\(name).pem", issued.certificatePEM)
            try folder.write("\(name).key", issued.keyPEM)
        }
        alice = try CertificateFacts.read(pem: try File.read("\(folder.path)/alice.pem"))[0]
    }

    private func routed(_ binding: String, more: String = "") throws -> Routed {
        try Routed(trust, folder, [app], binding: binding, routes: more)
    }

    private func status(_ routed: Routed, _ name: String?, _ version: String = "--http1.1") throws -> String {
        guard let name else { return try routed.status("/", version: version) }
        return try routed.status(
            "/",
            "--cert",
            "\(folder.path)/\(name).pem",
            "--key",
            "\(folder.path)/\(name).key",
            version: version
        )
    }

    @Test(arguments: versions) func `only clients with a good certificate are served`(_ version: String) throws {
        let routed = try routed("client_ca = \"clients.pem\"")
        #expect(try status(routed, "alice", version) == "200" && status(routed, "bob", version) == "200")
        #expect(try status(routed, nil, version).hasSuffix("000"))
        #expect(try status(routed, "mallory", version).hasSuffix("000"))
        #expect(app.requests.value == 2)
        try routed.everyhop.waitForLog("peer did not return a certificate")
        try routed.everyhop.waitForLog("certificate is not signed by a trusted authority")
        try routed.waitForMetric("everyhop_client_certificates_refused_total 1")
        try routed.waitForMetric("everyhop_client_handshake_failures_total 2")
        try routed.everyhop.waitForAccess(
            "\"client_certificate_subject\":\"\(alice.subject)\"",
            "\"client_certificate_issuer\":\"\(alice.issuer)\"",
            "\"client_certificate_serial\":\"\(alice.serial)\"",
            "\"client_certificate_fingerprint\":\"\(alice.fingerprint)\""
        )
    }

    @Test func `pins narrow it to some`() throws {
        let routed = try routed("client_ca = \"clients.pem\"\nclient_pins = [\"\(alice.pin)\"]")
        #expect(try status(routed, "alice") == "200" && status(routed, "bob").hasSuffix("000"))
        try routed.everyhop.waitForLog("pin mismatch: the client's key is sha256/")
    }

    private static let forged = [
        "X-Client-Certificate-Subject: root", "X_Client_Certificate_Subject: root", "x-client_certificate-PIN: root",
        "X.Client.Certificate.Serial: root", "X-Client-Certificate: root", "X-CLIENT-CERTIFICATE-VERIFIED: root",
    ]

    @Test(arguments: versions) func `the server is told, and by nobody else`(_ version: String) throws {
        let routed = try routed("client_ca = \"clients.pem\"\nclient_certificate = \"optional\"")
        let fields = Self.forged.flatMap { ["-H", $0] }
        func ask(_ more: [String]) throws {
            let result = try Shell.run(
                ["curl", version, "-sS", "-m", "20", "--cacert", "\(folder.path)/authority.pem"] + fields + more
                    + ["https://localhost:\(routed.everyhop.port)/"],
                merged: true
            )
            #expect(result.text == "app")
        }
        try ask([])
        #expect(!app.last.value.lowercased().contains("client") && !app.last.value.contains("root"))
        try ask(["--cert", "\(folder.path)/alice.pem", "--key", "\(folder.path)/alice.key"])
        #expect(!app.last.value.contains("root"))
        for (name, value) in [
            ("Subject", alice.subject), ("Issuer", alice.issuer), ("Serial", alice.serial),
            ("Fingerprint", alice.fingerprint), ("Pin", alice.pin.description),
        ] {
            #expect(app.last.value.components(separatedBy: "\r\nX-Client-Certificate-\(name): \(value)\r\n").count == 2)
        }
    }

    @Test func `forged fields go nowhere without client certificates either, nor in trailers`() throws {
        let body = Shared("")
        let server = try ScriptedServer(certificate: trust.app) { connection in
            let text = try connection.receive(until: "\r\n\r\n") + connection.receive(until: "last: 1\r\n\r\n")
            body.with { $0 = text }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        let port = try freePort()
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(port: port, upstream: server.port)
        )
        let connection = try Connection(to: everyhop.port, try trust.client())
        let fields = Self.forged.joined(separator: "\r\n")
        try connection.send(
            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\(fields)\r\n\r\n"
                + "2\r\nhi\r\n0\r\n\(fields)\r\nlast: 1\r\n\r\n"
        )
        _ = try connection.receive(until: "ok")
        #expect(body.value.contains("hi") && !body.value.contains("root"))
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func `a resumed session is the same client, and none is resumed past the check`(_ version: String) throws {
        let strict = try freePort()
        let routed = try routed(
            "client_ca = \"clients.pem\"\nclient_certificate = \"optional\"",
            more: "[[site.binding]]\nip = \"127.0.0.1\"\nport = \(strict)\ncertificate = \"portal\"\n"
                + "client_ca = \"clients.pem\"\n"
        )
        func connect(_ port: UInt16, _ arguments: String) throws -> String {
            let request = "GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n"
            return try Shell.run(
                [
                    "sh", "-c",
                    "cd \(folder.path) && printf '\(request)' | timeout 20 openssl s_client -connect 127.0.0.1:\(port) "
                        + "-servername localhost -CAfile authority.pem \(version) -ign_eof \(arguments) 2>&1",
                ]
            ).text
        }
        let alicesKey = "-cert alice.pem -key alice.key"
        #expect(try connect(strict, "\(alicesKey) -sess_out strict.session").contains("\r\napp"))
        #expect(try connect(routed.everyhop.port, "-sess_out optional.session").contains("\r\napp"))
        // Resumed without the certificate being shown again, it is known all the same.
        let resumed = try connect(strict, "-sess_in strict.session")
        #expect(resumed.contains("Reused, TLSv1") && resumed.contains("\r\n\r\napp"), "\(resumed)")
        #expect(app.last.value.contains("\r\nX-Client-Certificate-Subject: \(alice.subject)\r\n"))
        try routed.everyhop.waitForAccess("\"tls_resumed\":true", "\"client_certificate_subject\":\"\(alice.subject)\"")
        let before = app.requests.value
        let crossed = try connect(strict, "-sess_in optional.session")
        #expect(!crossed.contains("Reused, TLSv1") && app.requests.value == before, "\(crossed)")
        // Nor does a session under one authority hold after a reload that asks for another.
        let file = "\(folder.path)/everyhop.toml"
        let text = String(decoding: try File.read(file), as: UTF8.self)
        let other = try CertificateMaker.authority(name: "others")
        try folder.write("others.pem", other.certificatePEM)
        try folder.write("everyhop.toml", text.replacingOccurrences(of: "\"clients.pem\"", with: "\"others.pem\""))
        #expect(try connect(strict, "\(alicesKey) -sess_out strict.session").contains("\r\n\r\napp"))
        let served = app.requests.value
        routed.everyhop.signal(SIGHUP)
        try routed.everyhop.waitForLog("no new generation is needed")
        let stale = try connect(strict, "-sess_in strict.session")
        #expect(!stale.contains("Reused, TLSv1") && app.requests.value == served, "\(stale)")
    }

    @Test(arguments: versions)
    func `a connection is no proof for a binding that asks for another certificate`(_ version: String) throws {
        let port = try freePort()
        let text = try Routed.configuration(
            trust,
            [("app", app.port)],
            port: port,
            admin: try freePort(),
            binding: """
                host = "localhost"
                [[site.binding]]
                ip = "127.0.0.1"
                port = \(port)
                host = "same.localhost"
                certificate = "portal"
                [[site]]
                name = "inner"
                upstream = "app"
                [[site.binding]]
                ip = "127.0.0.1"
                port = \(port)
                host = "inner.localhost"
                certificate = "portal"
                client_ca = "clients.pem"
                [[site.binding]]
                ip = "127.0.0.1"
                port = \(port)
                host = "optional.localhost"
                certificate = "portal"
                client_ca = "clients.pem"
                client_certificate = "optional"
                """
        )
        let names = ["localhost", "same.localhost", "inner.localhost", "optional.localhost"]
        let issued = try CertificateMaker.issue(names: names, by: trust.authority)
        try folder.write("portal.pem", issued.certificatePEM)
        try folder.write("portal.key", issued.keyPEM)
        let everyhop = try EveryhopProcess(folder, port: port, configuration: text)
        func ask(_ name: String, _ host: String) throws -> String {
            try Shell.run(
                [
                    "curl", version, "-sS", "-m", "20", "--cacert", "\(folder.path)/authority.pem", "-o", "/dev/null",
                    "-w",
                    "%{http_code}", "--cert", "\(folder.path)/alice.pem", "--key", "\(folder.path)/alice.key",
                    "--resolve",
                    "\(name):\(port):127.0.0.1", "-H", "Host: \(host):\(port)", "https://\(name):\(port)/",
                ],
                merged: true
            ).text
        }
        for name in names {
            for host in names {
                let isProven = name == host || !(name + host).contains("inner") && !(name + host).contains("optional")
                #expect(try ask(name, host) == (isProven ? "200" : "421"), "\(name) for \(host)")
            }
        }
        // The same name for servers, so it is for us.
        #expect(try ask("localhost", "inner.localhost.") == "421")
        guard version == "--http2" else { return }
        // As browsers do it (RFC 9113 §9.1.1): one connection for all names of its certificate.
        let client = try HTTP2Peer(to: everyhop, trust.client(alpn: "h2"))
        for (name, status) in [("same.localhost", 200), ("inner.localhost", 421), ("localhost", 200)] {
            let stream = try client.request([
                (":method", "GET"), (":scheme", "https"), (":authority", "\(name):\(port)"), (":path", "/"),
            ])
            #expect(try client.answer(stream).status == status)
        }
        try everyhop.waitForAccess("\"status\":421", "the host is not served on this connection")
    }
}
