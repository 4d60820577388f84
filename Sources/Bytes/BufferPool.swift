/// Free lists of equal blocks, so that a busy connection costs no allocation and an idle one holds no memory.
///
/// One pool belongs to one thread; nothing in it is locked.
@safe public final class BufferPool {
    /// Bytes in each block: one TLS record's plaintext.
    public static let blockSize = 16_384
    /// Bytes in each double block: two TLS records, sealed.
    static let doubleSize = 33_280
    /// Bytes in each long block: what is read in one turn at most, and the space in front.
    static let longSize = 82_944
    /// What a long block leaves free in front, for the head that its bytes are sent behind.
    static let longFront = 1024
    /// How many bytes a long block has room for.
    public static let longRoom = longSize - longFront

    private let blocks: FreeList
    private let doubleBlocks: FreeList
    private let longBlocks: FreeList

    /// How many bytes of memory queues hold that take theirs from here, in blocks and in larger pieces.
    @exclusivity(unchecked) public private(set) var held = 0

    /// - Parameter keep: how many unused blocks stay here; more are given back to the allocator.
    public init(keep: Int = 256) {
        blocks = FreeList(keep: keep)
        doubleBlocks = FreeList(keep: keep / 8)
        // Long ones are in use for one turn, but for readers who are slower than their servers; as many as exchanges that
        // take turns, or the allocator would give their pages back to the kernel and get them again.
        longBlocks = FreeList(keep: keep / 2)
    }

    /// Takes a piece of uninitialised memory; the caller owns it until `give`.
    func take(_ capacity: Int) -> UnsafeMutablePointer<UInt8> {
        unsafe held &+= capacity
        if let piece = unsafe list(of: capacity)?.take() { return unsafe piece }
        return UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    }

    /// Takes a piece back.
    func give(_ piece: UnsafeMutablePointer<UInt8>, _ capacity: Int) {
        unsafe held &-= capacity
        if let list = list(of: capacity), unsafe list.give(piece) { return }
        unsafe piece.deallocate()
    }

    private func list(of capacity: Int) -> FreeList? {
        switch capacity {
        case Self.blockSize: blocks
        case Self.doubleSize: doubleBlocks
        case Self.longSize: longBlocks
        default: nil
        }
    }
}

/// Unused pieces of one size, in memory for so many of them: an array's own checks would cost more than the rest of the work.
@safe private final class FreeList {
    private let free: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>>
    @exclusivity(unchecked) private var count = 0
    private let keep: Int

    init(keep: Int) {
        self.keep = keep
        unsafe free = .allocate(capacity: keep)
    }

    deinit {
        for index in unsafe 0..<count { unsafe free[index].deallocate() }
        unsafe free.deallocate()
    }

    func take() -> UnsafeMutablePointer<UInt8>? {
        guard unsafe count > 0 else { return nil }
        unsafe count &-= 1
        return unsafe free[count]
    }

    /// - Returns: whether it is kept.
    func give(_ piece: UnsafeMutablePointer<UInt8>) -> Bool {
        guard unsafe count < keep else { return false }
        unsafe free[count] = piece
        unsafe count &+= 1
        return true
    }
}
