/// What pages have counted, by names that another version of the program understands as well: its pages may have other
/// slots.
public struct MetricsTally: Equatable, Sendable {
    /// What is not nothing.
    public private(set) var values: [String: Int64] = [:]

    /// Nothing yet.
    public init() {}

    /// What was told by another process.
    public init(_ values: [String: Int64]) { self.values = values.filter { $0.value != 0 } }

    /// Adds a page.
    ///
    /// - Parameter names: whose counts are in which slots of it.
    public mutating func add(_ page: MetricsPage, _ names: MetricsNames) {
        page.forEachPlace(names) { key, _, value in
            if value != 0 { values[key, default: 0] &+= value }
        }
    }

    /// What has been counted since an earlier one.
    public func difference(from earlier: MetricsTally) -> MetricsTally {
        var result = values
        for (key, value) in earlier.values { result[key, default: 0] &-= value }
        return MetricsTally(result)
    }
}

extension MetricsPage {
    /// Adds what others have counted; what has no slot here is not counted apart any more.
    ///
    /// - Parameter names: whose counts are in which slots of this page.
    public func add(_ tally: MetricsTally, _ names: MetricsNames) {
        forEachPlace(names) { key, place, _ in
            if let value = tally.values[key] { add(value, at: place) }
        }
    }

    /// Whoever counted these is gone: what was now is not any more.
    public func dropGauges(of tally: MetricsTally, _ names: MetricsNames) {
        let gauges = Counter.allCases.filter(\.isGauge).map(Self.key)
        let kinds =
            ServerCounter.allCases.filter(\.isGauge).map(\.exposition.name)
            + DatabaseCounter.allCases.filter(\.isGauge).map(\.exposition.name)
        let mine = tally.values.filter { key, _ in
            gauges.contains(key) || kinds.contains { key.hasPrefix("\($0) ") }
        }
        add(MetricsTally().difference(from: MetricsTally(mine)), names)
    }

    private static func key(_ counter: Counter) -> String {
        "\(counter.exposition.name){\(counter.exposition.labels)}"
    }

    fileprivate func forEachPlace(_ names: MetricsNames, _ body: (String, Int, Int64) -> Void) {
        for counter in Counter.allCases { body(Self.key(counter), counter.rawValue, value(counter)) }
        for timing in Timing.allCases {
            let (buckets, sum) = histogram(timing)
            for (index, value) in (buckets + [sum]).enumerated() {
                body("\(timing.exposition.name) \(index)", Self.place(timing, index), value)
            }
        }
        for (slot, name) in names.upstreams.enumerated().prefix(Self.upstreamSlots) {
            for counter in UpstreamCounter.allCases {
                body("\(counter.exposition.name) \(name)", Self.place(counter, slot), value(counter, upstream: slot))
            }
        }
        for (slot, name) in names.servers.enumerated().prefix(Self.serverSlots) {
            for counter in ServerCounter.allCases {
                body("\(counter.exposition.name) \(name)", Self.place(counter, slot), value(counter, server: slot))
            }
        }
        for (slot, name) in names.databases.enumerated().prefix(Self.databaseSlots) {
            for counter in DatabaseCounter.allCases {
                body("\(counter.exposition.name) \(name)", Self.place(counter, slot), value(counter, database: slot))
            }
        }
    }
}
