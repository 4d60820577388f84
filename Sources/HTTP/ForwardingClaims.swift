import Bytes

/// What only a proxy in front has to say: applications behind it act on these fields (the address that was asked for,
/// who asks), so clients that are no trusted proxies do not get them through.
enum ForwardingClaims {
    private static let names: [StaticString] = [
        "x-original-url", "x-rewrite-url", "x-original-uri", "x-original-host", "x-original-for", "x-original-proto",
        "x-real-ip",
    ]
    private static var prefix: StaticString { "x-forwarded-" }

    /// Whether a field bears such a name, in any case and with underscores for hyphens.
    static func isOne(_ name: Span<UInt8>) -> Bool {
        guard name.count >= 9, ASCII.lowercase(name[0]) == 0x78, folded(name[1]) == 0x2D else { return false }
        if name.count > prefix.utf8CodeUnitCount, begins(name, with: prefix) { return true }
        for other in names where name.count == other.utf8CodeUnitCount && begins(name, with: other) { return true }
        return false
    }

    private static func begins(_ name: Span<UInt8>, with text: StaticString) -> Bool {
        for index in 0..<text.utf8CodeUnitCount {
            let wanted = unsafe text.utf8Start[index]
            guard folded(name[index]) == wanted else { return false }
        }
        return true
    }

    private static func folded(_ byte: UInt8) -> UInt8 { byte == 0x5F ? 0x2D : ASCII.lowercase(byte) }
}
