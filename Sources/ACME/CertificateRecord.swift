internal import FoundationEssentials
public import TLS

/// What is remembered of a certificate beside it: what it was asked for with, and how asking goes.
public struct CertificateRecord: Codable, Equatable, Sendable {
    /// The directory of the authority that issued the present one; empty before the first.
    public var directory = ""
    /// When the present one came, in seconds since 1970.
    public var lastSuccess: Int64?
    /// How often asking has failed, ever.
    public var failures = 0
    /// How often it has failed since it last succeeded, or since something else was asked for.
    public var failuresInARow = 0
    /// Why, the last time; nil after a success.
    public var lastFailure: String?
    /// When it may be tried again after a failure, in seconds since 1970.
    public var notBefore: Int64?
    /// What was asked for then: another question need not wait.
    public var asked = ""

    /// Nothing is known.
    public init() {}

    /// Reads it from its file; nil when that holds something else.
    public init?(json: [UInt8]) {
        guard let record = try? JSONDecoder().decode(CertificateRecord.self, from: Data(json)) else { return nil }
        self = record
        // A file may say anything.
        failures = max(0, failures)
        failuresInARow = min(max(0, failuresInARow), 1000)
    }

    /// It as its file has it.
    public var json: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return ((try? encoder.encode(self)).map { Array($0) } ?? []) + [0x0A]
    }

    /// Notes a certificate.
    public mutating func succeeded(_ directory: String, now: Int64) {
        self.directory = directory
        lastSuccess = now
        failuresInARow = 0
        lastFailure = nil
        notBefore = nil
    }

    /// Notes a failure.
    ///
    /// - Parameters:
    ///   - asked: what was asked for.
    ///   - jitter: 0 to 1, so that those who fail together do not ask together again.
    public mutating func failed(_ failure: IssuanceFailure, asked: String, now: Int64, jitter: Double) {
        if self.asked != asked { failuresInARow = 0 }
        self.asked = asked
        failures += 1
        failuresInARow += 1
        lastFailure = failure.description
        let pause = RenewalPlan.pause(afterFailures: failuresInARow, jitter: jitter)
        let asLongAsTold = min(failure.retryAfter ?? 0, RenewalPlan.longestPause)
        notBefore = now + Int64(max(pause, asLongAsTold))
    }
}

/// When a certificate is asked for.
public struct RenewalPlan {
    /// No authority is believed that it wants to be left alone for longer than this, in seconds: a week.
    static let longestPause: UInt64 = 7 * 86_400
    /// The first pause after a failure, in seconds; each one is twice as long as the one before.
    private static let firstPause: UInt64 = 60
    /// The longest of our own, in seconds.
    private static let lastPause: UInt64 = 12 * 3600

    /// Half of the doubled time, and up to all of it.
    static func pause(afterFailures count: Int, jitter: Double) -> UInt64 {
        let doubled = min(firstPause << UInt64(min(max(count - 1, 0), 16)), lastPause)
        return doubled / 2 + UInt64(Double(doubled / 2) * min(max(jitter, 0), 1))
    }

    /// When a certificate is due for renewal, in seconds since 1970: at two thirds of its life, later by up to a
    /// thirtieth of it; the same each time it is asked.
    public static func renewal(of facts: CertificateFacts) -> Int64 {
        let life = max(0, facts.notAfter - facts.notBefore)
        let spread = SHA256.digest(Array(facts.fingerprint.utf8)).prefix(2).reduce(0) { $0 << 8 | Int64($1) }
        return facts.notBefore + life / 3 * 2 + life / 30 * spread / 65_536
    }

    /// When a certificate is to be asked for next, in seconds since 1970.
    ///
    /// - Parameters:
    ///   - facts: the present one's; nil when there is none, or none that can be used.
    ///   - asks: what is wanted, as `record.asked` has it.
    public static func next(
        _ facts: CertificateFacts?,
        _ record: CertificateRecord,
        asks: Question,
        now: Int64
    ) -> Int64 {
        var due = facts.map { renewal(of: $0) } ?? 0
        if let facts, !asks.isAnswered(by: facts, record) { due = 0 }
        // Later than any pause: the clock was wrong when it failed, which may be why it did.
        guard let notBefore = record.notBefore, record.asked == asks.text, notBefore <= now + Int64(longestPause) else {
            return due
        }
        return max(due, notBefore)
    }

    /// What is asked for: when any of it changes, the present certificate does not do any more.
    public struct Question: Equatable, Sendable {
        let directory: String
        let names: [String]
        let key: CertificateMaker.KeyKind
        let manner: String

        /// A question to an authority.
        ///
        /// - Parameter manner: how it is asked; the answer is the same, but one that failed is worth asking otherwise.
        public init(directory: String, names: [String], key: CertificateMaker.KeyKind, manner: String = "") {
            self.directory = directory
            self.manner = manner
            self.names = names.map { $0.lowercased() }.sorted()
            self.key = key
        }

        /// All of it in one line.
        public var text: String { "\(directory) \(key.rawValue) \(names.joined(separator: " ")) \(manner)" }

        func isAnswered(by facts: CertificateFacts, _ record: CertificateRecord) -> Bool {
            record.directory == directory && facts.names.map { $0.lowercased() }.sorted() == names
                && facts.keyType.hasPrefix(key == .ecdsa ? "ECDSA" : "RSA")
        }
    }
}
