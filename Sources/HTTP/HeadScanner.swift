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
        while position < bytes.count {
            // What lies beyond the limit is not looked at, but for a line feed just there.
            let most = max(position, skipped + min(limit, bytes.count - skipped))
            position = ASCII.firstIndex(of: 0x0A, in: bytes, position..<most)
            guard position < bytes.count else { return nil }
            guard bytes[position] == 0x0A else { throw .tooLong }
            guard position > lineStart, bytes[position - 1] == 0x0D else { throw .bareLineFeed }
            let isEmpty = position == lineStart + 1
            position += 1
            if isEmpty {
                if hasFirstLine { return position }
                guard skipsEmptyLine, skipped == 0 else { return position }
                skipped = position
            } else {
                hasFirstLine = true
            }
            lineStart = position
        }
        return nil
    }
}
