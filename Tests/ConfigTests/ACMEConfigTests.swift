import Config
import Testing

@Suite("Configuration of certificates from authorities") struct ACMEConfigTests {
    private static let good = "directory = \"https://ca.test/dir\", names = [\"a.test\"], terms_agreed = true"

    private func decode(
        _ acme: String,
        server: String = "state = \"s\"",
        name: String = "c",
        binding: String = "",
        redirect: String = "redirect = [\"127.0.0.1:80\"]"
    ) throws -> Configuration.Decoded {
        let text = """
            [server]
            \(server)
            [certificate.\(name)]
            acme = { \(acme) }
            [[site]]
            name = "s"
            upstream = "a"
            \(redirect)
            [[site.binding]]
            certificate = \(name.hasPrefix("\"") ? name : "\"\(name)\"")
            \(binding)
            [[upstream]]
            name = "a"
            servers = ["127.0.0.1:1"]
            plaintext = true
            """
        return Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    @Test func `every key is read`() throws {
        let decoded = try decode(
            "directory = \"https://ca.test:14000/dir?x\", names = [\"a.test\", \"B.test\", \"a.test\"], email = \"a@b.test\", challenge = \"tls-alpn-01\", trust = { ca = \"ca.pem\" }, eab = { kid = \"k\", key_file = \"f\" }, key = \"rsa-2048\", terms_agreed = true"
        )
        #expect(decoded.diagnostics.isEmpty, "\(decoded.diagnostics)")
        let settings = decoded.configuration.issuedCertificates[0].settings
        #expect(settings.directory.value.host == "ca.test" && settings.directory.value.port == 14_000)
        #expect(
            settings.directory.value.target == "/dir?x"
                && settings.names.map(\.value.description) == ["a.test", "b.test"]
        )
        #expect(settings.email == "a@b.test" && settings.challenge == .tlsALPN01 && settings.key == .rsa)
        #expect(settings.trust?.ca?.value == "ca.pem" && settings.externalAccount?.identifier == "k")
        #expect(decoded.configuration.server.state?.value == "s")
    }

    @Test func `a binding may say it itself, for its own host`() throws {
        let own = "certificate = { acme = { directory = \"https://ca.test/dir\", terms_agreed = true } }"
        let text = """
            [server]
            state = "s"
            [[site]]
            name = "s"
            upstream = "a"
            redirect = ["127.0.0.1:80"]
            [[site.binding]]
            host = "a.test"
            \(own)
            [[site.binding]]
            host = "a.test"
            port = 444
            \(own)
            [[upstream]]
            name = "a"
            servers = ["127.0.0.1:1"]
            plaintext = true
            """
        let decoded = Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
        #expect(decoded.diagnostics.isEmpty, "\(decoded.diagnostics)")
        #expect(decoded.configuration.certificates.map(\.name) == ["a.test"])
        #expect(decoded.configuration.sites[0].bindings.map { $0.certificates[0].value } == ["a.test", "a.test"])
        let other = text.replacing("port = 444\n\(own)", with: "port = 444\n\(own.replacing("/dir", with: "/d"))")
        let clash = Configuration.decode(try TOMLDocument.parse(Array(other.utf8)))
        #expect(clash.diagnostics.map(\.message) == ["certificate \"a.test\" is defined otherwise, too"])
    }

