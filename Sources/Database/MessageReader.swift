/// Reads numbers and strings out of one whole message; every read is checked against its end.
struct MessageReader {
    /// The message ends before what it promised.
    struct Truncated: Error {}

    private let bytes: [UInt8]
    private(set) var offset: Int

    init(_ bytes: [UInt8], from offset: Int = 0) {
        self.bytes = bytes
        self.offset = min(max(0, offset), bytes.count)
    }

    var remaining: Int { bytes.count - offset }

    mutating func skip(_ count: Int) throws(Truncated) {
        guard count >= 0, count <= remaining else { throw Truncated() }
        offset += count
    }

    mutating func byte() throws(Truncated) -> UInt8 {
        guard remaining >= 1 else { throw Truncated() }
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func bytes(_ count: Int) throws(Truncated) -> [UInt8] {
        guard count >= 0, count <= remaining else { throw Truncated() }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    /// A number of `count` bytes, at most four, the most significant first.
    mutating func bigEndian(_ count: Int) throws(Truncated) -> Int {
        try bytes(count).reduce(0) { $0 << 8 | Int($1) }
    }

    /// A number of `count` bytes, at most four, the least significant first.
    mutating func littleEndian(_ count: Int) throws(Truncated) -> Int {
        try bytes(count).reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    /// Bytes up to a zero, which is skipped.
    mutating func zeroTerminated() throws(Truncated) -> [UInt8] {
        guard let end = bytes[offset...].firstIndex(of: 0) else { throw Truncated() }
        defer { offset = end + 1 }
        return Array(bytes[offset..<end])
    }

    /// Bytes up to a zero, or to the end of the message.
    mutating func zeroTerminatedOrRest() -> [UInt8] {
        let end = bytes[offset...].firstIndex(of: 0) ?? bytes.count
        defer { offset = min(bytes.count, end + 1) }
        return Array(bytes[offset..<end])
    }
}

extension [UInt8] {
    /// The bytes of a span from `start`, `count` of them; the caller has checked both.
    init(copying span: Span<UInt8>, from start: Int = 0, count: Int) {
        self = []
        reserveCapacity(count)
        for index in start..<start + count { append(span[index]) }
    }

    mutating func appendBigEndian(_ value: Int, count: Int) {
        for shift in (0..<count).reversed() { append(UInt8(truncatingIfNeeded: value >> (shift * 8))) }
    }

    mutating func appendLittleEndian(_ value: Int, count: Int) {
        for shift in 0..<count { append(UInt8(truncatingIfNeeded: value >> (shift * 8))) }
    }
}

/// Text of a peer for logs and error messages: short, and nothing that steers a terminal.
enum PeerText {
    static func readable(_ bytes: [UInt8], limit: Int = 128) -> String {
        let text = String(decoding: bytes.prefix(limit), as: UTF8.self)
        return String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "\u{FFFD}" : Character($0) })
    }
}
