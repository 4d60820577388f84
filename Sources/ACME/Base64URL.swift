/// Base64 with the alphabet of URLs and without padding (RFC 4648 §5), as JSON Web Signatures write bytes.
enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encode(_ bytes: some Collection<UInt8>) -> String {
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = (bits & 0xFFFF) << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> UInt32(count)) & 63])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << UInt32(6 - count)) & 63]) }
        return String(decoding: text, as: UTF8.self)
    }

    static func encode(_ text: String) -> String { encode(Array(text.utf8)) }

    /// nil for anything but whole bytes in this alphabet.
    static func decode(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for character in text.utf8 {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            bits = (bits & 0xFFFF) << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return count < 6 && bits & (1 << UInt32(count) - 1) == 0 ? bytes : nil
    }

    static func contains(_ character: UInt8) -> Bool { alphabet.contains(character) }

    /// Whether a token of an authority is one: this alphabet, and neither so short that it can be guessed nor without end.
    static func isToken(_ text: String) -> Bool {
        (16...256).contains(text.utf8.count) && text.utf8.allSatisfy { alphabet.contains($0) }
    }

    /// What lies between the lines of a PEM file that holds one object.
    static func body(ofPEM pem: [UInt8]) -> String {
        let lines = String(decoding: pem, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("-----") }
        return String(
            decoding: lines.joined().utf8.compactMap { byte -> UInt8? in
                switch byte {
                case 0x2B: 0x2D
                case 0x2F: 0x5F
                case 0x3D, 0x0D: nil
                default: byte
                }
            },
            as: UTF8.self
        )
    }
}
