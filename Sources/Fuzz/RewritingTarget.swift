import HTTP

/// Rules of a site that change all there is to change.
enum RewritingTarget {
    private static let rules = SiteRules(
        host: bytes("legacy:8080"),
        path: PathMap(publicPrefix: bytes("/"), serverPrefix: bytes("/legacy")),
        hosts: OwnHosts(
            bindings: [OwnHosts.Binding(name: bytes(".example.org"), isWildcard: true, port: 8443)],
            aliases: [OwnHosts.Alias(name: bytes("legacy"), port: 8080)],
            ports: [80, 8080]
        ),
        cookies: CookieRules(
            secure: true,
            httpOnly: true,
            sameSite: .lax,
            exceptions: [bytes("a")],
            domains: [CookieRules.Mapping(from: bytes("b"), to: bytes("c"))],
            paths: [CookieRules.Mapping(from: bytes("/b"), to: [])]
        ),
        requestFields: fields,
        responseFields: fields,
        strictTransport: bytes("max-age=1"),
        upgradesInsecureRequests: true
    )

    private static let fields = FieldRules(
        set: [
            FieldTemplate(
                name: bytes("X-All"),
                pieces: [.text(bytes("a ")), .variable(.clientAddress), .variable(.target), .variable(.authority)]
            )
        ],
        add: [FieldTemplate(name: bytes("Link"), pieces: [.variable(.host), .variable(.path), .variable(.method)])],
        remove: [bytes("accept")]
    )

    /// A context with these rules, or with none.
    static func context(trusted: Bool, rewrites: Bool) -> ForwardingContext {
        ForwardingContext(
            clientAddress: [0x31],
            isIPv6: false,
            scheme: .https,
            localPort: 443,
            trusted: trusted,
            requestID: RequestID(),
            rules: rewrites ? rules : SiteRules()
        )
    }

    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
}
