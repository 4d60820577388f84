import Config
import Testing

@Suite("Keys about revocation, answers of authorities and FIPS") struct RevocationConfigTests {
    private static let pin = "sha256/\(String(repeating: "A", count: 43))="

    private func decode(
        tls: String = "",
        certificate: String = "chain = \"c.pem\"\nkey = \"c.key\"\n",
        binding: String = "",
        trust: String = "pins = [\"\(pin)\"]",
        more: String = ""
    ) throws -> Configuration.Decoded {
        let text = """
            [tls]
            \(tls)
            [certificate.c]
            \(certificate)
            [[site]]
            name = "s"
            upstream = "a"
            [[site.binding]]
            certificate = "c"
            \(binding)
            [[upstream]]
            name = "a"
            servers = ["10.0.0.1:443"]
            trust = { \(trust) }
            \(more)
            """
        return Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    @Test func `they are read`() throws {
        let decoded = try decode(
            tls: "ocsp = \"off\"\nfips = true",
            certificate: "chain = \"c.pem\"\nkey = \"c.key\"\nocsp_file = \"c.der\"",
            binding: "client_ca = \"ca.pem\"\nclient_crl = [\"a.crl\", \"b.crl\"]\nclient_crl_check = \"leaf\"",
            trust: "ca = \"ca.pem\", crl = \"c.crl\""
        )
        #expect(decoded.diagnostics.isEmpty, "\(decoded.diagnostics)")
        let configuration = decoded.configuration
        #expect(configuration.tls.ocsp == .off && configuration.tls.demandsFIPS)
        #expect(configuration.certificates[0].ocspFile?.value == "c.der")
        let clients = try #require(configuration.sites[0].bindings[0].clients?.revocation)
        #expect(clients.files.map(\.value) == ["a.crl", "b.crl"] && clients.check == .leaf)
        let servers = try #require(configuration.upstreams[0].trust?.revocation)
        #expect(servers.files.map(\.value) == ["c.crl"] && servers.check == .chain)
    }

    @Test func `without them, authorities are asked and nothing else`() throws {
        let decoded = try decode(binding: "client_ca = \"ca.pem\"")
        #expect(decoded.diagnostics.isEmpty)
        #expect(decoded.configuration.tls.ocsp == .auto && !decoded.configuration.tls.demandsFIPS)
        #expect(decoded.configuration.sites[0].bindings[0].clients?.revocation == nil)
        #expect(decoded.configuration.upstreams[0].trust?.revocation == nil)
        #expect(try decode(tls: "fips = false").configuration.tls.demandsFIPS == false)
    }

    @Test(arguments: [
        ("client_crl = \"a.crl\"\nclient_pins = [\"\(pin)\"]", "client_crl has no meaning without client_ca"),
        ("client_ca = \"x\"\nclient_crl = []", "client_crl names no file"),
        ("client_ca = \"x\"\nclient_crl = \"\"", "client_crl has to be the path of a file"),
        ("client_ca = \"x\"\nclient_crl = [\"\"]", "client_crl has to hold paths of files"),
        ("client_ca = \"x\"\nclient_crl = [1]", "client_crl has to hold strings"),
        ("client_ca = \"x\"\nclient_crl_check = \"leaf\"", "client_crl_check has no meaning without client_crl"),
        ("client_ca = \"x\"\nclient_crl = \"a\"\nclient_crl_check = \"no\"", "client_crl_check \"no\" is not known"),
    ])
    func `each mistake of a binding is told`(_ binding: String, _ message: String) throws {
        let decoded = try decode(binding: binding)
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }

    @Test(arguments: [
        ("pins = [\"\(pin)\"], crl = \"a.crl\"", "crl has no meaning without ca"),
        ("ca = \"x\", crl_check = \"leaf\"", "crl_check has no meaning without crl"),
        ("ca = \"x\", crl = 1", "crl has to be a string"),
    ])
    func `each mistake of trust is told`(_ trust: String, _ message: String) throws {
        let decoded = try decode(trust: trust)
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }

    @Test(arguments: [
        ("ocsp = \"yes\"", "", "", "ocsp \"yes\" is not known"), ("fips = 1", "", "", "fips has to be true or false"),
        ("", "self_signed = [\"x\"]\nocsp_file = \"\"", "", "ocsp_file has to be the path of a file"),
        ("fips = true", "pfx = \"a.pfx\"", "", "a PKCS#12 file is opened with algorithms that FIPS does not allow"),
        (
            "fips = true", "self_signed = [\"x\"]",
            "[[database]]\nname = \"d\"\nprotocol = \"tds\"\nserver = \"10.0.0.1:1433\"\nlegacy = true\n"
                + "trust = { pins = [\"\(pin)\"] }\n[[database.binding]]\nport = 1433",
            "legacy: TLS of that age is not allowed under fips"
        ),
    ])
    func `each mistake elsewhere is told`(_ tls: String, _ certificate: String, _ more: String, _ message: String)
        throws
    {
        let decoded = try decode(
            tls: tls,
            certificate: certificate.isEmpty ? "self_signed = [\"x\"]" : certificate,
            more: more
        )
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }
}
