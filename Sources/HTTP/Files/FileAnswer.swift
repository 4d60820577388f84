public import Bytes

/// What a request for a file is answered with.
public enum FileAnswer {
    /// A piece of the body: text of ours, then bytes of the file.
    public struct Part: Equatable, Sendable {
        /// What stands before the bytes.
        public let text: [UInt8]
        /// The bytes.
        public let range: ByteRange
    }

    /// What follows the head.
    public struct Body: Equatable, Sendable {
        /// In this order.
        public internal(set) var parts: [Part] = []
        /// After all of them.
        public internal(set) var end: [UInt8] = []

        /// Nothing.
        public init() {}

        var count: UInt64 { parts.reduce(UInt64(end.count)) { $0 + UInt64($1.text.count) + $1.range.count } }
    }

    /// What came of it.
    public enum Outcome: Equatable, Sendable {
        /// A head was written; this follows it.
        case body(Body)
        /// Nothing was written: a condition of the request does not hold (412).
        case failed
        /// Nothing was written: no range of the request is in the file (416).
        case unsatisfiable
    }

    /// Writes a head as a server in HTTP/1.1 would, without what the proxy adds to every response.
    ///
    /// - Parameters:
    ///   - request: GET or HEAD.
    ///   - now: seconds since 1970.
    ///   - date: the same for the Date field.
    public static func write(
        _ request: borrowing RequestHead,
        _ facts: FileVersion,
        type: StaticString,
        requestID: RequestID,
        now: Int64,
        date: DateCache,
        into queue: inout ByteQueue
    ) -> Outcome {
        // RFC 9110 §8.8.2.1: no date of the future is told.
        let modified = max(0, min(facts.modified, now))
        let tag = facts.tag
        let conditions = FileConditions(request.fields, tag: tag, modified: modified, now: now)
        var parts: [ByteRange]?
        switch conditions.verdict(request.fields) {
        case .failed: return .failed
        case .notModified:
            queue.append("HTTP/1.1 304 Not Modified\r\n")
            writeValidators(tag, modified, date, into: &queue)
            queue.append("\r\n")
            return .body(Body())
        case .proceed: break
        }
        // RFC 9110 §14.2: a Range has a meaning for GET only.
        if request.method == .get {
            switch conditions.range(request.fields, size: facts.size) {
            case .whole: break
            case .parts(let list): parts = list
            case .unsatisfiable: return .unsatisfiable
            }
        }
        let body = makeBody(parts ?? [ByteRange(0, facts.size)], facts.size, type, requestID)
        queue.append(parts == nil ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 206 Partial Content\r\n")
        writeValidators(tag, modified, date, into: &queue)
        queue.append("Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\nContent-Type: ")
        if body.end.isEmpty {
            queue.append(type)
            if let range = parts?.first {
                queue.append("\r\n")
                writeContentRange(range, facts.size, into: &queue)
            }
        } else {
            queue.append("multipart/byteranges; boundary=")
            requestID.write(into: &queue)
        }
        queue.append("\r\nContent-Length: ")
        queue.append(decimal: body.count)
        queue.append("\r\n\r\n")
        return .body(request.method == .head ? Body() : body)
    }

    /// The value of Content-Range of an answer 416.
    public static func unsatisfied(size: UInt64) -> [UInt8] { Array("Content-Range: bytes */\(size)\r\n".utf8) }

    /// What was asked for with a slash at the end of its path.
    public static func folder(_ request: borrowing RequestHead) -> [UInt8] {
        var target: [UInt8] = []
        let end = request.path.count
        for index in 0..<end { target.append(request.target[index]) }
        target.append(0x2F)
        for index in end..<request.target.count { target.append(request.target[index]) }
        return target
    }

    private static func writeValidators(
        _ tag: [UInt8],
        _ modified: Int64,
        _ date: DateCache,
        into queue: inout ByteQueue
    ) {
        queue.append("Date: ")
        date.write(into: &queue)
        queue.append("\r\nETag: ")
        queue.append(tag.span)
        queue.append("\r\nLast-Modified: ")
        var modifiedDate = DateCache()
        modifiedDate.update(unixSeconds: UInt64(modified))
        modifiedDate.write(into: &queue)
        queue.append("\r\n")
    }

    private static func writeContentRange(_ range: ByteRange, _ size: UInt64, into queue: inout ByteQueue) {
        queue.append("Content-Range: bytes ")
        queue.append(decimal: range.start)
        queue.append("-")
        queue.append(decimal: range.end - 1)
        queue.append("/")
        queue.append(decimal: size)
    }

    /// RFC 9110 §14.6: several ranges are parts of one body.
    private static func makeBody(
        _ ranges: [ByteRange],
        _ size: UInt64,
        _ type: StaticString,
        _ boundary: RequestID
    ) -> Body {
        var body = Body()
        guard ranges.count > 1 else {
            body.parts = ranges.map { Part(text: [], range: $0) }
            return body
        }
        body.parts = ranges.map { range in
            let head =
                "\r\n--\(boundary)\r\nContent-Type: \(type)\r\n"
                + "Content-Range: bytes \(range.start)-\(range.end - 1)/\(size)\r\n\r\n"
            return Part(text: Array(head.utf8), range: range)
        }
        body.end = Array("\r\n--\(boundary)--\r\n".utf8)
        return body
    }
}
