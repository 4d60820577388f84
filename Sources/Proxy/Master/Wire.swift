/// Writes values for another process of the same program: numbers little-endian, strings and bytes length-prefixed.
struct WireWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ number: UInt64) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func put(_ number: Int) { put(UInt64(bitPattern: Int64(number))) }

    mutating func put(_ block: [UInt8]) {
        put(block.count)
        bytes.append(contentsOf: block)
    }

    mutating func put(_ text: String) { put(Array(text.utf8)) }
}

/// Reads what `WireWriter` wrote; anything else is an error, never a trap.
struct WireReader {
    /// The bytes are not what was announced.
    struct Malformed: Error {}

    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func number() throws(Malformed) -> UInt64 {
        guard bytes.count - offset >= 8 else { throw Malformed() }
        var value: UInt64 = 0
        for index in 0..<8 { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        offset += 8
        return value
    }

    /// A number that counts something, and is therefore not larger than what is left to read.
    mutating func count() throws(Malformed) -> Int {
        let value = try number()
        guard value <= UInt64(bytes.count - offset) else { throw Malformed() }
        return Int(value)
    }

    mutating func int() throws(Malformed) -> Int { Int(truncatingIfNeeded: Int64(bitPattern: try number())) }

    mutating func block() throws(Malformed) -> [UInt8] {
        let count = try count()
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    mutating func text() throws(Malformed) -> String { String(decoding: try block(), as: UTF8.self) }
}
