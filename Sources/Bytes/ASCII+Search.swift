/// Looking through many bytes, eight at a time.
extension ASCII {
    private static var ones: UInt64 { 0x0101_0101_0101_0101 }
    private static var tops: UInt64 { 0x8080_8080_8080_8080 }

    /// The first place of `byte` in a part of `bytes`; the part's end when it is not there.
    public static func firstIndex(of byte: UInt8, in bytes: Span<UInt8>, _ range: Range<Int>) -> Int {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "a part outside of the bytes")
        let pattern = ones &* UInt64(byte)
        var position = range.lowerBound
        while range.upperBound &- position >= 8 {
            let word = word(bytes, position) ^ pattern
            // The top bit of the lowest byte that is zero, and perhaps of others above it.
            let found = (word &- ones) & ~word & tops
            if found != 0 { return position &+ found.trailingZeroBitCount / 8 }
            position &+= 8
        }
        while position < range.upperBound, bytes[position] != byte { position &+= 1 }
        return position
    }

    /// Whether every byte in a part of `bytes` may be in a field's value (RFC 9110 §5.5).
    public static func isFieldContent(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "a part outside of the bytes")
        var position = range.lowerBound
        while range.upperBound &- position >= 8 {
            let word = word(bytes, position)
            let delete = word ^ (ones &* 0x7F)
            let suspects = ((word &- ones &* 0x20) & ~word | (delete &- ones) & ~delete) & tops
            if suspects != 0 {
                for index in position..<position &+ 8 where !isFieldContent(bytes[index]) { return false }
            }
            position &+= 8
        }
        while position < range.upperBound {
            guard isFieldContent(bytes[position]) else { return false }
            position &+= 1
        }
        return true
    }

    /// Eight bytes, the first of them lowest; the caller has seen to it that they are there.
    private static func word(_ bytes: Span<UInt8>, _ position: Int) -> UInt64 {
        UInt64(littleEndian: unsafe bytes.bytes.unsafeLoadUnaligned(fromByteOffset: position, as: UInt64.self))
    }
}
