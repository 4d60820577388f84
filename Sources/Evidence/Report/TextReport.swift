import Bytes

/// A report for people at a terminal.
public struct TextReport {
    private let report: AuditReport
    private let isColoured: Bool
    private var text = ""

    /// Takes a report to write.
    public init(_ report: AuditReport, isColoured: Bool) {
        self.report = report
        self.isColoured = isColoured
    }

    /// Whether colour is wanted: only on a terminal, and not when NO_COLOR says otherwise (no-color.org).
    ///
    /// - Parameter environment: as `NAME=value`.
    public static func wantsColour(isTerminal: Bool, environment: [String]) -> Bool {
        isTerminal && !environment.contains { $0.hasPrefix("NO_COLOR=") && $0 != "NO_COLOR=" }
            && !environment.contains("TERM=dumb")
    }

    /// The whole report, hop by hop.
    public func render() -> String {
        var copy = self
        copy.writeHead()
        for hop in copy.report.hops { copy.write(hop) }
        copy.writeProvider()
        if let comparison = copy.report.comparison { copy.write(comparison) }
        copy.line()
        copy.line(copy.mark(copy.report.verdict) + "  " + copy.report.summary + ".")
        return copy.text
    }

    // MARK: parts

    private mutating func writeHead() {
        line(bold("Audit of \(Visible.text(report.host))"))
        table(
            [
                Fact("configuration", report.configuration.path), Fact("sha256", report.configuration.sha256),
                Fact("begun", report.begun), Fact("ended", report.ended), Fact("by", report.program),
            ] + (report.previous.map { [Fact("previous", "\($0.file) sha256 \($0.sha256)")] } ?? []),
            indent: 2
        )
    }

    private mutating func write(_ hop: HopReport) {
        line()
        line("\(mark(hop.verdict))  \(bold("\(hop.kind.title) \(Visible.text(hop.name))"))  \(Visible.text(hop.place))")
        table(hop.facts, indent: 2)
        for finding in hop.ordered { write(finding) }
    }

    private mutating func write(_ finding: Finding) {
        line("  \(mark(finding.verdict))  \(finding.check.title)")
        wrapped(finding.statement, lead: "               ")
        if let remedy = finding.remedy { wrapped(remedy, lead: "               mend: ") }
        table(finding.evidence, indent: 17)
        if finding.verdict != .holds {
            let serves = finding.check.requirements.map(\.rawValue).joined(separator: ", ")
            line(faint("               serves \(serves)"))
        }
    }

    private mutating func writeProvider() {
        guard !report.provider.isEmpty else { return }
        line()
        line(bold("Provider"))
        wrapped(ProviderAnswer.disclaimer, lead: "  ")
        for answer in report.provider {
            let state = pad(answer.state.rawValue, 8)
            line("  \(colour(answer.state == .answered ? Self.plain : Self.yellow, state))  \(answer.question.text)")
            if let words = answer.answer { wrapped(words, lead: "            ") }
            if let by = answer.by, let on = answer.on {
                line(faint("            \(Visible.text(by)), \(Visible.text(on))"))
            }
        }
    }

    private mutating func write(_ comparison: ReportComparison) {
        line()
        line(bold("Changes since \(Visible.text(comparison.since.file)) (\(Visible.text(comparison.begun)))"))
        if comparison.changes.isEmpty { line("  none") }
        var hop: String?
        for change in comparison.changes {
            if let name = change.hop, name != hop { line("  \(Visible.text(name))") }
            hop = change.hop
            let indent = change.hop == nil ? "  " : "    "
            let before = Visible.text(change.words(change.before))
            wrapped("\(change.title): \(before) -> \(change.words(change.after))", lead: indent)
        }
    }

    // MARK: lines

    private static let width = 100
    private static let plain = ""
    private static let red = "31;1"
    private static let yellow = "33"
    private static let green = "32"

    private mutating func line(_ words: String = "") { text += words + "\n" }

    /// Names in one column, values in the next.
    private mutating func table(_ facts: [Fact], indent: Int) {
        let width = min(facts.map { Visible.text($0.name).count }.max() ?? 0, 28)
        for fact in facts {
            let lead = String(repeating: " ", count: indent) + pad(Visible.text(fact.name), width) + "  "
            wrapped(fact.value, lead: lead)
        }
    }

    /// Words behind `lead`, broken at blanks, further lines below the first word; a long word is kept whole.
    private mutating func wrapped(_ words: String, lead: String) {
        let blank = String(repeating: " ", count: lead.count)
        var current = lead
        var isEmpty = true
        for word in Visible.text(words).split(separator: " ") {
            if !isEmpty, current.count + word.count + 1 > Self.width {
                line(current)
                current = blank
                isEmpty = true
            }
            current += isEmpty ? word : " " + word
            isEmpty = false
        }
        line(current)
    }

    private func pad(_ words: String, _ width: Int) -> String {
        words + String(repeating: " ", count: max(0, width - words.count))
    }

    /// The verdict in a column of its own; told by words, and by colour only besides.
    private func mark(_ verdict: Verdict) -> String {
        switch verdict {
        case .holds: colour(Self.green, pad(verdict.words, 11))
        case .fallsShort: colour(Self.red, verdict.words.uppercased())
        case .notChecked: colour(Self.yellow, verdict.words)
        }
    }

    private func bold(_ words: String) -> String { colour("1", words) }

    private func faint(_ words: String) -> String { colour("2", words) }

    private func colour(_ code: String, _ words: String) -> String {
        isColoured && !code.isEmpty ? "\u{1B}[\(code)m\(words)\u{1B}[0m" : words
    }
}
