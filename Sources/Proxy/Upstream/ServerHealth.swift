import Config

/// What is known of one server's health: what the monitor's checks say, and how requests fared there.
///
/// A value without I/O or clock; times are monotonic milliseconds.
struct ServerHealth: Equatable {
    /// What the last checks said; a server that is not checked, or not yet, is taken for up.
    private(set) var isCheckedDown = false
    /// Requests that failed in a row.
    private(set) var failures = 0
    /// Ejections without a good answer between them: each is twice as long as the one before.
    private(set) var ejections = 0
    private(set) var ejectedUntil: UInt64 = 0
    /// Since when the server is back, for its slow start; nil when it was never gone.
    private var backSince: UInt64?

    /// Whether it is left out after failures.
    func isEjected(_ now: UInt64) -> Bool { now < ejectedUntil }

    /// A request failed because of the server.
    ///
    /// - Parameter unreachable: whether it could not even be connected and verified, which ejects it at once.
    /// - Returns: for how many milliseconds it is ejected, if it is by this failure.
    mutating func failed(unreachable: Bool, now: UInt64, _ settings: Upstream.Ejection) -> UInt64? {
        failures = min(failures + 1, 1 << 20)
        guard !isEjected(now), unreachable || failures >= settings.failures || ejections > 0 else { return nil }
        let doubled = settings.time << UInt64(min(ejections, 20))
        let time = min(doubled, settings.maximumTime)
        ejections = min(ejections + 1, 20)
        ejectedUntil = now + time
        backSince = nil
        return time
    }

    /// A request was answered.
    ///
    /// An ejection that runs is not cut short: what was under way may have been easier.
    mutating func answered(now: UInt64) {
        failures = 0
        guard ejections > 0, !isEjected(now) else { return }
        backSince = ejectedUntil
        ejections = 0
    }

    /// The monitor's word.
    mutating func checked(isUp: Bool, now: UInt64) {
        guard isUp == isCheckedDown else { return }
        isCheckedDown = !isUp
        guard isUp else { return }
        // A server that has just proved itself is not held to what happened before.
        failures = 0
        ejections = 0
        ejectedUntil = 0
        backSince = now
    }

    /// How much of its weight counts now: less than one during slow start.
    func share(now: UInt64, slowStart: UInt64) -> Double {
        guard slowStart > 0, let since = backSince ?? (ejections > 0 ? ejectedUntil : nil), now >= since,
            now - since < slowStart
        else { return 1 }
        return max(Self.leastShare, Double(now - since) / Double(slowStart))
    }

    /// Even at the beginning a server gets something, or it could never show that it works.
    private static let leastShare = 0.05
}
