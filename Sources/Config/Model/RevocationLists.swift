/// Files of certificates that their authorities have revoked (RFC 5280 §5).
public struct RevocationLists: Sendable, Equatable {
    /// Which certificates are looked up.
    public enum Check: String, Sendable, CaseIterable {
        /// Every one of a chain.
        case chain
        /// The peer's own.
        case leaf
    }

    /// The files.
    public let files: [Located<String>]
    /// Which certificates are looked up.
    public let check: Check

    /// Whether two look up the same in the same way, wherever that was written.
    public static func == (left: Self, right: Self) -> Bool {
        left.check == right.check && left.files.map(\.value) == right.files.map(\.value)
    }
}
