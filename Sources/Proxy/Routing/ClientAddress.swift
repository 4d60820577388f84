import Bytes
import Config
import HTTP

/// Finds out whose request it is, when it came by proxies that are trusted.
enum ClientAddress {
    /// The rightmost address of X-Forwarded-For that is not a trusted proxy's: each proxy has added the address that it
    /// was spoken to from, and what stands further left is the word of somebody who is not trusted.
    ///
    /// - Parameter peer: of the trusted proxy that speaks to us.
    /// - Returns: nil when the address that counts is not readable.
    static func find(in fields: borrowing HeaderBlock, behind peer: AddressBits, trusted: AddressList) -> AddressBits? {
        var found = peer
        for index in (0..<fields.count).reversed() where fields[index].id == .xForwardedFor {
            let value = fields.value(index)
            var end = value.count
            while end >= 0 {
                var start = end
                while start > 0, value[start - 1] != 0x2C { start -= 1 }
                let range = ASCII.trimmed(value, start..<end)
                end = start - 1
                if range.isEmpty { continue }
                guard let address = parse(value.extracting(range)) else { return nil }
                found = address
                guard trusted.contains(address) else { return found }
            }
        }
        return found
    }

    /// An address, also with the port that some proxies add.
    static func parse(_ text: Span<UInt8>) -> AddressBits? {
        guard text.count <= 64 else { return nil }
        var range = 0..<text.count
        var colons = 0
        for index in text.indices where text[index] == 0x3A { colons += 1 }
        if text[0] == 0x5B {
            var end = 1
            while end < text.count, text[end] != 0x5D { end += 1 }
            guard end < text.count, end + 1 == text.count || text[end + 1] == 0x3A else { return nil }
            range = 1..<end
        } else if colons == 1 {
            var end = 0
            while text[end] != 0x3A { end += 1 }
            range = 0..<end
        }
        var copy: [UInt8] = []
        for index in range { copy.append(text[index]) }
        return IPAddress(String(decoding: copy, as: UTF8.self)).map { AddressBits($0) }
    }
}
