extension HTMLReport {
    /// Hops and findings bear numbers, so that paper can refer to them.
    var numbered: [(number: Int, hop: HopReport, findings: [(number: String, finding: Finding)])] {
        report.hops.enumerated().map { index, hop in
            let findings = hop.ordered.enumerated().map { ("\(index + 1).\($0 + 1)", $1) }
            return (index + 1, hop, findings)
        }
    }

    static func link(_ number: String, _ words: HTML) -> HTML { "<a href=\"#f\(number)\">\(words)</a>" }

    // MARK: summary

    var summary: HTML {
        guard !report.hops.isEmpty else { return "<p>Nothing was checked.</p>" }
        let rows = numbered.map { entry -> [HTML] in
            let hop = entry.hop
            let count = hop.findings.count
            let faults = hop.findings.count { $0.verdict == .fallsShort }
            let seen = [hop.version, hop.suite].compactMap { $0 }
            return [
                "<a href=\"#hop\(entry.number)\">\(entry.number). \(hop.name)</a> <span class=\"soft\">\(hop.kind.title)</span>",
                "<code>\(hop.place)</code>",
                seen.isEmpty ? "–" : "\(seen.map { "<code class=\"part\">\($0)</code>" as HTML })",
                "\(count)\(faults > 0 ? ", of which \(faults) fall\(faults == 1 ? "s" : "") short" as HTML : "")",
                Self.mark(hop.verdict),
            ]
        }
        return Self.table(
            "Every hop and place with its verdict",
            ["Hop", "Place", "Version and cipher", "Checks", "Verdict"],
            rows,
            "hops"
        )
    }

    // MARK: faults

    /// Every fault with its remedy; nil when there is none.
    var faults: HTML? {
        let list = numbered.flatMap { entry in
            entry.findings.filter { $0.finding.verdict == .fallsShort }.map { numbered -> HTML in
                """
                <li>
                <p class="where">\(Self.link(numbered.number, "\(numbered.number)")) \(entry.hop.name), \
                <code>\(entry.hop.place)</code></p>
                <p><strong>\(numbered.finding.statement)</strong></p>
                \(Self.remedy(numbered.finding))</li>

                """
            }
        }
        return list.isEmpty ? nil : "<ul class=\"faults\">\n\(list)</ul>"
    }

    private static func remedy(_ finding: Finding) -> HTML {
        guard let remedy = finding.remedy else { return "" }
        return "<p class=\"remedy\"><span class=\"label\">Mend</span> \(remedy)</p>\n"
    }

    // MARK: details

    var details: HTML {
        let hops = numbered.map { entry -> HTML in
            let hop = entry.hop
            return """
                <article id="hop\(entry.number)" aria-labelledby="hop\(entry.number)-title">
                <div class="bar">
                <h3 id="hop\(entry.number)-title">\(entry.number). \(hop.name) <span class="soft">\(hop.kind.title)</span></h3>
                \(Self.mark(hop.verdict))
                </div>
                <p class="place"><code>\(hop.place)</code></p>
                \(hop.facts.isEmpty ? "" : Self.list(hop.facts.map { ($0.name, "<code>\($0.value)</code>") }, "facts"))
                \(entry.findings.map { finding($0.number, $0.finding) })</article>

                """
        }
        return "\(hops)"
    }

    private func finding(_ number: String, _ finding: Finding) -> HTML {
        let serves = finding.check.requirements.map { requirement -> HTML in
            "<li><a href=\"#\(Self.anchor(requirement))\" title=\"\(requirement.summary)\">\(requirement.rawValue)</a></li>"
        }
        let evidence = finding.evidence.map { ($0.name, "<code>\($0.value)</code>" as HTML) }
        return """
            <div class="finding \(Self.tone(finding.verdict))" id="f\(number)">
            <div class="bar">
            <h4><span class="number">\(number)</span> \(finding.check.title)</h4>
            \(Self.mark(finding.verdict))
            </div>
            <p>\(finding.statement)</p>
            \(Self.remedy(finding))\(evidence.isEmpty ? "" : Self.list(evidence, "evidence"))
            <ul class="serves" aria-label="Requirements that this serves">\(serves)</ul>
            </div>

            """
    }

    // MARK: requirements

    static func anchor(_ requirement: Requirement) -> HTML {
        "r\((Requirement.allCases.firstIndex(of: requirement) ?? 0) + 1)"
    }

    var requirements: HTML {
        let rows = Requirement.allCases.map { requirement -> [HTML] in
            let serving = numbered.flatMap { entry in
                entry.findings.filter { $0.finding.check.requirements.contains(requirement) }.map { (entry.hop, $0) }
            }
            let links = serving.map { hop, numbered -> HTML in
                let finding = numbered.finding
                let words: HTML = "\(numbered.number) \(hop.name): \(finding.check.title)"
                return "<li>\(Self.mark(finding.verdict)) \(Self.link(numbered.number, words))</li>"
            }
            let verdict = Verdict.of(serving.map { $0.1.finding.verdict })
            return [
                "<span id=\"\(Self.anchor(requirement))\">\(requirement.rawValue)</span> <span class=\"asks\">\(requirement.summary)</span>",
                links.isEmpty
                    ? "<span class=\"soft\">No check of this audit serves it.</span>"
                    : "<ul class=\"index\">\(links)</ul>",
                links.isEmpty ? "–" : Self.mark(verdict),
            ]
        }
        return Self.table(
            "The HIPAA Security Rule (45 CFR 164.312), NIST SP 800-52 revision 2 and NIST SP 800-111, with the findings that serve each",
            ["Requirement", "Findings", "Together"],
            rows,
            "requirements"
        )
    }
}

extension HopReport {
    /// Its findings, faults first.
    var ordered: [Finding] {
        [Verdict.fallsShort, .notChecked, .holds].flatMap { verdict in findings.filter { $0.verdict == verdict } }
    }
}
