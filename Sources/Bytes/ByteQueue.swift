/// A first-in, first-out queue of bytes in one contiguous piece of memory.
///
/// *Ownership:* the queue owns its memory. An empty queue owns none: the block goes back to the pool.
/// It grows past one block only when asked to hold more at once (a long body, a long message head, a slow reader).
///
/// Inlinable where it is used for each piece of a head: a literal is a move of as many bytes then, not two calls.
@safe public struct ByteQueue: ~Copyable {
    private let pool: BufferPool
    @usableFromInline var base: UnsafeMutablePointer<UInt8>?
    @usableFromInline var capacity = 0
    @usableFromInline var start = 0
    @usableFromInline var end = 0

    /// Makes an empty queue that takes its memory from `pool`.
    public init(pool: BufferPool) {
        self.pool = pool
        unsafe self.base = nil
    }

    deinit {
        if let piece = unsafe base { unsafe pool.give(piece, capacity) }
    }

    /// How many bytes wait.
    @inlinable public var count: Int { end &- start }

    /// Whether no byte waits.
    @inlinable public var isEmpty: Bool { start == end }

    /// The waiting bytes, oldest first.
    public var bytes: Span<UInt8> {
        @_lifetime(borrow self)
        get {
            let span = unsafe Span<UInt8>(
                _unsafeStart: UnsafePointer(base ?? UnsafeMutablePointer(mutating: Self.nowhere)) + start,
                count: count
            )
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Drops the oldest `count` bytes.
    public mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= self.count, "more bytes consumed than wait")
        start &+= count
        if start == end { release() }
    }

    /// Drops everything and gives the memory back.
    public mutating func removeAll() {
        release()
    }

    /// Adds the bytes of `span`.
    @inlinable
    public mutating func append(_ span: Span<UInt8>) {
        unsafe span.withUnsafeBufferPointer { unsafe append($0.baseAddress, $0.count) }
    }

    /// Adds bytes that lie elsewhere; without an address there are none.
    @inlinable @inline(__always)
    mutating func append(_ source: UnsafePointer<UInt8>?, _ added: Int) {
        guard let source = unsafe source, added > 0 else { return }
        if capacity &- end < added { makeRoom(added) }
        guard let base = unsafe base else { return }
        unsafe (base + end).initialize(from: source, count: added)
        end &+= added
    }

    /// Adds the oldest `count` bytes of another queue, which keeps them.
    public mutating func append(first count: Int, of other: borrowing ByteQueue) {
        append(other.bytes.extracting(first: count))
    }

    /// Adds the oldest `count` bytes of another queue, which loses them.
    ///
    /// All that waits there is taken over with its memory where that is no waste, and has space in front for what waits here.
    public mutating func take(_ count: Int, from other: inout ByteQueue) {
        let waiting = self.count
        let isWorthIt = other.capacity == BufferPool.blockSize ? waiting == 0 : count > BufferPool.blockSize
        guard count > 0, count == other.count, isWorthIt, waiting <= other.start, pool === other.pool,
            let taken = unsafe other.base
        else {
            append(first: count, of: other)
            other.consume(count)
            return
        }
        if let own = unsafe base {
            unsafe (taken + other.start - waiting).update(from: own + start, count: waiting)
            unsafe pool.give(own, capacity)
        }
        unsafe base = taken
        capacity = other.capacity
        start = other.start &- waiting
        end = other.end
        unsafe other.base = nil
        other.forget()
    }

    /// Adds the bytes of a literal.
    @inlinable @inline(__always)
    public mutating func append(_ text: StaticString) {
        unsafe append(text.utf8Start, text.utf8CodeUnitCount)
    }

    /// Adds one byte.
    public mutating func append(_ byte: UInt8) {
        if capacity == end { makeRoom(1) }
        guard let base = unsafe base else { return }
        unsafe base[end] = byte
        end &+= 1
    }

    /// Adds `value` in decimal digits.
    public mutating func append(decimal value: UInt64) {
        var count = 1
        var rest = value / 10
        while rest > 0 {
            count &+= 1
            rest /= 10
        }
        if capacity &- end < count { makeRoom(count) }
        guard let base = unsafe base else { return }
        end &+= count
        var place = end
        rest = value
        repeat {
            place &-= 1
            unsafe base[place] = UInt8(truncatingIfNeeded: rest % 10) &+ 0x30
            rest /= 10
        } while rest > 0
    }

