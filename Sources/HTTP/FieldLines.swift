import Bytes

/// What is wrong with a field line (RFC 9112 §5).
enum FieldFailure: Error {
    case obsoleteFolding
    case noColon
    case emptyName
    case invalidName
    case spaceBeforeColon
    case invalidValue
    case tooMany
}

extension HeaderBlock {
    /// The most field lines in one message.
    static let maximumCount = 256

    /// Reads field lines that lie in the arena, up to an empty line.
    ///
    /// - Parameter start: where the first line begins.
    /// - Parameter end: one past the last byte.
    mutating func parseFields(from start: Int, to end: Int) throws(FieldFailure) {
        var position = start
        while position < end {
            let lineEnd = endOfLine(from: position, to: end)
            if lineEnd == position { return }
            guard count < Self.maximumCount else { throw .tooMany }
            try parseField(position..<lineEnd)
            position = lineEnd + 2
        }
    }

    /// One line without its line end.
    mutating func parseField(_ line: Range<Int>) throws(FieldFailure) {
        let (name, value) = try Self.split(arena.bytes, line)
        append(name: name, value: value)
    }

    private static func split(
        _ bytes: Span<UInt8>,
        _ line: Range<Int>
    ) throws(FieldFailure) -> (name: Range<Int>, value: Range<Int>) {
        let first = bytes[line.lowerBound]
        if first == 0x20 || first == 0x09 { throw .obsoleteFolding }
        var colon = line.lowerBound
        while colon < line.upperBound, ASCII.isToken(bytes[colon]) { colon += 1 }
        guard colon < line.upperBound else { throw .noColon }
        guard bytes[colon] == 0x3A else {
            throw bytes[colon] == 0x20 || bytes[colon] == 0x09 ? .spaceBeforeColon : .invalidName
        }
        guard colon > line.lowerBound else { throw .emptyName }
        let value = ASCII.trimmed(bytes, colon + 1..<line.upperBound)
        guard ASCII.isFieldContent(bytes, value) else { throw .invalidValue }
        return (line.lowerBound..<colon, value)
    }

    private func endOfLine(from start: Int, to end: Int) -> Int {
        // The scanner has seen to it that a line feed follows a carriage return; a carriage return without a line feed
        // stays in the line and is refused there as an invalid byte.
        let lineFeed = ASCII.firstIndex(of: 0x0A, in: arena.bytes, start + 1..<end)
        return lineFeed < end ? lineFeed - 1 : end
    }
}
