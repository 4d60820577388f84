import Config
import Testing

@Suite("Configuration of folders") struct FolderConfigTests {
    private func decode(_ site: String, _ routes: String = "") throws -> Configuration.Decoded {
        let text =
            "[certificate.c]\nself_signed = [\"x\"]\n[[site]]\nname = \"s\"\n" + site
            + "[[site.binding]]\ncertificate = \"c\"\n" + routes
            + "[[upstream]]\nname = \"a\"\nservers = [\"127.0.0.1:80\"]\nplaintext = true\n"
        return Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    @Test func `every key of a folder is read`() throws {
        let decoded = try decode(
            "root = \"/srv/www\"\n",
            """
            [[site.route]]
            path = "/static"
            root = "assets"
            index = ["index.htm", "default.html"]
            plaintext_root = true
            symlinks = true
            hsts = { max_age = "1d" }
            upgrade_insecure_requests = true
            response_headers = { set = { X-A = "b" } }
            rate = { requests = 3 }
            deny = ["10.0.0.1"]
            [[site.route]]
            path = "/api"
            upstream = "a"

            """
        )
        #expect(decoded.diagnostics.isEmpty, "\(decoded.diagnostics)")
        let folders = decoded.configuration.folders
        #expect(folders.map(\.site) == [0, 0] && folders.map(\.route) == [nil, 0])
        let own = folders[0].folder
        #expect(own.path.value == "/srv/www" && own.index == ["index.html"])
        #expect(!own.allowsPlaintext && !own.followsLinks)
        let route = folders[1].folder
        #expect(route.path.value == "assets" && route.index == ["index.htm", "default.html"])
        #expect(route.allowsPlaintext && route.followsLinks)
        let rewriting = decoded.configuration.sites[0].routes[0].rewriting
        #expect(rewriting.strictTransport?.maximumAge == 86_400 && rewriting.upgradesInsecureRequests)
    }

    @Test func `a folder may have no index`() throws {
        #expect(try decode("root = \"www\"\nindex = []\n").configuration.folders[0].folder.index.isEmpty)
    }

    @Test(arguments: [
        ("root = \"\"\n", "5:8", "root has to be the path of a file"),
        ("root = 1\n", "5:8", "root has to be a string"),
        ("root = \"w\"\nindex = \"index.html\"\n", "6:9", "index has to be an array of strings"),
        ("root = \"w\"\nindex = [\"a/b\"]\n", "6:10", "index \"a/b\" is not the name of a file"),
        ("root = \"w\"\nindex = [\"..\"]\n", "6:10", "index \"..\" is not the name of a file"),
        ("root = \"w\"\nindex = [\"\"]\n", "6:10", "index \"\" is not the name of a file"),
        ("root = \"w\"\nplaintext_root = 1\n", "6:18", "plaintext_root has to be true or false"),
        ("root = \"w\"\nplain_root = true\n", "6:1", "unknown key \"plain_root\" in [[site]]"),
        ("root = \"w\"\nupstream = \"a\"\n", "6:12", "[[site]] has both an upstream and a root"),
        ("upstream = \"a\"\nindex = [\"a\"]\n", "6:9", "index has no meaning without a root"),
        ("upstream = \"a\"\nplaintext_root = true\n", "6:18", "plaintext_root has no meaning without a root"),
        ("upstream = \"a\"\nsymlinks = true\n", "6:12", "symlinks has no meaning without a root"),
    ])
    func `each mistake of a folder is told with its place`(_ site: String, _ place: String, _ message: String) throws {
        let decoded = try decode(site)
        let found = decoded.diagnostics.first { $0.message.contains(message) }
        #expect(!decoded.isUsable && found != nil, "\(decoded.diagnostics)")
        #expect(found.map { "\($0.position.line):\($0.position.column)" } == place)
    }

    @Test(arguments: [
        ("path = \"/x\"\nroot = \"w\"\nupstream = \"a\"\n", "says more than one thing to do"),
        ("path = \"/x\"\nroot = \"w\"\nlimits = { body = 1 }\n", "limits have no meaning for a route without a server"),
        ("path = \"/x\"\nroot = \"w\"\ncookies = { secure = true }\n", "unknown key \"cookies\""),
        ("path = \"/x\"\nroot = \"w\"\npath_map = { public = \"/x\", server = \"/\" }\n", "unknown key \"path_map\""),
        ("path = \"/\"\nupstream = \"a\"\n", "the root of site \"s\" is never reached"),
    ])
    func `each mistake of a route's folder is told`(_ route: String, _ message: String) throws {
        let decoded = try decode("root = \"w\"\n", "[[site.route]]\n" + route)
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }
}
