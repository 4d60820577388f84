/// A free list of equal blocks, so that a busy connection costs no allocation and an idle one holds no memory.
///
/// One pool belongs to one thread; nothing in it is locked.
@safe public final class BufferPool {
    /// Bytes in each block: one TLS record's plaintext.
    public static let blockSize = 16_384

    /// The unused blocks, in memory for `keep` of them: an array's own checks would cost more than the rest of the work.
    private let free: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>>
    private var count = 0
    private let keep: Int

    /// How many bytes of memory queues hold that take theirs from here, in blocks and in larger pieces.
    public private(set) var held = 0

    /// - Parameter keep: how many unused blocks stay here; more are given back to the allocator.
    public init(keep: Int = 256) {
        self.keep = keep
        unsafe free = .allocate(capacity: keep)
    }

    deinit {
        for index in 0..<count { unsafe free[index].deallocate() }
        unsafe free.deallocate()
    }

    /// Takes a block of `blockSize` uninitialised bytes; the caller owns it until `give`.
    func take() -> UnsafeMutablePointer<UInt8> {
        held &+= Self.blockSize
        guard count > 0 else { return UnsafeMutablePointer<UInt8>.allocate(capacity: Self.blockSize) }
        count &-= 1
        return unsafe free[count]
    }

    /// Takes a block back.
    func give(_ block: UnsafeMutablePointer<UInt8>) {
        held &-= Self.blockSize
        guard count < keep else {
            unsafe block.deallocate()
            return
        }
        unsafe free[count] = block
        count &+= 1
    }

    /// Makes a piece larger than a block; the caller owns it until `give(_:large:)`.
    func take(large capacity: Int) -> UnsafeMutablePointer<UInt8> {
        held &+= capacity
        return UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    }

    /// Takes such a piece back.
    func give(_ piece: UnsafeMutablePointer<UInt8>, large capacity: Int) {
        held &-= capacity
        unsafe piece.deallocate()
    }
}
