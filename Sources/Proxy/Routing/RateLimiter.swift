import Config

/// How often each client may ask: for each a bucket of tokens, kept as the one time at which it is full again.
///
/// The table has a fixed size and forgets the bucket that is full soonest when it has no room: of a full one there is
/// nothing to remember. One table serves all limits of a worker; it takes its memory with the first request that a limit
/// holds for.
struct RateLimiter {
    /// Buckets of one set, and sets; 786 KB in all.
    static let ways = 8
    static let sets = 4096

    private struct Bucket {
        var key = AddressBits(high: 0, low: 0)
        /// Microseconds; 0 for a bucket that was never used.
        var fullAt: UInt64 = 0
    }

    private var buckets: [Bucket] = []
    private let salt = UInt64.random(in: .min ... .max)

    /// How many buckets there is memory for.
    var capacity: Int { buckets.count }

    /// Takes a token of `address`'s bucket.
    ///
    /// - Parameters:
    ///   - number: of the limit, among all.
    ///   - now: monotonic microseconds.
    /// - Returns: nil when there was one, otherwise the microseconds until there is.
    mutating func take(_ limit: RateLimit, _ number: Int, _ address: AddressBits, now: UInt64) -> UInt64? {
        if buckets.isEmpty { buckets = Array(repeating: Bucket(), count: Self.ways * Self.sets) }
        let key = Self.key(address, number)
        let interval = max(1, limit.period.microseconds / UInt64(limit.requests))
        let index = place(key, now: now)
        let base = buckets[index].key == key ? max(buckets[index].fullAt, now) : now
        // RFC 9110 §10.2.3 wants to tell when the next one is there.
        let tolerance = interval * UInt64(limit.burst - 1)
        if base - now > tolerance { return base - now - tolerance }
        buckets[index] = Bucket(key: key, fullAt: base + interval)
        return nil
    }

    /// The key's bucket, or the one that is given to it.
    private func place(_ key: AddressBits, now: UInt64) -> Int {
        var hash = (key.high ^ salt) &* 0x9E37_79B9_7F4A_7C15
        hash = (hash ^ hash >> 32 ^ key.low) &* 0xD6E8_FEB8_6659_FD93
        hash = (hash ^ hash >> 32 ^ salt) &* 0xD6E8_FEB8_6659_FD93
        let first = Int(truncatingIfNeeded: hash >> 52) * Self.ways
        var best = first
        for index in first..<first + Self.ways {
            if buckets[index].key == key { return index }
            if buckets[index].fullAt < buckets[best].fullAt { best = index }
        }
        return best
    }

    private static func key(_ address: AddressBits, _ number: Int) -> AddressBits {
        let client = address.ofClient
        return AddressBits(high: client.high, low: client.low | UInt64(truncatingIfNeeded: number + 1) << 48)
    }
}
