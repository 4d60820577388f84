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
    public func timeout(now: UInt64) -> CInt {
        guard count > 0 else { return -1 }
        var ahead: UInt64 = 1
        while ahead < 1024, slots[Int(truncatingIfNeeded: (tick + ahead) & 1023)].isEmpty { ahead += 1 }
        let due = (tick + ahead) * Self.resolution
        return due > now ? CInt(truncatingIfNeeded: due - now) : 0
    }
}
