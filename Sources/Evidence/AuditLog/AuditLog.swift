internal import FoundationEssentials
public import Platform

/// A log that is only ever added to, each line naming the one before it by its digest: whoever changes, removes or
/// inserts a line breaks the chain from there on.
///
/// *Ownership:* owns the open file, locked, so that no other process adds to it meanwhile.
public final class AuditLog {
    /// Why a log cannot be used.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What is wrong, and what to do.
        public let description: String
    }

    /// The longest line that is ever written or looked for.
    static let longestLine = 65_536

    private let path: String
    private var descriptor: FileDescriptor
    private var number: UInt64
    private var head: String
    /// Entries that could not be written, as when the disk is full.
    private var lost = 0
    private var hasHalfALine = false
    private var hasToSayRotated = false

    /// Opens a log, and goes on where it ended.
    ///
    /// - Throws: `Failure` when it cannot be opened, another process holds it, or its end is no entry.
    public init(path: String) throws(Failure) {
        self.path = path
        do {
            descriptor = try File.openAuditLog(path)
            try File.hold(descriptor)
            number = 0
            head = AuditEntry.beginning
            try goOn()
        } catch let failure as Failure {
            throw failure
        } catch let error as Errno {
            let reason = error.isWouldBlock ? "another process writes it" : error.message
            throw Failure(description: "the audit log \(path) cannot be opened: \(reason)")
        } catch { throw Failure(description: "the audit log \(path) cannot be opened: \(error)") }
    }

    /// Adds an entry, and has it outlast a loss of power.
    ///
    /// - Throws: `Errno` when it cannot be written; the next one then tells how many were lost.
    public func append(_ event: AuditEntry.Event, _ facts: [String: String] = [:]) throws(Errno) {
        var facts = facts
        if lost > 0 { facts["entries_lost_before"] = "\(lost)" }
        do throws(Errno) {
            if hasToSayRotated { try sayRotated() }
            try write(event, facts)
        } catch {
            lost += 1
            throw error
        }
        lost = 0
    }

    /// Whether the file was put away by a rotation.
    public var hasMoved: Bool { File.hasMoved(descriptor.raw, from: path) }

    /// Opens the file anew after a rotation has put the old one away; the chain goes on in the new one.
    public func reopen() throws(Errno) {
        let next = try File.openAuditLog(path)
        if try File.isSame(next, descriptor) { return }
        try File.hold(next)
        descriptor = next
        hasHalfALine = false
        hasToSayRotated = true
        try sayRotated()
    }

    /// The first line of a new file says that others went before; where it cannot be written yet, it comes before the next.
    private func sayRotated() throws(Errno) {
        try write(.rotated, [:])
        hasToSayRotated = false
    }

    /// Takes up the chain at the end of the file; what was cut off there is accounted for.
    private func goOn() throws {
        let end = try Self.end(of: path)
        if let entry = end.entry {
            number = entry.number
            head = AuditEntry.digest(entry.line())
        }
        hasHalfALine = false
        if end.lacksLineFeed { try File.writeAll([0x0A], to: descriptor.raw) }
        guard let torn = end.torn else { return }
        try write(.tornLine, ["sha256": AuditEntry.digest(torn)])
    }

    private func write(_ event: AuditEntry.Event, _ facts: [String: String]) throws(Errno) {
        if hasHalfALine { do { try goOn() } catch { throw error as? Errno ?? Errno.timedOut(in: "write") } }
        let entry = AuditEntry(
            number: number + 1,
            time: Date.now.formatted(.iso8601),
            event: event,
            facts: facts.mapValues(Self.readable),
            previous: head
        )
        let line = entry.line()
        let before = try File.size(descriptor)
        do throws(Errno) {
            try File.writeAll(line + [0x0A], to: descriptor.raw)
            try File.sync(descriptor)
        } catch {
            // Half a line would be taken for tampering; where it cannot be taken back, the next entry tells of it.
            do throws(Errno) { try File.truncate(descriptor, to: before) } catch { hasHalfALine = true }
            throw error
        }
        number += 1
        head = AuditEntry.digest(line)
    }

    /// Bounded, and nothing that steers a terminal.
    private static func readable(_ text: String) -> String {
        String(
            text.unicodeScalars.prefix(1024).map { Self.steers($0) ? "\u{FFFD}" : Character($0) }
        )
    }

    /// Controls of both sets (in UTF-8, 0x9B begins an escape sequence, too), and what turns the direction of writing.
    private static func steers(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F...0x9F, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }

    private struct End {
        /// The last whole entry.
        let entry: AuditEntry?
        /// What stands behind it, and is none.
        let torn: [UInt8]?
        let lacksLineFeed: Bool
    }

    /// Looks at how the file ends.
    private static func end(of path: String) throws -> End {
        let tail = try File.tail(path, most: 2 * longestLine)
        var lines = tail.split(separator: 0x0A, omittingEmptySubsequences: true).map(Array.init)
        var torn: [UInt8]?
        let lacksLineFeed = !tail.isEmpty && tail.last != 0x0A
        // Only its line feed may be missing.
        if lacksLineFeed, let last = lines.last, AuditEntry(line: last)?.line() != last { torn = lines.popLast() }
        guard let last = lines.last else { return End(entry: nil, torn: torn, lacksLineFeed: lacksLineFeed) }
        guard let entry = AuditEntry(line: last), entry.line() == last, entry.number < UInt64.max else {
            throw Failure(
                description: "the audit log \(path) does not end with an entry; look at it with `everyhop audit "
                    + "verify-log`, keep it as evidence, and name another file"
            )
        }
        return End(entry: entry, torn: torn, lacksLineFeed: lacksLineFeed)
    }
}
