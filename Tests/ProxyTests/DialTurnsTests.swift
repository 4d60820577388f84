import Bytes
import Testing

@testable import Proxy

@Suite("Turns of handshakes with servers") struct DialTurnsTests {
    private func token(_ number: Int) -> Token { Token(rawValue: UInt64(number)) }

    /// What gets its turn in one millisecond.
    private func turns(_ dials: inout DialTurns, now: UInt64) -> [Int] {
        var list: [Int] = []
        while let next = dials.next(now: now) { list.append(Int(next.rawValue)) }
        return list
    }

    @Test func `what has begun goes before what has not`() {
        var dials = DialTurns()
        #expect(dials.pause == nil && dials.next(now: 0) == nil)
        for number in 0..<4 { dials.append(token(number), begins: number % 2 == 0) }
        #expect(dials.pause == 0)
        #expect(turns(&dials, now: 5) == [1, 3, 0, 2])
        #expect(dials.pause == nil)
    }

    @Test func `many begin at a pace, and what is not needed any more does not count`() {
        var dials = DialTurns()
        for number in 0..<100 { dials.append(token(number), begins: true) }
        let atOnce = turns(&dials, now: 1000)
        #expect(atOnce == Array(0..<8) && dials.pause == 1)
        #expect(turns(&dials, now: 1000).isEmpty)
        for number in 8..<50 { dials.forget(token(number)) }
        #expect(turns(&dials, now: 1001) == [50, 51])
        // Steps of those that have begun are not held up.
        dials.append(token(200), begins: false)
        #expect(dials.pause == 0)
        #expect(turns(&dials, now: 1001) == [200] && dials.pause == 1)
        #expect(turns(&dials, now: 1003) == [52, 53, 54, 55])
        #expect(turns(&dials, now: 9000) == Array(56..<64))
        // What is refused at once costs no handshake.
        dials.wasRefused()
        #expect(turns(&dials, now: 9000) == [64])
        for _ in 0..<20 { dials.wasRefused() }
        #expect(turns(&dials, now: 9000) == Array(65..<73))
    }
}
