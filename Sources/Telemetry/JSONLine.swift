import Bytes

/// One JSON object on one line, written field by field; every value is escaped.
public struct JSONLine {
    var bytes: [UInt8] = []
    private var isFirst = true

    /// Makes an empty object.
    public init() {}

    mutating func begin() {
        bytes.removeAll(keepingCapacity: true)
        bytes.append(0x7B)
        isFirst = true
    }

    mutating func end() {
        bytes.append(0x7D)
        bytes.append(0x0A)
    }

    /// Adds a number.
    public mutating func field(_ name: StaticString, _ number: UInt64) {
        key(name)
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var index = 20
        var rest = number
        repeat {
            index &-= 1
            digits[index] = UInt8(truncatingIfNeeded: rest % 10) &+ 0x30
            rest /= 10
        } while rest > 0
        while index < 20 {
            bytes.append(digits[index])
            index &+= 1
        }
    }

    /// Adds true or false.
    public mutating func field(_ name: StaticString, _ flag: Bool) {
        key(name)
        append(flag ? "true" : "false")
    }

    /// Adds text.
    public mutating func field(_ name: StaticString, _ text: String) {
        key(name)
        bytes.append(0x22)
        for byte in text.utf8 { escape(byte, isText: true) }
        bytes.append(0x22)
    }

    /// Adds bytes of a peer as text; what is not ASCII becomes U+FFFD.
    ///
    /// - Parameter limit: so many bytes are written at most.
    public mutating func field(_ name: StaticString, _ text: Span<UInt8>, limit: Int = 2048) {
        key(name)
        bytes.append(0x22)
        for index in text.indices.prefix(limit) { escape(text[index], isText: false) }
        bytes.append(0x22)
    }

    private mutating func key(_ name: StaticString) {
        if !isFirst { bytes.append(0x2C) }
        isFirst = false
        bytes.append(0x22)
        append(name)
        bytes.append(0x22)
        bytes.append(0x3A)
    }

    private mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    private mutating func escape(_ byte: UInt8, isText: Bool) {
        switch byte {
        case 0x22, 0x5C:
            bytes.append(0x5C)
            bytes.append(byte)
        case 0x00...0x1F, 0x7F:
            append("\\u00")
            bytes.append(Self.digit(byte >> 4))
            bytes.append(Self.digit(byte & 15))
        case 0x80... where !isText: append("\\ufffd")
        default: bytes.append(byte)
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? value + 0x30 : value + 0x57 }
}
