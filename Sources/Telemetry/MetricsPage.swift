import Glibc
public import Platform

/// Whose counts are in which slots of a page, by name: a configuration's order.
public struct MetricsNames: Equatable, Sendable {
    let upstreams: [String]
    let servers: [String]
    let databases: [String]

    /// - Parameter servers: of all upstreams, one after the other.
    public init(upstreams: [String], servers: [(upstream: String, server: String)], databases: [String]) {
        self.upstreams = upstreams
        self.servers = servers.map { "\($0.upstream) \($0.server)" }
        self.databases = databases
    }
}

/// A worker's counters in memory that it shares with those who read them: writing one is a plain add.
///
/// One process writes a page; any number read it. A reader may see a histogram's sum an instant before its count.
///
/// *Ownership:* owns the mapping, not the descriptor.
public final class MetricsPage {
    /// Upstreams that are counted apart.
    public static let upstreamSlots = 256
    /// Databases that are counted apart.
    public static let databaseSlots = 64
    /// Servers of upstreams that are counted apart, over all upstreams.
    public static let serverSlots = 1024
    static let firstBucket = 6
    /// Buckets of a histogram that have an upper bound: 2^6 to 2^26 microseconds, 64 µs to 67 s.
    public static let bucketCount = 21
    /// Buckets, one more for what is slower, and the sum.
    private static let timingWords = bucketCount + 2
    private static let words = serverStart + serverSlots * ServerCounter.allCases.count
    private static let serverStart = databaseStart + databaseSlots * DatabaseCounter.allCases.count
    private static let databaseStart = namedStart + upstreamSlots * UpstreamCounter.allCases.count
    /// Where counts begin that belong to somebody.
    private static let namedStart = Counter.allCases.count + Timing.allCases.count * timingWords
    /// Bytes that the shared memory has to have.
    public static let size = (words * 8 + 4095) / 4096 * 4096

    private let memory: UnsafeMutablePointer<Int64>

