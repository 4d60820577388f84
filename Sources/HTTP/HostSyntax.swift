import Bytes

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), strictly.
enum HostSyntax {
    /// Whether the range is a host with an optional port.
    static func isValid(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        guard !range.isEmpty, range.count <= 261 else { return false }
        let end = hostEnd(bytes, range)
        guard end > range.lowerBound else { return false }
        if bytes[range.lowerBound] == 0x5B {
            guard isLiteral(bytes, range.lowerBound..<end) else { return false }
        } else {
            for index in range.lowerBound..<end where !isNameByte(bytes[index]) { return false }
        }
        guard end < range.upperBound else { return true }
        guard bytes[end] == 0x3A else { return false }
        let port = bytes.extracting(end + 1..<range.upperBound)
        if port.isEmpty { return true }
        guard port.count <= 5, let number = ASCII.decimal(port) else { return false }
        return number >= 1 && number <= 65535
    }

    /// The host alone.
    static func name(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
        range.lowerBound..<hostEnd(bytes, range)
    }

    /// The port of a valid host, where one is given.
    static func port(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt16? {
        let end = hostEnd(bytes, range)
        guard end + 1 < range.upperBound else { return nil }
        return ASCII.decimal(bytes.extracting(end + 1..<range.upperBound)).flatMap { UInt16(exactly: $0) }
    }

    private static func hostEnd(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int {
        var index = range.lowerBound
        if index < range.upperBound, bytes[index] == 0x5B {
            while index < range.upperBound, bytes[index] != 0x5D { index += 1 }
            return min(index + 1, range.upperBound)
        }
        while index < range.upperBound, bytes[index] != 0x3A { index += 1 }
        return index
    }

    /// `[` hexadecimal digits, colons and dots `]`.
    private static func isLiteral(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        guard range.count >= 4, bytes[range.upperBound - 1] == 0x5D else { return false }
        for index in range.lowerBound + 1..<range.upperBound - 1 {
            let byte = bytes[index]
            guard ASCII.hexValue(byte) != nil || byte == 0x3A || byte == 0x2E else { return false }
        }
        return true
    }

    /// Letters, digits, hyphen, dot and underscore: what host names in use are made of.
    private static func isNameByte(_ byte: UInt8) -> Bool {
        ASCII.isDigit(byte) || ASCII.lowercase(byte) &- 0x61 < 26 || byte == 0x2D || byte == 0x2E || byte == 0x5F
    }
}
