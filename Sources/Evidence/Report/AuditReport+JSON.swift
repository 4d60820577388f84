internal import FoundationEssentials

extension AuditReport {
    /// Why a file is no report.
    public struct Unreadable: Error, Sendable, CustomStringConvertible {
        /// What is wrong with it.
        public let description: String
    }

    /// The report as JSON (docs/audit.md), names sorted, so that equal reports are equal bytes.
    ///
    /// - Throws: `Unreadable` when the library refuses a value.
    public func json() throws(Unreadable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(self)) + [0x0A] } catch { throw Unreadable(description: "\(error)") }
    }

    /// Reads a report that `json()` wrote.
    ///
    /// - Throws: `Unreadable` for anything else, a report in a form of a later version included.
    public init(json bytes: [UInt8]) throws(Unreadable) {
        let report: AuditReport
        do { report = try JSONDecoder().decode(AuditReport.self, from: Data(bytes)) } catch {
            throw Unreadable(description: "the file is no audit report: \(error)")
        }
        guard report.schema == Self.schema else {
            throw Unreadable(description: "the report's form is \(report.schema), this program reads \(Self.schema)")
        }
        self = report
    }

    /// A moment in UTC as reports write it (RFC 3339).
    public static func time(unixSeconds: Int64) -> String {
        Date(timeIntervalSince1970: Double(unixSeconds)).formatted(.iso8601)
    }
}
