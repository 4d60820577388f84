import HTTP
import Testing

@Suite("Fields of a site") struct FieldRulesTests {
    private static func template(_ name: String, _ pieces: FieldTemplate.Piece...) -> FieldTemplate {
        FieldTemplate(name: Rewriter.bytes(name), pieces: pieces)
    }

    @Test func `request fields are set, added and removed, and values hold variables`() throws {
        let fields = FieldRules(
            set: [
                Self.template("X-Real-IP", .variable(.clientAddress)),
                Self.template(
                    "X-All",
                    .variable(.scheme),
                    .text(Rewriter.bytes("://")),
                    .variable(.authority),
                    .variable(.target),
                    .text(Rewriter.bytes(" ")),
                    .variable(.host),
                    .text(Rewriter.bytes(" ")),
                    .variable(.port),
                    .text(Rewriter.bytes(" ")),
                    .variable(.method),
                    .text(Rewriter.bytes(" ")),
                    .variable(.path),
                    .text(Rewriter.bytes(" ")),
                    .variable(.requestID)
                ),
            ],
            add: [Self.template("Accept-Language", .text(Rewriter.bytes("de")))],
            remove: [Rewriter.bytes("Accept-Encoding")]
        )
        let rewriter = Rewriter(rules: SiteRules(requestFields: fields), authority: "a:444", localPort: 444)
        let lines = try rewriter.requestLines(
            "x-real-ip: 6.6.6.6",
            "X_Real_IP: 7.7.7.7",
            "ACCEPT-encoding: gzip",
            "Accept-Language: en",
            "X-Kept: 1"
        )
        #expect(
            lines.filter { $0.lowercased().hasPrefix("x-real") || $0.hasPrefix("X_") } == ["X-Real-IP: 203.0.113.9"]
        )
        #expect(lines.contains("X-All: https://a:444/x?y=1 a 444 GET /x \(RequestID())"))
        #expect(lines.filter { $0.hasPrefix("Accept") } == ["Accept-Language: en", "Accept-Language: de"])
        #expect(lines.contains("X-Kept: 1"))
    }

    @Test func `a client cannot take a set field away by nominating it`() throws {
        let fields = FieldRules(set: [Self.template("X-Real-IP", .variable(.clientAddress))], add: [], remove: [])
        let lines = try Rewriter(rules: SiteRules(requestFields: fields)).requestLines("Connection: close, X-Real-IP")
        #expect(lines.contains("X-Real-IP: 203.0.113.9"))
    }

    @Test func `Host is replaced, and the client's is told`() throws {
        let lines = try Rewriter(rules: SiteRules(host: Rewriter.bytes("app.internal:8080"))).requestLines()
        #expect(lines.filter { $0.hasPrefix("Host:") } == ["Host: app.internal:8080"])
        #expect(lines.contains("X-Forwarded-Host: portal.example.org"))
    }

    @Test func `response fields are set, added and removed`() throws {
        let fields = FieldRules(
            set: [Self.template("X-Frame-Options", .text(Rewriter.bytes("DENY")))],
            add: [Self.template("Vary", .text(Rewriter.bytes("Origin")))],
            remove: [Rewriter.bytes("server"), Rewriter.bytes("Set-Cookie"), Rewriter.bytes("location")]
        )
        let lines = try Rewriter(rules: SiteRules(responseFields: fields)).responseLines(
            "Server: IIS/7.5",
            "x-frame-options: ALLOW",
            "Vary: Accept",
            "Set-Cookie: a=b",
            "Location: /",
            "X-Kept: 1"
        )
        #expect(
            lines == [
                "HTTP/1.1 302 Found", "Vary: Accept", "X-Kept: 1", "X-Frame-Options: DENY", "Vary: Origin",
                "Via: 1.1 everyhop", "X-Request-ID: \(RequestID())",
            ]
        )
        let interim = try Rewriter(rules: SiteRules(responseFields: fields)).responseLines(
            "Server: a",
            "X-Kept: 1",
            status: "103 Early Hints"
        )
        #expect(interim == ["HTTP/1.1 103 Early Hints", "X-Kept: 1"])
    }

    @Test func `ours takes the place of the application's Strict-Transport-Security`() throws {
        let rules = SiteRules(strictTransport: Rewriter.bytes("max-age=1"))
        let lines = try Rewriter(rules: rules).responseLines(
            "strict-transport-security: max-age=0",
            status: "404 Not Found"
        )
        #expect(lines.filter { $0.lowercased().hasPrefix("strict") } == ["Strict-Transport-Security: max-age=1"])
        #expect(try Rewriter().rewritten("Strict-Transport-Security", "max-age=0") == "max-age=0")
    }

    @Test(arguments: [
        ([], true), (["default-src 'self'"], true), (["default-src 'self'; upgrade-insecure-requests"], false),
        (["default-src a,Upgrade-Insecure-Requests"], false), (["a; b", "upgrade-insecure-requests ;x"], false),
        (["upgrade-insecure-requests x"], false), (["report-uri /upgrade-insecure-requests"], true), ([""], true),
        (["x-upgrade-insecure-requests"], true),
    ])
    func `the directive is added unless some policy has it`(_ policies: [String], _ isAdded: Bool) throws {
        let rewriter = Rewriter(rules: SiteRules(upgradesInsecureRequests: true))
        let lines =
            try policies.count == 2
            ? rewriter.responseLines(
                "Content-Security-Policy: \(policies[0])",
                "content-security-policy: \(policies[1])"
            )
            : policies.isEmpty
                ? rewriter.responseLines() : rewriter.responseLines("Content-Security-Policy: \(policies[0])")
        let found = lines.filter { $0.lowercased().hasPrefix("content-security-policy: ") }.map {
            $0.split(separator: " ", maxSplits: 1).dropFirst().joined()
        }
        #expect(found == policies + (isAdded ? ["upgrade-insecure-requests"] : []))
        let reported = try rewriter.responseLines("Content-Security-Policy-Report-Only: upgrade-insecure-requests")
        #expect(reported.contains("Content-Security-Policy: upgrade-insecure-requests"))
    }

    @Test func `a policy that is not passed on does not count`() throws {
        let fields = FieldRules(set: [], add: [], remove: [Rewriter.bytes("Content-Security-Policy")])
        let rules = SiteRules(responseFields: fields, upgradesInsecureRequests: true)
        let lines = try Rewriter(rules: rules).responseLines("Content-Security-Policy: a; upgrade-insecure-requests")
        #expect(lines.filter { $0.hasPrefix("Content-Sec") } == ["Content-Security-Policy: upgrade-insecure-requests"])
    }

    @Test func `a connection that changes its protocol is answered by the same rules`() throws {
        let rules = SiteRules(
            cookies: CookieRules(secure: true),
            responseFields: FieldRules(set: [], add: [], remove: [Rewriter.bytes("Server")]),
            strictTransport: Rewriter.bytes("max-age=1")
        )
        let lines = try Rewriter(rules: rules).responseLines(
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Server: a",
            "Set-Cookie: a=b",
            status: "101 Switching Protocols"
        )
        #expect(
            lines == [
                "HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket",
                "Set-Cookie: a=b; Secure",
                "Strict-Transport-Security: max-age=1", "Via: 1.1 everyhop", "X-Request-ID: \(RequestID())",
            ]
        )
    }
}
