import Config
import Testing

@Suite("What may be replaced while connections live on") struct LikenessTests {
    private func areLike(_ one: String, _ other: String) throws -> Bool {
        let one = try TOMLDocument.parse(Array(one.utf8))
        let other = try TOMLDocument.parse(Array(other.utf8))
        let forth = one.isLike(other)
        #expect(other.isLike(one) == forth)
        return forth
    }

    @Test(arguments: [
        ("[certificate.a]\nchain = \"a\"\nkey = \"b\"", "[certificate.a]\npfx = \"c\""),
        ("[certificate.a]\nchain = \"a\"", "# nothing"),
        (
            "[[upstream]]\nname = \"a\"\ntrust = { pins = [\"x\"] }",
            "[[upstream]]\ntrust = { ca = \"y\" }\nname = \"a\""
        ),
        ("[[upstream]]\nname = \"a\"\n[upstream.trust]\nca = \"x\"", "\n\n[[upstream]]\nname = \"a\""),
        ("[[database]]\ntrust = { pins = [\"x\"] }", "[[database]]\ntrust = { pins = [\"x\", \"y\"] }"),
        ("[[site]]\n[[site.binding]]\nclient_pins = [\"x\"]", "[[site]]\n[[site.binding]]\nclient_ca = \"x\""),
        ("[tls]\ntickets = { keys = \"a\" }", "[tls]\ntickets = { keys = \"b\" }"),
        ("[tls]\npolicy = \"modern\"\ntickets = { keys = \"a\" }", "[tls]\npolicy = \"modern\""),
    ])
    func `certificates, trust and ticket keys may differ, and where things stand`(_ one: String, _ other: String) throws
    {
        #expect(try areLike(one, other))
    }

    @Test(arguments: [
        ("[server]\nworkers = 1", "[server]\nworkers = 2"), ("[server]\nworkers = 1", "[server]\nworkers = \"auto\""),
        ("[[upstream]]\nserver_name = \"a\"\ntrust = {}", "[[upstream]]\nserver_name = \"b\"\ntrust = {}"),
        ("[[upstream]]\nname = \"a\"", "[[upstream]]\nname = \"a\"\n[[upstream]]\nname = \"b\""),
        ("[[site]]\n[[site.binding]]\ncertificate = \"a\"", "[[site]]\n[[site.binding]]\ncertificate = \"b\""),
        ("[[site]]\n[[site.binding]]\nport = 1", "[[site]]\n[[site.binding]]\nport = 1\nhost = \"a\""),
        ("[tls]\ntickets = { rotate = \"1h\" }", "[tls]\ntickets = { rotate = \"2h\" }"),
        ("trust = 1", "trust = 2"), ("a = 1.5", "a = 2.5"), ("[other]\ncertificate = 1", "[other]\ncertificate = 2"),
    ])
    func `nothing else may`(_ one: String, _ other: String) throws { #expect(try !areLike(one, other)) }

    @Test func `files are watched unless the configuration says no`() throws {
        func watch(_ text: String) throws -> Bool {
            Configuration.decode(try TOMLDocument.parse(Array(text.utf8))).configuration.server.watch
        }
        #expect(try watch(""))
        #expect(try !watch("[server]\nwatch = false"))
        let wrong = Configuration.decode(try TOMLDocument.parse(Array("[server]\nwatch = 1".utf8)))
        #expect(wrong.diagnostics.contains { $0.severity == .error && $0.position.line == 2 })
    }
}
