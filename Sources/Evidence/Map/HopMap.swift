internal import FoundationEssentials
internal import Platform

/// All hops as they are now: what the admin page draws and `/hops.json` answers (docs/monitoring.md).
public struct HopMap: Codable, Sendable {
    /// The form that this program writes.
    public static let schema = "everyhop-hops/1"

    /// What passes now; rates are per second, over the last ten seconds.
    public struct Traffic: Codable, Sendable {
        /// Workers that serve.
        public var workers = 0
        /// Clients connected.
        public var clients: Int64 = 0
        /// Requests.
        public var requests = 0.0
        /// Answers of class 5xx.
        public var errors = 0.0
        /// TLS handshakes completed with clients.
        public var handshakes = 0.0
        /// TLS handshakes with clients that failed.
        public var handshakeFailures = 0.0
        /// Half of the last minute's requests took at most so many milliseconds; nil when there was none.
        public var p50Milliseconds: Double?
        /// 99 of 100 of the last minute's requests took at most so many milliseconds; nil when there was none.
        public var p99Milliseconds: Double?
        /// Requests of each of the last 60 seconds, the oldest first; fewer after a start.
        public var history: [Int64] = []

        /// Nothing yet.
        public init() {}
    }

    /// What passes one hop now.
    public struct Load: Codable, Sendable {
        /// Requests or sessions begun per second.
        public var rate: Double
        /// Those that failed per second.
        public var errors: Double
        /// Requests under way, or sessions open.
        public var active: Int64

        /// Names all three.
        public init(rate: Double, errors: Double, active: Int64) {
            self.rate = rate
            self.errors = errors
            self.active = active
        }
    }

    /// One hop.
    public struct Hop: Codable, Sendable {
        /// Which.
        public let kind: HopReport.Kind
        /// What the configuration calls it.
        public let name: String
        /// Its address.
        public let place: String
        /// What the application dials; of a database only.
        public let doors: [String]?
        /// What the last look came to.
        public let verdict: Verdict
        /// The same in a sentence.
        public let statement: String
        /// Version of TLS.
        public let version: String?
        /// Cipher suite.
        public let cipher: String?
        /// Group of the key exchange.
        public let group: String?
        /// Application protocol.
        public let `protocol`: String?
        /// How the server is verified.
        public let verifiedBy: String?
        /// How the key compares with what is expected.
        public let pin: Glance.Pin
        /// The key, as a pin.
        public let key: String?
        /// When the certificate expires.
        public let validUntil: String?
        /// Whole days until then.
        public let daysLeft: Int64?
        /// When it was looked at.
        public let seen: String?
        /// How long ago, for people.
        public let age: String?
        /// Why it is not looked at again for now.
        public let waits: String?
        /// up, down, ejected, or unchecked; of a server of an upstream only.
        public let health: String?
        /// What passes it now; nil where that is not counted apart.
        public let load: Load?

        /// A hop of the configuration, and what is known of it.
        ///
        /// - Parameter freshSeconds: how long it is taken to hold after a look.
        public init(
            kind: HopReport.Kind,
            name: String,
            place: String,
            doors: [String]? = nil,
            health: String? = nil,
            load: Load? = nil,
            glance: Glance?,
            freshSeconds: Int64 = .max
        ) {
            let now = Lifetime.now
            let isStale = glance.map { $0.waits == nil && now - $0.seen > freshSeconds } ?? false
            self.kind = kind
            self.name = name
            self.place = place
            self.doors = doors
            self.health = health
            self.load = load
            let seenThen = glance?.report.verdict ?? .notChecked
            // What is wrong stays wrong until it is seen to be mended; what was good proves nothing of now.
            verdict = isStale && seenThen == .holds ? .notChecked : seenThen
            statement =
                verdict == seenThen
                ? glance?.statement ?? "not looked at yet" : "it held, but was not looked at for too long"
            version = glance?.fact("version")
            cipher = glance?.fact("cipher")
            group = glance?.fact("group").flatMap { $0.isEmpty ? nil : $0 }
            `protocol` = glance?.fact("protocol")
            verifiedBy = glance?.fact("verified by")
            pin = glance?.pin ?? .unseen
            key = glance?.key
            validUntil = glance?.notAfter.map(CertificateEvidence.day)
            daysLeft = glance?.notAfter.map { HopMap.days(from: now, to: $0) }
            seen = glance.map { CertificateEvidence.day($0.seen) }
            age = glance.map { HopMap.age(now - $0.seen) }
            waits = glance?.waits
        }
    }

    /// The newest report of `everyhop audit`.
    public struct Audit: Codable, Sendable {
        /// What is known of it.
        public enum State: String, Codable, Sendable {
            /// The configuration names no folder of reports.
            case notKept = "not-kept"
            /// The folder holds none.
            case never
            /// There may be one, but the folder or the file cannot be read.
            case unreadable
            /// It was read.
            case known
        }

