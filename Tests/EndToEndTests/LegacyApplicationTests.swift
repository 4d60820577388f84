import Foundation
import Platform
import Support
import TLS
import Testing

/// An application of 2008: it believes in plain http, calls itself by what Host says, and knows one path.
final class LegacyApplication: Sendable {
    /// The heads of the requests that reached it.
    let seen = Shared<[String]>([])
    let port: UInt16
    private let server: ScriptedServer

    /// - Parameters:
    ///   - path: where it is installed.
    ///   - cookie: the attributes of its session's cookie.
    ///   - address: makes the address that it redirects to, from Host and path; by default `http://HOST/PATH`.
    init(
        _ trust: TestTrust,
        path: String = "",
        cookie: String = "; path=/",
        address: @escaping @Sendable (_ host: String, _ path: String) -> String = { "http://\($0)\($1)" }
    ) throws {
        let seen = self.seen
        server = try ScriptedServer(certificate: trust.app) { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard !head.isEmpty else { return }
                seen.with { $0.append(head) }
                try connection.send(Self.answer(head, path, cookie, address))
            }
        }
        port = server.port
    }

    private static func answer(
        _ head: String,
        _ path: String,
        _ cookie: String,
        _ address: (String, String) -> String
    ) -> String {
        let target = head.split(separator: " ").dropFirst().first ?? ""
        let host = field("Host", of: head)
        let isKnown = field("Cookie", of: head).contains("SESSION=abc")
        switch String(target) {
        case "\(path)/login":
            return "HTTP/1.1 302 Found\r\nServer: Microsoft-IIS/7.5\r\nLocation: \(address(host, "\(path)/home"))\r\n"
                + "Set-Cookie: SESSION=abc\(cookie)\r\nContent-Length: 0\r\n\r\n"
        case "\(path)/home" where isKnown:
            return
                "HTTP/1.1 200 OK\r\nServer: Microsoft-IIS/7.5\r\nContent-Location: \(address(host, "\(path)/home?id=1"))\r\n"
                + "Refresh: 60; url=\(address(host, "\(path)/home"))\r\nLink: <\(address(host, "\(path)/style.css"))>; rel=stylesheet\r\n"
                + "Content-Security-Policy: default-src 'self'\r\nContent-Length: 7\r\n\r\nwelcome"
        case "\(path)/home":
            return "HTTP/1.1 302 Found\r\nLocation: \(address(host, "\(path)/login"))\r\nContent-Length: 0\r\n\r\n"
        case "\(path)/leave":
            return "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\(path)\r\nContent-Length: 0\r\n\r\n"
        default: return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        }
    }

    static func field(_ name: String, of head: String) -> String {
        for line in head.split(separator: "\r\n") where line.lowercased().hasPrefix(name.lowercased() + ": ") {
            return String(line.dropFirst(name.count + 2))
        }
        return ""
    }
}

