internal import TLS

/// What is said about the report itself, about time, and by the organisation.
extension HTMLReport {
    var provider: HTML {
        let rows = report.provider.map { answer -> [HTML] in
            let who = [answer.by, answer.on].compactMap { $0 }.map { "<span class=\"part\">\($0)</span>" as HTML }
            return [
                "\(answer.question.text)", answer.answer.map { "\($0)" } ?? "<span class=\"soft\">No answer.</span>",
                who.isEmpty ? "–" : "\(who)", Self.mark(answer.state),
            ]
        }
        return """
            <p class="note">\(ProviderAnswer.disclaimer) An answer of more than a year ago is stale.</p>
            \(Self.table(
                "Answers of the organisation, from [provider] of the configuration",
                ["Question", "Answer", "Who and when", "State"],
                rows,
                "provider"
            ))
            """
    }

    private static func mark(_ state: ProviderAnswer.State) -> HTML {
        switch state {
        case .answered: mark("told", "answered")
        case .stale: mark("open", "stale")
        case .open: mark("open", "open")
        }
    }

    func changes(_ comparison: ReportComparison) -> HTML {
        let since: HTML = """
            <p>Compared with the audit of \(Self.moment(comparison.begun)), <code>\(comparison.since.file)</code> \
            (SHA-256 <code>\(comparison.since.sha256)</code>), which came to: \(Self.mark(comparison.verdict))</p>

            """
        guard !comparison.changes.isEmpty else { return "\(since)<p>Nothing has changed.</p>" }
        let rows = comparison.changes.map { change -> [HTML] in
            [
                "\(change.title)\(change.hop.map { " <span class=\"soft\">\($0)</span>" as HTML } ?? "")",
                Self.value(change, change.before), Self.value(change, change.after),
            ]
        }
        return "\(since)\(Self.table("Every difference", ["What", "Before", "Now"], rows, "changes"))"
    }

    private static func value(_ change: Change, _ value: String?) -> HTML {
        let words = change.words(value)
        guard let value else { return "<span class=\"soft\">\(words)</span>" }
        switch change.kind {
        case .fact, .configuration: return "<code>\(words)</code>"
        case .provider: return "\(words)"
        case .hopAppeared, .hopDisappeared, .hopVerdict, .finding:
            return Verdict(rawValue: value).map(mark) ?? "\(words)"
        }
    }

    var signature: HTML {
        var facts: [(String, HTML)] = []
        if let seal {
            facts = [
                ("Signed file", "<code>\(seal.file)</code>"), ("Its SHA-256", "<code>\(seal.sha256)</code>"),
                ("Signature", "\(seal.kind.rawValue), in <code>\(seal.file).sig</code>"),
                ("Public key", "<code>\(ReportStore.publicKeyName)</code>, <code>\("\(seal.fingerprint)")</code>"),
            ]
        }
        if let previous = report.previous {
            facts.append(("Report before it", "<code>\(previous.file)</code>"))
            facts.append(("Its SHA-256", "<code>\(previous.sha256)</code>"))
        } else if seal != nil {
            facts.append(("Report before it", "none: this is the first of its chain"))
        }
        let table = facts.isEmpty ? "" : Self.list(facts, "facts")
        guard let seal else {
            return "<p>This copy is not signed: no folder of reports was named.</p>\n\(table)"
        }
        let html = "\(seal.file.dropLast(5)).html"
        let commands =
            [seal.file, html].map { seal.kind.command(file: $0, publicKey: ReportStore.publicKeyName) }
            + ["everyhop audit verify \(seal.file)"]
        // A shell goes on after a backslash; the lines fit on paper.
        let lines = commands.map { command in
            [" -in ", " -signature "].reduce(command) { $0.replacing($1, with: " \\\n   \($1)", maxReplacements: 1) }
        }
        return """
            <p>The JSON file of this report and this page are signed apart. Each report names the one before it by its
            SHA-256, so that none can be changed or taken away unnoticed while a later one is kept.</p>
            \(table)
            <p>To check them with OpenSSL alone, and with everyhop back to the first report:</p>
            <pre tabindex="0" aria-label="Commands"><code>\(lines.map { $0.split(separator: "\n").map { "\(String($0))\n" as HTML } }.map { "\($0)" as HTML })</code></pre>
            """
    }
}
