import Bytes

/// Exchanges that wait for a connection, the one whose patience ends first in front.
///
/// A value without I/O or clock; times are monotonic milliseconds.
struct WaitingQueue {
    struct Entry: Equatable {
        let exchange: Token
        /// When it has waited long enough.
        let deadline: UInt64
        /// The only server that will do, for a session that has to stay.
        let server: Int?
    }

    /// How many may wait.
    let limit: Int
    private var entries: [Entry] = []

    init(limit: Int) { self.limit = limit }

    var count: Int { entries.count }

    /// Adds one; false when too many wait already.
    ///
    /// - Parameter again: whether it has waited before and lost its turn to somebody quicker: it keeps its place.
    mutating func add(_ entry: Entry, again: Bool) -> Bool {
        guard again || entries.count < limit else { return false }
        let place = entries.lastIndex { $0.deadline <= entry.deadline }.map { $0 + 1 } ?? 0
        entries.insert(entry, at: place)
        return true
    }

    /// Takes out the first that can go on.
    ///
    /// - Parameter hasRoom: whether a server takes one more.
    mutating func next(_ hasRoom: (Int) -> Bool) -> Token? {
        guard let index = entries.firstIndex(where: { $0.server.map(hasRoom) ?? true }) else { return nil }
        return entries.remove(at: index).exchange
    }

    /// Takes one out that waits no more.
    mutating func forget(_ exchange: Token) {
        if !entries.isEmpty { entries.removeAll { $0.exchange == exchange } }
    }

    /// Takes out one that has waited too long.
    mutating func expired(_ now: UInt64) -> Token? {
        guard let first = entries.first, first.deadline <= now else { return nil }
        entries.removeFirst()
        return first.exchange
    }
}