    /// Adds `value` in 16 lower-case hexadecimal digits.
    public mutating func append(sixteenDigits value: UInt64) {
        if capacity &- end < 16 { makeRoom(16) }
        guard let base = unsafe base else { return }
        for half in 0..<2 {
            let digits = Self.eightDigits(UInt32(truncatingIfNeeded: value >> UInt64(32 - 32 * half)))
            unsafe UnsafeMutableRawPointer(base + end + 8 * half).storeBytes(of: digits.littleEndian, as: UInt64.self)
        }
        end &+= 16
    }

    /// Eight hexadecimal digits, the first of them lowest.
    private static func eightDigits(_ value: UInt32) -> UInt64 {
        var spread = UInt64(value.byteSwapped)
        spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF
        spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF
        spread = (spread >> 4 | spread << 8) & 0x0F0F_0F0F_0F0F_0F0F
        let letters = (spread &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        return spread &+ 0x3030_3030_3030_3030 &+ letters &* 0x27
    }

    /// Adds `value` in lower-case hexadecimal digits.
    public mutating func append(hexadecimal value: UInt64) {
        var digits = InlineArray<16, UInt8>(repeating: 0)
        var index = 16
        var rest = value
        repeat {
            index &-= 1
            let digit = UInt8(truncatingIfNeeded: rest & 15)
            digits[index] = digit < 10 ? digit &+ 0x30 : digit &+ 0x57
            rest >>= 4
        } while rest > 0
        append(digits.span.extracting(index..<16))
    }

    /// Lends at least `atLeast` free bytes to `fill`, which answers how many of them it wrote.
    ///
    /// - Returns: what `fill` answered.
    @discardableResult
    public mutating func append<E: Error>(
        atLeast: Int,
        _ fill: (UnsafeMutableBufferPointer<UInt8>) throws(E) -> Int
    ) throws(E) -> Int {
        makeRoom(atLeast)
        guard let base = unsafe base else { return 0 }
        let room = unsafe UnsafeMutableBufferPointer(start: base + end, count: capacity &- end)
        do {
            let written = try unsafe fill(room)
            precondition(written >= 0 && written <= room.count, "more bytes written than there is room for")
            end &+= written
            if start == end { release() }
            return written
        } catch {
            if start == end { release() }
            throw error
        }
    }

    @usableFromInline
    mutating func makeRoom(_ wanted: Int) {
        guard let old = unsafe base else {
            capacity = Self.capacity(for: wanted)
            unsafe base = pool.take(capacity)
            start = Self.front(of: capacity)
            end = start
            return
        }
        guard capacity &- end < wanted else { return }
        let waiting = count
        if capacity &- waiting >= wanted, start >= waiting {
            unsafe old.update(from: old + start, count: waiting)
            start = 0
        } else {
            let grown = Self.capacity(for: max(waiting + wanted, capacity + 1))
            let new = unsafe pool.take(grown)
            let front = Self.front(of: grown)
            unsafe (new + front).update(from: old + start, count: waiting)
            unsafe pool.give(old, capacity)
            unsafe base = new
            capacity = grown
            start = front
        }
        end = start &+ waiting
    }

    private mutating func release() {
        if let piece = unsafe base { unsafe pool.give(piece, capacity) }
        unsafe base = nil
        forget()
    }

    /// The memory is somebody else's now.
    private mutating func forget() {
        capacity = 0
        start = 0
        end = 0
    }

    /// A block, a long block, or a power of two above both.
    private static func capacity(for size: Int) -> Int {
        if size <= BufferPool.blockSize { return BufferPool.blockSize }
        if size <= BufferPool.longRoom { return BufferPool.longSize }
        var capacity = 131_072
        while capacity < size { capacity *= 2 }
        return capacity
    }

    private static func front(of capacity: Int) -> Int { capacity == BufferPool.longSize ? BufferPool.longFront : 0 }

    private static var nowhere: UnsafePointer<UInt8> {
        unsafe UnsafePointer(bitPattern: 1).unsafelyUnwrapped
    }
}
