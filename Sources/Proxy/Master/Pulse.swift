/// Whether a child still answers: it is asked once a round, and not again before it has answered.
///
/// A value without I/O or clock.
struct Pulse: Equatable {
    /// When the question was asked that has no answer yet.
    private(set) var askedAt: UInt64?

    /// Whether to ask now.
    mutating func shouldAsk(now: UInt64) -> Bool {
        guard askedAt == nil else { return false }
        askedAt = now
        return true
    }

    mutating func answered() { askedAt = nil }

    /// How long the child has been silent.
    func silence(now: UInt64) -> UInt64 {
        guard let askedAt, now > askedAt else { return 0 }
        return now - askedAt
    }

    /// The master itself did not run for a while, and could not have heard an answer.
    mutating func forgive(_ time: UInt64) {
        if let askedAt { self.askedAt = askedAt + time }
    }
}
