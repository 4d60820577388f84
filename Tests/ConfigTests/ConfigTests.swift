import Config
import Foundation
import Testing

@Suite("Configuration") struct ConfigTests {
    private func decode(_ text: String) throws -> Configuration.Decoded {
        Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    private static let upstream =
        "[[upstream]]\nname = \"a\"\nservers = [\"10.0.0.1:443\"]\ntrust = { pins = [\"sha256/\(String(repeating: "A", count: 43))=\"] }\n"
    private static let site =
        "[certificate.c]\nself_signed = [\"x\"]\n[[site]]\nname = \"s\"\nupstream = \"a\"\n[[site.binding]]\ncertificate = \"c\"\n"

    @Test func `the example is good and tells the defaults`() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
            "../../config.example.toml"
        )
        let decoded = try decode(String(contentsOf: path, encoding: .utf8))
        #expect(decoded.diagnostics.isEmpty)
        let minimal = try decode(Self.site + Self.upstream).configuration
        let example = decoded.configuration
        #expect(
            example.server.timeouts.head == minimal.server.timeouts.head
                && example.server.timeouts.body == minimal.server.timeouts.body
        )
        #expect(
            example.server.timeouts.handshake == minimal.server.timeouts.handshake
                && example.server.timeouts.write == minimal.server.timeouts.write
        )
        #expect(
            example.server.timeouts.keepAlive == minimal.server.timeouts.keepAlive
                && example.server.drain == minimal.server.drain
        )
        #expect(
            example.server.limits.headBytes == minimal.server.limits.headBytes
                && example.log.access == minimal.log.access
        )
        #expect(
            example.databases.map(\.name) == ["ehr"] && example.databases[0].timeouts.connect == 15_000
                && example.server.drainSessions == minimal.server.drainSessions
        )
        let rewriting = try #require(example.sites.first).rewriting
        #expect(
            rewriting.rewritesLinks == minimal.sites[0].rewriting.rewritesLinks
                && rewriting.cookies.secure == minimal.sites[0].rewriting.cookies.secure
                && rewriting.cookies.httpOnly == minimal.sites[0].rewriting.cookies.httpOnly
                && rewriting.upgradesInsecureRequests == minimal.sites[0].rewriting.upgradesInsecureRequests
        )
        #expect(example.upstreams[0].timeouts.connect == minimal.upstreams[0].timeouts.connect)
        #expect(
            example.upstreams[0].maximumIdle == minimal.upstreams[0].maximumIdle
                && example.tls.policy == minimal.tls.policy
        )
    }

    @Test(arguments: [
        ("[server]\nworkers = 0\n", "2:11", "workers is not a number of processes"),
        ("[server]\nadmin = \"0.0.0.0:9180\"\n", "2:9", "is not on this host"),
        ("[server]\nadmin = \"127.0.0.1:443\"\n", "2:9", "admin 127.0.0.1:443 clashes with the binding of line"),
        ("[server]\nadmin = \"9180\"\n", "2:9", "has no port"), ("[server]\ndrain = \"30\"\n", "2:9", "is not a time"),
        ("[server]\ndrain = 30\n", "2:9", "drain has to be a string, not an integer"),
        ("[server]\ntrusted_proxies = [\"10.0.0.0/33\"]\n", "2:20", "is no address and no network"),
        ("[server.limits]\nhead = \"1B\"\n", "2:8", "head is out of range"),
        ("[server.limits]\nbody = \"x\"\n", "2:8", "body is not a size"),
        ("[server.limits]\nminimum_rate = \"240\"\n", "2:16", "is not a rate"),
        ("[server.limits]\nhandshakes = 1\n", "2:14", "handshakes"),
        ("[server.limits]\nconnections_per_client = -1\n", "2:26", "connections_per_client"),
        ("[server.limits]\nbuffers = \"64KiB\"\n", "2:11", "buffers is too small"),
        ("[log]\nlevel = \"loud\"\n", "2:9", "level \"loud\" is not known"),
        ("[log]\nquery = 1\n", "2:9", "query has to be true or false"),
        ("[tls]\npolicy = \"old\"\n", "2:10", "policy \"old\" is not known"),
        ("[tlss]\n", "1:2", "unknown key \"tlss\" in the file"),
        ("[certificate.d]\nchain = \"a\"\n", "1:14", "has a chain but no key"),
        ("[certificate.d]\n", "1:14", "says nowhere where it comes from"),
        ("[certificate.d]\nchain = \"a\"\nkey = \"b\"\npfx = \"c\"\n", "1:14", "more than one source"),
        ("[[site]]\nname = \"t\"\nupstream = \"a\"\n", "1:1", "has no binding"),
        (
            "[[site]]\nname = \"t\"\nupstream = \"b\"\n[[site.binding]]\nport = 1\ncertificate = \"c\"\n", "3:12",
            "there is no upstream \"b\""
        ),
        (
            "[[site]]\nname = \"t\"\nupstream = \"a\"\n[[site.binding]]\nport = 1\ncertificate = \"e\"\n", "6:15",
            "there is no certificate \"e\""
        ),
        (
            "[[site]]\nname = \"t\"\nupstream = \"a\"\n[[site.binding]]\ncertificate = \"c\"\n", "11:1",
            "clashes with the one of line"
        ),
        (
            "[[site]]\nname = \"s\"\nupstream = \"a\"\n[[site.binding]]\nport = 1\ncertificate = \"c\"\n", "",
            "site \"s\" is defined twice"
        ),
        (
            "[[site]]\nname = \"t\"\nupstream = \"a\"\nredirect = [\"*:443\"]\n[[site.binding]]\nport = 1\ncertificate = \"c\"\n",
            "4:13", "clashes with the binding"
        ),
        (
            "[[site]]\nname = \"t\"\nupstream = \"a\"\n[[site.binding]]\nport = 1\nip = \"1.2.3\"\ncertificate = \"c\"\n",
            "6:6", "is not an address"
        ),
        (
            "[[site]]\nname = \"t\"\nupstream = \"a\"\n[[site.binding]]\nport = 1\nhost = \"a b\"\ncertificate = \"c\"\n",
            "6:8", "is not a host name"
        ),
        (
            "[[site]]\nname = \"t\"\nupstream = \"a\"\n[[site.binding]]\ntype = \"http\"\nport = 1\ncertificate = \"c\"\n",
            "5:8", "type \"http\" is not served"
        ),
        ("[[upstream]]\nname = \"b\"\nservers = [\"10.0.0.1:443\"]\n", "1:1", "the upstream has no trust"),
        (
            "[[upstream]]\nname = \"b\"\nservers = [\"10.0.0.1:443\"]\ntrust = {}\n", "4:9",
            "names neither an authority nor a pin"
        ),
        (
            "[[upstream]]\nname = \"b\"\nservers = [\"10.0.0.1:443\"]\ntrust = { pins = [] }\n", "4:9",
            "names neither an authority nor a pin"
        ),
        (
            "[[upstream]]\nname = \"b\"\nservers = [\"10.0.0.1:443\"]\ntrust = { pins = [\"sha256/short\"] }\n", "4:19",
            "is not a pin"
        ),
        (
            "[[upstream]]\nname = \"b\"\nservers = [\"10.0.0.1:80\"]\nplaintext = true\n", "3:12",
            "cannot be spoken to in plain"
        ),
        (
            "[[upstream]]\nname = \"b\"\nservers = [\"::1:80\"]\nplaintext = true\n", "3:12",
            "neither an address nor a host name"
        ),
        (
            "[[upstream]]\nname = \"b\"\nservers = [\"127.0.0.1:80\"]\nplaintext = true\ntrust = { ca = \"x\" }\n",
            "5:9", "no meaning with plaintext"
        ),
        ("[[upstream]]\nname = \"b\"\nservers = []\ntrust = { ca = \"x\" }\n", "1:1", "has no server"),
        (
            "[[upstream]]\nname = \"b\"\nservers = [\"a:1\"]\nprotocol = \"spdy\"\ntrust = { ca = \"x\" }\n", "4:12",
            "is not known"
        ),
        (
            "[[upstream]]\nname = \"b\"\nservers = [\"unix:relative\"]\nplaintext = true\n", "3:12",
            "is no path of a socket"
        ),
    ])
    func `each mistake is told with its place`(_ text: String, _ place: String, _ message: String) throws {
        let decoded = try decode(text + Self.site + Self.upstream)
        #expect(!decoded.isUsable)
        let found = decoded.diagnostics.first { $0.message.contains(message) }
        #expect(found != nil, "\(decoded.diagnostics)")
        if let found, !place.isEmpty { #expect("\(found.position.line):\(found.position.column)" == place) }
    }

    @Test func `nothing of a line that is no text reaches the terminal, and no key steers it`() throws {
        let found = Diagnostic(at: Position(line: 1, column: 3), "unknown key \"\u{1B}[31m\u{202E}\"")
        let lines = ["a\u{1B}[31mb", "a\u{0}b", "a\u{9B}31mb", "a\u{202E}b"].map { Array($0.utf8) }
        for line in lines + [[0x61, 0xFF, 0x62]] {
            #expect(
                found.rendered(file: "e.toml", source: line + [0x0A])
                    == "e.toml:1:3: error: unknown key \"\\u{1b}[31m\\u{202e}\"\n"
            )
        }
        // Lines of other systems end with a control byte, too.
        #expect(found.rendered(file: "e.toml", source: Array("a = é\r\n".utf8)).contains("  1 | a = é\n"))
    }

    @Test func `the line is shown with a caret below the place`() throws {
        let text = "[server]\n\tworkerz = 2\n"
        let found = try #require(try decode(text).diagnostics.first { $0.message.contains("workerz") })
        #expect(
            found.rendered(file: "e.toml", source: Array(text.utf8))
                == "e.toml:2:2: error: unknown key \"workerz\" in [server]\n  2 | \tworkerz = 2\n    | \t^\n  fix: did you mean \"workers\"?\n"
        )
    }

    @Test(arguments: [
        "a", "a =", "= 1", "a = 1 b = 2", "a = 01", "a = 1__0", "a = +-1", "a = 0x", "a = 0b2", "a = 0o8", "a = 1.",
        "a = .5", "a = 1e", "a = tru",
        "a = TRUE", "a = nulls", "a = \"x", "a = 'x", "a = \"\"\"x", "a = \"\\x\"", "a = \"\\u12\"", "a = \"\\uD800\"",
        "a = \"x\ny\"", "a = [1, 2",
        "a = [1 2]", "a = [,]", "a = {b = 1", "a = {b = 1,}", "a = {b = 1 c = 2}", "a = {b}", "[a", "[a]]", "[[a]",
        "[]", "[a.]", "[.a]", "[a..b]",
        "[a]\n[a]", "a = 1\na = 2", "a.b = 1\na = 2", "a = 1\na.b = 2", "[a]\nb = 1\n[a.b]\n", "a = []\n[[a]]",
        "[[a]]\n[a]", "a = {}\n[a.b]", "a = 1979-13-01",
        "a = 1979-01-32", "a = 25:00:00", "a = 1979-01-01T", "\"a = 1", "'a = 1", "a b = 1", "a = \u{00}",
        "a = \"\u{00}\"", "# \u{01}", "a = 1 # \u{7F}",
        "a = inf1", "a = nan_", "a\u{0B}= 1", "\u{FEFF}\u{FEFF}a = 1", "a = \"\u{01}\"", "a = '''x",
        "a = 99999999999999999999", "a = -0x1", "[a]\nb = 1\n[a]",
    ])
    func `what is no TOML is refused`(_ text: String) {
        #expect(throws: TOMLSyntaxError.self) { try TOMLDocument.parse(Array(text.utf8)) }
    }

    @Test func `a file that would overflow the parser's stack is refused before it`() {
        let long = "[" + [String](repeating: "a", count: 50_000).joined(separator: ".") + "]"
        let deep = "a = " + String(repeating: "[", count: 100_000)
        let tables = "a = " + String(repeating: "{b=", count: 100_000)
        let large = String(repeating: "# comment\n", count: 110_000)
        let keys = [String](repeating: "\"x\"", count: 100).joined(separator: " . ") + " = 1"
        for text in [long, deep, tables, large, keys] {
            #expect(throws: TOMLSyntaxError.self) { try TOMLDocument.parse(Array(text.utf8)) }
        }
        #expect(throws: TOMLSyntaxError.self) { try TOMLDocument.parse([0x61, 0x3D, 0x22, 0xFF, 0xFE, 0x22]) }
    }

    @Test func `dots and brackets in strings, comments and numbers do not count`() throws {
        let dots = String(repeating: ".", count: 100)
        let brackets = String(repeating: "[", count: 100)
        let text =
            "# \(brackets)\na = \"\(dots)\(brackets)\"\nb = '''\n\(brackets)\n'''\nc = [\(String(repeating: "1.5, ", count: 50))]\n"
        #expect(throws: Never.self) { try TOMLDocument.parse(Array(text.utf8)) }
    }

    @Test func `a tree comes back from its encoding, and changed bytes never trap`() throws {
        let text = Self.site + Self.upstream + "[x]\na = 1\nb = true\nc = 1.5\nd = 1979-05-27\ne = [{ f = \"g\" }]\n"
        let document = try TOMLDocument.parse(Array(text.utf8))
        let bytes = document.encoded()
        #expect(try TOMLDocument(decoding: bytes) == document)
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: TOMLDocument.Malformed.self) { try TOMLDocument(decoding: Array(bytes[..<count])) }
        }
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 0x81
            _ = try? TOMLDocument(decoding: changed)
        }
    }

    @Test(arguments: [
        ("1.2.3.4", "1.2.3.4"), ("::", "::"), ("::1", "::1"), ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("1::", "1::"),
        ("::ffff:1.2.3.4", "::ffff:102:304"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
    ])
    func `addresses are read and written`(_ text: String, _ written: String) {
        #expect(IPAddress(text)?.description == written)
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "g::", "12345::", "::1.2.3", "1:", ":1",
    ])
    func `what is no address is refused`(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func `a network holds its addresses`() throws {
        let network = try #require(Network("10.8.0.0/13"))
        #expect(network.contains(try #require(IPAddress("10.15.255.255"))))
        #expect(!network.contains(try #require(IPAddress("10.16.0.0"))))
        #expect(!network.contains(try #require(IPAddress("::a08:1"))))
    }
}

@Suite("Configuration of the sandbox") struct SandboxConfigTests {
    private func decode(_ text: String) throws -> Configuration.Decoded {
        Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    @Test func `hands are shaken by everyhop, or all by OpenSSL`() throws {
        #expect(try decode("").configuration.tls.handshakes == .own)
        #expect(try decode("[tls]\nhandshakes = \"openssl\"\n").configuration.tls.handshakes == .openssl)
    }

    @Test func `layers may be required and keys isolated`() throws {
        let usual = try decode("").configuration
        #expect(usual.server.requiresSandbox == nil && !usual.tls.isolatesKeys)
        let strict = try decode("[server]\nsandbox = \"required\"\n[tls]\nkey_isolation = true\n").configuration
        #expect(strict.server.requiresSandbox?.line == 2 && strict.tls.isolatesKeys)
        #expect(try decode("[server]\nsandbox = \"best-effort\"\n").configuration.server.requiresSandbox == nil)
        let wrong = try decode("[server]\nsandbox = \"none\"\n[tls]\nkey_isolation = 1\n").diagnostics.map(\.message)
        #expect(wrong.contains { $0.contains("sandbox \"none\" is not known") })
        #expect(wrong.contains { $0.contains("key_isolation") })
    }
}
