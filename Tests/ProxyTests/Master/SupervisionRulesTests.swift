import Testing

@testable import Proxy

@Suite("Rules of supervision") struct SupervisionRulesTests {
    @Test func `pauses double up to half a minute, and a long life ends them`() {
        var pause = RestartPause()
        #expect(
            (0..<8).map { _ in pause.next(lived: 9999) } == [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        )
        #expect(pause.next(lived: 10_000) == 0)
        #expect(pause.next(lived: 10) == 500)
    }

    @Test func `a child is asked once, and its silence is counted from then`() {
        var pulse = Pulse()
        #expect(pulse.silence(now: 5000) == 0)
        let asked = [pulse.shouldAsk(now: 5000), pulse.shouldAsk(now: 6000)]
        #expect(asked == [true, false])
        #expect(pulse.silence(now: 9000) == 4000)
        pulse.forgive(3500)
        #expect(pulse.silence(now: 9000) == 500)
        pulse.answered()
        #expect(pulse.silence(now: 20_000) == 0 && pulse.askedAt == nil)
    }

    @Test func `a worker may have what its connections need, within the machine`() {
        let gigabyte: UInt64 = 1 << 30
        #expect(Master.memoryCeiling(connections: 4096, workers: 2, host: 64 * gigabyte) == gigabyte)
        #expect(Master.memoryCeiling(connections: 500_000, workers: 4, host: 5 * gigabyte) == gigabyte)
        #expect(Master.memoryCeiling(connections: 500_000, workers: 64, host: gigabyte) == 256 << 20)
    }
}
