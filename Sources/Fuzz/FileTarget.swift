import Bytes
import HTTP

/// Requests for files: paths, conditions and ranges.
enum FileTarget {
    /// What is wrong with how a request for a file is read and answered, or nil.
    static func check(_ head: borrowing RequestHead, _ random: inout Random) -> String? {
        checkPath(head) ?? checkAnswer(head, &random)
    }

    /// No path leads anywhere but down, to what has no dot at its start.
    private static func checkPath(_ head: borrowing RequestHead) -> String? {
        var path = FilePath()
        guard (try? path.read(head.path)) != nil else { return nil }
        if path.bytes.contains(0) || path.bytes.contains(0x5C) { return "a file's path with a zero or a backslash" }
        guard !path.bytes.isEmpty else { return nil }
        for name in path.bytes.split(separator: 0x2F, omittingEmptySubsequences: false) {
            if name.isEmpty || name[name.startIndex] == 0x2E || name.count > 255 { return "a file's path climbs" }
        }
        return nil
    }

    /// Every range lies in the file, and the length that is told is the length of what follows.
    private static func checkAnswer(_ head: borrowing RequestHead, _ random: inout Random) -> String? {
        let sizes: [UInt64] = [0, 1, 5, 100, 1 << 40, 1 << 62]
        let size = sizes[random.below(sizes.count)]
        let facts = FileVersion(size: size, inode: 1, modified: 784_111_777, changed: 1)
        var queue = ByteQueue(pool: BufferPool())
        let outcome = FileAnswer.write(
            head,
            facts,
            type: "text/plain",
            requestID: RequestID(),
            now: 1_795_000_000,
            date: DateCache(),
            into: &queue
        )
        guard case .body(let body) = outcome else { return queue.isEmpty ? nil : "a refusal with a head" }
        var parser = ResponseParser(limit: 65_536)
        var response = ResponseHead()
        guard (try? parser.parse(queue.bytes, into: &response, requestMethod: head.method)) == queue.count else {
            return "the head of a file is not one response"
        }
        var length = UInt64(body.end.count)
        for part in body.parts {
            guard part.range.start <= part.range.end, part.range.end <= size else { return "a range beyond the file" }
            length += part.range.count + UInt64(part.text.count)
        }
        guard case .length(let told) = response.framing else {
            return body.parts.isEmpty ? nil : "a body without a length"
        }
        return told == length ? nil : "a length of \(told) for a body of \(length)"
    }
}
