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

@Suite("The gate for new clients") struct AcceptGateTests {
    @Test func `closes while handshakes pile up, and opens when half of them are done`() {
        var gate = AcceptGate(limit: 100)
        let atFirst = (0..<8).map { gate.handshakeWaits($0, most: 8) }
        #expect(!atFirst.contains(true) && gate.isOpen)
        let closes = gate.handshakeWaits(8, most: 8)
        #expect(closes && !gate.isOpen)
        let again = gate.handshakeWaits(9, most: 8)
        let early = gate.handshakeHadTurn(5, most: 8)
        #expect(!again && !early && !gate.isOpen)
        // A limit that is reached meanwhile keeps it closed.
        let full = gate.shouldClose(clients: 100)
        let calm = gate.handshakeHadTurn(4, most: 8)
        #expect(full && calm && !gate.isOpen)
        let opens = gate.shouldOpen(clients: 97, now: 0)
        #expect(opens && gate.isOpen)
    }
}
