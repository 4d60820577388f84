import Bytes

/// What the proxy tells the server about the client (RFC 7239, and the X-Forwarded fields in use), and what the site
/// changes.
public struct ForwardingContext: Sendable {
    /// How the client speaks to the proxy.
    public enum Scheme: Sendable {
        /// Plain HTTP; only the redirect listener.
        case http
        /// HTTP over TLS.
        case https
    }

    /// How the proxy speaks to the server.
    public enum ServerVersion: Sendable {
        /// HTTP/1.1
        case http1
        /// HTTP/2, for which HTTP/1.1's lines are translated.
        case http2
    }

    /// How the proxy speaks to the server.
    public var serverVersion = ServerVersion.http1
    let clientAddress: [UInt8]
    let isIPv6: Bool
    let scheme: Scheme
    let localPort: UInt16
    let trusted: Bool
    let requestID: RequestID
    /// Of the site that the request is for.
    public let rules: SiteRules
    let certificateFields: [UInt8]

    /// - Parameters:
    ///   - clientAddress: the address in text form, without a port.
    ///   - trusted: whether the client is a proxy of ours, whose own fields are kept and added to.
    ///   - rules: of the site that the request is for.
    ///   - certificateFields: what is told of the client's certificate (`ClientCertificateFields`).
    public init(
        clientAddress: [UInt8],
        isIPv6: Bool,
        scheme: Scheme,
        localPort: UInt16,
        trusted: Bool,
        requestID: RequestID,
        rules: SiteRules,
        certificateFields: [UInt8] = []
    ) {
        self.clientAddress = clientAddress
        self.isIPv6 = isIPv6
        self.scheme = scheme
        self.localPort = localPort
        self.trusted = trusted
        self.requestID = requestID
        self.rules = rules
        self.certificateFields = certificateFields
    }
}

/// What a response is written with, besides itself.
public struct ResponseContext: Sendable {
    let forwarding: ForwardingContext
    let keepAlive: Bool
    /// Whole field lines of the proxy's own.
    let added: [UInt8]

    /// - Parameters:
    ///   - forwarding: what the request was sent on with.
    ///   - keepAlive: whether another request may follow.
    ///   - added: whole field lines of the proxy's own, such as a cookie.
    public init(
        _ forwarding: ForwardingContext,
        keepAlive: Bool,
        added: [UInt8] = []
    ) {
        self.added = added
        self.forwarding = forwarding
        self.keepAlive = keepAlive
    }
}
