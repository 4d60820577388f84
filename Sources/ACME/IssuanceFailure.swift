/// Why no certificate was issued.
public struct IssuanceFailure: Error, Equatable, Sendable, CustomStringConvertible {
    private static let mostBytes = 500

    /// For the log: no token, no key, nothing but visible ASCII.
    public let description: String
    /// When the authority wants to hear of us again, in seconds from now; nil when it says nothing.
    public let retryAfter: UInt64?

    /// - Parameters:
    ///   - text: what happened; parts of it may be an authority's words.
    ///   - hiding: what must not be repeated.
    public init(_ text: String, hiding secrets: [String] = [], retryAfter: UInt64? = nil) {
        var text = text
        for secret in secrets where !secret.isEmpty { text.replace(secret, with: "...") }
        let visible = text.utf8.prefix(Self.mostBytes).map { (0x20...0x7E).contains($0) ? $0 : 0x3F }
        description = String(decoding: visible, as: UTF8.self)
        self.retryAfter = retryAfter
    }
}
