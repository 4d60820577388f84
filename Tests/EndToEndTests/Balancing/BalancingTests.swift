import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Balancing over servers") struct BalancingTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func apps(_ names: String...) throws -> [AppServer] {
        try names.map { try AppServer($0, certificate: trust.app) }
    }

    private func list(_ apps: [AppServer]) -> String { apps.map { "\"\($0.address)\"" }.joined(separator: ", ") }

    @Test(arguments: [true, false])
    func `a hash of the client looks behind proxies that are trusted, and those alone`(_ isTrusted: Bool) throws {
        let apps = try apps("a", "b", "c")
        let port = try freePort()
        let text = try Balanced.configuration(
            trust,
            port: port,
            admin: freePort(),
            servers: list(apps),
            upstream: "balance = \"hash\"\nhash = \"client\""
        )
        let trusting = isTrusted ? "trusted_proxies = [\"127.0.0.1\"]\nworkers" : "workers"
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: text.replacingOccurrences(of: "workers", with: trusting)
        )
        func served(_ address: String) throws -> String {
            let client = try Connection(to: everyhop.port, try trust.client())
            try client.send(
                "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: \(address)\r\nConnection: close\r\n\r\n"
            )
            return client.receiveAll().components(separatedBy: "\r\n\r\n").last ?? ""
        }
        let addresses = (1...12).map { "192.0.2.\($0)" }
        let places = try addresses.map { try served($0) }
        #expect(Set(places).isSubset(of: ["a", "b", "c"]) && (Set(places).count > 1) == isTrusted)
        #expect(try addresses.map { try served("203.0.113.9, \($0)") } == places)
    }

    @Test(arguments: ["round-robin", "least-connections"])
    func `servers get requests by their weights`(_ balance: String) throws {
        let apps = try apps("a", "b", "c")
        let balanced = try Balanced(
            trust,
            folder,
            servers: "{ address = \"\(apps[0].address)\", weight = 2 }, \"\(apps[1].address)\", \"\(apps[2].address)\"",
            upstream: "balance = \"\(balance)\""
        )
        let connection = try balanced.connect()
        for _ in 0..<40 {
            try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let answer = try connection.receive(until: "\r\n\r\n")
            if answer.hasSuffix("\r\n\r\n") { _ = try connection.receive() }
        }
        #expect(apps.map(\.requests.value) == [20, 10, 10])
        try balanced.waitForMetric("everyhop_server_requests_total{\(Balanced.labels(apps[0]))} 20")
        try balanced.waitForMetric("everyhop_server_requests{\(Balanced.labels(apps[0]))} 0")
        try balanced.waitForMetric("everyhop_server_up{\(Balanced.labels(apps[0]))} 1")
    }

    @Test(arguments: [
        ("cookie:session", "Cookie: a=b; session=NAME\r\n"), ("header:X-Tenant", "x-tenant: NAME\r\n"), ("path", ""),
    ])
    func `a hash leads to one server, another one when that is gone`(_ key: String, _ field: String) throws {
        let apps = try apps("a", "b", "c")
        let balanced = try Balanced(
            trust,
            folder,
            servers: list(apps),
            upstream: "balance = \"hash\"\nhash = \"\(key)\"\nejection = { failures = 1, time = \"60s\" }"
        )
        func served(_ name: String) throws -> String {
            try balanced.served("/\(name)?\(UInt64.random(in: 0...9))", field.replacing("NAME", with: name))
        }
        let names = (0..<12).map { "key\($0)" }
        let places = try names.map { try served($0) }
        #expect(Set(places).count > 1)
        #expect(try names.map { try served($0) } == places)
        let gone = try #require(apps.first { $0.name == places[0] })
        gone.mode.with { $0 = .hangUp }
        // The first one finds out.
        #expect(try served(names[0]).hasPrefix("HTTP/1.1 502"))
        let after = try names.map { try served($0) }
        for (old, new) in zip(places, after) { #expect(old == gone.name ? new != old && new.count == 1 : new == old) }
    }

    @Test func `a client's address leads to one server`() throws {
        let apps = try apps("a", "b", "c")
        let balanced = try Balanced(
            trust,
            folder,
            servers: list(apps),
            upstream: "balance = \"hash\"\nhash = \"client\""
        )
        #expect(Set(try (0..<6).map { _ in try balanced.served() }).count == 1)
    }

    @Test func `a server that cannot be reached is left out, and comes back`() throws {
        let apps = try apps("b")
        let port = try freePort()
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"127.0.0.1:\(port)\", \(list(apps))",
            upstream: "balance = \"round-robin\"\nejection = { time = \"200ms\", maximum_time = \"400ms\" }"
        )
        // No client sees it.
        for _ in 0..<6 { #expect(try balanced.served() == "b") }
        try balanced.everyhop.waitForLog("server ejected for 200 ms")
        let label = "upstream=\"app\",server=\"127.0.0.1:\(port)\""
        try balanced.waitForMetric("everyhop_server_ejected{\(label)} 0")
        let back = try AppServer("a", certificate: trust.app, port: port)
        try waitUntil("a request at the server that is back") {
            _ = try balanced.served()
            return back.requests.value > 0
        }
    }

    @Test func `answers that fail in a row eject a server`() throws {
        let apps = try apps("a", "b")
        let balanced = try Balanced(
            trust,
            folder,
            servers: list(apps),
            upstream: "balance = \"round-robin\"\nejection = { failures = 2, time = \"60s\" }"
        )
        apps[0].mode.with { $0 = .hangUp }
        let answers = try (0..<12).map { _ in try balanced.served() }
        #expect(answers.count { $0.hasPrefix("HTTP/1.1 502") } == 2)
        #expect(apps[0].requests.value == 2)
        try balanced.waitForMetric("everyhop_server_ejections_total{\(Balanced.labels(apps[0]))} 1")
        try balanced.waitForMetric("everyhop_server_ejected{\(Balanced.labels(apps[0]))} 1")
        try balanced.waitForMetric("everyhop_server_up{\(Balanced.labels(apps[0]))} 0")
        // Both ejected: still better tried than refused.
        apps[0].mode.with { $0 = .serve }
        apps[1].mode.with { $0 = .hangUp }
        try waitUntil("the first server again") { try balanced.served() == "a" }
    }

    @Test func `answers that begin and never end count as failed`() throws {
        let dying = try ScriptedServer(certificate: trust.app) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        }
        let good = try apps("good")
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"127.0.0.1:\(dying.port)\", \(list(good))",
            upstream: "balance = \"round-robin\"\nejection = { failures = 2, time = \"60s\" }"
        )
        let answers = try (0..<12).map { _ in try balanced.served() }
        #expect(answers.count { $0 == "half" } == 2 && answers.count { $0 == "good" } == 10)
    }

    @Test func `a backup serves while the others are down, and no longer`() throws {
        let backup = try apps("backup")[0]
        let port = try freePort()
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"127.0.0.1:\(port)\", { address = \"\(backup.address)\", backup = true }",
            upstream: "ejection = { time = \"100ms\", maximum_time = \"100ms\" }"
        )
        for _ in 0..<3 { #expect(try balanced.served() == "backup") }
        let primary = try AppServer("primary", certificate: trust.app, port: port)
        try waitUntil("the primary") { try balanced.served() == "primary" }
        let before = backup.requests.value
        for _ in 0..<5 { #expect(try balanced.served() == "primary") }
        #expect(backup.requests.value == before && primary.requests.value >= 6)
    }

    @Test func `a server in maintenance gets nothing new, an upstream in maintenance is 503`() throws {
        let apps = try apps("a", "b")
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"\(apps[0].address)\", { address = \"\(apps[1].address)\", maintenance = true }"
        )
        for _ in 0..<4 { #expect(try balanced.served() == "a") }
        #expect(apps[1].requests.value == 0)
        let configuration = try Balanced.configuration(
            trust,
            port: balanced.everyhop.port,
            admin: balanced.admin,
            servers: list(apps),
            upstream: "maintenance = true\nretry_after = \"10m\""
        )
        try folder.write("everyhop.toml", configuration)
        balanced.everyhop.signal(SIGHUP)
        try balanced.everyhop.waitForLog("generation=\"2\"")
        // Workers of the generation before may still take a connection while they hear of their end.
        var answer = ""
        try waitUntil("503") {
            answer = try balanced.ask()
            return answer.hasPrefix("HTTP/1.1 503")
        }
        #expect(answer.contains("\r\nRetry-After: 600\r\n"))
        try balanced.everyhop.waitForAccess("\"status\":503", "the upstream is in maintenance")
    }
}

