public import Bytes

/// Deadlines of many connections, kept coarse and cheap: arming is one append, nothing is ever removed early.
///
/// An owner keeps its true deadline itself. When the wheel names a token, the owner compares: a deadline that has
/// moved on is armed again, one that was dropped is ignored. So a connection that extends its deadline with every
/// byte costs the wheel one entry per tick round at most.
public struct TimerWheel {
    /// Milliseconds per slot: how late a deadline may be noticed.
    public static let resolution: UInt64 = 32

    private struct Entry {
        let token: Token
        let deadline: UInt64
    }

    private var slots: [[Entry]] = Array(repeating: [], count: 1024)
    private var tick: UInt64
    private var expired: [Token] = []
    /// No tick between now and this one finds an entry, so that waiting need not look through empty slots each time.
    private var earliest: UInt64 = 0

    /// How many entries wait.
    public private(set) var count = 0

    /// Makes an empty wheel.
    ///
    /// - Parameter now: milliseconds of the monotonic clock.
    public init(now: UInt64) { tick = now / Self.resolution }

    /// Asks for `token` to be named once `deadline` (monotonic milliseconds) has passed.
    public mutating func arm(_ token: Token, deadline: UInt64) {
        let due = max(deadline / Self.resolution + 1, tick + 1)
        slots[Int(truncatingIfNeeded: due & 1023)].append(Entry(token: token, deadline: deadline))
        // The first time that its slot comes round, which may be rounds before the deadline.
        earliest = min(earliest, tick + 1 + ((due - tick - 1) & 1023))
        count += 1
    }

    /// The tokens whose deadline lies at or before `now`, in no particular order.
    public mutating func expire(now: UInt64) -> [Token] {
        expired.removeAll(keepingCapacity: true)
        let target = now / Self.resolution
        // After a long pause one full round sees every slot.
        if target > tick + 1024 { tick = target - 1024 }
        while tick < target {
            tick += 1
            let slot = Int(truncatingIfNeeded: tick & 1023)
            guard !slots[slot].isEmpty else { continue }
            var kept = 0
            for index in slots[slot].indices {
                let entry = slots[slot][index]
                if entry.deadline <= now {
                    expired.append(entry.token)
                } else {
                    slots[slot][kept] = entry
                    kept += 1
                }
            }
            count -= slots[slot].count - kept
            slots[slot].removeLast(slots[slot].count - kept)
        }
        return expired
    }

    /// Milliseconds until the next slot is due, or -1 when nothing waits: what epoll_wait wants.
    public mutating func timeout(now: UInt64) -> CInt {
        guard count > 0 else { return -1 }
        earliest = max(earliest, tick + 1)
        while earliest < tick + 1024, slots[Int(truncatingIfNeeded: earliest & 1023)].isEmpty { earliest += 1 }
        let due = earliest * Self.resolution
        return due > now ? CInt(truncatingIfNeeded: due - now) : 0
    }
}
