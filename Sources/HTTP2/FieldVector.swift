internal import Bytes
internal import CNghttp2

/// The head of an HTTP/1.1 message as nghttp2 takes it: one writer knows which fields are sent, in both versions.
struct FieldVector {
    private var pairs: [nghttp2_nv] = []
    /// Whether the name of request identifiers has been put into the peer's table.
    private var knowsIdentifiers = false

    /// Calls `body` with the fields of a head that stays where it is until its frame is made: they point into it, and names
    /// are made small there.
    mutating func withFields(
        keeping head: UnsafeMutableBufferPointer<UInt8>,
        isRequest: Bool,
        _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Void
    ) {
        guard let base = head.baseAddress else { return }
        fill(Lines(base: base, count: head.count, isKept: true), isRequest: isRequest)
        pairs.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
    }

    /// Calls `body` with the fields of a response's head, which it copies.
    mutating func withFields(
        copying head: UnsafeBufferPointer<UInt8>,
        _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Void
    ) {
        guard let base = head.baseAddress else { return }
        fill(Lines(base: UnsafeMutablePointer(mutating: base), count: head.count, isKept: false), isRequest: false)
        pairs.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
    }

    /// Calls `body` with the lines of trailers, after the line of the last chunk, which it copies.
    mutating func withTrailers(
        copying lines: UnsafeBufferPointer<UInt8>,
        _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Void
    ) {
        guard let base = lines.baseAddress else { return }
        let lines = Lines(base: UnsafeMutablePointer(mutating: base), count: lines.count, isKept: false)
        pairs.removeAll(keepingCapacity: true)
        fillFields(lines, from: lines.end(from: 0) + 2, isRequest: false)
        pairs.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
    }

    private mutating func fill(_ head: Lines, isRequest: Bool) {
        pairs.removeAll(keepingCapacity: true)
        let end = head.end(from: 0)
        if isRequest {
            fillRequestLine(head, end: end)
        } else if end >= 12 {
            add(":status", head.base + 9, 3, head.flags)
        }
        fillFields(head, from: end + 2, isRequest: isRequest)
    }

    private mutating func fillRequestLine(_ head: Lines, end: Int) {
        var space = 0
        while space < end, head.base[space] != 0x20 { space += 1 }
        let target = space + 1
        let targetEnd = end - " HTTP/1.1".utf8.count
        guard target < targetEnd else { return }
        add(":method", head.base, space, head.flags)
        let scheme: StaticString = "https"
        add(":scheme", scheme.utf8Start, scheme.utf8CodeUnitCount, head.flags)
        add(":path", head.base + target, targetEnd - target, head.flags)
    }

    private mutating func fillFields(_ lines: Lines, from start: Int, isRequest: Bool) {
        var position = start
        while position < lines.count {
            let end = lines.end(from: position)
            guard end > position else { return }
            let colon = lines.endOfName(from: position, to: end)
            let name = UnsafeBufferPointer(start: lines.base + position, count: colon - position)
            let value = min(colon + 2, end)
            if isRequest, Self.spells(name, "host") {
                let authority = Self.pair(":authority", lines.base + value, end - value, lines.flags)
                pairs.insert(authority, at: min(3, pairs.count))
            } else if !Self.belongsToConnection(name) {
                pairs.append(
                    nghttp2_nv(
                        name: lines.base + position,
                        value: lines.base + value,
                        namelen: name.count,
                        valuelen: end - value,
                        flags: lines.flags | indexing(of: name)
                    )
                )
            }
            position = end + 2
        }
    }

    /// Keeps all request identifiers but the first, which is there for its name, out of the peer's table (RFC 7541 §2.3).
    ///
    /// Each is like no other: it would only drive lasting fields out, and be compared with the next one.
    private mutating func indexing(of name: UnsafeBufferPointer<UInt8>) -> UInt8 {
        guard Self.spells(name, "x-request-id") else { return 0 }
        defer { knowsIdentifiers = true }
        return knowsIdentifiers ? UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue) : 0
    }

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
        for index in name.indices where ASCII.lowercase(name[index]) != word.utf8Start[index] { return false }
        return true
    }

    private mutating func add(_ name: StaticString, _ value: UnsafePointer<UInt8>, _ count: Int, _ flags: UInt8) {
        pairs.append(Self.pair(name, value, count, flags))
    }

    private static func pair(
        _ name: StaticString,
        _ value: UnsafePointer<UInt8>,
        _ count: Int,
        _ flags: UInt8
    ) -> nghttp2_nv {
        nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start),
            value: UnsafeMutablePointer(mutating: value),
            namelen: name.utf8CodeUnitCount,
            valuelen: count,
            flags: flags
        )
    }
}

extension FieldVector {
    /// The lines of a head.
    private struct Lines {
        let base: UnsafeMutablePointer<UInt8>
        let count: Int
        /// Whether they stay where they are, and nghttp2 need not copy them; others are not written to.
        let isKept: Bool

        var flags: UInt8 {
            isKept ? UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue) : 0
        }

        func end(from start: Int) -> Int {
            guard start < count else { return start }
            return ASCII.firstIndex(of: 0x0D, in: UnsafeBufferPointer(start: base, count: count).span, start..<count)
        }

        /// Makes the name small, which nghttp2 does only when it copies.
        func endOfName(from start: Int, to end: Int) -> Int {
            var position = start
            while isKept, end - position >= 8 {
                let count = makeSmall(at: position)
                position += count
                guard count == 8 else { return position }
            }
            while position < end, base[position] != 0x3A {
                if isKept { base[position] = ASCII.lowercase(base[position]) }
                position += 1
            }
            return position
        }

        /// Makes eight bytes small, or those before a colon.
        ///
        /// - Returns: how many they are.
        private func makeSmall(at position: Int) -> Int {
            let place = UnsafeMutableRawPointer(base + position)
            let word = UInt64(littleEndian: place.loadUnaligned(as: UInt64.self))
            let ones: UInt64 = 0x0101_0101_0101_0101
            let tops = ones << 7
            let colons = word ^ (ones &* 0x3A)
            let found = (colons &- ones) & ~colons & tops
            // The top bit of each byte from A to Z: no sum of seven bits reaches the next byte.
            let low = word & ~tops
            let capitals = (low &+ ones &* (0x80 - 0x41)) & ~(low &+ ones &* (0x80 - 0x5B)) & ~word & tops
            let count = found == 0 ? 8 : found.trailingZeroBitCount / 8
            let name: UInt64 = count == 8 ? .max : (1 &<< UInt64(8 * count)) &- 1
            place.storeBytes(of: (word | capitals >> 2 & name).littleEndian, as: UInt64.self)
            return count
        }
    }
}
