extension TOMLDocument {
    /// The bytes are not a tree that `encoded` wrote.
    public struct Malformed: Error {}

    /// The tree as bytes for another process of the same program.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        Self.put(root, &bytes)
        return bytes
    }

    /// Rebuilds a tree.
    public init(decoding bytes: [UInt8]) throws(Malformed) {
        var reader = Reader(bytes: bytes)
        root = try reader.node(depth: 0)
        guard reader.offset == bytes.count else { throw Malformed() }
    }

    private static func put(_ number: Int, _ bytes: inout [UInt8]) {
        let value = UInt64(bitPattern: Int64(number))
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * shift))) }
    }

    private static func put(_ text: String, _ bytes: inout [UInt8]) {
        put(text.utf8.count, &bytes)
        bytes.append(contentsOf: text.utf8)
    }

    private static func put(_ position: Position, _ bytes: inout [UInt8]) {
        put(position.line, &bytes)
        put(position.column, &bytes)
    }

    private static func put(_ node: TOMLNode, _ bytes: inout [UInt8]) {
        put(node.position, &bytes)
        switch node.value {
        case .table(let entries):
            bytes.append(0)
            put(entries.count, &bytes)
            for entry in entries {
                put(entry.key, &bytes)
                put(entry.keyPosition, &bytes)
                put(entry.node, &bytes)
            }
        case .array(let elements):
            bytes.append(1)
            put(elements.count, &bytes)
            for element in elements { put(element, &bytes) }
        case .string(let text):
            bytes.append(2)
            put(text, &bytes)
        case .integer(let number):
            bytes.append(3)
            put(Int(number), &bytes)
        case .boolean(let flag):
            bytes.append(4)
            bytes.append(flag ? 1 : 0)
        case .float: bytes.append(5)
        case .time: bytes.append(6)
        case .date(let day):
            bytes.append(7)
            put(day.packed, &bytes)
        }
    }

    private struct Reader {
        let bytes: [UInt8]
        var offset = 0

        mutating func byte() throws(Malformed) -> UInt8 {
            guard offset < bytes.count else { throw Malformed() }
            offset += 1
            return bytes[offset - 1]
        }

        mutating func number() throws(Malformed) -> Int {
            var value: UInt64 = 0
            for shift in 0..<8 { value |= UInt64(try byte()) << UInt64(8 * shift) }
            return Int(Int64(bitPattern: value))
        }

        /// A count of things that take at least one byte each.
        mutating func count() throws(Malformed) -> Int {
            let value = try number()
            guard value >= 0, value <= bytes.count - offset else { throw Malformed() }
            return value
        }

        mutating func text() throws(Malformed) -> String {
            let count = try count()
            offset += count
            return String(decoding: bytes[offset - count..<offset], as: UTF8.self)
        }

        mutating func position() throws(Malformed) -> Position {
            let line = try number()
            return Position(line: line, column: try number())
        }

        mutating func node(depth: Int) throws(Malformed) -> TOMLNode {
            // Deeper than a parsed file can be: a header's parts and the nesting of a value.
            guard depth <= TOMLBounds.depth + 2 * TOMLBounds.keyParts else { throw Malformed() }
            let position = try position()
            let value: TOMLNode.Value
            switch try byte() {
            case 0:
                var entries: [TOMLEntry] = []
                for _ in 0..<(try count()) {
                    let key = try text()
                    let keyPosition = try self.position()
                    entries.append(TOMLEntry(key: key, keyPosition: keyPosition, node: try node(depth: depth + 1)))
                }
                value = .table(entries)
            case 1:
                var elements: [TOMLNode] = []
                for _ in 0..<(try count()) { elements.append(try node(depth: depth + 1)) }
                value = .array(elements)
            case 2: value = .string(try text())
            case 3: value = .integer(Int64(try number()))
            case 4: value = .boolean(try byte() == 1)
            case 5: value = .float
            case 6: value = .time
            case 7:
                guard let day = CalendarDay(packed: Int64(try number())) else { throw Malformed() }
                value = .date(day)
            default: throw Malformed()
            }
            return TOMLNode(position: position, value: value)
        }
    }
}
