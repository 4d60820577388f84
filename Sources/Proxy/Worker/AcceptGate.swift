import Bytes
import Platform

/// How many clients a worker holds: at the limit it stops accepting, so that new ones wait in the kernel's queue or
/// find another worker instead of being cut off.
struct AcceptGate {
    /// The most clients at once.
    let limit: Int
    /// Closed while the limit is reached or descriptors have run out.
    private(set) var isOpen = true
    private var reopenAt: UInt64 = 0

    init(limit: Int) { self.limit = limit }

    /// Whether accepting has to stop now.
    mutating func shouldClose(clients: Int) -> Bool {
        guard isOpen, clients >= limit else { return false }
        isOpen = false
        return true
    }

    /// The kernel has no descriptor left: wait a little before trying again.
    mutating func outOfDescriptors(now: UInt64) -> Bool {
        reopenAt = now + 500
        defer { isOpen = false }
        return isOpen
    }

    /// Whether accepting may begin again; a little below the limit, so that it does not flap.
    mutating func shouldOpen(clients: Int, now: UInt64) -> Bool {
        guard !isOpen, now >= reopenAt, clients < limit - limit / 50 else { return false }
        isOpen = true
        return true
    }
}
