import Bytes
import Testing

@testable import Proxy

@Suite("Waiting for a connection") struct WaitingQueueTests {
    private func token(_ number: UInt64) -> Token { Token(rawValue: number) }

    private func entry(_ number: UInt64, _ deadline: UInt64, server: Int? = nil) -> WaitingQueue.Entry {
        WaitingQueue.Entry(exchange: token(number), deadline: deadline, server: server)
    }

    @Test func `first come, first served, up to the limit`() {
        var queue = WaitingQueue(limit: 2)
        #expect(queue.add(entry(1, 10), again: false) == true)
        #expect(queue.add(entry(2, 11), again: false) == true)
        #expect(queue.add(entry(3, 12), again: false) == false)
        #expect(queue.next { _ in true } == token(1))
        #expect(queue.add(entry(3, 12), again: false) == true)
        #expect(queue.next { _ in true } == token(2))
        #expect(queue.next { _ in true } == token(3))
        #expect(queue.next { _ in true } == nil)
    }

    @Test func `whoever lost its turn keeps its place and its patience`() {
        var queue = WaitingQueue(limit: 2)
        _ = queue.add(entry(1, 10), again: false)
        _ = queue.add(entry(2, 11), again: false)
        let first = queue.next { _ in true }
        _ = queue.add(entry(3, 12), again: false)
        #expect(first == token(1))
        #expect(queue.add(entry(1, 10), again: true) == true)
        #expect(queue.next { _ in true } == token(1))
        #expect(queue.next { _ in true } == token(2))
    }

    @Test func `a session waits for its own server, and does not hold up others`() {
        var queue = WaitingQueue(limit: 9)
        _ = queue.add(entry(1, 10, server: 4), again: false)
        _ = queue.add(entry(2, 11), again: false)
        #expect(queue.next { $0 != 4 } == token(2))
        #expect(queue.next { $0 != 4 } == nil)
        #expect(queue.next { $0 == 4 } == token(1))
    }

    @Test func `patience ends, and who is gone is forgotten`() {
        var queue = WaitingQueue(limit: 9)
        for number: UInt64 in 1...3 { _ = queue.add(entry(number, 10 * number), again: false) }
        queue.forget(token(2))
        #expect(queue.expired(9) == nil)
        #expect(queue.expired(10) == token(1))
        #expect(queue.expired(10) == nil)
        #expect(queue.expired(30) == token(3))
        #expect(queue.count == 0)
    }
}
