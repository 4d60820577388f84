/// Whether a log is what was written, line by line.
public struct AuditLogVerification: Sendable, Equatable {
    /// Where a chain is broken.
    public struct Break: Sendable, Equatable {
        /// Counts from 1 in the file.
        public let line: Int
        /// What is wrong with it.
        public let reason: String
    }

    /// Entries that stand in the chain.
    public private(set) var entries = 0
    /// The number of the first one; 0 when there is none.
    public private(set) var first: UInt64 = 0
    /// The number of the last one.
    public private(set) var last: UInt64 = 0
    /// The digest of the last line: written down elsewhere, it proves that nothing was cut off behind it.
    public private(set) var head = AuditEntry.beginning
    /// The time of the last entry.
    public private(set) var lastTime = ""
    /// Lines that were cut off by a loss of power, and are accounted for.
    public private(set) var torn = 0
    /// What stood before the first entry, when that is not the beginning.
    public private(set) var continues: String?
    /// SHA-256 of the configuration that served at the end of the log; nil when none did, or it is not told.
    public private(set) var serves: String?
    /// The process that said so.
    public private(set) var servedBy: String?
    /// Whether the line that was looked for stands in the chain.
    public private(set) var hasSought = false
    /// The first broken link; nil when there is none.
    public private(set) var broken: Break?

    /// Checks the lines of a log.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - after: the log before this one, when that was rotated.
    ///   - sought: the digest of a line that was there once.
    public init(_ bytes: [UInt8], after: AuditLogVerification? = nil, sought: String? = nil) {
        if let after {
            head = after.head
            last = after.last
            serves = after.serves
            servedBy = after.servedBy
        }
        var waiting: [UInt8]?
        var number = 0
        for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            if line.isEmpty { continue }
            let line = Array(line)
            guard let entry = AuditEntry(line: line), entry.line() == line else {
                if waiting != nil {
                    fail(number, "is no entry of an audit log")
                    return
                }
                waiting = line
                continue
            }
            if let cut = waiting {
                guard entry.event == .tornLine, entry.facts["sha256"] == AuditEntry.digest(cut) else {
                    fail(number - 1, "is no entry of an audit log")
                    return
                }
                torn += 1
                waiting = nil
            }
            guard follows(entry, number, isFollowing: after != nil) else { return }
            entries += 1
            if first == 0 { first = entry.number }
            last = entry.number
            lastTime = entry.time
            head = AuditEntry.digest(line)
            if head == sought { hasSought = true }
            switch entry.event {
            case .start, .reload:
                serves = entry.facts["sha256"]
                servedBy = entry.facts["process"]
            case .stop: serves = nil
            default: break
            }
        }
        if waiting != nil { fail(number, "is no entry of an audit log") }
    }

    private mutating func follows(_ entry: AuditEntry, _ line: Int, isFollowing: Bool) -> Bool {
        if entries == 0, !isFollowing {
            // The first line of a file that was begun by a rotation.
            if entry.event == .rotated, entry.previous != AuditEntry.beginning {
                continues = entry.previous
                return true
            }
            guard entry.previous == AuditEntry.beginning, entry.number == 1 else {
                fail(line, "is not the first: lines before it were removed")
                return false
            }
            return true
        }
        guard entry.previous == head else {
            fail(line, "does not follow the line before it: one of them was changed, or lines between were removed")
            return false
        }
        // Numbers come out of the file: the highest one has none behind it.
        guard last < UInt64.max, entry.number == last + 1 else {
            fail(line, "has the number \(entry.number) behind \(last)")
            return false
        }
        return true
    }

    private mutating func fail(_ line: Int, _ reason: String) { broken = Break(line: line, reason: reason) }
}
