import Config
import Testing

@Suite("Configuration of balancing") struct BalancingConfigTests {
    private static let head =
        "[[upstream]]\nname = \"a\"\ntrust = { pins = [\"sha256/\(String(repeating: "A", count: 43))=\"] }\n"
    private static let site =
        "[certificate.c]\nself_signed = [\"x\"]\n[[site]]\nname = \"s\"\nupstream = \"a\"\n[[site.binding]]\ncertificate = \"c\"\n"
    private static let servers = "servers = [\"10.0.0.1:443\", \"10.0.0.2:443\"]\n"

    private func decode(_ upstream: String) throws -> Configuration.Decoded {
        Configuration.decode(try TOMLDocument.parse(Array((Self.head + upstream + Self.site).utf8)))
    }

    @Test func `servers are addresses and tables, side by side`() throws {
        let decoded = try decode(
            "servers = [\"10.0.0.1:443\", { address = \"app.internal:443\", weight = 7, backup = true, maintenance = true, maximum_connections = 9 }]\n"
        )
        #expect(decoded.diagnostics.isEmpty)
        let servers = decoded.configuration.upstreams[0].servers
        #expect(servers.map(\.value.description) == ["10.0.0.1:443", "app.internal:443"])
        #expect(servers.map(\.weight) == [1, 7])
        #expect(servers.map(\.isBackup) == [false, true] && servers.map(\.inMaintenance) == [false, true])
        #expect(servers.map(\.maximumConnections) == [nil, 9])
    }

    @Test func `every key of balancing is read`() throws {
        let decoded = try decode(
            Self.servers + """
                balance = "round-robin"
                sticky = { cookie = "route", same_site = "strict", secret = "sticky.key" }
                health = { path = "/ok?a=%20", method = "HEAD", host = "app.internal", interval = "7s", timeout = "3s", rise = 4, fall = 6, status = [200, 404] }
                ejection = { failures = 2, time = "3s", maximum_time = "9s" }
                slow_start = "20s"
                maximum_connections = 10
                queue = { length = 5, wait = "2s" }
                maintenance = true
                timeouts = { total = "90s" }

                """
        )
        #expect(decoded.diagnostics.isEmpty)
        let upstream = decoded.configuration.upstreams[0]
        let health = try #require(upstream.health)
        #expect(upstream.balance == .roundRobin && upstream.sticky?.cookie.value == "route")
        #expect(upstream.sticky?.sameSite == .strict && upstream.sticky?.secret?.value == "sticky.key")
        #expect(health.path == "/ok?a=%20" && health.method == .head && health.host == "app.internal")
        #expect(health.interval == 7000 && health.timeout == 3000 && health.rise == 4 && health.fall == 6)
        #expect(health.isGood(404) && !health.isGood(204))
        #expect(upstream.ejection.failures == 2 && upstream.ejection.time == 3000)
        #expect(upstream.ejection.maximumTime == 9000 && upstream.slowStart == 20_000)
        #expect(upstream.queue.length == 5 && upstream.queue.wait == 2000 && upstream.inMaintenance)
        #expect(upstream.timeouts.total == 90_000)
    }

    @Test(arguments: [
        ("client", Upstream.HashKey.client), ("path", .path), ("header:X-Tenant", .header("x-tenant")),
        ("cookie:JSESSIONID", .cookie("JSESSIONID")),
    ])
    func `what is hashed is named`(_ text: String, _ key: Upstream.HashKey) throws {
        let decoded = try decode(Self.servers + "balance = \"hash\"\nhash = \"\(text)\"\n")
        #expect(decoded.diagnostics.isEmpty && decoded.configuration.upstreams[0].hash == key)
    }

