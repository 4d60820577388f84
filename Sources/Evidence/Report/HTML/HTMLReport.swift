internal import TLS

/// A report as one page that needs nothing else: no script, no other file; for the screen, and for paper.
public struct HTMLReport {
    let report: AuditReport
    let seal: ReportSeal?

    /// Takes a report.
    ///
    /// - Parameter seal: what vouches for its JSON file; nil when it is not kept.
    public init(_ report: AuditReport, seal: ReportSeal?) {
        self.report = report
        self.seal = seal
    }

    /// The whole page.
    public func render() -> String {
        let sections = self.sections
        let style = HTML(stringLiteral: HTMLStyle.text)
        let page: HTML = """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta http-equiv="Content-Security-Policy" content="\(Self.policy)">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <meta name="robots" content="noindex">
            <title>Audit of \(report.host), \(Self.time(report.begun)): \(report.verdict.words)</title>
            <style>\(style)</style>
            </head>
            <body>
            <a class="skip" href="#main">Skip to the findings</a>
            <div class="sheet">
            \(head)
            <nav aria-label="Contents"><ol>
            \(sections.map { "<li><a href=\"#\($0.id)\">\($0.title)</a></li>\n" as HTML })</ol></nav>
            <main id="main">
            \(sections.map { section in
                """
                <section id="\(section.id)" aria-labelledby="\(section.id)-title">
                <h2 id="\(section.id)-title">\(section.title)</h2>
                \(section.body)
                </section>

                """ as HTML
            })</main>
            <footer><p>Written by \(report.program) on \(report.host). What was not checked is not claimed.</p></footer>
            </div>
            </body>
            </html>

            """
        return page.text
    }

    /// Nothing is loaded, nothing runs, and no style but the one above counts.
    private static let policy: String =
        "default-src 'none'; style-src 'sha256-\(SHA256.base64(Array(HTMLStyle.text.utf8)))'; base-uri 'none'; form-action 'none'"

    private struct Section {
        let id: String
        let title: String
        let body: HTML
    }

    private var sections: [Section] {
        var list = [
            Section(id: "path", title: "The path of the data", body: picture),
            Section(id: "summary", title: "Summary", body: summary),
        ]
        if let faults { list.append(Section(id: "faults", title: "What falls short", body: faults)) }
        if let comparison = report.comparison {
            list.append(Section(id: "changes", title: "What has changed", body: changes(comparison)))
        }
        list.append(Section(id: "hops", title: "Findings and evidence", body: details))
        list.append(Section(id: "requirements", title: "Findings by requirement", body: requirements))
        if !report.provider.isEmpty {
            list.append(Section(id: "provider", title: "Questions for the provider", body: provider))
        }
        list.append(Section(id: "signature", title: "Signature and chain", body: signature))
        return list
    }

    // MARK: the head

    private var head: HTML {
        let facts: [(String, HTML)] = [
            ("Host", "\(report.host)"), ("Configuration", "<code>\(report.configuration.path)</code>"),
            ("Its SHA-256", "<code>\(report.configuration.sha256)</code>"),
            ("Begun", Self.moment(report.begun)), ("Ended", Self.moment(report.ended)),
        ]
        return """
            <header>
            <p class="eyebrow">everyhop audit</p>
            <h1>Encryption on every hop</h1>
            <div class="verdict \(Self.tone(report.verdict))">
            <p class="word">\(Self.mark(Self.tone(report.verdict), Self.begun(report.verdict.words)))</p>
            <p>\(report.summary).</p>
            </div>
            \(Self.list(facts, "facts head"))
            </header>
            """
    }

    // MARK: shared parts

    /// The class that colours a verdict.
    static func tone(_ verdict: Verdict) -> HTML {
        switch verdict {
        case .holds: "good"
        case .fallsShort: "bad"
        case .notChecked: "open"
        }
    }

    /// A sign and words: colour only repeats what they say.
    static func mark(_ verdict: Verdict) -> HTML { mark(tone(verdict), verdict.words) }

    static func mark(_ tone: HTML, _ words: String) -> HTML {
        let sign: HTML =
            switch tone.text {
            case "good": "\u{2713}"
            case "bad": "\u{2715}"
            case "told": "\u{2022}"
            default: "?"
            }
        return "<span class=\"mark \(tone)\"><span class=\"sign\" aria-hidden=\"true\">\(sign)</span>\(words)</span>"
    }

    /// The words as a sentence begins.
    private static func begun(_ words: String) -> String { words.prefix(1).uppercased() + words.dropFirst() }

    static func moment(_ text: String) -> HTML { "<time datetime=\"\(text)\">\(time(text))</time>" }

    /// `2026-11-25 10:15:00 UTC`.
    static func time(_ text: String) -> String {
        guard text.utf8.count >= 20, text.hasSuffix("Z") else { return text }
        return text.dropLast().replacing("T", with: " ", maxReplacements: 1) + " UTC"
    }

    /// Names and values.
    static func list(_ facts: [(String, HTML)], _ style: HTML) -> HTML {
        "<dl class=\"\(style)\">\n\(facts.map { "<div><dt>\($0.0)</dt><dd>\($0.1)</dd></div>\n" as HTML })</dl>"
    }

    /// A table whose roles outlast a layout without columns.
    static func table(_ caption: HTML, _ heads: [String], _ rows: [[HTML]], _ style: HTML = "") -> HTML {
        let head = heads.map { "<th role=\"columnheader\" scope=\"col\">\($0)</th>" as HTML }
        let body = rows.map { row in
            let cells = zip(heads, row).enumerated().map { index, cell in
                index == 0
                    ? "<th role=\"rowheader\" scope=\"row\">\(cell.1)</th>" as HTML
                    : "<td role=\"cell\" data-label=\"\(cell.0)\"><div>\(cell.1)</div></td>" as HTML
            }
            return "<tr role=\"row\">\(cells)</tr>\n" as HTML
        }
        return """
            <table role="table" class="\(style)"><caption>\(caption)</caption>
            <thead role="rowgroup"><tr role="row">\(head)</tr></thead>
            <tbody role="rowgroup">
            \(body)</tbody></table>
            """
    }
}
