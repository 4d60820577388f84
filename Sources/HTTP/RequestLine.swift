import Bytes

/// `method SP request-target SP HTTP-version` (RFC 9112 §3), with exactly one space each.
struct RequestLine {
    private(set) var method = Method.other
    private(set) var minorVersion = 1
    private(set) var methodRange = 0..<0
    private(set) var targetRange = 0..<0
    private(set) var authorityRange = 0..<0
    private(set) var pathIsEmpty = false
    /// Where the first field line begins.
    private(set) var end = 0

    init(_ bytes: Span<UInt8>) throws(RequestError) {
        var index = 0
        while index < bytes.count, ASCII.isToken(bytes[index]) { index += 1 }
        guard index > 0, index <= 32, index < bytes.count, bytes[index] == 0x20 else { throw .malformedRequestLine }
        methodRange = 0..<index
        method = Self.method(bytes.extracting(methodRange))
        let targetStart = index + 1
        index = targetStart
        while index < bytes.count, bytes[index] > 0x20, bytes[index] < 0x7F, bytes[index] != 0x23 { index += 1 }
        guard index > targetStart, index < bytes.count, bytes[index] != 0x0D else { throw .malformedRequestLine }
        guard bytes[index] == 0x20 else { throw .invalidTarget }
        targetRange = targetStart..<index
        try parseVersion(bytes, index + 1)
        try parseTarget(bytes)
    }

    private mutating func parseVersion(_ bytes: Span<UInt8>, _ start: Int) throws(RequestError) {
        guard start + 10 <= bytes.count, bytes[start + 8] == 0x0D, bytes[start + 9] == 0x0A,
            ASCII.equal(bytes.extracting(start..<start + 5), "HTTP/"), ASCII.isDigit(bytes[start + 5]),
            bytes[start + 6] == 0x2E, ASCII.isDigit(bytes[start + 7])
        else { throw .malformedRequestLine }
        guard bytes[start + 5] == 0x31, bytes[start + 7] <= 0x31 else { throw .unsupportedVersion }
        minorVersion = Int(bytes[start + 7] &- 0x30)
        end = start + 10
    }

    static func method(_ name: Span<UInt8>) -> Method {
        switch name.count {
        case 3: ASCII.equal(name, "GET") ? .get : ASCII.equal(name, "PUT") ? .put : .other
        case 4: ASCII.equal(name, "POST") ? .post : ASCII.equal(name, "HEAD") ? .head : .other
        case 5: ASCII.equal(name, "PATCH") ? .patch : ASCII.equal(name, "TRACE") ? .trace : .other
        case 6: ASCII.equal(name, "DELETE") ? .delete : .other
        case 7: ASCII.equal(name, "OPTIONS") ? .options : ASCII.equal(name, "CONNECT") ? .connect : .other
        default: .other
        }
    }

    /// RFC 9112 §3.2: origin-form, absolute-form, or `*` for OPTIONS.
    private mutating func parseTarget(_ bytes: Span<UInt8>) throws(RequestError) {
        let range = targetRange
        if method == .connect { throw .connectRefused }
        if bytes[range.lowerBound] == 0x2F { return }
        if range.count == 1, bytes[range.lowerBound] == 0x2A {
            guard method == .options else { throw .invalidTarget }
            return
        }
        let start = range.lowerBound + (try Self.schemeLength(bytes.extracting(range)))
        var end = start
        while end < range.upperBound, bytes[end] != 0x2F, bytes[end] != 0x3F { end += 1 }
        guard HostSyntax.isValid(bytes, start..<end) else { throw .invalidTarget }
        authorityRange = start..<end
        targetRange = end..<range.upperBound
        pathIsEmpty = end == range.upperBound || bytes[end] == 0x3F
    }

    private static func schemeLength(_ target: Span<UInt8>) throws(RequestError) -> Int {
        if target.count > 8, ASCII.equalIgnoringCase(target.extracting(0..<8), "https://") { return 8 }
        if target.count > 7, ASCII.equalIgnoringCase(target.extracting(0..<7), "http://") { return 7 }
        throw .invalidTarget
    }
}
