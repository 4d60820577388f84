internal import FoundationEssentials
internal import TLS

/// One line of the audit log: what happened, and the line before it by its digest.
public struct AuditEntry: Codable, Sendable, Equatable {
    /// What happened.
    public enum Event: String, Codable, Sendable, CaseIterable {
        /// The process began to serve.
        case start
        /// A new program serves in place of the one before it, which finishes what it has.
        case upgrade
        /// A new program could not take over; the present one goes on.
        case upgradeRefused = "upgrade-refused"
        /// The process ended.
        case stop
        /// A new configuration serves.
        case reload
        /// A new configuration was refused; the present one stays.
        case reloadRefused = "reload-refused"
        /// What certificate a name stands for; at the start, and when it changes.
        case certificate
        /// What authorities and pins a server is verified by; at the start, and when they change.
        case trust
        /// A server, or a client with a certificate, was refused: nothing was sent.
        case hopRefused = "hop-refused"
        /// A worker ended without being told to.
        case workerLost = "worker-lost"
        /// Another worker took the place of one that went on serving until then.
        case workerReplaced = "worker-replaced"
        /// Somebody looked at the admin page.
        case adminAccess = "admin-access"
        /// The log before this one was put away.
        case rotated
        /// The line before this one was cut off, as by a loss of power.
        case tornLine = "torn-line"
    }

    /// Counts from 1, across files.
    public let number: UInt64
    /// When, UTC, as in RFC 3339.
    public let time: String
    /// What happened.
    public let event: Event
    /// What else there is to say; never health data, never a secret.
    public let facts: [String: String]
    /// SHA-256 of the line before this one, in hexadecimal digits; zeros for the very first.
    public let previous: String

    /// What stands before the first line.
    public static let beginning = String(repeating: "0", count: 64)

    /// The entry as one line of JSON, without its end.
    func line() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings and a number only: nothing that JSON could not say.
        return (try? encoder.encode(self)).map { Array($0) } ?? []
    }

    /// Reads a line; nil when it is no entry.
    init?(line: [UInt8]) {
        guard let entry = try? JSONDecoder().decode(AuditEntry.self, from: Data(line)) else { return nil }
        self = entry
    }

    init(number: UInt64, time: String, event: Event, facts: [String: String], previous: String) {
        self.number = number
        self.time = time
        self.event = event
        self.facts = facts
        self.previous = previous
    }

    /// What the next line names as the one before it.
    static func digest(_ line: [UInt8]) -> String { SHA256.hexadecimal(line) }
}
