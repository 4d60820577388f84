import Platform
import Testing

@Suite("A wall clock that is set") struct WallClockWatchTests {
    private static let second: UInt64 = 1_000_000

    @Test(arguments: [86_400, 31] as [UInt64])
    func `is noticed once, forward and back`(_ seconds: UInt64) {
        let jump = seconds * Self.second
        let start = 1_000_000 * Self.second
        var watch = WallClockWatch(unix: start, monotonic: 0)
        let steps: [(unix: UInt64, monotonic: UInt64)] = [
            (start + 5, 5), (start + jump + 10, 10), (start + jump + 15, 15), (start + 20, 20), (start - jump, 25),
        ]
        #expect(steps.map { watch.wasSet(unix: $0.unix, monotonic: $0.monotonic) } == [false, true, false, true, true])
    }

    @Test func `that is steered is not one`() {
        var watch = WallClockWatch(unix: 0, monotonic: 500)
        let set = watch.wasSet(unix: 29 * Self.second, monotonic: 500)
        #expect(!set)
    }
}
