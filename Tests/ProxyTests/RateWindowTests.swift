import Testing

@testable import Proxy

@Suite("Rates of the last minute") struct RateWindowTests {
    private func window(_ counts: [Int64], every milliseconds: UInt64 = 1000) -> RateWindow {
        var window = RateWindow()
        for (index, count) in counts.enumerated() {
            window.add(.init(at: 5000 + UInt64(index) * milliseconds, counts: [count], buckets: [count, 0]))
        }
        return window
    }

    @Test func `a rate is that of the last ten seconds`() {
        #expect(window([]).rate(0) == 0)
        #expect(window([7]).rate(0) == 0)
        #expect(window([0, 5]).rate(0) == 5)
        #expect(window((0...30).map { $0 < 20 ? 0 : Int64($0 - 20) * 4 }).rate(0) == 4)
        // What is seldom is not nothing.
        #expect(window([0] + [Int64](repeating: 0, count: 9) + [1]).rate(0) == 0.1)
    }

    @Test func `a count that falls for a moment is no negative rate`() {
        #expect(window([100, 40]).rate(0) == 0)
        #expect(window([100, 40, 110]).history(0) == [0, 70])
    }

    @Test func `a minute is kept, and no more`() {
        let history = window((0...300).map { Int64($0) * 2 }).history(0)
        #expect(history.count == 60 && history.allSatisfy { $0 == 2 })
    }

    @Test func `quantiles are of the last minute's requests`() {
        #expect(window([5]).quantile(0.99) == nil && window([5, 5]).quantile(0.99) == nil)
        // The first bucket ends at 64 µs.
        #expect(window([5, 105]).quantile(0.99) == 0.1)
    }
}
