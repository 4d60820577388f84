import Bytes

/// Fields that hold references: plain http of the site's own names becomes https as the client sees it, and the server's
/// paths the public ones.
enum ReferenceFields {
    /// Location and Content-Location (RFC 9110 §8.7, §10.2.2): one reference.
    static func writeReference(
        _ value: Span<UInt8>,
        _ request: borrowing RequestHead,
        _ context: ResponseContext,
        into queue: inout ByteQueue
    ) {
        let rules = context.forwarding.rules
        guard let hosts = rules.hosts, let reference = Reference(value) else {
            let isPath = !value.isEmpty && value[0] == 0x2F && !(value.count > 1 && value[1] == 0x2F)
            guard isPath, let path = rules.path else {
                queue.append(value)
                return
            }
            path.writeBack(value, standsAlone: true, into: &queue)
            return
        }
        let authority = request.authority
        switch hosts.place(of: reference, in: value, answering: authority, on: context.forwarding.localPort) {
        case .foreign:
            queue.append(value)
            return
        case .requested:
            queue.append("https://")
            queue.append(authority)
        case .binding(let port):
            queue.append("https://")
            queue.append(value.extracting(reference.host))
            if port != 443 {
                queue.append(":")
                queue.append(decimal: UInt64(port))
            }
        }
        let rest = value.extracting(reference.rest..<value.count)
        if let path = rules.path {
            path.writeBack(rest, standsAlone: false, into: &queue)
        } else {
            queue.append(rest)
        }
    }

    /// Refresh: `seconds`, then `;` or `,`, then a reference, mostly after `url=` and perhaps in quotes, as browsers read
    /// it (HTML, "shared declarative refresh steps").
    static func writeRefresh(
        _ value: Span<UInt8>,
        _ request: borrowing RequestHead,
        _ context: ResponseContext,
        into queue: inout ByteQueue
    ) {
        var start = 0
        while start < value.count, ASCII.isDigit(value[start]) || value[start] == 0x2E { start += 1 }
        start = skipSpaces(value, start)
        guard start < value.count, value[start] == 0x3B || value[start] == 0x2C else {
            queue.append(value)
            return
        }
        start = skipSpaces(value, start + 1)
        if start + 3 <= value.count, ASCII.equalIgnoringCase(value.extracting(start..<start + 3), "url") {
            let equals = skipSpaces(value, start + 3)
            if equals < value.count, value[equals] == 0x3D { start = skipSpaces(value, equals + 1) }
        }
        var end = value.count
        if start < end, value[start] == 0x22 || value[start] == 0x27 {
            let quote = value[start]
            start += 1
            end = start
            while end < value.count, value[end] != quote { end += 1 }
        }
        queue.append(value.extracting(0..<start))
        writeReference(value.extracting(start..<end), request, context, into: &queue)
        queue.append(value.extracting(end..<value.count))
    }

    /// Link (RFC 8288 §3): references in angle brackets, with parameters whose quoted text is none.
    static func writeLink(
        _ value: Span<UInt8>,
        _ request: borrowing RequestHead,
        _ context: ResponseContext,
        into queue: inout ByteQueue
    ) {
        var index = 0
        var written = 0
        while index < value.count {
            switch value[index] {
            case 0x22: index = endOfQuoted(value, index)
            case 0x3C:
                let start = index + 1
                var end = start
                while end < value.count, value[end] != 0x3E { end += 1 }
                queue.append(value.extracting(written..<start))
                // Without its closing bracket it is no reference.
                if end < value.count {
                    writeReference(value.extracting(start..<end), request, context, into: &queue)
                } else {
                    queue.append(value.extracting(start..<end))
                }
                written = end
                index = end
            default: index += 1
            }
        }
        queue.append(value.extracting(written..<value.count))
    }

    /// Behind a quoted string (RFC 9110 §5.6.4), of which a backslash escapes the next byte.
    private static func endOfQuoted(_ value: Span<UInt8>, _ start: Int) -> Int {
        var index = start + 1
        while index < value.count, value[index] != 0x22 { index += value[index] == 0x5C ? 2 : 1 }
        return min(index + 1, value.count)
    }

    private static func skipSpaces(_ value: Span<UInt8>, _ start: Int) -> Int {
        var index = start
        while index < value.count, value[index] == 0x20 || value[index] == 0x09 { index += 1 }
        return index
    }
}
