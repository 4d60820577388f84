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

    @Test func `go on without those that wait no more`() {
        var queue = TokenQueue()
        for added in 0..<UInt64(10) { queue.append(Token(rawValue: added)) }
        #expect(queue.next() == Token(rawValue: 0))
        for gone: UInt64 in [0, 1, 5, 9, 5, 77] { queue.remove(Token(rawValue: gone)) }
        var left: [UInt64] = []
        while let next = queue.next() { left.append(next.rawValue) }
        #expect(left == [2, 3, 4, 6, 7, 8] && queue.isEmpty)
        queue.append(Token(rawValue: 3))
        queue.remove(Token(rawValue: 3))
        #expect(queue.isEmpty && queue.next() == nil)
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
        let full = gate.shouldClose(clients: 100, now: 0)
        let calm = gate.handshakeHadTurn(4, most: 8)
        #expect(full && calm && !gate.isOpen)
        let opens = gate.shouldOpen(clients: 83, now: 0)
        #expect(opens && gate.isOpen)
    }

    @Test(arguments: [(3, 251), (20, 90), (50, 40), (1000, 25), (10_000, 3)])
    func `does not flap while clients come and go at its limit`(_ limit: Int, _ most: Int) {
        var gate = AcceptGate(limit: limit)
        var clients = limit
        var closings = gate.shouldClose(clients: clients, now: 0) ? 1 : 0
        // One goes while it is closed, one comes while it is open.
        for _ in 0..<1000 {
            clients += gate.isOpen ? 1 : -1
            if gate.shouldClose(clients: clients, now: 0) { closings += 1 }
            _ = gate.shouldOpen(clients: clients, now: 0)
        }
        #expect(closings <= most)
    }

    @Test func `lets nobody wait for long while a place is free`() {
        var gate = AcceptGate(limit: 1000)
        let closes = gate.shouldClose(clients: 1000, now: 7)
        let early = gate.shouldOpen(clients: 999, now: 7)
        let full = gate.shouldOpen(clients: 1000, now: 7 + AcceptGate.pause)
        let late = gate.shouldOpen(clients: 999, now: 7 + AcceptGate.pause)
        #expect(closes && !early && !full && late)
        var single = AcceptGate(limit: 1)
        let fills = single.shouldClose(clients: 1, now: 0)
        let empties = single.shouldOpen(clients: 0, now: 0)
        #expect(fills && empties)
    }
}
