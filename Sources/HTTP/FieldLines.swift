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
        while position < end, !Self.isLineEnd(arena.bytes, position, end) {
            guard count < Self.maximumCount else { throw .tooMany }
            let field = try Self.split(arena.bytes, position..<end)
            let isWritten = field.value.lowerBound == field.name.upperBound + 2 && field.value.upperBound == field.end
            append(name: field.name, value: field.value, isWritten: isWritten)
            position = field.end + 2
        }
    }

    /// One line without its line end.
    mutating func parseField(_ line: Range<Int>) throws(FieldFailure) {
        let field = try Self.split(arena.bytes, line)
        guard field.end == line.upperBound else { throw .invalidValue }
        append(name: field.name, value: field.value)
    }

    /// - Parameter rest: from the beginning of the line on.
    /// - Returns: with where the line ends: before a carriage return and a line feed, or with the rest.
    private static func split(
        _ bytes: Span<UInt8>,
        _ rest: Range<Int>
    ) throws(FieldFailure) -> (name: Range<Int>, value: Range<Int>, end: Int) {
        let first = bytes[rest.lowerBound]
        if first == 0x20 || first == 0x09 { throw .obsoleteFolding }
        let colon = ASCII.endOfToken(bytes, rest)
        guard colon < rest.upperBound, !isLineEnd(bytes, colon, rest.upperBound) else { throw .noColon }
        guard bytes[colon] == 0x3A else {
            throw bytes[colon] == 0x20 || bytes[colon] == 0x09 ? .spaceBeforeColon : .invalidName
        }
        guard colon > rest.lowerBound else { throw .emptyName }
        // A carriage return is no part of a value: what ends the one ends the other, unless it stands alone.
        let end = ASCII.endOfFieldContent(bytes, colon + 1..<rest.upperBound)
        guard end == rest.upperBound || isLineEnd(bytes, end, rest.upperBound) else { throw .invalidValue }
        return (rest.lowerBound..<colon, trimmed(bytes, colon + 1..<end), end)
    }

    /// Most values have one space before them, and none behind.
    private static func trimmed(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
        guard range.count > 1, bytes[range.lowerBound] == 0x20, bytes[range.lowerBound + 1] > 0x20,
            bytes[range.upperBound - 1] > 0x20
        else { return ASCII.trimmed(bytes, range) }
        return range.lowerBound + 1..<range.upperBound
    }

    private static func isLineEnd(_ bytes: Span<UInt8>, _ position: Int, _ end: Int) -> Bool {
        bytes[position] == 0x0D && position + 1 < end && bytes[position + 1] == 0x0A
    }
}