    @Test(arguments: [
        ("names = [\"a.test\"], terms_agreed = true", "acme has no directory"),
        ("directory = \"http://ca.test/dir\", names = [\"a.test\"], terms_agreed = true", "is not an https URL"),
        ("directory = \"https://u@ca.test/dir\", names = [\"a.test\"], terms_agreed = true", "is not an https URL"),
        ("directory = \"https://ca.test:0/\", names = [\"a.test\"], terms_agreed = true", "is not an https URL"),
        ("directory = \"https://ca.test/dir\", terms_agreed = true", "acme has no names"),
        ("directory = \"https://ca.test/dir\", names = [], terms_agreed = true", "1 to 100 host names"),
        (
            "directory = \"https://ca.test/dir\", names = [\"*.a.test\"], terms_agreed = true",
            "cannot be proved by http-01 or tls-alpn-01"
        ),
        ("directory = \"https://ca.test/dir\", names = [\"10.0.0.1\"], terms_agreed = true", "is not a host name"),
        ("directory = \"https://ca.test/dir\", names = [\"a b\"], terms_agreed = true", "is not a host name"),
        ("directory = \"https://ca.test/dir\", names = [\"a.test\"]", "before its terms are agreed to"),
        (
            "directory = \"https://ca.test/dir\", names = [\"a.test\"], terms_agreed = false",
            "before its terms are agreed to"
        ),
        (good + ", email = \"a b@c.test\"", "is not an address"), (good + ", email = \"a@b@c\"", "is not an address"),
        (good + ", challenge = \"dns-01\"", "challenge \"dns-01\" is not known"),
        (good + ", key = \"rsa-1024\"", "key \"rsa-1024\" is not known"),
        (good + ", trust = {}", "neither an authority nor a pin"),
        (good + ", eab = { kid = \"k\" }", "eab has no key_file"),
        (good + ", eab = { key_file = \"k\" }", "eab has no kid"), (good + ", agreed = true", "unknown key \"agreed\""),
    ]) func `mistakes are found`(_ acme: String, _ complaint: String) throws {
        let messages = try decode(acme).diagnostics.map(\.message)
        #expect(messages.contains { $0.contains(complaint) }, "\(messages)")
    }

    @Test func `what is needed around it is asked for`() throws {
        func messages(_ decoded: Configuration.Decoded) -> [String] { decoded.diagnostics.map(\.message) }
        #expect(messages(try decode(Self.good, server: "")) == ["there is no folder to keep certificate \"c\" in"])
        #expect(
            messages(try decode(Self.good, redirect: "")) == [
                "http-01 is answered where plain http is redirected, and no site has a redirect"
            ]
        )
        #expect(messages(try decode(Self.good + ", challenge = \"tls-alpn-01\"", redirect: "")).isEmpty)
        #expect(
            messages(try decode(Self.good, binding: "host = \"b.test\"")) == [
                "certificate \"c\" does not cover host \"b.test\""
            ]
        )
        #expect(messages(try decode(Self.good, binding: "host = \"a.test\"")).isEmpty)
        let climbing = messages(try decode(Self.good, name: "\"../x\""))
        #expect(climbing == ["certificate \"../x\" is kept in a folder of its name, which it is not fit for"])
    }

    @Test(arguments: [
        ("https://ca.test", "ca.test", 443, "/"), ("https://ca.test?x=1", "ca.test", 443, "/?x=1"),
        ("https://[::1]:8443/a", "::1", 8443, "/a"), ("https://127.0.0.1/a/b?c", "127.0.0.1", 443, "/a/b?c"),
    ]) func `an https URL is taken apart`(_ text: String, _ host: String, _ port: UInt16, _ target: String) throws {
        let address = try #require(WebAddress(text))
        #expect(address.host == host && address.port == port && address.target == target)
    }

    @Test(arguments: [
        "", "https://", "https:///a", "ftp://ca.test/", "HTTPS://ca.test/", "https://ca.test:/",
        "https://ca.test:99999/",
        "https://ca.test/a b", "https://ca.test/#x", "https://ca.test/\r\nX: y", "https://*.test/",
        "https://a:b@ca.test/",
        "https://[::1/", "https://[ca.test]/", "https://ca.test\\@evil.test/", "https://ca.te\u{FC}st/",
        "https://ca.test/" + String(repeating: "a", count: 2048),
    ]) func `what is no https URL is refused`(_ text: String) { #expect(WebAddress(text) == nil) }
}