        /// What is known of it.
        public let state: State
        /// What it came to.
        public let verdict: Verdict?
        /// When it ended.
        public let ended: String?
        /// How long ago, for people.
        public let age: String?
        /// When it ended, in seconds since 1970, for metrics.
        public let endedSeconds: Int64?

        /// Nothing but a state.
        public init(_ state: State) { self.init(state, nil, nil, nil) }

        /// Reads a report.
        public init(report bytes: [UInt8]) {
            if let report = try? AuditReport(json: bytes), let ended = HopMap.seconds(report.ended) {
                self.init(.known, report.verdict, report.ended, ended)
            } else {
                self.init(.unreadable)
            }
        }

        /// The same, with its age as of now.
        public var current: Audit { Audit(state, verdict, ended, endedSeconds) }

        private init(_ state: State, _ verdict: Verdict?, _ ended: String?, _ endedSeconds: Int64?) {
            self.state = state
            self.verdict = verdict
            self.ended = ended
            self.endedSeconds = endedSeconds
            age = endedSeconds.map { HopMap.age(Lifetime.now - $0) }
        }
    }

    /// What keeps the processes from doing harm.
    public struct Confinement: Codable, Sendable {
        /// Layers that at least one process should have put on and has not, in words.
        public let missing: [String]
        /// Every process and its layers.
        public let processes: [ConfinedProcess]

        /// What processes told.
        public init(_ processes: [ConfinedProcess]) {
            missing = Sandbox.Layer.allCases.filter { layer in processes.contains { $0.has(layer) == false } }
                .map(\.meaning)
            self.processes = processes
        }
    }

    /// The form of this map.
    public let schema: String
    /// The program and its version.
    public let program: String
    /// Which monitor tells: another one may have other hops.
    public let monitor: String
    /// When this was so.
    public let time: String
    /// What all hops come to.
    public let verdict: Verdict
    /// The same in a sentence.
    public let summary: String
    /// What passes now.
    public let traffic: Traffic
    /// The fewest days that any certificate has left.
    public let daysLeft: Int64?
    /// Every hop, from the client to the database.
    public let hops: [Hop]
    /// The newest audit.
    public let audit: Audit
    /// What keeps the processes from doing harm.
    public let sandbox: Confinement

    /// A map whose verdict is what its hops come to.
    public init(
        program: String,
        monitor: String,
        traffic: Traffic,
        hops: [Hop],
        audit: Audit,
        sandbox: Confinement
    ) {
        schema = Self.schema
        self.program = program
        self.monitor = monitor
        time = CertificateEvidence.day(Lifetime.now)
        verdict = .of(hops.map(\.verdict))
        summary = Self.summary(hops)
        self.traffic = traffic
        daysLeft = hops.compactMap(\.daysLeft).min()
        self.hops = hops
        self.audit = audit.current
        self.sandbox = sandbox
    }

    /// It as JSON, on one line.
    ///
    /// - Throws: when the library refuses a value.
    public func json() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return Array(try encoder.encode(self))
    }

    private static func summary(_ hops: [Hop]) -> String {
        let broken = hops.count { $0.verdict == .fallsShort }
        let unseen = hops.count { $0.verdict == .notChecked }
        if hops.isEmpty { return "No hop is configured" }
        let rest = unseen > 0 ? ", \(unseen) could not be looked at" : ""
        if broken > 0 { return "\(broken) of \(hops.count) hops \(broken == 1 ? "falls" : "fall") short\(rest)" }
        if unseen > 0 { return "\(hops.count - unseen) of \(hops.count) hops hold\(rest)" }
        return hops.count == 1 ? "The only hop holds" : "All \(hops.count) hops hold"
    }

    /// Rounded down, so that what has expired is negative.
    private static func days(from now: Int64, to end: Int64) -> Int64 {
        let left = end - now
        return left >= 0 ? left / 86_400 : -((-left + 86_399) / 86_400)
    }

    private static func age(_ seconds: Int64) -> String {
        switch seconds {
        case ..<2: "just now"
        case ..<120: "\(seconds) s ago"
        case ..<7200: "\(seconds / 60) min ago"
        case ..<172_800: "\(seconds / 3600) h ago"
        default: "\(seconds / 86_400) days ago"
        }
    }

    private static func seconds(_ text: String) -> Int64? {
        let styles = [Date.ISO8601FormatStyle(), Date.ISO8601FormatStyle(includingFractionalSeconds: true)]
        for style in styles {
            if let date = try? style.parse(text) { return Int64(date.timeIntervalSince1970) }
        }
        return nil
    }
}
