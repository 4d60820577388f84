/// Reads numbers and vectors out of a handshake message (RFC 8446 §3), in order and never beyond a given end.
struct MessageReader {
    private let bytes: [UInt8]
    private(set) var position: Int
    private let end: Int

    /// Begins with the first byte of `range`, which lies within `bytes`.
    init(_ bytes: [UInt8], in range: Range<Int>) {
        let range = range.clamped(to: 0..<bytes.count)
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    /// Begins with the first of all bytes.
    init(_ bytes: [UInt8]) { self.init(bytes, in: 0..<bytes.count) }

    var isAtEnd: Bool { position == end }

    /// One byte; nil at the end, as with all of these.
    mutating func byte() -> UInt8? {
        guard position < end else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    /// Two bytes.
    mutating func short() -> UInt16? {
        guard end - position >= 2 else { return nil }
        defer { position += 2 }
        return UInt16(bytes[position]) << 8 | UInt16(bytes[position + 1])
    }

    /// Three bytes.
    mutating func length() -> Int? {
        guard end - position >= 3 else { return nil }
        defer { position += 3 }
        return Int(bytes[position]) << 16 | Int(bytes[position + 1]) << 8 | Int(bytes[position + 2])
    }

    /// So many bytes.
    mutating func take(_ count: Int) -> Range<Int>? {
        guard end - position >= count else { return nil }
        defer { position += count }
        return position..<(position + count)
    }

    /// A vector behind a length of one byte.
    mutating func shortVector() -> Range<Int>? {
        guard let count = byte() else { return nil }
        return take(Int(count))
    }

    /// A vector behind a length of two bytes.
    mutating func vector() -> Range<Int>? {
        guard let count = short() else { return nil }
        return take(Int(count))
    }

    /// The vector behind a length of two bytes that is all there is.
    mutating func wholeVector() -> Range<Int>? {
        guard let range = vector(), isAtEnd else { return nil }
        return range
    }
}
