import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Authentication of connections", .serialized) struct ConnectionAuthenticationTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let server: PeerServer
    let everyhop: EveryhopProcess

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        server = try PeerServer(trust, script: "ntlm_server.py")
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: server.port)
        everyhop = try EveryhopProcess(folder, port: port, configuration: text)
    }

    private func curl(_ arguments: String...) throws -> ProgramResult {
        try Shell.run(
            ["curl", "-sS", "-m", "60", "--cacert", "\(folder.path)/authority.pem"] + arguments,
            merged: true
        )
    }

    private var address: String { "https://localhost:\(everyhop.port)" }

    @Test func `fifty clients side by side each keep a connection of their own`() throws {
        let script = """
            for n in $(seq 50); do
              curl -sS -m 60 --http1.1 --cacert \(folder.path)/authority.pem --ntlm -u "user$n:secret" \
                \(address)/a \(address)/b \(address)/c > \(folder.path)/$n 2>&1 &
            done
            wait
            for n in $(seq 50); do [ "$(tr '\\n' ' ' < \(folder.path)/$n)" = "user$n user$n user$n " ] || cat \(folder.path)/$n; done
            """
        #expect(try Shell.run(["sh", "-c", script], merged: true).text == "")
        // Every connection was taken for one user, and every user had one connection for all three pages.
        var users: [Int: Set<String>] = [:]
        for line in server.log.split(separator: "\n") {
            let entry = try #require(
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            )
            if let user = entry["user"] as? String, let connection = entry["connection"] as? Int {
                users[connection, default: []].insert(user)
            }
        }
        #expect(users.count == 50)
        #expect(users.values.allSatisfy { $0.count == 1 })
    }

    @Test func `nobody gets a connection that another was authenticated on`() throws {
        for attempt in 0..<5 {
            #expect(try curl("--http1.1", "--ntlm", "-u", "alice:secret", "\(address)/a").text == "alice\n")
            #expect(try curl("--http1.1", "\(address)/open?\(attempt)").text == "None\n")
            #expect(try curl("--http1.1", "-o", "/dev/null", "-w", "%{http_code}", "\(address)/b").text == "401")
        }
    }

    @Test func `the connection to the server ends with the client's`() throws {
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(try connection.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 401 "))
        let admin = try #require(everyhop.log.isEmpty ? nil : everyhop)
        let established = {
            try Shell.run(["ss", "-Htn", "state", "established", "( dport = :\(server.port) )"]).text
                .split(separator: "\n").count
        }
        #expect(try established() == 1)
        connection.close()
        connection.endWriting()
        try waitUntil("the server's connection to end:\n\(admin.log)") { try established() == 0 }
    }

    @Test func `a client in HTTP 2 is asked to come in HTTP 1`() throws {
        let plain = try curl("--http2", "-v", "\(address)/a").text
        // curl comes again by itself, in HTTP/1.1 (RFC 9113 §7).
        #expect(plain.contains("HTTP_1_1_REQUIRED") || plain.contains("HTTP/1.1 401"))
        #expect(try curl("--ntlm", "-u", "bob:secret", "\(address)/a", "\(address)/b").text == "bob\nbob\n")
        try everyhop.waitForAccess("the client is asked to use HTTP/1.1", "\"tls_alpn\":\"h2\"")
    }

    @Test func `a request that authenticates at once is bound as well`() throws {
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send("GET /open HTTP/1.1\r\nHost: localhost\r\nAuthorization: Negotiate YII=\r\n\r\n")
        _ = try connection.receive(until: "None\n")
        #expect(try curl("--http1.1", "\(address)/open").text == "None\n")
        let lines = server.log.split(separator: "\n").map(String.init)
        #expect(lines.count == 2)
        #expect(Set(lines.map { $0.prefix(while: { $0 != "," }) }).count == 2)
    }
}
