import HTTP

extension ForwardingContext {
    /// A client that is not trusted, at a site without rules.
    static var plain: ForwardingContext {
        ForwardingContext(
            clientAddress: Array("192.0.2.1".utf8),
            isIPv6: false,
            scheme: .https,
            localPort: 443,
            trusted: false,
            requestID: RequestID(),
            rules: SiteRules()
        )
    }
}
