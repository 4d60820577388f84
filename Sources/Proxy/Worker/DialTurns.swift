import Bytes

/// Whose turn it is to take a step of a handshake with a server.
///
/// What has begun goes first. What has not begun does so at a pace: a server that is sent many first messages at once
/// answers no request before all of them, and who waits may be served by a connection that gets free meanwhile.
struct DialTurns {
    /// So many begin in a millisecond; more would not get done by one processor.
    private static let perMillisecond: UInt64 = 2
    /// So many begin at once after a pause.
    private static let most: UInt64 = 8

    private var steps = TokenQueue()
    private var beginnings = TokenQueue()
    private var allowed = Self.most
    /// Monotonic milliseconds.
    private var countedAt: UInt64 = 0

    mutating func append(_ token: Token, begins: Bool) {
        if begins { beginnings.append(token) } else { steps.append(token) }
    }

    /// Takes one out that is not to begin any more.
    mutating func forget(_ token: Token) { beginnings.remove(token) }

    /// Takes the next one.
    ///
    /// - Parameter now: monotonic milliseconds.
    mutating func next(now: UInt64) -> Token? {
        if let token = steps.next() { return token }
        guard !beginnings.isEmpty else { return nil }
        if now != countedAt {
            allowed = min(Self.most, allowed + Self.perMillisecond * min(now &- countedAt, Self.most))
            countedAt = now
        }
        guard allowed > 0 else { return nil }
        allowed -= 1
        return beginnings.next()
    }

    /// One that has begun was refused before any handshake: another may begin in its place.
    mutating func wasRefused() { allowed = min(Self.most, allowed + 1) }

    /// How many milliseconds may pass until there is a next one; nil when none waits.
    var pause: CInt? {
        if !steps.isEmpty { return 0 }
        if beginnings.isEmpty { return nil }
        return allowed > 0 ? 0 : 1
    }
}
