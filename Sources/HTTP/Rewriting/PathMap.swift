import Bytes

/// Maps the paths that clients see to those of the server, and back: `/app/x` to `/legacy/x`.
public struct PathMap: Sendable {
    /// What a path is to the map.
    public enum Verdict: Equatable, Sendable {
        /// It can be mapped.
        case inside
        /// It does not begin with the public prefix.
        case outside
        /// It has a `..` that a server would follow out of the prefix.
        case climbs
    }

    // Without the slash at the end, so that `/` is empty.
    private let publicPrefix: [UInt8]
    private let serverPrefix: [UInt8]

    /// - Parameters:
    ///   - publicPrefix: what clients see; begins with a slash, ends with none unless it is `/` alone.
    ///   - serverPrefix: what the server sees in its place.
    public init(publicPrefix: [UInt8], serverPrefix: [UInt8]) {
        self.publicPrefix = publicPrefix == [0x2F] ? [] : publicPrefix
        self.serverPrefix = serverPrefix == [0x2F] ? [] : serverPrefix
    }

    /// Whether a request's path can be mapped; `*` always can.
    public func verdict(on request: borrowing RequestHead) -> Verdict {
        if request.target.count == 1, request.target[0] == 0x2A { return .inside }
        guard covers(request.target) else { return .outside }
        return Self.climbs(request.path) ? .climbs : .inside
    }

    /// Whether a request's target begins with the public prefix.
    func covers(_ target: Span<UInt8>) -> Bool {
        !(target.count == 1 && target[0] == 0x2A) && Self.begins(target, with: publicPrefix)
    }

    /// Writes a target that is covered as the server sees it.
    func writeTarget(_ target: Span<UInt8>, into queue: inout ByteQueue) {
        let rest = target.extracting(publicPrefix.count..<target.count)
        queue.append(serverPrefix.span)
        if serverPrefix.isEmpty, rest.isEmpty || rest[0] != 0x2F { queue.append("/") }
        queue.append(rest)
    }

    /// Writes a path of the server, and what follows it, as clients see it; others unchanged.
    ///
    /// - Parameter standsAlone: no host stands before it, so it must not begin with two slashes: what follows them
    ///   would be taken for a host (RFC 3986 §4.2).
    func writeBack(_ path: Span<UInt8>, standsAlone: Bool, into queue: inout ByteQueue) {
        guard Self.begins(path, with: serverPrefix) else {
            queue.append(path)
            return
        }
        let rest = path.extracting(serverPrefix.count..<path.count)
        queue.append(publicPrefix.span)
        if publicPrefix.isEmpty {
            if rest.isEmpty || rest[0] != 0x2F {
                queue.append("/")
            } else if standsAlone, rest.count > 1, rest[1] == 0x2F || rest[1] == 0x5C {
                queue.append("/.")
            }
        }
        queue.append(rest)
    }

    /// Writes the path of a cookie (RFC 6265 §5.1.4), which is a prefix itself: `/` becomes `/app` and not `/app/`.
    func writeCookiePath(_ path: Span<UInt8>, into queue: inout ByteQueue) {
        if serverPrefix.isEmpty, path.count == 1, path[0] == 0x2F, !publicPrefix.isEmpty {
            queue.append(publicPrefix.span)
        } else {
            writeBack(path, standsAlone: false, into: &queue)
        }
    }

    /// Whether a path is the prefix or lies below it.
    private static func begins(_ path: Span<UInt8>, with prefix: [UInt8]) -> Bool {
        guard path.count >= prefix.count else { return false }
        for index in prefix.indices where path[index] != prefix[index] { return false }
        guard path.count > prefix.count else { return true }
        switch path[prefix.count] {
        case 0x2F, 0x3F, 0x23, 0x3B: return true
        default: return false
        }
    }

    /// Whether a segment is `..`, in any of the spellings that servers understand: escaped, after a backslash or an
    /// escaped slash, and with parameters after it.
    private static func climbs(_ path: Span<UInt8>) -> Bool {
        var index = 0
        var dots = 0
        var isDotted = true
        while index < path.count {
            let (byte, length) = unescaped(path, index)
            switch byte {
            case 0x2F, 0x5C:
                if isDotted, dots == 2 { return true }
                dots = 0
                isDotted = true
            case 0x3B:
                if isDotted, dots == 2 { return true }
                isDotted = false
            case 0x2E: dots += 1
            default: isDotted = false
            }
            index += length
        }
        return isDotted && dots == 2
    }

    /// The byte at `index`, of which an escape takes three.
    private static func unescaped(_ path: Span<UInt8>, _ index: Int) -> (UInt8, Int) {
        guard path[index] == 0x25, index + 2 < path.count, let high = ASCII.hexValue(path[index + 1]),
            let low = ASCII.hexValue(path[index + 2])
        else { return (path[index], 1) }
        return (high << 4 | low, 3)
    }
}
