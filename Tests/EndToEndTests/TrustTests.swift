import Platform
import Support
import TLS
import Testing

@Suite("Trust towards servers") struct TrustTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    /// A server that answers every request on its connections.
    private func server(_ certificate: CertificateMaker.Issued?) throws -> ScriptedServer {
        try ScriptedServer(certificate: certificate) { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
    }

    private func start(
        _ server: ScriptedServer,
        trust text: String? = nil,
        serverName: String = "app.internal"
    ) throws -> EveryhopProcess {
        let port = try freePort()
        let configuration = try trust.configuration(
            port: port,
            upstream: server.port,
            trust: text,
            serverName: serverName
        )
        return try EveryhopProcess(folder, port: port, configuration: configuration)
    }

    /// One request; its whole answer.
    private func ask(_ everyhop: EveryhopProcess) throws -> String {
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send("GET /path?query=secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.receiveAll()
    }

    /// The hop is refused: 502 without a word about why, the reason in the log.
    private func expectRefusal(_ everyhop: EveryhopProcess, _ reason: String) throws {
        let answer = try ask(everyhop)
        #expect(answer.hasPrefix("HTTP/1.1 502 Bad Gateway\r\n"))
        #expect(!answer.contains("pin") && !answer.contains("certificate"))
        try everyhop.waitForLog(reason)
        try everyhop.waitForAccess("\"status\":502", reason)
        #expect(!everyhop.access.joined().contains("secret"))
    }

    @Test func `authority, name and pin together let a request through, with TLS on both hops in the log`() throws {
        let everyhop = try start(try server(trust.app))
        #expect(try ask(everyhop).hasSuffix("\r\n\r\nok"))
        try everyhop.waitForAccess(
            "\"status\":200",
            "\"tls_version\":\"TLSv1.3\"",
            "\"server_tls_version\":\"TLSv1.3\"",
            "\"server_pin_matched\":true",
            "\"path\":\"/path\""
        )
    }

    @Test func `a pin alone is enough`() throws {
        let lonely = try CertificateMaker.selfSigned(names: ["whatever"])
        let everyhop = try start(try server(lonely), trust: "{ pins = [\"\(try trust.pin(of: lonely))\"] }")
        #expect(try ask(everyhop).hasPrefix("HTTP/1.1 200"))
    }

    @Test func `a wrong pin is refused, and the log tells the pin that was seen`() throws {
        let other = try CertificateMaker.issue(names: ["app.internal"], by: trust.authority)
        let everyhop = try start(try server(other))
        try expectRefusal(everyhop, "pin mismatch: the server's key is \(try trust.pin(of: other))")
    }

    @Test func `a wrong name is refused`() throws {
        let everyhop = try start(try server(trust.app), serverName: "other.internal")
        try expectRefusal(everyhop, "certificate is not for other.internal (it is for app.internal)")
    }

    @Test func `an expired certificate is refused`() throws {
        let old = try CertificateMaker.issue(names: ["app.internal"], by: trust.authority, validFrom: -10, days: 5)
        let everyhop = try start(try server(old), trust: "{ ca = \"authority.pem\" }")
        try expectRefusal(everyhop, "certificate has expired")
    }

    @Test func `an unknown authority is refused`() throws {
        let stranger = try CertificateMaker.authority(name: "stranger")
        let issued = try CertificateMaker.issue(names: ["app.internal"], by: stranger)
        let everyhop = try start(try server(issued), trust: "{ ca = \"authority.pem\" }")
        try expectRefusal(everyhop, "certificate is not signed by a trusted authority")
    }

    @Test func `a server that speaks plain HTTP is refused`() throws {
        let plain = try ScriptedServer(certificate: nil) { connection in
            _ = try connection.receive()
            try connection.send("HTTP/1.1 400 Bad Request\r\n\r\n")
        }
        try expectRefusal(try start(plain), "the peer does not speak TLS")
    }

    @Test func `a reload that changes the pin drops pooled connections and saved sessions`() throws {
        let everyhop = try start(try server(trust.app))
        #expect(try ask(everyhop).hasPrefix("HTTP/1.1 200"))
        let other = try CertificateMaker.selfSigned(names: ["x"])
        let changed = try trust.configuration(
            port: everyhop.port,
            upstream: 1,
            trust: "{ ca = \"authority.pem\", pins = [\"\(try trust.pin(of: other))\"] }"
        )
        let file = "\(folder.path)/everyhop.toml"
        let old = String(decoding: try File.read(file), as: UTF8.self)
        let line = old.split(separator: "\n").first { $0.hasPrefix("servers") } ?? ""
        try folder.write(
            "everyhop.toml",
            changed.split(separator: "\n", omittingEmptySubsequences: false)
                .map { $0.hasPrefix("servers") ? String(line) : String($0) }.joined(separator: "\n")
        )
        everyhop.signal(1)
        try everyhop.waitForLog("no new generation is needed")
        try expectRefusal(everyhop, "pin mismatch")
    }

    @Test func `a configuration that cannot be used never replaces a good one`() throws {
        let everyhop = try start(try server(trust.app))
        try folder.write("everyhop.toml", "[server]\nworkerz = 1\n")
        everyhop.signal(1)
        try everyhop.waitForLog("reload refused")
        try everyhop.waitForLog("did you mean \"workers\"?")
        #expect(try ask(everyhop).hasPrefix("HTTP/1.1 200"))
    }
}
