/// Bytes that are appended, looked at by range, and dropped all at once; the memory is kept for the next use.
public struct ByteArena: Sendable {
    private var storage: [UInt8] = []

    /// Makes an empty arena without memory.
    public init() {}

    /// How many bytes are stored.
    public var count: Int { storage.count }

    /// All of the bytes.
    public var bytes: Span<UInt8> {
        @_lifetime(borrow self)
        get { storage.span }
    }

    /// As much memory is kept; what one large message took is given back.
    static let mostKept = 16_384

    /// How much memory there is.
    var capacity: Int { storage.capacity }

    /// Forgets the bytes and keeps the memory, unless it is unusually much.
    public mutating func removeAll() { storage.removeAll(keepingCapacity: storage.capacity <= Self.mostKept) }

    /// Copies `span` to the end.
    ///
    /// - Returns: where the copy lies.
    @discardableResult
    public mutating func append(_ span: Span<UInt8>) -> Range<Int> {
        let start = storage.count
        unsafe span.withUnsafeBufferPointer { unsafe storage.append(contentsOf: $0) }
        return start..<storage.count
    }

    /// Copies a name and a value to the end, as a line of a message's head.
    ///
    /// - Returns: where the line lies, line end included.
    public mutating func appendLine(name: Span<UInt8>, value: Span<UInt8>) -> Range<Int> {
        let start = storage.count
        let count = name.count + value.count + 4
        storage.append(addingCapacity: count) { room in
            unsafe room.withUnsafeMutableBufferPointer { target, initialized in
                guard let base = target.baseAddress else { return }
                unsafe Self.copy(name, to: base)
                let colon = unsafe base + name.count
                unsafe colon[0] = 0x3A
                unsafe colon[1] = 0x20
                unsafe Self.copy(value, to: colon + 2)
                let end = unsafe colon + 2 + value.count
                unsafe end[0] = 0x0D
                unsafe end[1] = 0x0A
                initialized = count
            }
        }
        return start..<start + count
    }

    private static func copy(_ bytes: Span<UInt8>, to target: UnsafeMutablePointer<UInt8>) {
        unsafe bytes.withUnsafeBufferPointer {
            if let base = $0.baseAddress { unsafe target.update(from: base, count: $0.count) }
        }
    }

    /// Copies a part of it to the end.
    public mutating func append(_ part: Range<Int>) { storage.append(contentsOf: storage[part]) }

    /// Copies a literal to the end.
    @discardableResult
    public mutating func append(_ text: StaticString) -> Range<Int> {
        let span = unsafe Span(_unsafeStart: text.utf8Start, count: text.utf8CodeUnitCount)
        return append(span)
    }
}
