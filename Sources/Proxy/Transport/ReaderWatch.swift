import Bytes
import Config

/// Whether a client takes what waits for it: looked at while the socket takes no more, and only then.
///
/// Most readers have gone on before the first look, so they cost nothing.
struct ReaderWatch {
    /// When the first look is due, in milliseconds.
    private static let firstLook: UInt64 = 1000

    private var patience = Patience()
    /// What it had taken at the last look.
    private var taken: UInt64?
    private var deadline = Deadline()

    /// Since when bytes wait for the client, in monotonic milliseconds; nil while none do.
    private(set) var since: UInt64?

    /// Whether bytes wait for the client.
    var isOn: Bool { since != nil }

    /// The socket takes no more; not to be called again before `end`.
    ///
    /// - Returns: when the wheel has to name the connection.
    mutating func begin(_ limit: UInt64, now: UInt64) -> UInt64? {
        since = now
        taken = nil
        patience.renew(limit: limit)
        patience.wait(now: now)
        return deadline.set(after: min(Self.firstLook, max(1, limit / 4)), now: now)
    }

    /// Nothing waits any more.
    mutating func end() {
        since = nil
        deadline.clear()
    }

    /// Whether it is time for a look, when the wheel has named the connection; if not, `rest` follows.
    mutating func isDue(now: UInt64) -> Bool { deadline.expired(now: now) }

    /// When the wheel has to name the connection again, having done so too early.
    mutating func rest() -> UInt64? { deadline.rest() }

    /// Looks.
    ///
    /// - Returns: whether the client has been too slow for too long; if not, `again` follows.
    mutating func isTooSlow(_ transport: borrowing Transport, _ settings: Config.Server, now: UInt64) -> Bool {
        let total = transport.bytesTaken
        let limit = settings.timeouts.write
        if let taken { patience.earn(total &- taken, rate: settings.limits.minimumRate, limit: limit, now: now) }
        taken = total
        return patience.isOver(now: now)
    }

    /// When the wheel has to name the connection for the next look.
    mutating func again(now: UInt64) -> UInt64? { deadline.set(after: patience.wait(now: now), now: now) }
}
