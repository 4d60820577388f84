import Bytes
import Testing

@Suite("Patience") struct PatienceTests {
    private static let limit: UInt64 = 60_000
    private static let rate: UInt64 = 240

    /// How long a peer goes on that shows `bytes` every `pause` milliseconds; nil when it does so for an hour.
    private func ends(_ bytes: UInt64, every pause: UInt64, rate: UInt64 = rate) -> UInt64? {
        var patience = Patience()
        patience.renew(limit: Self.limit)
        var now: UInt64 = 1
        while now < 3_600_000 {
            patience.wait(now: now)
            now += pause
            if patience.isOver(now: now) { return now - 1 }
            patience.earn(bytes, rate: rate, limit: Self.limit, now: now)
        }
        return nil
    }

    @Test func `whoever stops has the limit, and whoever keeps to the rate has all time`() {
        #expect(ends(0, every: 1000) == 60_000)
        #expect(ends(240, every: 1000) == nil)
        #expect(ends(1, every: 4) == nil)
        #expect(ends(14_400, every: 59_999) == nil)
        #expect(ends(1 << 63, every: 60_000) == 60_000)
    }

    @Test func `whoever trickles has the limit and what the bytes bought`() {
        // Half the rate loses half a second each second.
        #expect(ends(120, every: 1000) == 119_000)
        #expect(ends(24, every: 1000) == 67_000)
    }

    @Test func `bytes that come while time runs out make up for it only as far as they buy`() {
        for (bytes, ends) in [(UInt64(24), true), (240, false)] {
            var patience = Patience()
            patience.renew(limit: 500)
            patience.wait(now: 1)
            patience.wait(now: 1001)
            patience.earn(bytes, rate: 240, limit: 500, now: 1001)
            let isOver = patience.isOver(now: 1001)
            #expect(isOver == ends)
        }
    }

    @Test func `without a rate any byte buys the whole limit`() {
        #expect(ends(1, every: 59_999, rate: 0) == nil)
        #expect(ends(1, every: 60_000, rate: 0) == 60_000)
    }

    @Test func `time counts only while the clock runs`() {
        var patience = Patience()
        patience.renew(limit: 1000)
        let ran = patience.pause(now: 5)
        #expect(!patience.isWaiting && !ran)
        let steps = [patience.wait(now: 10), patience.wait(now: 410)]
        #expect(steps == [1000, 600])
        let runs = patience.pause(now: 510)
        let rest = patience.wait(now: 100_000)
        let isOver = patience.isOver(now: 100_500)
        #expect(runs && rest == 500 && isOver)
    }

    @Test func `bytes while it is paused are not lost, and never buy more than the limit`() {
        var patience = Patience()
        patience.renew(limit: 1000)
        patience.wait(now: 1)
        patience.pause(now: 901)
        patience.earn(120, rate: 240, limit: 1000, now: 5000)
        let rest = patience.wait(now: 6000)
        patience.earn(.max, rate: 1 << 40, limit: 1000, now: 6000)
        patience.earn(.max, rate: 1, limit: 1000, now: 6000)
        let most = patience.wait(now: 6000)
        #expect(rest == 600 && most == 1000)
    }
}
