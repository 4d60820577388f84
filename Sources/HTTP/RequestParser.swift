import Bytes

/// Reads request heads (RFC 9112 §3 to §6), strictly: what two readers could frame in two ways is refused.
public struct RequestParser: Sendable {
    private var scanner: HeadScanner
    private let limit: Int

    /// Makes a parser for heads of at most `limit` bytes.
    public init(limit: Int) {
        self.limit = limit
        scanner = HeadScanner(limit: limit)
    }

    /// Begins with a new message.
    public mutating func reset() { scanner.reset() }

    /// Reads a head from all the bytes that wait.
    ///
    /// - Parameter head: overwritten when the head is complete or refused.
    /// - Returns: how many bytes the head takes; nil when more are needed: call again with the same bytes and more.
    public mutating func parse(_ bytes: Span<UInt8>, into head: inout RequestHead) throws(RequestError) -> Int? {
        let end: Int?
        do throws(HeadScanner.Failure) {
            end = try scanner.scan(bytes, skipsEmptyLine: true)
        } catch {
            head.removeAll()
            switch error {
            case .bareLineFeed: throw .bareLineFeed
            case .tooLong: throw scanner.hasFirstLine ? .headTooLong : .targetTooLong
            }
        }
        guard let end else { return nil }
        head.removeAll()
        head.fields.arena.append(bytes.extracting(scanner.skipped..<end))
        try Self.parse(&head)
        return end
    }

    private static func parse(_ head: inout RequestHead) throws(RequestError) {
        let end = head.fields.arena.count
        let line = try RequestLine(head.fields.arena.bytes)
        head.method = line.method
        head.minorVersion = line.minorVersion
        head.methodRange = line.methodRange
        head.targetRange = line.targetRange
        head.authorityRange = line.authorityRange
        head.pathIsEmpty = line.pathIsEmpty
        do throws(FieldFailure) {
            try head.fields.parseFields(from: line.end, to: end)
        } catch { throw RequestError(error) }
        head.fields.readConnection()
        try checkHost(&head)
        try frame(&head)
        if let expect = head.fields.first(.expect) {
            guard ASCII.equalIgnoringCase(head.fields.value(expect), "100-continue") else { throw .unknownExpectation }
            head.expectsContinue = head.minorVersion >= 1
        }
        if let (upgrade, name) = wantedUpgrade(head) {
            head.upgrade = upgrade
            head.upgradeRange = name
        }
        head.acceptsTrailers = head.fields.contains("trailers", in: .te)
        let options = head.fields.options
        head.keepAlive = !options.contains(.close) && (head.minorVersion >= 1 || options.contains(.keepAlive))
    }

    /// RFC 9110 §7.8: one protocol that the connection is to be changed to, by a request without a body.
    ///
    /// h2c (RFC 9113 §3.1 has dropped it) is never taken up: it would make a tunnel for requests that nobody checks.
    private static func wantedUpgrade(_ head: borrowing RequestHead) -> (Upgrade, name: Range<Int>)? {
        guard head.minorVersion >= 1, head.framing == .none, head.method == .get,
            head.fields.count(of: .upgrade) == 1, let index = head.fields.first(.upgrade),
            head.fields.contains("upgrade", in: .connection)
        else { return nil }
        let name = head.fields.value(index)
        guard !name.isEmpty, name.count <= 64 else { return nil }
        for position in name.indices where !ASCII.isToken(name[position]) && name[position] != 0x2F { return nil }
        guard !ASCII.equalIgnoringCase(name, "h2c"), !ASCII.equalIgnoringCase(name, "h2") else { return nil }
        return (ASCII.equalIgnoringCase(name, "websocket") ? .webSocket : .other, head.fields[index].value)
    }

    /// RFC 9112 §3.2: exactly one Host, the same as an absolute target's.
    private static func checkHost(_ head: inout RequestHead) throws(RequestError) {
        let count = head.fields.count(of: .host)
        guard count <= 1 else { throw .severalHosts }
        guard let index = head.fields.first(.host) else {
            guard head.minorVersion == 0 else { throw .missingHost }
            return
        }
        let range = head.fields[index].value
        guard HostSyntax.isValid(head.fields.arena.bytes, range) else { throw .invalidHost }
        guard head.authorityRange.isEmpty || ASCII.equalIgnoringCase(head.authority, head.fields.value(index)) else {
            throw .hostMismatch
        }
        head.authorityRange = range
    }

    /// RFC 9112 §6.3.
    private static func frame(_ head: inout RequestHead) throws(RequestError) {
        let lengths = head.fields.count(of: .contentLength)
        let encodings = head.fields.count(of: .transferEncoding)
        if encodings > 0 {
            if lengths > 0 { throw .lengthAndEncoding }
            if head.minorVersion == 0 { throw .encodingInOldVersion }
            guard encodings == 1, let index = head.fields.first(.transferEncoding),
                ASCII.equalIgnoringCase(head.fields.value(index), "chunked")
            else { throw .unsupportedEncoding }
            head.framing = .chunked
        } else if lengths > 0 {
            guard lengths == 1, let index = head.fields.first(.contentLength),
                let length = ASCII.decimal(head.fields.value(index)), length <= UInt64(Int64.max)
            else { throw .invalidContentLength }
            head.framing = .length(length)
        }
    }
}
