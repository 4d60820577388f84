/// Whether the wall clock was set, which the monotonic clock tells; what was planned by it is worth another look then.
///
/// A value without clock.
public struct WallClockWatch: Sendable {
    /// Clocks are steered by less, in microseconds.
    private static let slack: UInt64 = 30_000_000

    /// How far the wall clock was ahead of the monotonic one.
    private var lead: UInt64

    /// - Parameters:
    ///   - unix: microseconds since 1970.
    ///   - monotonic: microseconds of the monotonic clock, at the same time.
    public init(unix: UInt64, monotonic: UInt64) { lead = unix &- monotonic }

    /// Whether it was set since this was asked last; also a machine that was asleep is such a case.
    public mutating func wasSet(unix: UInt64, monotonic: UInt64) -> Bool {
        let lead = unix &- monotonic
        let moved = lead &- self.lead
        guard min(moved, 0 &- moved) > Self.slack else { return false }
        self.lead = lead
        return true
    }
}