@Suite("A legacy application behind https") struct LegacyApplicationTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    /// - Parameter site: keys of the site.
    private func start(_ application: LegacyApplication, site: String = "") throws -> EveryhopProcess {
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: application.port)
        return try EveryhopProcess(
            folder,
            port: port,
            configuration: text.replacingOccurrences(of: "upstream = \"app\"", with: "upstream = \"app\"\n\(site)")
        )
    }

    /// Goes to an address as a browser does, with a cookie jar; curl fails when it is led to plain http.
    private func browse(_ address: String, _ version: String, follow: Bool = true) throws -> (
        text: String, head: String, jar: [String]
    ) {
        let arguments =
            [
                "curl", "-sS", "-m", "20", version, "--cacert", "\(folder.path)/authority.pem", "--proto-redir",
                "=https", "-D",
                "\(folder.path)/head", "-c", "\(folder.path)/jar", "-b", "\(folder.path)/jar", "-w",
                "\n%{http_version} %{http_code} %{num_redirects} %{url_effective}",
            ] + (follow ? ["-L"] : []) + [address]
        let text = try Shell.run(arguments, merged: true).text
        let jar = (try? String(decoding: File.read("\(folder.path)/jar"), as: UTF8.self)) ?? ""
        return (
            text, String(decoding: try File.read("\(folder.path)/head"), as: UTF8.self),
            jar.split(separator: "\n").map(String.init).filter { $0.contains("SESSION") }
        )
    }

    @Test(
        arguments: ["as asked for", "without the port", "at its own port", "without a scheme"],
        ["--http1.1", "--http2"]
    )
    func `curl logs in with a jar and never leaves https, with nothing configured`(
        _ habit: String,
        _ version: String
    ) throws {
        let port = Shared<UInt16>(0)
        let application = try LegacyApplication(trust) { host, path in
            let name = host.split(separator: ":").first.map(String.init) ?? host
            switch habit {
            case "without the port": return "http://\(name)\(path)"
            case "at its own port": return "http://\(name):\(port.value)\(path)"
            case "without a scheme": return "//\(name):80\(path)"
            default: return "http://\(host)\(path)"
            }
        }
        port.with { $0 = application.port }
        let everyhop = try start(application)
        let site = "https://localhost:\(everyhop.port)"
        let answer = try browse("\(site)/login", version)
        #expect(answer.text == "welcome\n\(version == "--http2" ? "2" : "1.1") 200 1 \(site)/home")
        #expect(answer.jar == ["localhost\tFALSE\t/\tTRUE\t0\tSESSION\tabc"])
        #expect(LegacyApplication.field("Location", of: answer.head) == "\(site)/home")
        #expect(LegacyApplication.field("Set-Cookie", of: answer.head) == "SESSION=abc; path=/; Secure")
        #expect(LegacyApplication.field("Content-Location", of: answer.head) == "\(site)/home?id=1")
        #expect(LegacyApplication.field("Refresh", of: answer.head) == "60; url=\(site)/home")
        #expect(LegacyApplication.field("Link", of: answer.head) == "<\(site)/style.css>; rel=stylesheet")
        #expect(LegacyApplication.field("Content-Security-Policy", of: answer.head) == "default-src 'self'")
        #expect(application.seen.value.count == 2)
        #expect(
            application.seen.value.allSatisfy {
                LegacyApplication.field("Host", of: $0) == "localhost:\(everyhop.port)"
            }
        )
        let away = try browse("\(site)/leave", version, follow: false)
        #expect(LegacyApplication.field("Location", of: away.head) == "http://elsewhere.example/")
    }

    @Test func `with Host, path and cookies of its own it is found by the public ones`() throws {
        let application = try LegacyApplication(
            trust,
            path: "/LegacyApp",
            cookie: "; domain=.corp.internal; path=/LegacyApp; HttpOnly"
        )
        let everyhop = try start(
            application,
            site: """
                upstream_host = "ehr.corp.internal:9080"
                path_map = { public = "/app", server = "/LegacyApp" }
                cookies = { same_site = "strict" }
                """
        )
        let site = "https://localhost:\(everyhop.port)"
        let answer = try browse("\(site)/app/home", "--http2")
        // Home leads to login, login back to home.
        #expect(answer.text == "welcome\n2 200 2 \(site)/app/home")
        #expect(answer.jar == ["#HttpOnly_localhost\tFALSE\t/app\tTRUE\t0\tSESSION\tabc"])
        #expect(
            LegacyApplication.field("Set-Cookie", of: answer.head)
                == "SESSION=abc; Path=/app; HttpOnly; Secure; SameSite=Strict"
        )
        #expect(LegacyApplication.field("Content-Location", of: answer.head) == "\(site)/app/home?id=1")
        #expect(LegacyApplication.field("Refresh", of: answer.head) == "60; url=\(site)/app/home")
        #expect(LegacyApplication.field("Link", of: answer.head) == "<\(site)/app/style.css>; rel=stylesheet")
        let heads = application.seen.value
        #expect(
            heads.map { String($0.prefix { $0 != "\r\n" }) }
                == ["home", "login", "home"].map { "GET /LegacyApp/\($0) HTTP/1.1" }
        )
        #expect(heads.allSatisfy { LegacyApplication.field("Host", of: $0) == "ehr.corp.internal:9080" })
        #expect(
            heads.allSatisfy { LegacyApplication.field("X-Forwarded-Host", of: $0) == "localhost:\(everyhop.port)" }
        )
        #expect(LegacyApplication.field("Cookie", of: heads[2]) == "SESSION=abc")
    }

    @Test func `a path outside of the map never reaches the application`() throws {
        let application = try LegacyApplication(trust, path: "/LegacyApp")
        let everyhop = try start(application, site: "path_map = { public = \"/app\", server = \"/LegacyApp\" }")
        for (target, status) in [
            ("/", 404), ("/LegacyApp/login", 404), ("/apps", 404), ("/app/../admin", 400), ("/app/%2e%2e/admin", 400),
            ("/app/..;/admin", 400), ("/app/login", 302), ("/app/none", 404),
        ] {
            let client = try Connection(to: everyhop.port, try trust.client())
            try client.send("GET \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            #expect(client.receiveAll().hasPrefix("HTTP/1.1 \(status) "), "\(target)")
        }
        #expect(
            application.seen.value.map { String($0.prefix { $0 != "\r\n" }) } == [
                "GET /LegacyApp/login HTTP/1.1", "GET /LegacyApp/none HTTP/1.1",
            ]
        )
        try everyhop.waitForAccess("\"status\":400", "climbs out of the site's path_map")
    }

    @Test func `headers come and go as configured, and none of it can be forged`() throws {
        let application = try LegacyApplication(trust)
        let everyhop = try start(
            application,
            site: """
                hsts = { max_age = "365d", include_subdomains = true }
                upgrade_insecure_requests = true
                [site.request_headers]
                set = { "X-Real-IP" = "${client_address}", "Front-End-Https" = "on", "X-Original" = "${scheme}://${authority}${target}" }
                remove = ["X-Debug"]
                [site.response_headers]
                set = { "X-Content-Type-Options" = "nosniff", "X-Request" = "${request_id} of ${client_address}" }
                remove = ["Server"]
                """
        )
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send(
            "GET /home HTTP/1.1\r\nHost: localhost:\(everyhop.port)\r\nCookie: SESSION=abc\r\nX-Real-IP: 6.6.6.6\r\n"
                + "x_real_ip: 7.7.7.7\r\nfront-end-https: off\r\nX-DEBUG: 1\r\nConnection: close, X-Real-IP\r\n\r\n"
        )
        let answer = client.receiveAll()
        let id = LegacyApplication.field("X-Request-ID", of: answer)
        let site = "https://localhost:\(everyhop.port)"
        #expect(
            answer
                == [
                    "HTTP/1.1 200 OK", "Content-Location: \(site)/home?id=1", "Refresh: 60; url=\(site)/home",
                    "Link: <\(site)/style.css>; rel=stylesheet", "Content-Security-Policy: default-src 'self'",
                    "Strict-Transport-Security: max-age=31536000; includeSubDomains",
                    "Content-Security-Policy: upgrade-insecure-requests", "X-Content-Type-Options: nosniff",
                    "X-Request: \(id) of 127.0.0.1", "Content-Length: 7", "Via: 1.1 everyhop", "X-Request-ID: \(id)",
                    "Connection: close", "", "welcome",
                ].joined(separator: "\r\n")
        )
        let head = try #require(application.seen.value.first)
        let lines = head.split(separator: "\r\n").filter {
            !$0.hasPrefix("X-F") && !$0.hasPrefix("F") || $0.hasPrefix("Front")
        }
        #expect(
            lines == [
                "GET /home HTTP/1.1", "Host: localhost:\(everyhop.port)", "Cookie: SESSION=abc", "Via: 1.1 everyhop",
                "X-Request-ID: \(id)", "X-Real-IP: 127.0.0.1", "Front-End-Https: on", "X-Original: \(site)/home",
            ]
        )
    }

    @Test func `trailers cannot bring back what is set or removed`() throws {
        let seen = Shared("")
        let echo = try ScriptedServer(certificate: trust.app) { connection in
            let text = try connection.receive(until: "X-Sum: 1\r\n\r\n")
            seen.with { $0 = text }
            try connection.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Back: 2\r\nX-Powered-By: 3\r\n\r\n"
            )
        }
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: echo.port)
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: text.replacingOccurrences(
                of: "upstream = \"app\"",
                with: """
                    upstream = "app"
                    request_headers = { set = { X-Real-IP = "${client_address}" } }
                    response_headers = { remove = ["X-Powered-By"] }
                    """
            )
        )
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send(
            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
                + "x-real_ip: 6.6.6.6\r\nX-Sum: 1\r\n\r\n"
        )
        let answer = try client.receive(until: "X-Back: 2\r\n\r\n")
        #expect(answer.hasSuffix("2\r\nok\r\n0\r\nX-Back: 2\r\n\r\n"))
        #expect(seen.value.hasSuffix("2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n"))
        #expect(seen.value.contains("\r\nX-Real-IP: 127.0.0.1\r\n"))
    }

    @Test func `nothing is compressed, and what is compressed passes as it is`() throws {
        let plain = String(repeating: "the same again and again ", count: 400)
        let packed: [UInt8] = [
            0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x4B, 0x04, 0x00, 0x43, 0xBE, 0xB7, 0xE8, 0x01,
            0x00, 0x00, 0x00,
        ]
        let seen = Shared("")
        let server = try ScriptedServer(certificate: trust.app) { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard !head.isEmpty else { return }
                seen.with { $0 = head }
                if head.hasPrefix("GET /packed") {
                    try connection.send(
                        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(packed.count)\r\n\r\n"
                    )
                    try connection.send(packed)
                } else {
                    try connection.send(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: \(plain.utf8.count)\r\n\r\n\(plain)"
                    )
                }
            }
        }
        let port = try freePort()
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(port: port, upstream: server.port)
        )
        for version in ["--http1.1", "--http2"] {
            for (path, body) in [("plain", Array(plain.utf8)), ("packed", packed)] {
                let answer = try Shell.run([
                    "curl", "-sS", "-m", "20", version, "--cacert", "\(folder.path)/authority.pem", "-H",
                    "Accept-Encoding: gzip, br",
                    "-D", "\(folder.path)/head", "https://localhost:\(everyhop.port)/\(path)",
                ])
                #expect(answer.output == body)
                let head = String(decoding: try File.read("\(folder.path)/head"), as: UTF8.self)
                #expect(LegacyApplication.field("Content-Encoding", of: head) == (path == "packed" ? "gzip" : ""))
                #expect(LegacyApplication.field("Accept-Encoding", of: seen.value) == "gzip, br")
            }
        }
    }
}
