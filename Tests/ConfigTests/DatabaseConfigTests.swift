import Config
import Testing

@Suite("Configuration of databases") struct DatabaseConfigTests {
    private static let pin = "sha256/\(String(repeating: "A", count: 43))="

    private static func database(
        _ more: String = "",
        kind: String = "tds",
        trust: String = "trust = { pins = [\"\(pin)\"] }",
        binding: String = "port = 1433"
    ) -> String {
        """
        [[database]]
        name = "ehr"
        protocol = "\(kind)"
        server = "10.0.2.5:1433"
        \(trust)
        \(more)
        [[database.binding]]
        \(binding)

        """
    }

    private func decode(_ text: String) throws -> Configuration.Decoded {
        Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    @Test func `a database alone is a configuration, and its defaults are safe`() throws {
        let decoded = try decode(Self.database())
        #expect(decoded.diagnostics.isEmpty)
        let database = try #require(decoded.configuration.databases.first)
        #expect(database.bindings.first?.isLocal == true)
        #expect(database.bindings.first?.certificates.isEmpty == true)
        #expect(database.legacy == false && database.oldestTLS == nil && database.tds == .negotiated)
        #expect(database.timeouts.connect == 15_000 && database.timeouts.idle == nil)
        #expect(decoded.configuration.server.drainSessions == 3_600_000)
    }

    @Test(arguments: [
        (database(binding: "ip = \"10.0.0.1\"\nport = 1433"), "is not loopback"),
        (database(binding: "ip = \"*\"\nport = 1433"), "is not loopback"),
        (database(binding: "ip = \"0.0.0.0\"\nport = 1433"), "is not loopback"),
        (database(binding: "ip = \"nowhere\"\nport = 1433"), "is not an address"),
        (database(binding: "ip = \"127.0.0.1\""), "has no port"),
        (database(binding: "unix = \"relative\""), "is no path of a socket"),
        (database(binding: "unix = \"/x\"\nport = 1"), "has ip and port, or unix"),
        (database(binding: "unix = \"/x\"\nmode = \"rw\""), "mode \"rw\" is none"),
        (database(binding: "port = 1433\nmode = \"0600\""), "mode has a meaning with unix only"),
        (database(binding: "port = 1433\nlogin_only = true"), "login_only needs a certificate"),
        (
            database(binding: "ip = \"10.0.0.1\"\nport = 1433\ncertificate = \"c\"\nlogin_only = true"),
            "login_only leaves queries and results in plain"
        ),
        (
            database(kind: "mysql", binding: "port = 1\ncertificate = \"c\"\nlogin_only = true"),
            "login_only has a meaning for protocol = \"tds\" only"
        ),
        (database(trust: ""), "the database has no trust"), (database("tds = \"8\""), "tds \"8\" is not known"),
        (database("tds = \"strict\"", kind: "postgres"), "tds has a meaning for protocol = \"tds\" only"),
        (database("minimum_version = \"1.0\""), "TLS 1.0 is obsolete"),
        (database("minimum_version = \"1.1\""), "TLS 1.1 is obsolete"),
        (database("minimum_version = \"1.4\""), "minimum_version \"1.4\" is not known"),
        (database("legacy = true", trust: "trust = { ca = \"a.pem\" }"), "legacy is allowed only with a pin"),
        (database(kind: "oracle"), "protocol \"oracle\" is not known"),
        (database("sever = \"x\""), "unknown key \"sever\""),
        (database("catalog = \"\""), "catalog is no name of a database"),
        (database("catalog = 1"), "catalog has to be a string"),
        (database("credentials = { password_file = \"p\" }"), "credentials has no user"),
        (database("credentials = { user = \"\" }"), "user is no name of a database user"),
        (database("credentials = { user = \"u\", password = \"p\" }"), "unknown key \"password\" in credentials"),
        (database("data_directory = \"/x\""), "data_directory has a meaning for protocol = \"postgres\" only"),
        (database("data_directory = \"x\"", kind: "postgres"), "data_directory \"x\" is no absolute path"),
        (database(binding: "port = 1433\ncertificate = \"d\""), "there is no certificate \"d\""),
        (database() + database(binding: "port = 1434"), "database \"ehr\" is defined twice"),
        (database(binding: "port = 1433\n[[database.binding]]\nport = 1433"), "clashes with the one of line"),
        (
            database(binding: "unix = \"/a\"\n[[database.binding]]\nunix = \"/a\""),
            "binding /a clashes with the one of line"
        ),
        ("[server]\nworkers = 1\n", "there is no site and no database"),
        ("[[database]]\nname = \"x\"\n", "has no protocol"), ("[[database]]\nname = \"x\"\n", "has no server"),
        ("[[database]]\nname = \"x\"\n", "has no binding"),
    ])
    func `what is wrong is said, with a place`(_ fault: (text: String, message: String)) throws {
        let decoded = try decode(fault.text)
        #expect(!decoded.isUsable)
        #expect(
            decoded.diagnostics.contains { $0.message.contains(fault.message) && $0.position.line > 0 },
            "\(decoded.diagnostics.map(\.message))"
        )
    }

    @Test func `who asks about storage, and where it is, can be named`() throws {
        let more =
            "catalog = \"clinic\"\ncredentials = { user = \"auditor\", password_file = \"ehr.pass\" }\ndata_directory = \"/x\""
        let decoded = try decode(Self.database(more, kind: "postgres"))
        #expect(decoded.diagnostics.isEmpty)
        let database = try #require(decoded.configuration.databases.first)
        #expect(database.catalog?.value == "clinic" && database.dataDirectory?.value == "/x")
        #expect(database.credentials?.user.value == "auditor")
        #expect(database.credentials?.passwordFile?.value == "ehr.pass")
    }

    @Test(arguments: [
        ("ip = \"127.0.0.1\"\nport = 1", true), ("ip = \"::1\"\nport = 1", true),
        ("unix = \"/run/x\"\nmode = \"0660\"", true),
        ("ip = \"127.8.8.8\"\nport = 1", true), ("ip = \"10.0.0.1\"\nport = 1\ncertificate = \"c\"", false),
    ])
    func `bindings know whether they are on this host`(_ binding: (text: String, isLocal: Bool)) throws {
        let text = "[certificate.c]\nself_signed = [\"x\"]\n" + Self.database(binding: binding.text)
        let decoded = try decode(text)
        #expect(decoded.isUsable)
        #expect(decoded.configuration.databases.first?.bindings.first?.isLocal == binding.isLocal)
    }
}
