import Bytes

/// Why a path is not matched: two readers could take it for two different paths.
public enum PathAmbiguity: Error, Equatable, Sendable {
    /// `.` or `..`, plain or escaped, or nothing but dots and spaces.
    case dotSegment
    /// An escaped slash, or a backslash in either form.
    case hiddenSlash
    /// A percent sign without two hexadecimal digits.
    case invalidEscape
    /// An escape that is escaped once more.
    case doubleEscape
    /// An escaped control byte.
    case controlByte
    /// A character in more bytes than it takes (RFC 3629 §3).
    case overlong
    /// Two slashes at the start, which some take for a host.
    case leadingSlashes

    /// What the log says.
    public var reason: StaticString {
        switch self {
        case .dotSegment: "the path has a segment of dots"
        case .hiddenSlash: "the path has an escaped slash or a backslash"
        case .invalidEscape: "the path has an invalid escape"
        case .doubleEscape: "the path has an escape of an escape"
        case .controlByte: "the path has an escaped control byte"
        case .overlong: "the path has an overlong character"
        case .leadingSlashes: "the path begins with two slashes"
        }
    }
}

/// A path in the one form that routes are matched in; what the server gets stays as the client wrote it.
///
/// Escapes are resolved once and letters made small, since servers on Windows tell no case apart. Of each segment only
/// what such servers look at counts: not what follows `;` (parameters) or `:` (NTFS streams), nor dots and spaces at its
/// end. Empty segments are dropped. What could still be read in two ways is refused.
///
/// Used again for later requests, so that its memory is allocated once.
public struct MatchingPath: Sendable {
    /// Each segment with a slash before it; empty for the root.
    public private(set) var bytes: [UInt8] = []

    /// Makes an empty path, which stands for the root.
    public init() {}

    /// Takes a path without its query; `*` and the empty path stand for the root.
    public mutating func read(_ path: Span<UInt8>) throws(PathAmbiguity) {
        bytes.removeAll(keepingCapacity: true)
        if path.isEmpty || (path.count == 1 && path[0] == 0x2A) { return }
        if path.count > 1, path[1] == 0x2F { throw .leadingSlashes }
        var index = 0
        while index < path.count {
            // A segment without its slash.
            var end = index + 1
            while end < path.count, path[end] != 0x2F { end += 1 }
            try append(path.extracting(index + 1..<end))
            index = end
        }
    }

    /// Whether this is `prefix` or something below it.
    ///
    /// - Parameter prefix: in the same form: small letters, a slash before each segment; empty for the root.
    public func isBelow(_ prefix: [UInt8]) -> Bool {
        guard bytes.count >= prefix.count else { return false }
        for index in prefix.indices where bytes[index] != prefix[index] { return false }
        return bytes.count == prefix.count || bytes[prefix.count] == 0x2F
    }

    private mutating func append(_ segment: Span<UInt8>) throws(PathAmbiguity) {
        let start = bytes.count
        bytes.append(0x2F)
        var index = 0
        while index < segment.count {
            var byte = segment[index]
            index += 1
            if byte == 0x25 {
                guard index + 1 < segment.count, let high = ASCII.hexValue(segment[index]),
                    let low = ASCII.hexValue(segment[index + 1])
                else { throw .invalidEscape }
                byte = high << 4 | low
                index += 2
                if byte == 0x2F { throw .hiddenSlash }
                if byte < 0x20 || byte == 0x7F { throw .controlByte }
            }
            if byte == 0x5C { throw .hiddenSlash }
            bytes.append(ASCII.lowercase(byte))
        }
        try check(from: start + 1)
        cut(from: start + 1)
        guard bytes.count == start + 1 else { return }
        guard segment.isEmpty || segment[0] == 0x3B || segment[0] == 0x3A else {
            throw .dotSegment
        }
        bytes.removeLast()
    }

    /// Looks for what a second reading would resolve.
    private func check(from start: Int) throws(PathAmbiguity) {
        for index in start..<bytes.count {
            let rest = bytes.count - index
            switch bytes[index] {
            case 0x25:
                guard rest > 2, ASCII.hexValue(bytes[index + 1]) != nil, ASCII.hexValue(bytes[index + 2]) != nil else {
                    continue
                }
                throw .doubleEscape
            case 0xC0, 0xC1: if rest > 1, bytes[index + 1] & 0xC0 == 0x80 { throw .overlong }
            case 0xE0: if rest > 1, bytes[index + 1] & 0xE0 == 0x80 { throw .overlong }
            case 0xF0: if rest > 1, bytes[index + 1] & 0xF0 == 0x80 { throw .overlong }
            default: break
            }
        }
    }

    /// Drops parameters, streams, and dots and spaces at the end.
    private mutating func cut(from start: Int) {
        var end = start
        while end < bytes.count, bytes[end] != 0x3B, bytes[end] != 0x3A { end += 1 }
        while end > start, bytes[end - 1] == 0x2E || bytes[end - 1] == 0x20 { end -= 1 }
        bytes.removeSubrange(end...)
    }
}
