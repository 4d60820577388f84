import Bytes
import Platform

/// The one deadline of a connection: what it waits for decides how long.
///
/// The wheel is only told of a deadline that is earlier than the one it already knows; when it names the connection too
/// early, `expired` arms the rest.
struct Deadline {
    private var due: UInt64 = 0
    private var armed: UInt64 = 0

    /// Sets the deadline to `delay` milliseconds from now.
    mutating func set(after delay: UInt64, now: UInt64, token: Token, wheel: inout TimerWheel) {
        due = now &+ delay
        guard armed == 0 || due < armed else { return }
        armed = due
        wheel.arm(token, deadline: due)
    }

    /// Whether anything is waited for.
    var isSet: Bool { due != 0 }

    /// Drops the deadline.
    mutating func clear() { due = 0 }

    /// Whether the time is up, when the wheel has named this connection.
    mutating func expired(now: UInt64, token: Token, wheel: inout TimerWheel) -> Bool {
        // An entry that was overtaken by an earlier one still fires; it must not disturb the later arming.
        if armed != 0 && armed > now { return false }
        armed = 0
        guard due != 0 else { return false }
        if due <= now { return true }
        armed = due
        wheel.arm(token, deadline: due)
        return false
    }
}
