internal import Bytes
internal import CNghttp2

/// The head of an HTTP/1.1 message as nghttp2 takes it: one writer knows which fields are sent, in both versions.
enum FieldVector {
    /// Points into `head`, which has to outlive the use of the vector.
    static func fill(_ vector: inout [nghttp2_nv], from head: UnsafeBufferPointer<UInt8>, isRequest: Bool) {
        guard let base = head.baseAddress else { return }
        var position = lineEnd(head, from: 0)
        if isRequest {
            fillRequestLine(&vector, head, end: position)
        } else if position >= 12 {
            vector.append(pair(":status", base + 9, 3))
        }
        position += 2
        fillFields(&vector, head, from: position, isRequest: isRequest)
    }

    /// Lines of trailers, after the line of the last chunk.
    static func fillTrailers(_ vector: inout [nghttp2_nv], from lines: UnsafeBufferPointer<UInt8>) {
        fillFields(&vector, lines, from: lineEnd(lines, from: 0) + 2, isRequest: false)
    }

    private static func fillRequestLine(_ vector: inout [nghttp2_nv], _ head: UnsafeBufferPointer<UInt8>, end: Int) {
        guard let base = head.baseAddress else { return }
        var space = 0
        while space < end, head[space] != 0x20 { space += 1 }
        let target = space + 1
        let targetEnd = end - " HTTP/1.1".utf8.count
        guard target < targetEnd else { return }
        vector.append(pair(":method", base, space))
        vector.append(pair(":scheme", "https"))
        vector.append(pair(":path", base + target, targetEnd - target))
    }

    private static func fillFields(
        _ vector: inout [nghttp2_nv],
        _ head: UnsafeBufferPointer<UInt8>,
        from start: Int,
        isRequest: Bool
    ) {
        guard let base = head.baseAddress else { return }
        var position = start
        while position < head.count {
            let end = lineEnd(head, from: position)
            guard end > position else { return }
            var colon = position
            while colon < end, head[colon] != 0x3A { colon += 1 }
            let name = UnsafeBufferPointer(rebasing: head[position..<colon])
            let value = min(colon + 2, end)
            if isRequest, spells(name, "host") {
                vector.insert(pair(":authority", base + value, end - value), at: min(3, vector.count))
            } else if !belongsToConnection(name) {
                vector.append(pair(name, base + value, end - value))
                if spells(name, "x-request-id") { vector[vector.count - 1].flags = noIndex }
            }
            position = end + 2
        }
    }

    /// No other message has such a value: kept in the peer's table (RFC 7541 §2.3), it would only drive others out, and
    /// each of its kind would be compared with the next one.
    private static var noIndex: UInt8 { UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue) }

    /// RFC 9113 §8.2.2.
    private static func belongsToConnection(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
        switch name.count {
        case 7: spells(name, "upgrade")
        case 10: spells(name, "connection") || spells(name, "keep-alive")
        case 16: spells(name, "proxy-connection")
        case 17: spells(name, "transfer-encoding")
        default: false
        }
    }

    private static func spells(_ name: UnsafeBufferPointer<UInt8>, _ word: StaticString) -> Bool {
        guard name.count == word.utf8CodeUnitCount else { return false }
        for index in name.indices {
            let byte = name[index]
            guard (byte &- 0x41 < 26 ? byte | 0x20 : byte) == word.utf8Start[index] else { return false }
        }
        return true
    }

    private static func lineEnd(_ head: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
        start < head.count ? ASCII.firstIndex(of: 0x0D, in: head.span, start..<head.count) : start
    }

    private static func pair(_ name: StaticString, _ value: UnsafePointer<UInt8>, _ count: Int) -> nghttp2_nv {
        nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start),
            value: UnsafeMutablePointer(mutating: value),
            namelen: name.utf8CodeUnitCount,
            valuelen: count,
            flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)
        )
    }

    private static func pair(_ name: StaticString, _ value: StaticString) -> nghttp2_nv {
        pair(name, value.utf8Start, value.utf8CodeUnitCount)
    }

    private static func pair(
        _ name: UnsafeBufferPointer<UInt8>,
        _ value: UnsafePointer<UInt8>,
        _ count: Int
    ) -> nghttp2_nv {
        nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.baseAddress),
            value: UnsafeMutablePointer(mutating: value),
            namelen: name.count,
            valuelen: count,
            flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)
        )
    }
}
