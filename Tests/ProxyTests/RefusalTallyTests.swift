import Testing

@testable import Proxy

@Suite struct RefusalTallyTests {
    private func refusal(_ peer: String) -> HopRefusal {
        HopRefusal(hop: .app, name: "app", peer: peer, reason: "pin mismatch")
    }

    @Test func theFirstIsToldAtOnceTheRestCounted() {
        var tally = RefusalTally()
        let told = ["a", "a", "a", "b"].enumerated().map { tally.note(refusal($1), now: UInt64($0)) }
        #expect(told == [true, false, false, true])
        let early = tally.due(now: 9_999)
        #expect(early.isEmpty)
        let due = tally.due(now: 10_000)
        #expect(due.count == 1 && due[0].refusal == refusal("a") && due[0].count == 2)
        // Silence ends it: the next one is told of at once again.
        let late = tally.due(now: 30_000)
        let isToldAgain = tally.note(refusal("a"), now: 30_001)
        #expect(late.isEmpty && isToldAgain)
    }

    @Test func manyKindsBecomeOne() {
        var tally = RefusalTally()
        var told = 0
        for number in 0..<10_000 where tally.note(refusal("\(number)"), now: 0) { told += 1 }
        #expect(told == RefusalTally.mostKinds)
        let due = tally.due(now: 10_000)
        #expect(due.count == 1 && due[0].refusal.reason == "others")
        #expect(due.map(\.count) == [10_000 - RefusalTally.mostKinds])
    }

    @Test func travelsToTheMaster() throws {
        let (read, count) = try HopRefusal.decode(refusal("10.0.0.1:443").encoded(count: 7))
        #expect(read == refusal("10.0.0.1:443") && count == 7)
        #expect(throws: WireReader.Malformed.self) { try HopRefusal.decode([1, 2, 3]) }
    }
}
