/// An answer that the configuration gives in a server's place.
public final class LocalAnswer: Sendable {
    /// The status.
    public let status: Int
    let contentType: [UInt8]
    let body: [UInt8]?
    let location: [UInt8]?

    /// Whether nothing is to be added: it has a body or a place to go to, or must not have a body.
    var isWhole: Bool { body != nil || location != nil || status == 204 || status == 205 || status == 304 }

    /// - Parameters:
    ///   - contentType: of the body.
    ///   - body: nil for the usual small page.
    ///   - location: where a redirect leads.
    public init(status: Int, contentType: [UInt8], body: [UInt8]?, location: [UInt8]?) {
        self.status = status
        self.contentType = contentType
        self.body = body
        self.location = location
    }
}
