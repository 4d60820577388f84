import Bytes

/// Finds the end of a message head in bytes that come piece by piece; each byte is looked at once.
struct HeadScanner {
    /// What is wrong with the line ends.
    enum Failure: Error {
        /// A line feed without a carriage return before it.
        case bareLineFeed
        /// No end within the limit.
        case tooLong
    }

    private let limit: Int
    private var position = 0
    private var lineStart = 0
    /// Bytes before the head proper: an empty line, which RFC 9112 §2.2 says to ignore once.
    private(set) var skipped = 0
    /// Whether the first line is whole.
    private(set) var hasFirstLine = false

    init(limit: Int) { self.limit = limit }

    mutating func reset() { self = HeadScanner(limit: limit) }

    /// - Parameter skipsEmptyLine: whether one empty line may come first.
    /// - Returns: where the head ends, after its empty line; nil when more bytes are needed.
    mutating func scan(_ bytes: Span<UInt8>, skipsEmptyLine: Bool) throws(Failure) -> Int? {
        if skipsEmptyLine, position == 0, bytes.count > 0, bytes[0] == 0x0D {
            guard bytes.count > 1 else { return nil }
            if bytes[1] == 0x0A { skip(2) }
        }
        // What lies beyond the limit is not looked at, but for a line feed just there.
        let most = bytes.count - skipped > limit ? skipped + limit + 1 : bytes.count
        while most &- position >= 8 {
            var found = ASCII.lineFeeds(bytes, at: position)
            while found != 0 {
                let place = position &+ found.trailingZeroBitCount / 8
                if try endsHead(bytes, place) { return place + 1 }
                found &= found &- 1
            }
            position &+= 8
        }
        while position < most {
            if bytes[position] == 0x0A, try endsHead(bytes, position) { return position + 1 }
            position &+= 1
        }
        guard most == bytes.count else { throw .tooLong }
        return nil
    }

    private mutating func skip(_ count: Int) {
        skipped = count
        position = count
        lineStart = count
    }

    /// Ends a line at a line feed; true when it is the empty one.
    private mutating func endsHead(_ bytes: Span<UInt8>, _ place: Int) throws(Failure) -> Bool {
        guard place > lineStart, bytes[place - 1] == 0x0D else { throw .bareLineFeed }
        if place == lineStart + 1 { return true }
        hasFirstLine = true
        lineStart = place + 1
        return false
    }
}
