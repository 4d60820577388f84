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

    @Test func `numbers and literals are written as text`() {
        var queue = ByteQueue(pool: BufferPool())
        queue.append("n=")
        queue.append(decimal: UInt64.max)
        queue.append(0x2E)
        var text: [UInt8] = []
        for i in queue.bytes.indices { text.append(queue.bytes[i]) }
        #expect(String(decoding: text, as: UTF8.self) == "n=18446744073709551615.")
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
