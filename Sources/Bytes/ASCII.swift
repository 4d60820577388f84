/// Byte classes and strict numbers. Nothing here knows a locale, a sign or white space.
public enum ASCII {
    /// `0`...`9`.
    public static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// A letter's small form; other bytes unchanged.
    public static func lowercase(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    /// The value of a hexadecimal digit, or nil.
    public static func hexValue(_ byte: UInt8) -> UInt8? {
        if byte &- 0x30 < 10 { return byte &- 0x30 }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : nil
    }

    /// RFC 9110 §5.6.2: the bytes of a token.
    public static func isToken(_ byte: UInt8) -> Bool {
        if byte < 64 { return tokenLow >> UInt64(byte) & 1 == 1 }
        return byte < 128 && tokenHigh >> UInt64(byte & 63) & 1 == 1
    }

    /// RFC 9110 §5.5: field-vchar, SP and HTAB.
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

    private static var tokenLow: UInt64 { 0x03FF_6CFA_0000_0000 }
    private static var tokenHigh: UInt64 { 0x57FF_FFFF_C7FF_FFFE }
}
