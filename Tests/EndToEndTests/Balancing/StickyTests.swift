import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Sticky sessions") struct StickyTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let apps: [AppServer]

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        let certificate = trust.app
        apps = try ["a", "b", "c"].map { try AppServer($0, certificate: certificate) }
    }

    private var list: String { apps.map { "\"\($0.address)\"" }.joined(separator: ", ") }

    /// The cookie that an answer sets, as a field of the next request, and the server that gave it.
    private func session(_ balanced: Balanced, _ fields: String = "") throws -> (server: String, cookie: String?) {
        let answer = try balanced.ask("/", fields)
        let line = answer.components(separatedBy: "\r\n").first { $0.lowercased().hasPrefix("set-cookie: ") }
        let pair = line.map { $0.dropFirst(12).prefix { $0 != ";" } }
        return (answer.components(separatedBy: "\r\n\r\n").last ?? "", pair.map { "Cookie: \($0)\r\n" })
    }

    @Test func `a client stays at its server, over workers, reloads and a new order of servers`() throws {
        let balanced = try Balanced(
            trust,
            folder,
            servers: list,
            upstream: "balance = \"round-robin\"\nsticky = { cookie = \"route\" }",
            workers: 2
        )
        let answer = try balanced.ask()
        let line = try #require(answer.components(separatedBy: "\r\n").first { $0.hasPrefix("Set-Cookie: ") })
        #expect(line.hasPrefix("Set-Cookie: route=") && line.contains("; Secure; HttpOnly; SameSite=Lax"))
        for app in apps { #expect(!line.contains(app.address) && !line.contains("\(app.port)")) }
        let (server, cookie) = try session(balanced)
        let field = try #require(cookie)
        for _ in 0..<12 { #expect(try session(balanced, field) == (server, nil)) }
        let configuration = try Balanced.configuration(
            trust,
            port: balanced.everyhop.port,
            admin: balanced.admin,
            servers: apps.reversed().map { "\"\($0.address)\"" }.joined(separator: ", "),
            upstream: "sticky = { cookie = \"route\" }",
            workers: 2
        )
        try folder.write("everyhop.toml", configuration)
        balanced.everyhop.signal(SIGHUP)
        try balanced.everyhop.waitForLog("ready", count: 2)
        for _ in 0..<12 { #expect(try session(balanced, field) == (server, nil)) }
    }

    @Test func `a cookie that is not ours is replaced, and chooses nothing`() throws {
        let balanced = try Balanced(trust, folder, servers: list, upstream: "balance = \"round-robin\"\nsticky = {}")
        let forged = "Cookie: everyhop=\(String(repeating: "0", count: 32))\r\n"
        let sessions = try (0..<6).map { _ in try session(balanced, forged) }
        #expect(Set(sessions.map(\.server)) == ["a", "b", "c"])
        #expect(sessions.allSatisfy { $0.cookie != nil })
    }

    @Test func `when its server is down the client is balanced, and stays at the next`() throws {
        let balanced = try Balanced(
            trust,
            folder,
            servers: list,
            upstream: "sticky = {}\nejection = { failures = 1, time = \"60s\" }"
        )
        let (server, cookie) = try session(balanced)
        let field = try #require(cookie)
        try #require(apps.first { $0.name == server }).mode.with { $0 = .hangUp }
        #expect(try balanced.served("/", field).hasPrefix("HTTP/1.1 502"))
        let (next, renewed) = try session(balanced, field)
        #expect(next != server && next.count == 1)
        for _ in 0..<6 { #expect(try session(balanced, try #require(renewed)) == (next, nil)) }
    }

    @Test func `a server in maintenance keeps its sessions and gets no new ones`() throws {
        let secret = try folder.write("sticky.key", "0123456789abcdef0123456789abcdef")
        let sticky = "balance = \"round-robin\"\nsticky = { secret = \"\(secret)\" }"
        let first = try Balanced(trust, folder, servers: list, upstream: sticky)
        var cookies: [String: String] = [:]
        for _ in 0..<6 {
            let (server, cookie) = try session(first)
            cookies[server] = cookie
        }
        // Another everyhop with the same secret, after a restart or beside the first.
        let other = try TemporaryFolder()
        try trust.write(to: other)
        let draining = apps.enumerated().map { index, app in
            index == 0 ? "{ address = \"\(app.address)\", maintenance = true }" : "\"\(app.address)\""
        }
        let second = try Balanced(trust, other, servers: draining.joined(separator: ", "), upstream: sticky)
        for _ in 0..<6 { #expect(try session(second).server != "a") }
        for (server, cookie) in cookies { #expect(try session(second, cookie) == (server, nil)) }
        #expect(cookies.count == 3)
    }

    @Test func `a secret that is too short is refused`() throws {
        try folder.write("sticky.key", "short")
        let file = try folder.write(
            "short.toml",
            try Balanced.configuration(
                trust,
                port: 1,
                admin: 2,
                servers: list,
                upstream: "sticky = { secret = \"sticky.key\" }"
            )
        )
        let result = try Shell.run([EveryhopProcess.program, "check", "--config", file], merged: true)
        #expect(result.status == 1)
        #expect(result.text.contains("secret \"sticky.key\" has 5 bytes instead of 16 to 4096"))
    }

    @Test func `over HTTP 2 the cookie is set and understood too`() throws {
        let balanced = try Balanced(trust, folder, servers: list, upstream: "balance = \"round-robin\"\nsticky = {}")
        func curl(_ cookie: String?) throws -> (server: String, cookie: String?) {
            let text = try Shell.run(
                [
                    "curl", "-sS", "--http2", "-i", "-m", "20", "--cacert", "\(folder.path)/authority.pem",
                    "-w", "\n%{http_version}",
                ] + (cookie.map { ["-b", $0] } ?? []) + ["https://localhost:\(balanced.everyhop.port)/"]
            ).text.replacingOccurrences(of: "\r", with: "")
            #expect(text.hasSuffix("\n2"))
            let lines = text.components(separatedBy: "\n")
            let line = lines.first { $0.lowercased().hasPrefix("set-cookie: ") }
            return (lines.dropLast().last ?? "", line.map { String($0.dropFirst(12).prefix { $0 != ";" }) })
        }
        let (server, cookie) = try curl(nil)
        for _ in 0..<5 { #expect(try curl("x=y; \(try #require(cookie)); z=1") == (server, nil)) }
    }
}
