/// How much longer a peer is waited for: each byte of its buys time at a minimum rate, and no pause may be longer than the
/// limit.
///
/// A peer that keeps to the rate goes on for ever, one that stops is ended after the limit, and one that trickles in
/// between. Times are monotonic milliseconds, and the owner says when its clock runs: only while the peer is what is
/// waited for.
public struct Patience: Sendable {
    /// What is left, without the wait under way; less than nothing until the bytes of that time are counted.
    private var left: Int64 = 0
    /// When the wait under way began; 0 without one.
    private var since: UInt64 = 0

    /// Makes one that is over.
    public init() {}

    /// Begins anew, without waiting.
    public mutating func renew(limit: UInt64) {
        left = Int64(clamping: limit)
        since = 0
    }

    /// Whether the clock runs.
    public var isWaiting: Bool { since != 0 }

    /// Lets the clock run, if it does not yet.
    ///
    /// - Returns: how long the peer has from now on.
    @discardableResult
    public mutating func wait(now: UInt64) -> UInt64 {
        settle(now)
        since = now
        return UInt64(max(left, 0))
    }

    /// Stops the clock.
    ///
    /// - Returns: whether it ran.
    @discardableResult
    public mutating func pause(now: UInt64) -> Bool {
        guard isWaiting else { return false }
        settle(now)
        since = 0
        return true
    }

    /// The peer has sent, or taken, so many bytes.
    ///
    /// - Parameter rate: bytes that buy a second; 0 when any byte buys the whole limit.
    public mutating func earn(_ bytes: UInt64, rate: UInt64, limit: UInt64, now: UInt64) {
        guard bytes > 0 else { return }
        settle(now)
        guard rate > 0 else {
            left = Int64(clamping: limit)
            return
        }
        left = min(Int64(clamping: limit), left + Int64(min(bytes, 1 << 50) * 1000 / rate))
    }

    /// Whether nothing is left, when the bytes that came meanwhile have been counted.
    public mutating func isOver(now: UInt64) -> Bool {
        settle(now)
        return left <= 0
    }

    private mutating func settle(_ now: UInt64) {
        guard since != 0 else { return }
        left -= Int64(clamping: now &- since)
        since = now
    }
}
