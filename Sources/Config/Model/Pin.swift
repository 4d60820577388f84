/// SHA-256 of a certificate's SubjectPublicKeyInfo, written `sha256/BASE64`.
public struct Pin: Hashable, Sendable {
    /// The 32 bytes of the digest.
    public let digest: [UInt8]

    /// Reads the text form; nil unless it is `sha256/` and exactly 32 bytes in Base64 (RFC 4648 §4).
    public init?(_ text: String) {
        let prefix = "sha256/"
        guard text.hasPrefix(prefix) else { return nil }
        let encoded = Array(text.utf8.dropFirst(prefix.utf8.count))
        guard encoded.count == 44, encoded[43] == 0x3D else { return nil }
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        for (index, character) in encoded.dropLast().enumerated() {
            guard let value = Self.value(character) else { return nil }
            bits = bits << 6 | UInt32(value)
            if index % 4 == 3 {
                bytes += [
                    UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 8),
                    UInt8(truncatingIfNeeded: bits),
                ]
                bits = 0
            }
        }
        // 43 characters carry 258 bits; the last two must be zero, or one digest had several spellings.
        guard bits & 3 == 0 else { return nil }
        bytes += [UInt8(truncatingIfNeeded: bits >> 10), UInt8(truncatingIfNeeded: bits >> 2)]
        digest = bytes
    }

    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case 0x41...0x5A: character - 0x41
        case 0x61...0x7A: character - 0x61 + 26
        case 0x30...0x39: character - 0x30 + 52
        case 0x2B: 62
        case 0x2F: 63
        default: nil
        }
    }
}
