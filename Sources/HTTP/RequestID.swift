public import Bytes

/// Names one request in logs, in the response and towards the server: 128 random bits as 32 hexadecimal digits.
public struct RequestID: Equatable, Sendable, CustomStringConvertible {
    private var high: UInt64 = 0
    private var low: UInt64 = 0

    /// The id that no request has.
    public init() {}

    /// Takes 16 random bytes; missing ones count as zero.
    public init(_ bytes: Span<UInt8>) {
        for index in bytes.indices.prefix(8) { high = high << 8 | UInt64(bytes[index]) }
        for index in bytes.indices.dropFirst(8).prefix(8) { low = low << 8 | UInt64(bytes[index]) }
    }

    /// Writes the 32 digits.
    public func write(into queue: inout ByteQueue) {
        queue.append(sixteenDigits: high)
        queue.append(sixteenDigits: low)
    }

    /// The 32 digits.
    public var digits: InlineArray<32, UInt8> {
        var digits = InlineArray<32, UInt8>(repeating: 0x30)
        for index in 0..<32 {
            let half = index < 16 ? high : low
            let digit = UInt8(truncatingIfNeeded: half >> UInt64(60 - 4 * (index & 15)) & 15)
            digits[index] = digit < 10 ? digit &+ 0x30 : digit &+ 0x57
        }
        return digits
    }

    /// The 16 bytes in Base64, 24 characters: a WebSocket key (RFC 6455 §4.1), which has to be random and no secret.
    public var base64: InlineArray<24, UInt8> {
        var text = InlineArray<24, UInt8>(repeating: 0x3D)
        for index in 0..<22 {
            let bit = index * 6
            var value: UInt8 = 0
            for offset in bit..<bit + 6 {
                value = value << 1 | (offset < 128 ? self.bit(offset) : 0)
            }
            text[index] = Self.base64Digit(value)
        }
        return text
    }

    private func bit(_ index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: (index < 64 ? high : low) >> UInt64(63 - index & 63) & 1)
    }

    private static func base64Digit(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: value + 0x41
        case 26..<52: value + 0x47
        case 52..<62: value - 4
        case 62: 0x2B
        default: 0x2F
        }
    }

    /// The 32 digits as text.
    public var description: String {
        let digits = self.digits
        return String(decoding: (0..<32).map { digits[$0] }, as: UTF8.self)
    }
}
