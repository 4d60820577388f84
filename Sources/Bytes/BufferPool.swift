/// A free list of equal blocks, so that a busy connection costs no allocation and an idle one holds no memory.
///
/// One pool belongs to one thread; nothing in it is locked.
@safe public final class BufferPool {
    /// Bytes in each block: one TLS record's plaintext.
    public static let blockSize = 16_384

    private var free: [UnsafeMutablePointer<UInt8>]
    private let keep: Int

    /// - Parameter keep: how many unused blocks stay here; more are given back to the allocator.
    public init(keep: Int = 256) {
        self.keep = keep
        unsafe free = []
        unsafe free.reserveCapacity(keep)
    }

    deinit {
        while let block = unsafe free.popLast() { unsafe block.deallocate() }
    }

    /// Takes a block of `blockSize` uninitialised bytes; the caller owns it until `give`.
    func take() -> UnsafeMutablePointer<UInt8> {
        unsafe free.popLast() ?? UnsafeMutablePointer<UInt8>.allocate(capacity: Self.blockSize)
    }

    /// Takes a block back.
    func give(_ block: UnsafeMutablePointer<UInt8>) {
        if unsafe free.count < keep { unsafe free.append(block) } else { unsafe block.deallocate() }
    }
}
