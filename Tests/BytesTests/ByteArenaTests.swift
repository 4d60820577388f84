import Testing

@testable import Bytes

@Suite("Arenas") struct ByteArenaTests {
    @Test func `the memory of small messages is kept, that of a large one is given back`() {
        var arena = ByteArena()
        let small = [UInt8](repeating: 0x61, count: 4000)
        arena.append(small.span)
        arena.removeAll()
        #expect(arena.count == 0 && arena.capacity >= small.count)
        for _ in 0..<16 { arena.append(small.span) }
        arena.removeAll()
        #expect(arena.capacity <= ByteArena.mostKept)
    }
}
