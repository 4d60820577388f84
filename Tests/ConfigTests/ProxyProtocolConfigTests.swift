import Config
import Testing

@Suite("Configuration of the PROXY protocol") struct ProxyProtocolConfigTests {
    private func decode(_ text: String) throws -> Configuration.Decoded {
        let head = """
            [certificate.c]
            self_signed = ["x"]
            [[upstream]]
            name = "u"
            servers = ["10.0.0.1:443"]
            trust = { pins = ["sha256/\(String(repeating: "A", count: 43))="] }

            """
        return Configuration.decode(try TOMLDocument.parse(Array((head + text).utf8)))
    }

    private func site(_ keys: String, _ bindings: String...) -> String {
        "[[site]]\nname = \"\(keys.count)\(bindings.count)\"\nupstream = \"u\"\n\(keys)\n"
            + bindings.map { "[[site.binding]]\ncertificate = \"c\"\n\($0)\n" }.joined()
    }

    private let database = """
        [[database]]
        name = "d"
        protocol = "postgres"
        server = "10.0.0.2:5432"
        trust = { pins = ["sha256/\(String(repeating: "A", count: 43))="] }

        """

    private func networks(_ texts: String...) throws -> [Network] { try texts.map { try #require(Network($0)) } }

    @Test func `a site says for all of its addresses who passes clients on, and a binding for itself`() throws {
        let decoded = try decode(
            "send_proxy = \"v1\"\n"
                + site(
                    "accept_proxy = [\"10.0.0.0/8\"]\nredirect = [\"*:80\"]",
                    "",
                    "port = 444\naccept_proxy = [\"2001:db8::1\"]",
                    "port = 445\naccept_proxy = []"
                )
                + database
                + "send_proxy = \"v2\"\n[[database.binding]]\nip = \"*\"\nport = 5432\ncertificate = \"c\"\naccept_proxy = [\"10.0.0.1\"]\n"
        )
        #expect(decoded.diagnostics.isEmpty, "\(decoded.diagnostics)")
        let configuration = decoded.configuration
        let bindings = configuration.sites[0].bindings
        #expect(configuration.sites[0].acceptProxy == (try networks("10.0.0.0/8")))
        #expect(try bindings.map(\.acceptProxy) == [networks("10.0.0.0/8"), networks("2001:db8::1"), []])
        #expect(configuration.upstreams[0].sendProxy == .v1 && configuration.databases[0].sendProxy == .v2)
        #expect(configuration.databases[0].bindings[0].acceptProxy == (try networks("10.0.0.1")))
    }

    @Test func `nobody passes clients on, and servers are told nothing, unless it is said`() throws {
        let configuration = try decode(site("", "") + database + "[[database.binding]]\nport = 5432\n").configuration
        #expect(configuration.sites[0].acceptProxy.isEmpty && configuration.sites[0].bindings[0].acceptProxy.isEmpty)
        #expect(configuration.databases[0].bindings[0].acceptProxy.isEmpty)
        #expect(configuration.upstreams[0].sendProxy == nil && configuration.databases[0].sendProxy == nil)
    }

    @Test func `bindings of one address say the same`() throws {
        for text in [
            site("", "host = \"a\"\naccept_proxy = [\"10.0.0.1\"]", "host = \"b\""),
            site("accept_proxy = [\"10.0.0.1\"]", "host = \"a\"") + site("", "host = \"b\""),
            site("accept_proxy = [\"10.0.0.1\"]", "ip = \"0.0.0.0\"\nhost = \"a\"") + site("", "host = \"b\""),
            site("accept_proxy = [\"10.0.0.1\"]\nredirect = [\"*:80\"]", "host = \"a\"\naccept_proxy = []")
                + site("redirect = [\"0.0.0.0:80\"]", "host = \"b\""),
        ] {
            let decoded = try decode(text)
            #expect(!decoded.isUsable)
            #expect(
                decoded.diagnostics.map(\.message).filter { $0.contains("accept_proxy is not the same") }.count == 1,
                "\(decoded.diagnostics)"
            )
        }
        let alike = site("accept_proxy = [\"10.0.0.1\"]", "host = \"a\"", "ip = \"10.0.0.9\"\naccept_proxy = []")
        #expect(try decode(alike).isUsable)
    }

    @Test(arguments: [
        ("accept_proxy = \"10.0.0.1\"\n", "accept_proxy has to be an array"),
        ("accept_proxy = [\"10.0.0.0/33\"]\n", "\"10.0.0.0/33\" is no address and no network"),
        ("accept_proxy = [\"lb.internal\"]\n", "\"lb.internal\" is no address and no network"),
        ("send_proxy = \"v1\"\n", "unknown key \"send_proxy\""),
    ])
    func `each mistake of a site is told`(_ key: String, _ message: String) throws {
        for text in [site(key, ""), site("", key)] {
            let decoded = try decode(text)
            #expect(!decoded.isUsable)
            #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
        }
    }

    @Test(arguments: [
        ("send_proxy = \"v3\"\n", "send_proxy \"v3\" is not known"),
        ("send_proxy = true\n", "send_proxy has to be a string"),
        ("send_proxy = \"v2\"\nprotocol = \"h2\"\n", "do not go together"),
        ("send_proxy = \"v2\"\nprotocol = \"auto\"\n", "do not go together"),
        ("accept_proxy = []\n", "unknown key \"accept_proxy\""),
    ])
    func `each mistake of an upstream is told`(_ key: String, _ message: String) throws {
        let decoded = try decode(key + site("", ""))
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }

    @Test(arguments: [
        ("port = 5432\naccept_proxy = [\"127.0.0.1\"]\n", "accept_proxy needs a certificate"),
        ("unix = \"/x\"\naccept_proxy = [\"127.0.0.1\"]\n", "accept_proxy has a meaning with ip and port only"),
    ])
    func `each mistake of a database's binding is told`(_ key: String, _ message: String) throws {
        let decoded = try decode(database + "[[database.binding]]\n" + key)
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }
}
