import Bytes
import Testing

@Suite("Byte queue") struct ByteQueueTests {
    @Test func `bytes come out in the order they went in, across growth and compaction`() {
        let pool = BufferPool()
        var queue = ByteQueue(pool: pool)
        var next: UInt8 = 0
        var expected: UInt8 = 0
        for round in 1...200 {
            let piece = [UInt8](unsafeUninitializedCapacity: round * 37) { buffer, count in
                for i in 0..<round * 37 {
                    buffer.initializeElement(at: i, to: next)
                    next &+= 1
                }
                count = round * 37
            }
            queue.append(piece.span)
            let take = min(queue.count, round * 31)
            for i in 0..<take {
                #expect(queue.bytes[i] == expected)
                expected &+= 1
            }
            queue.consume(take)
        }
        while !queue.isEmpty {
            #expect(queue.bytes[0] == expected)
            expected &+= 1
            queue.consume(1)
        }
        #expect(expected == next)
    }

    private static let sizes = [0, 1, 300, 1025, 16_384, 16_385, 81_920, 81_921]

    private static func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) } }

    private static func contents(_ queue: borrowing ByteQueue) -> [UInt8] {
        queue.bytes.withUnsafeBufferPointer { Array($0) }
    }

    @Test(arguments: sizes, sizes) func `what is taken from another queue comes behind what waits`(
        _ own: Int,
        _ count: Int
    ) {
        for dropped in [0, 200, 1024, 5000] { check(own: own, count: count, dropped: dropped, kept: 0) }
        if count > 0 { check(own: own, count: count, dropped: 1024, kept: 1) }
    }

    /// What waits in front, how much is taken, and what the other queue has dropped before and keeps.
    private func check(own: Int, count: Int, dropped: Int, kept: Int) {
        let pool = BufferPool()
        var source = ByteQueue(pool: pool)
        source.append([UInt8](repeating: 9, count: dropped).span)
        source.append(Self.pattern(count + kept).span)
        source.consume(dropped)
        var target = ByteQueue(pool: pool)
        target.append([UInt8](repeating: 7, count: own).span)
        target.take(count, from: &source)
        target.append("end")
        let expected = [UInt8](repeating: 7, count: own) + Self.pattern(count) + Array("end".utf8)
        let found = Self.contents(target)
        #expect(found == expected, "\(own) \(count) \(dropped)")
        source.append("more")
        let left = source.count
        #expect(left == kept + 4)
        source.removeAll()
        target.removeAll()
        #expect(pool.held == 0)
    }

    @Test func `a long body changes hands with its memory, and a short one does not keep much of it`() {
        let pool = BufferPool()
        var source = ByteQueue(pool: pool)
        source.append([UInt8](repeating: 1, count: 60_000).span)
        source.consume(100)
        var target = ByteQueue(pool: pool)
        target.append([UInt8](repeating: 2, count: 400).span)
        let held = pool.held
        target.take(59_900, from: &source)
        #expect(pool.held == held - BufferPool.blockSize)
        target.removeAll()
        source.append([UInt8](repeating: 1, count: 60_000).span)
        source.consume(59_000)
        target.take(1000, from: &source)
        #expect(pool.held == BufferPool.blockSize)
    }

    @Test func `queues of different pools keep their memory`() {
        let pool = BufferPool()
        let other = BufferPool()
        var source = ByteQueue(pool: other)
        source.append([UInt8](repeating: 1, count: 60_000).span)
        var target = ByteQueue(pool: pool)
        target.take(60_000, from: &source)
        let taken = target.count
        #expect(other.held == 0 && pool.held > 60_000 && taken == 60_000)
    }

    @Test func `numbers and literals are written as text`() {
        var queue = ByteQueue(pool: BufferPool())
        queue.append("n=")
        queue.append(decimal: UInt64.max)
        queue.append(0x2E)
        queue.append("")
        for number in [0, 9, 10, 443, 1_000_000] as [UInt64] { queue.append(decimal: number) }
        queue.append(0x2E)
        queue.append(sixteenDigits: 0x0123_4567_89AB_CDEF)
        queue.append(sixteenDigits: 0xF0)
        var text: [UInt8] = []
        for i in queue.bytes.indices { text.append(queue.bytes[i]) }
        let wanted = "n=18446744073709551615.09104431000000.0123456789abcdef00000000000000f0"
        #expect(String(decoding: text, as: UTF8.self) == wanted)
    }

    @Test func `whatever is written grows a queue that is full`() {
        let writers: [(inout ByteQueue) -> Void] = [
            { $0.append("literal") }, { $0.append(0x61) }, { $0.append(decimal: 1234) },
            { $0.append(sixteenDigits: 1) }, { $0.append(Array("bytes".utf8).span) },
        ]
        for write in writers {
            for room in 0...20 {
                var queue = ByteQueue(pool: BufferPool())
                queue.append([UInt8](repeating: 0x2E, count: BufferPool.blockSize - room).span)
                write(&queue)
                var alone = ByteQueue(pool: BufferPool())
                write(&alone)
                queue.consume(BufferPool.blockSize - room)
                let isSame = ASCII.equal(queue.bytes, alone.bytes)
                #expect(isSame)
            }
        }
    }

    @Test func `a stale token finds nothing`() {
        var slab = Slab<Int>()
        let first = slab.insert(1)
        slab.remove(first)
        let second = slab.insert(2)
        #expect(slab[first] == nil)
        #expect(slab[second] == 2)
        #expect(slab.remove(first) == nil)
        #expect(slab.count == 1)
    }

    @Test func `token bytes are those of RFC 9110`() {
        let expected = Set("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        for byte in UInt8.min...UInt8.max { #expect(ASCII.isToken(byte) == expected.contains(byte), "byte \(byte)") }
    }

    @Test(arguments: ["+5", "-0", " 5", "5 ", "", "0x5", "99999999999999999999"])
    func `a malformed number is refused`(_ text: String) {
        #expect(ASCII.decimal(Array(text.utf8).span) == nil)
    }
}