    /// Maps shared memory of `size` bytes.
    public init(descriptor: borrowing FileDescriptor) throws(Errno) {
        let address = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.raw, 0)
        guard let address, address != MAP_FAILED else { throw Errno(in: "mmap") }
        memory = address.bindMemory(to: Int64.self, capacity: Self.words)
    }

    deinit { munmap(memory, Self.size) }

    /// Adds to a counter.
    public func add(_ counter: Counter, _ amount: Int = 1) { memory[counter.rawValue] &+= Int64(amount) }

    /// Reads a counter.
    public func value(_ counter: Counter) -> Int64 { memory[counter.rawValue] }

    /// Counts one for an upstream; those beyond the last slot are not counted apart.
    public func add(_ counter: UpstreamCounter, upstream: Int) {
        guard upstream >= 0, upstream < Self.upstreamSlots else { return }
        memory[Self.place(counter, upstream)] &+= 1
    }

    /// Reads an upstream's counter.
    public func value(_ counter: UpstreamCounter, upstream: Int) -> Int64 {
        guard upstream >= 0, upstream < Self.upstreamSlots else { return 0 }
        return memory[Self.place(counter, upstream)]
    }

    /// Adds to a database's counter; those beyond the last slot are not counted apart.
    public func add(_ counter: DatabaseCounter, database: Int, _ amount: Int = 1) {
        guard database >= 0, database < Self.databaseSlots else { return }
        memory[Self.place(counter, database)] &+= Int64(amount)
    }

    /// Reads a database's counter.
    public func value(_ counter: DatabaseCounter, database: Int) -> Int64 {
        guard database >= 0, database < Self.databaseSlots else { return 0 }
        return memory[Self.place(counter, database)]
    }

    /// Adds to a server's counter; those beyond the last slot are not counted apart.
    public func add(_ counter: ServerCounter, server: Int, _ amount: Int = 1) {
        guard server >= 0, server < Self.serverSlots else { return }
        memory[Self.place(counter, server)] &+= Int64(amount)
    }

    /// Sets a server's gauge.
    public func set(_ counter: ServerCounter, server: Int, _ value: Int) {
        guard server >= 0, server < Self.serverSlots else { return }
        memory[Self.place(counter, server)] = Int64(value)
    }

    /// Reads a server's counter.
    public func value(_ counter: ServerCounter, server: Int) -> Int64 {
        guard server >= 0, server < Self.serverSlots else { return 0 }
        return memory[Self.place(counter, server)]
    }

    /// Records one duration.
    public func record(_ timing: Timing, microseconds: UInt64) {
        let start = Self.start(timing)
        memory[start + Self.bucket(microseconds)] &+= 1
        memory[start + Self.bucketCount + 1] &+= Int64(truncatingIfNeeded: min(microseconds, 1 << 40))
    }

    /// How many durations fell into each bucket, the last of them without a bound, and their sum in microseconds.
    public func histogram(_ timing: Timing) -> (buckets: [Int64], sum: Int64) {
        let start = Self.start(timing)
        return ((0...Self.bucketCount).map { memory[start + $0] }, memory[start + Self.bucketCount + 1])
    }

    /// What a share of the durations took at most, in microseconds; nil when there is none.
    ///
    /// Within a bucket they are taken to lie evenly; of those beyond the last bound nothing but the bound is known.
    ///
    /// - Parameters:
    ///   - share: of the durations, from 0 to 1.
    ///   - buckets: as `histogram` has them, or what was added to them.
    public static func quantile(_ share: Double, of buckets: [Int64]) -> Double? {
        let total = buckets.reduce(0, +)
        guard total > 0 else { return nil }
        let wanted = share * Double(total)
        var below = 0.0
        for (index, count) in buckets.prefix(bucketCount).enumerated() where count > 0 {
            if below + Double(count) >= wanted {
                let upper = Double(Int64(1) << Int64(firstBucket + index))
                let lower = index == 0 ? 0 : upper / 2
                return lower + (upper - lower) * (wanted - below) / Double(count)
            }
            below += Double(count)
        }
        return Double(Int64(1) << Int64(firstBucket + bucketCount - 1))
    }

    /// Adds what another page has counted, of which the writer is gone; gauges fall to nothing with it.
    ///
    /// - Parameters:
    ///   - theirs: whose counts are in which slots of that page.
    ///   - ours: the same of this one; what has no slot here is not counted apart any more.
    public func absorb(_ other: MetricsPage, named theirs: MetricsNames, as ours: MetricsNames) {
        for index in 0..<Self.namedStart {
            if let counter = Counter(rawValue: index), counter.isGauge { continue }
            memory[index] &+= other.memory[index]
        }
        addNamed(theirs, as: ours, withGauges: false) { other.memory[$0] }
    }

    /// Moves counts to where the slots of another configuration are.
    public func rename(from old: MetricsNames, to new: MetricsNames) {
        guard old != new else { return }
        let before = (Self.namedStart..<Self.words).map { memory[$0] }
        for index in Self.namedStart..<Self.words { memory[index] = 0 }
        addNamed(old, as: new, withGauges: true) { before[$0 - Self.namedStart] }
    }

    private func addNamed(
        _ theirs: MetricsNames,
        as ours: MetricsNames,
        withGauges: Bool,
        _ value: (Int) -> Int64
    ) {
        for (from, to) in Self.slots(theirs.upstreams, ours.upstreams, Self.upstreamSlots) {
            for counter in UpstreamCounter.allCases {
                memory[Self.place(counter, to)] &+= value(Self.place(counter, from))
            }
        }
        for (from, to) in Self.slots(theirs.databases, ours.databases, Self.databaseSlots) {
            for counter in DatabaseCounter.allCases where withGauges || !counter.isGauge {
                memory[Self.place(counter, to)] &+= value(Self.place(counter, from))
            }
        }
        for (from, to) in Self.slots(theirs.servers, ours.servers, Self.serverSlots) {
            for counter in ServerCounter.allCases where withGauges || !counter.isGauge {
                memory[Self.place(counter, to)] &+= value(Self.place(counter, from))
            }
        }
    }

    /// Slots of the same name.
    private static func slots(_ theirs: [String], _ ours: [String], _ count: Int) -> [(from: Int, to: Int)] {
        var places: [String: Int] = [:]
        for (slot, name) in ours.enumerated().prefix(count).reversed() { places[name] = slot }
        return theirs.enumerated().prefix(count).compactMap { slot, name in places[name].map { (slot, $0) } }
    }

    static func bucket(_ microseconds: UInt64) -> Int {
        let bits = 64 - (max(1, microseconds) - 1).leadingZeroBitCount
        return min(max(0, bits - firstBucket), bucketCount)
    }

    /// A bucket's place, or the sum's behind the last of them.
    static func place(_ timing: Timing, _ index: Int) -> Int { start(timing) + index }

    /// Adds to whatever has a place.
    func add(_ amount: Int64, at place: Int) { memory[place] &+= amount }

    private static func start(_ timing: Timing) -> Int { Counter.allCases.count + timing.rawValue * timingWords }

    static func place(_ counter: ServerCounter, _ server: Int) -> Int {
        serverStart + server * ServerCounter.allCases.count + counter.rawValue
    }

    static func place(_ counter: DatabaseCounter, _ database: Int) -> Int {
        databaseStart + database * DatabaseCounter.allCases.count + counter.rawValue
    }

    static func place(_ counter: UpstreamCounter, _ upstream: Int) -> Int {
        Counter.allCases.count + Timing.allCases.count * timingWords + upstream * UpstreamCounter.allCases.count
            + counter.rawValue
    }
}
