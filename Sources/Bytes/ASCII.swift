/// Byte classes and strict numbers; nothing here knows a locale, a sign or white space.
public enum ASCII {
    /// `0`...`9`.
    @inlinable
    public static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// A letter's small form; other bytes unchanged.
    @inlinable
    public static func lowercase(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    /// The value of a hexadecimal digit, or nil.
    public static func hexValue(_ byte: UInt8) -> UInt8? {
        if byte &- 0x30 < 10 { return byte &- 0x30 }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : nil
    }

    /// RFC 9110 §5.6.2: the bytes of a token.
    @inlinable
    public static func isToken(_ byte: UInt8) -> Bool {
        if byte < 64 { return tokenLow >> UInt64(byte) & 1 == 1 }
        return byte < 128 && tokenHigh >> UInt64(byte & 63) & 1 == 1
    }

    /// RFC 9110 §5.5: field-vchar, SP and HTAB.
    @inlinable
    public static func isFieldContent(_ byte: UInt8) -> Bool { (byte >= 0x20 && byte != 0x7F) || byte == 0x09 }

    /// One to 19 decimal digits and nothing else.
    public static func decimal(_ digits: Span<UInt8>) -> UInt64? {
        guard digits.count >= 1, digits.count <= 19 else { return nil }
        var value: UInt64 = 0
        for index in digits.indices {
            guard isDigit(digits[index]) else { return nil }
            value = value * 10 + UInt64(digits[index] &- 0x30)
        }
        return value
    }

    /// Whether two spans are equal but for the case of letters.
    public static func equalIgnoringCase(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        for index in left.indices where lowercase(left[index]) != lowercase(right[index]) { return false }
        return true
    }

    /// Whether a span is a literal of small letters, but for the case of its own letters.
    public static func equalIgnoringCase(_ bytes: Span<UInt8>, _ lowercase: StaticString) -> Bool {
        guard bytes.count == lowercase.utf8CodeUnitCount else { return false }
        let literal = unsafe Span(_unsafeStart: lowercase.utf8Start, count: lowercase.utf8CodeUnitCount)
        for index in bytes.indices where Self.lowercase(bytes[index]) != literal[index] { return false }
        return true
    }

    /// Whether a span is a literal of small letters, ignoring case and taking an underscore for a hyphen.
    public static func spells(_ bytes: Span<UInt8>, _ lowercase: StaticString) -> Bool {
        guard bytes.count == lowercase.utf8CodeUnitCount else { return false }
        let literal = unsafe Span(_unsafeStart: lowercase.utf8Start, count: lowercase.utf8CodeUnitCount)
        // Eight at a time while they are as the literal has them, but for capital letters: bytes decide all else.
        var index = bytes.count < 8 ? 0 : spelledWords(bytes, literal)
        while index < bytes.count {
            let byte = bytes[index] == 0x5F ? 0x2D : Self.lowercase(bytes[index])
            if byte != literal[index] { return false }
            index &+= 1
        }
        return true
    }

    /// Whether the first byte of a span is that of a literal of small letters, but for its case.
    @inlinable @inline(__always)
    public static func begins(_ bytes: Span<UInt8>, _ lowercase: StaticString) -> Bool {
        guard bytes.count > 0, lowercase.utf8CodeUnitCount > 0 else { return false }
        return unsafe Self.lowercase(bytes[0]) == lowercase.utf8Start[0]
    }

    /// Whether two spans are equal.
    public static func equal(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        for index in left.indices where left[index] != right[index] { return false }
        return true
    }

    /// Whether a span is exactly a literal.
    public static func equal(_ bytes: Span<UInt8>, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        let literal = unsafe Span(_unsafeStart: text.utf8Start, count: text.utf8CodeUnitCount)
        for index in bytes.indices where bytes[index] != literal[index] { return false }
        return true
    }

    /// A span without the spaces and tabs around it (RFC 9110 §5.6.3), as a range of it.
    public static func trimmed(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
        while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
        return start..<end
    }

    @usableFromInline static var tokenLow: UInt64 { 0x03FF_6CFA_0000_0000 }
    @usableFromInline static var tokenHigh: UInt64 { 0x57FF_FFFF_C7FF_FFFE }
}