@Suite("Limits of an upstream") struct LimitTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    @Test(arguments: ["maximum_connections = 1", ""])
    func `requests beyond the limit wait, and too many of them are refused`(_ limit: String) throws {
        let app = try AppServer("a", certificate: trust.app, mode: .hold)
        let server =
            limit.isEmpty ? "{ address = \"\(app.address)\", maximum_connections = 1 }" : "\"\(app.address)\""
        let balanced = try Balanced(
            trust,
            folder,
            servers: server,
            upstream: "\(limit)\nqueue = { length = 1, wait = \"30s\" }"
        )
        let first = try balanced.connect()
        try first.send(Self.get)
        try waitUntil("the first request") { app.requests.value == 1 }
        let second = try balanced.connect()
        try second.send(Self.get)
        try balanced.waitForMetric("everyhop_upstream_queued_total{upstream=\"app\"} 1")
        let refused = try balanced.ask()
        #expect(refused.hasPrefix("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: "))
        try balanced.everyhop.waitForAccess("\"status\":503", "too many requests wait")
        try balanced.waitForMetric("everyhop_upstream_overflows_total{upstream=\"app\"} 1")
        // Who is refused at once has not waited.
        try balanced.waitForMetric("everyhop_upstream_queued_total{upstream=\"app\"} 1")
        #expect(app.requests.value == 1)
        app.mode.with { $0 = .serve }
        #expect(first.receiveAll().hasPrefix("HTTP/1.1 200 ") && second.receiveAll().hasPrefix("HTTP/1.1 200 "))
        // One connection was enough for all.
        try balanced.waitForMetric("everyhop_upstream_connections_total 1")
    }

    @Test func `whoever has waited too long is refused`() throws {
        let app = try AppServer("a", certificate: trust.app, mode: .hold)
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"\(app.address)\"",
            upstream: "maximum_connections = 1\nqueue = { wait = \"100ms\" }"
        )
        let first = try balanced.connect()
        try first.send(Self.get)
        try waitUntil("the first request") { app.requests.value == 1 }
        let refused = try balanced.ask()
        #expect(refused.hasPrefix("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: "))
        try balanced.everyhop.waitForAccess("\"status\":503", "no connection free in time")
        app.mode.with { $0 = .serve }
        #expect(first.receiveAll().hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `whoever waits and goes away leaves its turn to the next`() throws {
        let app = try AppServer("a", certificate: trust.app, mode: .hold)
        let balanced = try Balanced(trust, folder, servers: "\"\(app.address)\"", upstream: "maximum_connections = 1")
        let first = try balanced.connect()
        try first.send(Self.get)
        try waitUntil("the first request") { app.requests.value == 1 }
        do {
            let gone = try balanced.connect()
            try gone.send(Self.get)
            try balanced.waitForMetric("everyhop_upstream_queued_total{upstream=\"app\"} 1")
        }
        try balanced.everyhop.waitForAccess("\"status\":499")
        let third = try balanced.connect()
        try third.send(Self.get)
        try balanced.waitForMetric("everyhop_upstream_queued_total{upstream=\"app\"} 2")
        app.mode.with { $0 = .serve }
        #expect(first.receiveAll().hasPrefix("HTTP/1.1 200 ") && third.receiveAll().hasPrefix("HTTP/1.1 200 "))
        #expect(app.requests.value == 2)
    }

    @Test func `a resting connection gives way to one that is needed elsewhere`() throws {
        let apps = try ["a", "b"].map { try AppServer($0, certificate: trust.app) }
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"\(apps[0].address)\", \"\(apps[1].address)\"",
            upstream: "balance = \"round-robin\"\nmaximum_connections = 1\nqueue = { length = 0 }"
        )
        #expect(Set(try (0..<6).map { _ in try balanced.served() }) == ["a", "b"])
        try balanced.waitForMetric("everyhop_upstream_connections 1")
    }

    @Test func `a request that a server did not answer in time is not sent again`() throws {
        let app = try AppServer("a", certificate: trust.app)
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"\(app.address)\"",
            upstream: "timeouts = { response = \"300ms\" }"
        )
        #expect(try balanced.served() == "a")
        app.mode.with { $0 = .hold }
        // Even on a connection that had rested, and even for GET: the server is slow, and would be slower for it.
        #expect(try balanced.ask().hasPrefix("HTTP/1.1 504 "))
        #expect(app.requests.value == 2)
        app.mode.with { $0 = .hangUp }
    }

    @Test func `an exchange that takes longer than its total is ended`() throws {
        let held = try AppServer("a", certificate: trust.app, mode: .hold)
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"\(held.address)\"",
            upstream: "timeouts = { total = \"300ms\" }"
        )
        #expect(try balanced.ask().hasPrefix("HTTP/1.1 504 "))
        try balanced.everyhop.waitForAccess("\"status\":504", "took longer than the configuration allows")
        held.mode.with { $0 = .hangUp }
    }

    @Test func `a response that trickles beyond its total is cut off`() throws {
        let stop = Shared(false)
        let trickling = try ScriptedServer(certificate: trust.app) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while !stop.value {
                try connection.send("1\r\nx\r\n")
                usleep(20_000)
            }
        }
        defer { stop.with { $0 = true } }
        let balanced = try Balanced(
            trust,
            folder,
            servers: "\"127.0.0.1:\(trickling.port)\"",
            upstream: "timeouts = { total = \"2s\" }"
        )
        let answer = try balanced.ask()
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && !answer.hasSuffix("0\r\n\r\n"))
        try balanced.everyhop.waitForAccess("\"status\":200", "took longer than the configuration allows")
    }
}
