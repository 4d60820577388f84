/// The one deadline of a connection: what it waits for decides how long.
///
/// The wheel is only told of a deadline that is earlier than the one it already knows; when it names the connection too
/// early, `rest` says when again. The owner does the arming, so that no access to a deadline takes in another's code.
struct Deadline {
    private var due: UInt64 = 0
    private var armed: UInt64 = 0

    /// Sets the deadline to `delay` milliseconds from now.
    ///
    /// - Returns: when the wheel has to name the connection; nil when it will do so early enough.
    mutating func set(after delay: UInt64, now: UInt64) -> UInt64? {
        due = now &+ delay
        guard armed == 0 || due < armed else { return nil }
        armed = due
        return due
    }

    /// Whether anything is waited for.
    var isSet: Bool { due != 0 }

    /// Drops the deadline.
    mutating func clear() { due = 0 }

    /// Whether the time is up, when the wheel has named this connection; if not, `rest` follows.
    mutating func expired(now: UInt64) -> Bool {
        // An entry that was overtaken by an earlier one still fires; it must not disturb the later arming.
        if armed != 0 && armed > now { return false }
        armed = 0
        return due != 0 && due <= now
    }

    /// When the wheel has to name the connection again, having done so too early; nil when it need not.
    mutating func rest() -> UInt64? {
        guard armed == 0, due != 0 else { return nil }
        armed = due
        return due
    }
}
