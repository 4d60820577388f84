import TLS

/// When an authority is asked again, in seconds since 1970.
///
/// A value without clock.
enum StapleSchedule {
    private static let firstPause: Int64 = 5
    private static let longestPause: Int64 = 3600
    /// For a certificate that demands a staple: without one, browsers refuse it meanwhile.
    private static let longestPauseOfDemand: Int64 = 300

    /// After an answer: at half of its time.
    ///
    /// An answer that is older has come out of a cache, which gets a while.
    static func next(after staple: Staple, now: Int64) -> Int64 {
        let half = staple.thisUpdate + (staple.nextUpdate - staple.thisUpdate) / 2
        return half > now ? half : now + max(60, (staple.nextUpdate - now) / 2)
    }

    /// After so many failures in a row: later and later, but not so late that the present answer runs out first.
    ///
    /// - Parameter isDemanded: whether the certificate demands a staple.
    static func next(failures: Int, staple: Staple?, isDemanded: Bool, now: Int64) -> Int64 {
        let longest = isDemanded ? longestPauseOfDemand : longestPause
        let pause = min(firstPause << Int64(max(0, min(failures - 1, 10))), longest)
        guard let staple, staple.nextUpdate > now else { return now + pause }
        return now + max(firstPause, min(pause, (staple.nextUpdate - now) / 2))
    }
}
