import Bytes

/// What only a proxy in front has to say: applications behind it act on these fields (the address that was asked for,
/// who asks), so clients that are no trusted proxies do not get them through.
enum ForwardingClaims {
    private static let names: [StaticString] = [
        "x-original-url", "x-rewrite-url", "x-original-uri", "x-original-host", "x-original-for", "x-original-proto",
        "x-real-ip",
    ]
    private static let prefixLength = 12

    /// Whether a field bears such a name, in any case and with underscores for hyphens.
    static func isOne(_ name: Span<UInt8>) -> Bool {
        guard name.count >= 9, ASCII.lowercase(name[0]) == 0x78 else { return false }
        if name.count > prefixLength, ASCII.spells(name.extracting(first: prefixLength), "x-forwarded-") { return true }
        for other in names where ASCII.spells(name, other) { return true }
        return false
    }
}
