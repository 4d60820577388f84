/// All pages together in Prometheus' text format 0.0.4.
public enum PrometheusText {
    /// The Content-Type that goes with it.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// A database as metrics tell of it.
    public struct DatabaseLabel: Sendable {
        /// Its name.
        public let name: String
        /// Whether obsolete TLS is spoken to it.
        public let isLegacy: Bool

        /// Names both.
        public init(name: String, isLegacy: Bool) {
            self.name = name
            self.isLegacy = isLegacy
        }
    }

    /// A server of an upstream as metrics tell of it.
    public struct ServerLabel: Sendable {
        /// The upstream's name.
        public let upstream: String
        /// The address, as the configuration has it.
        public let server: String
        /// Whether it serves, as far as the monitor knows.
        public let isUp: Bool
        /// Checks that it passed and failed; nil when it is not checked.
        public let checks: (passed: Int, failed: Int)?

        /// Names all of it.
        public init(upstream: String, server: String, isUp: Bool, checks: (passed: Int, failed: Int)?) {
            self.upstream = upstream
            self.server = server
            self.isUp = isUp
            self.checks = checks
        }
    }

    /// - Parameters:
    ///   - upstreams: names by slot.
    ///   - servers: by slot.
    ///   - databases: names by slot.
    public static func write(
        _ pages: [MetricsPage],
        upstreams: [String],
        servers: [ServerLabel] = [],
        databases: [DatabaseLabel] = []
    ) -> String {
        var text = ""
        var last = ""
        for counter in Counter.allCases {
            let exposition = counter.exposition
            if exposition.name != last {
                header(exposition.name, exposition.help, counter.isGauge ? "gauge" : "counter", &text)
            }
            last = exposition.name
            let labels = exposition.labels.isEmpty ? "" : "{\(exposition.labels)}"
            text += "\(exposition.name)\(labels) \(pages.reduce(0) { $0 + $1.value(counter) })\n"
        }
        for timing in Timing.allCases { histogram(timing, pages, &text) }
        for counter in UpstreamCounter.allCases {
            let name = counter.exposition.name
            header(name, counter.exposition.help, "counter", &text)
            for (slot, upstream) in upstreams.prefix(MetricsPage.upstreamSlots).enumerated() {
                let sum = pages.reduce(0) { $0 + $1.value(counter, upstream: slot) }
                text += "\(name){upstream=\"\(escaped(upstream))\"} \(sum)\n"
            }
        }
        write(pages, servers, &text)
        write(pages, databases, &text)
        return text
    }

    private static func write(_ pages: [MetricsPage], _ servers: [ServerLabel], _ text: inout String) {
        guard !servers.isEmpty else { return }
        let labels = servers.map { "upstream=\"\(escaped($0.upstream))\",server=\"\(escaped($0.server))\"" }
        header("everyhop_server_up", "Whether the server gets requests.", "gauge", &text)
        for (server, label) in zip(servers, labels) {
            text += "everyhop_server_up{\(label)} \(server.isUp ? 1 : 0)\n"
        }
        for counter in ServerCounter.allCases {
            let exposition = counter.exposition
            header(exposition.name, exposition.help, counter.isGauge ? "gauge" : "counter", &text)
            for (slot, label) in labels.prefix(MetricsPage.serverSlots).enumerated() {
                let sum = pages.reduce(0) { $0 + $1.value(counter, server: slot) }
                text += "\(exposition.name){\(label)} \(sum)\n"
            }
        }
        header("everyhop_server_checks_total", "Health checks by result.", "counter", &text)
        for (server, label) in zip(servers, labels) {
            guard let checks = server.checks else { continue }
            text += "everyhop_server_checks_total{\(label),result=\"passed\"} \(checks.passed)\n"
            text += "everyhop_server_checks_total{\(label),result=\"failed\"} \(checks.failed)\n"
        }
    }

    private static func write(_ pages: [MetricsPage], _ databases: [DatabaseLabel], _ text: inout String) {
        guard !databases.isEmpty else { return }
        for counter in DatabaseCounter.allCases {
            let exposition = counter.exposition
            header(exposition.name, exposition.help, counter.isGauge ? "gauge" : "counter", &text)
            for (slot, database) in databases.prefix(MetricsPage.databaseSlots).enumerated() {
                let sum = pages.reduce(0) { $0 + $1.value(counter, database: slot) }
                text += "\(exposition.name){database=\"\(escaped(database.name))\"} \(sum)\n"
            }
        }
        header("everyhop_database_legacy", "Whether obsolete TLS is spoken to the server.", "gauge", &text)
        for database in databases {
            text += "everyhop_database_legacy{database=\"\(escaped(database.name))\"} \(database.isLegacy ? 1 : 0)\n"
        }
    }

    /// Writes the lines that go before a metric's values.
    public static func header(_ name: String, _ help: String, _ type: String, _ text: inout String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private static func histogram(_ timing: Timing, _ pages: [MetricsPage], _ text: inout String) {
        let name = timing.exposition.name
        header(name, timing.exposition.help, "histogram", &text)
        var buckets = [Int64](repeating: 0, count: MetricsPage.bucketCount + 1)
        var sum: Int64 = 0
        for page in pages {
            let one = page.histogram(timing)
            for index in buckets.indices { buckets[index] += one.buckets[index] }
            sum += one.sum
        }
        var total: Int64 = 0
        for index in 0..<MetricsPage.bucketCount {
            total += buckets[index]
            let bound = seconds(Int64(1) << Int64(index + MetricsPage.firstBucket))
            text += "\(name)_bucket{le=\"\(bound)\"} \(total)\n"
        }
        total += buckets[MetricsPage.bucketCount]
        text += "\(name)_bucket{le=\"+Inf\"} \(total)\n\(name)_sum \(seconds(sum))\n\(name)_count \(total)\n"
    }

    /// Microseconds as seconds with six places, exactly.
    private static func seconds(_ microseconds: Int64) -> String {
        let fraction = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000).\(String(repeating: "0", count: 6 - fraction.utf8.count))\(fraction)"
    }

    /// A label's value as it stands between quotation marks.
    public static func escaped(_ label: String) -> String {
        var text = ""
        for character in label.unicodeScalars {
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }
}
