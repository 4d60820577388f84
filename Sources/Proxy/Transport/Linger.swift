/// The time after our last word, in which what the peer still sends is dropped, so that no reset destroys what it has not
/// read yet (RFC 9112 §9.6).
struct Linger {
    /// How long bytes are dropped for anybody, in milliseconds.
    static let time: UInt64 = 2000
    /// Whoever has sent more than this by then does not read.
    static let mostBytes: UInt64 = 1 << 20

    private var until: UInt64 = 0
    private var bytesBefore: UInt64 = 0

    /// Begins.
    ///
    /// - Parameter until: how long a peer is waited for that is slow to read, where one may be waited for.
    /// - Returns: after how many milliseconds to look again.
    mutating func begin(until: UInt64?, bytesIn: UInt64, now: UInt64) -> UInt64 {
        self.until = max(until ?? 0, now + Self.time)
        bytesBefore = bytesIn
        return Self.time
    }

    /// Looks whether the peer is waited for still.
    ///
    /// - Returns: after how many milliseconds to look again; nil when it has had its time.
    func more(bytesIn: UInt64, now: UInt64) -> UInt64? {
        guard now < until, bytesIn &- bytesBefore <= Self.mostBytes else { return nil }
        return min(Self.time, until - now)
    }
}
