import Bytes
import Testing

@testable import Proxy

@Suite("Tokens in a queue") struct TokenQueueTests {
    @Test func `come out in the order they went in, however many wait`() {
        var queue = TokenQueue()
        #expect(queue.isEmpty && queue.next() == nil)
        var taken: UInt64 = 0
        for added in 0..<UInt64(5000) {
            queue.append(Token(rawValue: added))
            guard added % 3 != 0 else { continue }
            #expect(queue.next() == Token(rawValue: taken))
            taken += 1
        }
        while let next = queue.next() {
            #expect(next == Token(rawValue: taken))
            taken += 1
        }
        #expect(taken == 5000 && queue.isEmpty)
    }
}
