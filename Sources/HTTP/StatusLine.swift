import Bytes

/// `HTTP-version SP status-code SP [reason-phrase]` (RFC 9112 §4); the second space may be missing.
struct StatusLine {
    let status: Int
    let minorVersion: Int
    let reasonRange: Range<Int>
    /// Where the first field line begins.
    let end: Int
    /// Whether it is as we would write it: HTTP/1.1, and both spaces.
    var isWritten: Bool { minorVersion == 1 && reasonRange.lowerBound == 13 }

    init(_ bytes: Span<UInt8>) throws(ResponseError) {
        guard bytes.count >= 14, ASCII.equal(bytes.extracting(0..<7), "HTTP/1."), bytes[7] == 0x30 || bytes[7] == 0x31,
            bytes[8] == 0x20, let status = ASCII.decimal(bytes.extracting(9..<12)), status >= 100, status <= 599
        else { throw .malformedStatusLine }
        var end = 12
        while end + 1 < bytes.count, bytes[end + 1] != 0x0A { end += 1 }
        guard end + 1 < bytes.count, bytes[end] == 0x0D, end == 12 || bytes[12] == 0x20 else {
            throw .malformedStatusLine
        }
        let reason = min(13, end)..<end
        for index in reason where !ASCII.isFieldContent(bytes[index]) { throw .malformedStatusLine }
        self.status = Int(status)
        minorVersion = Int(bytes[7] &- 0x30)
        reasonRange = reason
        self.end = end + 2
    }
}
