import Bytes

/// One thing that is wrong with a configuration: what, where, and what to do.
public struct Diagnostic: Equatable, Sendable {
    /// Whether the configuration can be used all the same.
    public enum Severity: String, Sendable {
        /// It cannot be used.
        case error
        /// It can, but somebody should know.
        case warning
    }

    /// How bad it is.
    public let severity: Severity
    /// Where in the file.
    public let position: Position
    /// What is wrong.
    public let message: String
    /// What to do; may be empty.
    public let fix: String

    /// Describes a finding.
    public init(_ severity: Severity = .error, at position: Position, _ message: String, fix: String = "") {
        self.severity = severity
        self.position = position
        self.message = message
        self.fix = fix
    }

    /// `file:line:column: error: message`, the source line, a caret below the place, and the fix.
    public func rendered(file: String, source: [UInt8]) -> String {
        var text =
            "\(file):\(position.line):\(position.column): \(severity.rawValue): \(Visible.text(message, keepsLines: true))\n"
        if let line = Self.line(position.line, of: source) {
            let number = String(position.line)
            // A tab is kept as it is, so that the caret stands below its character.
            let lead = line.prefix(max(0, position.column - 1)).map { $0 == "\t" ? "\t" : " " }.joined()
            text += "  \(number) | \(line)\n"
            text += "  \(String(repeating: " ", count: number.count)) | \(lead)^\n"
        }
        if !fix.isEmpty { text += "  fix: \(Visible.text(fix, keepsLines: true))\n" }
        return text
    }

    /// A line of the file; nil for one that is no text, such as of a file that was named by mistake.
    private static func line(_ number: Int, of source: [UInt8]) -> String? {
        let lines = source.split(separator: 0x0A, omittingEmptySubsequences: false)
        guard number >= 1, number <= lines.count else { return nil }
        var bytes = lines[number - 1]
        if bytes.last == 0x0D { bytes.removeLast() }
        guard let text = String(validating: bytes, as: UTF8.self),
            text.unicodeScalars.allSatisfy({ $0 == "\t" || !Visible.isHidden($0) })
        else { return nil }
        return String(String.UnicodeScalarView(text.unicodeScalars.prefix(200)))
    }
}
