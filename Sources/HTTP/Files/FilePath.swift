import Bytes

/// Why a path names no file of a folder.
public enum FilePathError: Error, Equatable, Sendable {
    /// Two readers could take it for two different paths.
    case ambiguous(PathAmbiguity)
    /// A name that begins with a dot.
    case hidden
    /// Two slashes in a row.
    case emptySegment
    /// Longer than a file system takes.
    case tooLong
    /// Not below the route's path, as the client spells it.
    case outside

    /// What the client sees.
    public var status: Int {
        switch self {
        case .ambiguous: 400
        case .hidden, .emptySegment, .tooLong, .outside: 404
        }
    }

    /// What the log says.
    public var reason: StaticString {
        switch self {
        case .ambiguous(let ambiguity): ambiguity.reason
        case .hidden: "names that begin with a dot are not served"
        case .emptySegment: "the path has an empty segment"
        case .tooLong: "the path is longer than a file system takes"
        case .outside: "the path is spelt otherwise than the route's"
        }
    }
}

/// What a request asks for below a folder: escapes resolved once, and every name one that can only lead downwards.
///
/// The kernel is asked to keep within the folder, too; a path that needs it to is refused here already. Used again for
/// later requests, so that its memory is allocated once.
public struct FilePath: Sendable {
    /// As in Linux: the longest name, and less than the longest path.
    private static let longestName = 255
    private static let longestPath = 4000

    /// The names with slashes between them; empty for the folder itself.
    public private(set) var bytes: [UInt8] = []
    /// Whether the path ended with a slash.
    public private(set) var endsWithSlash = true

    /// Makes a path of the folder itself.
    public init() {}

    /// Takes a path without its query.
    ///
    /// - Parameter prefix: the names, in small letters, that the path begins with and that are left out.
    public mutating func read(_ path: Span<UInt8>, below prefix: [[UInt8]] = []) throws(FilePathError) {
        bytes.removeAll(keepingCapacity: true)
        endsWithSlash = true
        var left = prefix[...]
        var index = 1
        // RFC 9112 §3.2.2: an absolute target may have no path.
        while index <= path.count {
            guard path[index - 1] == 0x2F else { throw .outside }
            var end = index
            while end < path.count, path[end] != 0x2F { end += 1 }
            endsWithSlash = end == index && end == path.count
            if endsWithSlash { break }
            let start = try append(path.extracting(index..<end))
            if let wanted = left.popFirst() {
                try drop(wanted, from: start)
            } else if bytes[start] == 0x2E {
                throw .hidden
            }
            index = end + 1
        }
        guard left.isEmpty else { throw .outside }
    }

    /// Adds a name; where it begins.
    private mutating func append(_ segment: Span<UInt8>) throws(FilePathError) -> Int {
        guard !segment.isEmpty else { throw .emptySegment }
        if !bytes.isEmpty { bytes.append(0x2F) }
        let start = bytes.count
        var index = 0
        while index < segment.count {
            var byte = segment[index]
            index += 1
            if byte == 0x25 {
                guard index + 1 < segment.count, let high = ASCII.hexValue(segment[index]),
                    let low = ASCII.hexValue(segment[index + 1])
                else { throw .ambiguous(.invalidEscape) }
                byte = high << 4 | low
                index += 2
                if byte == 0x2F { throw .ambiguous(.hiddenSlash) }
            }
            if byte == 0x5C { throw .ambiguous(.hiddenSlash) }
            if byte < 0x20 || byte == 0x7F { throw .ambiguous(.controlByte) }
            bytes.append(byte)
        }
        let count = bytes.count - start
        if bytes[start...].allSatisfy({ $0 == 0x2E }), count <= 2 { throw .ambiguous(.dotSegment) }
        guard count <= Self.longestName, bytes.count <= Self.longestPath else { throw .tooLong }
        return start
    }

    /// Leaves out a name of the route's path, which has to be spelt plainly: routes take more for the same than file
    /// systems do.
    private mutating func drop(_ wanted: [UInt8], from start: Int) throws(FilePathError) {
        guard bytes.count - start == wanted.count else { throw .outside }
        for offset in wanted.indices where ASCII.lowercase(bytes[start + offset]) != wanted[offset] { throw .outside }
        bytes.removeAll(keepingCapacity: true)
    }
}