    @Test(arguments: [
        (servers + "balance = \"hash\"\n", "does not say what is hashed"),
        (servers + "hash = \"client\"\n", "no meaning with balance = \"least-connections\""),
        (servers + "balance = \"round-robin\"\nhash = \"path\"\n", "no meaning with balance = \"round-robin\""),
        (servers + "balance = \"hash\"\nhash = \"body\"\n", "hash \"body\" is not known"),
        (servers + "balance = \"hash\"\nhash = \"header:\"\n", "hash \"header:\" is not known"),
        (servers + "balance = \"hash\"\nhash = \"cookie:a b\"\n", "hash \"cookie:a b\" is not known"),
        (servers + "balance = \"hash\"\nhash = 1\n", "hash has to be a string"),
        (servers + "balance = \"random\"\n", "balance \"random\" is not known"),
        (servers + "balance = \"hash\"\nhash = \"client\"\nsticky = {}\n", "both decide where a client stays"),
        ("servers = \"10.0.0.1:443\"\n", "servers has to be an array"),
        ("servers = [1]\n", "servers has to hold addresses and tables"),
        ("servers = [{ weight = 2 }]\n", "a server has no address"),
        ("servers = [{ address = \"10.0.0.1\" }]\n", "10.0.0.1"),
        ("servers = [{ address = \"10.0.0.1:443\", weigth = 2 }]\n", "unknown key \"weigth\" in a server"),
        ("servers = [{ address = \"10.0.0.1:443\", weight = 0 }]\n", "weight 0 is out of range"),
        ("servers = [{ address = \"10.0.0.1:443\", backup = 1 }]\n", "backup has to be true or false"),
        ("servers = [{ address = \"10.0.0.1:443\", maximum_connections = 0 }]\n", "maximum_connections 0 is out of"),
        ("servers = [{ address = \"10.0.0.1:443\", backup = true }]\n", "every server is a backup"),
        ("servers = [{ address = \"10.0.0.1:443\", maintenance = true }]\n", "every server is in maintenance"),
        ("servers = [\"10.0.0.1:443\", { address = \"10.0.0.1:443\" }]\n", "is listed twice"),
        (servers + "queue = { length = 1 }\n", "queue has no meaning without a limit"),
        (servers + "maximum_connections = 1\nqueue = { length = -1 }\n", "length -1 is out of range"),
        (servers + "maximum_connections = 1\nqueue = { wait = 5 }\n", "wait has to be a string"),
        (servers + "maximum_connections = 1\nqueue = { size = 5 }\n", "unknown key \"size\" in queue"),
        (servers + "sticky = { cookie = \"a;b\" }\n", "is no name of a cookie"),
        (servers + "sticky = { same_site = \"all\" }\n", "same_site \"all\" is not known"),
        (servers + "sticky = { secret = \"\" }\n", "secret has to be the path of a file"),
        (servers + "sticky = { key = \"x\" }\n", "unknown key \"key\" in sticky"),
        (servers + "health = \"/healthz\"\n", "health has to be a table"),
        (servers + "health = { path = \"healthz\" }\n", "is no path of a request"),
        (servers + "health = { path = \"/a b\" }\n", "is no path of a request"),
        (servers + "health = { method = \"POST\" }\n", "method \"POST\" is not known"),
        (servers + "health = { host = \"a b\" }\n", "neither a host name nor an address"),
        (servers + "health = { interval = 5 }\n", "interval has to be a string"),
        (servers + "health = { timeout = \"0s\" }\n", "timeout \"0s\" is not a time"),
        (servers + "health = { rise = 0 }\n", "rise 0 is out of range"),
        (servers + "health = { fall = 101 }\n", "fall 101 is out of range"),
        (servers + "health = { status = [99] }\n", "status has to hold numbers from 100 to 599"),
        (servers + "health = { status = 600 }\n", "status 600 is out of range"),
        (servers + "health = { port = 1 }\n", "unknown key \"port\" in health"),
        (servers + "ejection = { failures = 0 }\n", "failures 0 is out of range"),
        (servers + "ejection = { time = \"10s\", maximum_time = \"5s\" }\n", "maximum_time is shorter than time"),
        (servers + "ejection = { off = true }\n", "unknown key \"off\" in ejection"),
        (servers + "slow_start = 5\n", "slow_start has to be a string"),
        (servers + "maintenance = \"yes\"\n", "maintenance has to be true or false"),
        (servers + "timeouts = { total = \"x\" }\n", "total \"x\" is not a time"),
        (
            servers + "sticky = {}\n" + head.replacing("\"a\"", with: "\"b\"") + servers + "sticky = {}\n",
            "cookie \"everyhop\" is used by another upstream"
        ),
    ])
    func `each mistake is told`(_ upstream: String, _ message: String) throws {
        let decoded = try decode(upstream)
        #expect(!decoded.isUsable)
        #expect(decoded.diagnostics.contains { $0.message.contains(message) }, "\(decoded.diagnostics)")
    }
}
