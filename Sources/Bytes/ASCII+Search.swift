/// Looking through many bytes, eight at a time.
///
/// The last eight are looked at once more where fewer than eight are left: what has been passed already is not found again.
extension ASCII {
    @usableFromInline static var ones: UInt64 { 0x0101_0101_0101_0101 }
    @usableFromInline static var tops: UInt64 { 0x8080_8080_8080_8080 }

    /// The first place of `byte` in a part of `bytes`; the part's end when it is not there.
    public static func firstIndex(of byte: UInt8, in bytes: Span<UInt8>, _ range: Range<Int>) -> Int {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "a part outside of the bytes")
        let pattern = ones &* UInt64(byte)
        var position = range.lowerBound
        while range.upperBound &- position >= 8 {
            let found = zeros(word(bytes, position) ^ pattern)
            if found != 0 { return position &+ found.trailingZeroBitCount / 8 }
            position &+= 8
        }
        guard position < range.upperBound else { return position }
        if range.count >= 8 {
            position = range.upperBound &- 8
            let found = zeros(word(bytes, position) ^ pattern)
            return found == 0 ? range.upperBound : position &+ found.trailingZeroBitCount / 8
        }
        while position < range.upperBound, bytes[position] != byte { position &+= 1 }
        return position
    }

    /// Whether every byte in a part of `bytes` may be in a field's value (RFC 9110 §5.5).
    public static func isFieldContent(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        endOfFieldContent(bytes, range) == range.upperBound
    }

    /// The first byte in a part of `bytes` that cannot be in a field's value (RFC 9110 §5.5); the part's end without one.
    public static func endOfFieldContent(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "a part outside of the bytes")
        var position = range.lowerBound
        while range.upperBound &- position >= 8 {
            let word = word(bytes, position)
            let suspects = (word &- ones &* 0x20) & ~word & tops | zeros(word ^ (ones &* 0x7F))
            if suspects != 0 {
                for index in position &+ suspects.trailingZeroBitCount / 8..<position &+ 8
                where !isFieldContent(bytes[index]) { return index }
            }
            position &+= 8
        }
        while position < range.upperBound, isFieldContent(bytes[position]) { position &+= 1 }
        return position
    }

    /// The first byte in a part of `bytes` that cannot be in a token (RFC 9110 §5.6.2); the part's end without one.
    public static func endOfToken(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "a part outside of the bytes")
        var position = range.lowerBound
        while range.upperBound &- position >= 8 {
            let others = ~lettersAndHyphens(word(bytes, position)) & tops
            position &+= others.trailingZeroBitCount / 8
            guard others != 0 else { continue }
            guard isToken(bytes[position]) else { return position }
            position &+= 1
        }
        while position < range.upperBound, isToken(bytes[position]) { position &+= 1 }
        return position
    }

    /// How many bytes of a span, in whole words, are those of a literal of small letters, but for the case of letters.
    static func spelledWords(_ bytes: Span<UInt8>, _ literal: Span<UInt8>) -> Int {
        var position = 0
        while bytes.count &- position >= 8 {
            let word = word(bytes, position)
            // Of letters and hyphens, capital letters alone lack the bit 0x20.
            let capitals = lettersAndHyphens(word) & tops & ~(word << 2)
            guard word | capitals >> 2 == self.word(literal, position) else { break }
            position &+= 8
        }
        return position
    }

    /// The top bit of every byte that is a letter or a hyphen, which names of fields are made of.
    private static func lettersAndHyphens(_ word: UInt64) -> UInt64 {
        let low = word & ~tops
        let small = low | ones &* 0x20
        let letters = (small &+ ones &* (0x80 - 0x61)) & ~(small &+ ones &* (0x80 - 0x7B))
        let hyphens = ~((low ^ ones &* 0x2D) &+ ones &* 0x7F)
        return (letters | hyphens) & ~word
    }

    /// The top bit of the lowest byte that is zero, and perhaps of others above it.
    private static func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & tops }

    /// The top bit of each of eight bytes of a span that is a line feed, the first byte lowest.
    @inlinable @inline(__always)
    public static func lineFeeds(_ bytes: Span<UInt8>, at position: Int) -> UInt64 {
        let others = word(bytes, position) ^ (ones &* 0x0A)
        // Exact for every byte: nothing is carried from one to the next.
        return ~(((others & ~tops) &+ ~tops) | others) & tops
    }

    /// Eight bytes, the first of them lowest; it is a trap if they are not there.
    @inlinable @inline(__always)
    static func word(_ bytes: Span<UInt8>, _ position: Int) -> UInt64 {
        UInt64(littleEndian: unsafe bytes.bytes.unsafeLoadUnaligned(fromByteOffset: position, as: UInt64.self))
    }
}
