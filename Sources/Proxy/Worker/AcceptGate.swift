import Bytes
import Platform

/// When a worker accepts: not beyond its limits, of clients, descriptors, handshakes that wait, or memory.
///
/// New clients wait in the kernel's queue then, instead of being cut off.
struct AcceptGate {
    /// The most clients at once.
    let limit: Int
    /// Closed while the limit is reached or descriptors have run out.
    private var hasRoom = true
    /// Closed while too many handshakes wait for this worker.
    private(set) var isFlooded = false
    /// Closed while buffers are used up.
    var isPressed = false
    /// Until when it stays closed, however many go.
    private var reopenAt: UInt64 = 0
    /// From when on a single place is enough.
    private var contentAt: UInt64 = 0
    /// How long, in milliseconds, places are gathered before clients are let in again.
    static let pause: UInt64 = 500

    /// Whether clients are accepted.
    var isOpen: Bool { hasRoom && !isFlooded && !isPressed }

    init(limit: Int) { self.limit = limit }

    /// Whether accepting has to stop now.
    mutating func shouldClose(clients: Int, now: UInt64) -> Bool {
        guard hasRoom, clients >= limit else { return false }
        hasRoom = false
        contentAt = now + Self.pause
        return true
    }

    /// The kernel has no descriptor left: wait a little before trying again.
    mutating func outOfDescriptors(now: UInt64) -> Bool {
        reopenAt = now + Self.pause
        contentAt = reopenAt
        defer { hasRoom = false }
        return hasRoom
    }

    /// Whether accepting may begin again: at once well below the limit, and just below it after a while, so that it does
    /// not flap and nobody waits for a place that is free.
    mutating func shouldOpen(clients: Int, now: UInt64) -> Bool {
        let enough = now >= contentAt ? 0 : max(limit / 50, min(max(1, limit / 4), 16, limit - 1))
        guard !hasRoom, now >= reopenAt, clients < limit - enough else { return false }
        hasRoom = true
        return true
    }

    /// So many handshakes wait for their turn.
    ///
    /// - Parameter most: how many may.
    /// - Returns: whether accepting has to pause now.
    mutating func handshakeWaits(_ waiting: Int, most: Int) -> Bool {
        guard !isFlooded, waiting >= most else { return false }
        isFlooded = true
        return true
    }

    /// A handshake has had its turn.
    ///
    /// - Returns: whether accepting may begin again, as far as handshakes go.
    mutating func handshakeHadTurn(_ waiting: Int, most: Int) -> Bool {
        guard isFlooded, waiting <= most / 2 else { return false }
        isFlooded = false
        return true
    }
}
