import Telemetry

/// What was counted over the last minute, second by second.
///
/// A value without I/O or clock.
struct RateWindow {
    /// What all pages together have counted at one time.
    struct Sample {
        /// Monotonic milliseconds.
        let at: UInt64
        /// One count per thing that has a rate, in an order of the owner's.
        let counts: [Int64]
        /// Durations of requests, by bucket.
        let buckets: [Int64]
    }

    /// How long samples are kept, and over how long rates are taken, in milliseconds.
    private static let kept: UInt64 = 60_000
    private static let span: UInt64 = 10_000

    private var samples: [Sample] = []

    /// When the next sample is due.
    private(set) var due: UInt64 = 0

    /// Takes a sample in; those that are older than a minute go.
    mutating func add(_ sample: Sample) {
        // A pause of the whole machine makes one long second, not many empty ones.
        due = sample.at + 1000
        samples.append(sample)
        // One that is a minute old or more stays, to begin the minute with.
        while samples.count > 2, sample.at - samples[1].at >= Self.kept { samples.removeFirst() }
    }

    /// So many per second over the last ten seconds, with one decimal place; a tenth at least when there was any.
    func rate(_ place: Int) -> Double {
        guard let last = samples.last,
            let first = samples.last(where: { last.at - $0.at >= Self.span }) ?? samples.first,
            last.at > first.at
        else { return 0 }
        let count = Self.growth(first.counts[place], last.counts[place])
        guard count > 0 else { return 0 }
        return max(0.1, Self.rounded(Double(count) * 1000 / Double(last.at - first.at)))
    }

    /// How many in each second of the last minute, the oldest first.
    func history(_ place: Int) -> [Int64] {
        zip(samples, samples.dropFirst()).suffix(60).map { before, after in
            let length = Int64(max(1, after.at - before.at))
            return (Self.growth(before.counts[place], after.counts[place]) * 1000 + length / 2) / length
        }
    }

    /// What a share of the last minute's requests took at most, in milliseconds; nil when there was none.
    func quantile(_ share: Double) -> Double? {
        guard let first = samples.first, let last = samples.last else { return nil }
        let buckets = zip(first.buckets, last.buckets).map(Self.growth)
        guard let microseconds = MetricsPage.quantile(share, of: buckets) else { return nil }
        return Self.rounded(microseconds / 1000)
    }

    /// Between a worker's death and its counts' arrival in the retired page, a sum may fall.
    private static func growth(_ before: Int64, _ after: Int64) -> Int64 { max(0, after - before) }

    private static func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
}
