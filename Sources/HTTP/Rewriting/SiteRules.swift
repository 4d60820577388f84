/// What a site changes in the messages that pass; made once, looked at for each message.
///
/// The defaults change nothing.
public final class SiteRules: Sendable {
    /// What the server sees as Host; nil for what the client asked for.
    let host: [UInt8]?
    /// Public and server's paths.
    public let path: PathMap?
    /// What Location, Content-Location, Refresh and Link are held against; nil: nothing absolute is changed.
    let hosts: OwnHosts?
    let cookies: CookieRules
    /// Whether there is something to change in a cookie.
    let changesCookies: Bool
    /// Whether there is something to change in a reference.
    let changesReferences: Bool
    let requestFields: FieldRules?
    let responseFields: FieldRules?
    /// The value of Strict-Transport-Security.
    let strictTransport: [UInt8]?
    let upgradesInsecureRequests: Bool
    /// Whether the application's own Content-Security-Policy is not passed on.
    let dropsPolicies: Bool
    /// Whether responses get a line of ours, perhaps.
    let addsToResponses: Bool

    /// Rules without a parameter change nothing.
    public init(
        host: [UInt8]? = nil,
        path: PathMap? = nil,
        hosts: OwnHosts? = nil,
        cookies: CookieRules? = nil,
        requestFields: FieldRules? = nil,
        responseFields: FieldRules? = nil,
        strictTransport: [UInt8]? = nil,
        upgradesInsecureRequests: Bool = false
    ) {
        self.host = host
        self.path = path
        self.hosts = hosts
        self.cookies = cookies ?? CookieRules(secure: false)
        changesCookies = cookies != nil || path != nil || hosts != nil
        changesReferences = path != nil || hosts != nil
        self.requestFields = requestFields
        self.responseFields = responseFields
        self.strictTransport = strictTransport
        self.upgradesInsecureRequests = upgradesInsecureRequests
        dropsPolicies = responseFields?.drops(Array("content-security-policy".utf8).span) ?? false
        addsToResponses = responseFields != nil || strictTransport != nil || upgradesInsecureRequests
    }

    /// A request's trailers without what the site sets or removes, which a server might merge with the head; nil when
    /// all are kept.
    public func requestTrailers(_ trailers: borrowing HeaderBlock) -> HeaderBlock? {
        trailers.count > 0 ? requestFields?.kept(of: trailers) : nil
    }

    /// The same of a response.
    public func responseTrailers(_ trailers: borrowing HeaderBlock) -> HeaderBlock? {
        trailers.count > 0 ? responseFields?.kept(of: trailers) : nil
    }
}
