/// Writes handshake messages (RFC 8446 §3 and §4).
struct MessageWriter {
    private(set) var bytes: [UInt8] = []

    init(capacity: Int = 64) { bytes.reserveCapacity(capacity) }

    mutating func append(_ byte: UInt8) { bytes.append(byte) }

    mutating func append(short number: UInt16) {
        bytes.append(UInt8(truncatingIfNeeded: number >> 8))
        bytes.append(UInt8(truncatingIfNeeded: number))
    }

    mutating func append(word number: UInt32) {
        append(short: UInt16(truncatingIfNeeded: number >> 16))
        append(short: UInt16(truncatingIfNeeded: number))
    }

    mutating func append(long number: UInt64) {
        for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    mutating func append(_ more: some Collection<UInt8>) { bytes.append(contentsOf: more) }

    /// Writes what `body` writes, and in front of it how much that is, in so many bytes.
    mutating func vector(_ size: Int, _ body: (inout MessageWriter) -> Void) {
        let start = bytes.count
        for _ in 0..<size { bytes.append(0) }
        body(&self)
        var count = bytes.count - start - size
        for index in stride(from: start + size - 1, through: start, by: -1) {
            bytes[index] = UInt8(truncatingIfNeeded: count)
            count >>= 8
        }
    }

    /// Writes a message: its type, its length, and what `body` writes.
    mutating func message(_ type: UInt8, _ body: (inout MessageWriter) -> Void) {
        append(type)
        vector(3, body)
    }

    /// Writes an extension.
    mutating func field(_ type: UInt16, _ body: (inout MessageWriter) -> Void) {
        append(short: type)
        vector(2, body)
    }
}
