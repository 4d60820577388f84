import Bytes

/// Reads response heads (RFC 9112 §4 to §6).
public struct ResponseParser: Sendable {
    private var scanner: HeadScanner

    /// Makes a parser for heads of at most `limit` bytes.
    public init(limit: Int) { scanner = HeadScanner(limit: limit) }

    /// Begins with a new message.
    public mutating func reset() { scanner.reset() }

    /// Reads a head from all the bytes that wait.
    ///
    /// - Parameter requestMethod: what was asked; it decides whether there is a body (RFC 9112 §6.3).
    /// - Returns: how many bytes the head takes; nil when more are needed: call again with the same bytes and more.
    public mutating func parse(
        _ bytes: Span<UInt8>,
        into head: inout ResponseHead,
        requestMethod: Method
    ) throws(ResponseError) -> Int? {
        let end: Int?
        do throws(HeadScanner.Failure) {
            end = try scanner.scan(bytes, skipsEmptyLine: false)
        } catch {
            switch error {
            case .bareLineFeed: throw .malformedField
            case .tooLong: throw .headTooLong
            }
        }
        guard let end else { return nil }
        head.removeAll()
        head.fields.arena.append(bytes.extracting(0..<end))
        let line = try StatusLine(head.fields.arena.bytes)
        head.status = line.status
        head.minorVersion = line.minorVersion
        head.reasonRange = line.reasonRange
        if line.isWritten { head.statusLine = 0..<line.end }
        do throws(FieldFailure) {
            try head.fields.parseFields(from: line.end, to: end)
        } catch { throw error == .tooMany ? .headTooLong : .malformedField }
        head.fields.readConnection()
        try Self.frame(&head, requestMethod)
        return end
    }

    private static func frame(_ head: inout ResponseHead, _ method: Method) throws(ResponseError) {
        let lengths = head.fields.count(of: .contentLength)
        let encodings = head.fields.count(of: .transferEncoding)
        if encodings > 0, lengths > 0 { throw .lengthAndEncoding }
        var length: UInt64?
        if lengths > 0 {
            guard lengths == 1, let index = head.fields.first(.contentLength),
                let value = ASCII.decimal(head.fields.value(index)), value <= UInt64(Int64.max)
            else { throw .invalidContentLength }
            length = value
        }
        if encodings > 0 {
            guard encodings == 1, head.minorVersion >= 1, let index = head.fields.first(.transferEncoding),
                ASCII.equalIgnoringCase(head.fields.value(index), "chunked")
            else { throw .unsupportedEncoding }
        }
        if method == .head || head.status < 200 || head.status == 204 || head.status == 304 {
            head.framing = .none
        } else if encodings > 0 {
            head.framing = .chunked
        } else if let length {
            head.framing = .length(length)
        } else {
            head.framing = .untilClose
        }
        let options = head.fields.options
        let keeps = head.minorVersion >= 1 || options.contains(.keepAlive)
        head.keepAlive = !options.contains(.close) && keeps && head.framing != .untilClose
    }
}
