/// The text form of IPv4 and IPv6 addresses (RFC 4291 §2.2), strictly.
public enum InternetAddress {
    /// Four or sixteen bytes in network order; nil when the text is no address.
    public static func bytes(of text: [UInt8]) -> [UInt8]? { text.contains(0x3A) ? six(text) : four(text) }

    private static func four(_ text: [UInt8]) -> [UInt8]? {
        let parts = text.split(separator: 0x2E, omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard let value = number(part, radix: 10, digits: 3), value <= 255 else { return nil }
            // A leading zero is octal to some readers.
            guard part.count == 1 || part.first != 0x30 else { return nil }
            bytes.append(UInt8(value))
        }
        return bytes
    }

    private static func six(_ text: [UInt8]) -> [UInt8]? {
        guard let gap = text.indices.dropLast().first(where: { text[$0] == 0x3A && text[$0 + 1] == 0x3A }) else {
            guard let bytes = groups(text[...]), bytes.count == 16 else { return nil }
            return bytes
        }
        guard let head = groups(text[..<gap]), let tail = groups(text[(gap + 2)...]), head.count + tail.count <= 14,
            !text[..<gap].contains(0x2E)
        else { return nil }
        return head + Array(repeating: 0, count: 16 - head.count - tail.count) + tail
    }

    /// Groups between single colons, the last of them perhaps an IPv4 address.
    private static func groups(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: 0x3A, omittingEmptySubsequences: false)
        var bytes: [UInt8] = []
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, part.contains(0x2E) {
                guard let four = four(Array(part)) else { return nil }
                bytes += four
            } else {
                guard let value = number(part, radix: 16, digits: 4) else { return nil }
                bytes += [UInt8(value >> 8), UInt8(value & 255)]
            }
        }
        return bytes
    }

    private static func number(_ digits: ArraySlice<UInt8>, radix: Int, digits most: Int) -> Int? {
        guard !digits.isEmpty, digits.count <= most else { return nil }
        var value = 0
        for digit in digits {
            let step: Int
            switch digit {
            case 0x30...0x39: step = Int(digit) - 0x30
            case 0x41...0x46 where radix == 16: step = Int(digit) - 0x37
            case 0x61...0x66 where radix == 16: step = Int(digit) - 0x57
            default: return nil
            }
            value = value * radix + step
        }
        return value
    }
}
