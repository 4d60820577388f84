import Evidence
import Testing

@Suite("Text report") struct TextReportTests {
    private func lines(_ report: AuditReport) -> [Substring] {
        TextReport(report, isColoured: false).render().split(separator: "\n", omittingEmptySubsequences: false)
    }

    @Test func `verdicts come first, faults before the rest, with reason and remedy`() throws {
        let lines = lines(ReportSamples.full())
        #expect(
            lines.contains(
                "falls short  ".uppercased() + "client hop legacy portal  192.0.2.17:8443 old.clinic.example"
            )
        )
        #expect(lines.contains("holds        app hop app  10.0.1.10:443"))
        let fault = try #require(lines.firstIndex(of: "  FALLS SHORT  Expiry of the certificate"))
        #expect(lines[fault + 1] == "               The certificate expires in 9 days.")
        #expect(lines[fault + 2].hasPrefix("               mend: Renew it before 2026-12-04"))
        #expect(lines[fault + 3] == "                 valid until  2026-12-04 08:00 UTC")
        #expect(lines[fault + 5] == "               serves 45 CFR 164.312(d), NIST SP 800-52r2 3.2")
        let unknown = try #require(lines.firstIndex(of: "  not checked  What the plain port does"))
        #expect(fault < unknown)
        #expect(lines.contains("            J. Weber, operations, 2026-03-01"))
        #expect(
            lines.dropLast().last
                == "FALLS SHORT  Of 8 hops and places, 2 fall short, 1 not fully checked, 5 hold; 2 faults to mend."
        )
    }

    @Test func `columns are aligned and lines fit`() throws {
        let lines = lines(ReportSamples.full())
        let version = try #require(lines.first { $0.hasPrefix("  version") })
        let pin = try #require(lines.first { $0.hasPrefix("  pin") })
        #expect(version.distance(to: "TLSv1.3") == pin.distance(to: "sha256/"))
        #expect(lines.allSatisfy { $0.count <= 100 })
    }

    @Test func `colour only on a terminal that wants it, and only besides words`() {
        #expect(TextReport.wantsColour(isTerminal: true, environment: ["TERM=xterm", "NO_COLOR="]))
        #expect(!TextReport.wantsColour(isTerminal: false, environment: []))
        #expect(!TextReport.wantsColour(isTerminal: true, environment: ["NO_COLOR=1"]))
        #expect(!TextReport.wantsColour(isTerminal: true, environment: ["TERM=dumb"]))
        let plain = TextReport(ReportSamples.full(), isColoured: false).render()
        let coloured = TextReport(ReportSamples.full(), isColoured: true).render()
        #expect(!plain.contains("\u{1B}") && coloured.contains("\u{1B}[31;1mFALLS SHORT\u{1B}[0m"))
        #expect(coloured.replacing(#/\u{1B}\[[0-9;]*m/#, with: "") == plain)
    }

    @Test func `words of others cannot steer a terminal`() {
        let report = ReportSamples.hostile("a\u{1B}]0;b\u{7}\u{9B}31m\r\nc\u{202E}d\u{2028}e")
        let text = TextReport(report, isColoured: false).render()
        #expect(text.contains("a\\u{1b}]0;b\\u{7}\\u{9b}31m\\u{d}\\u{a}c\\u{202e}d\\u{2028}e"))
        #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
        #expect(!text.contains("\u{202E}") && !text.contains("\u{2028}"))
    }

    @Test func `an empty report claims nothing`() {
        let report = AuditReport(
            program: "p",
            host: "h",
            configuration: .init(path: "c", sha256: "s"),
            begun: "b",
            ended: "e",
            hops: [],
            provider: [],
            previous: nil
        )
        #expect(lines(report).dropLast().last == "not checked  Nothing was checked.")
    }
}

extension Substring {
    fileprivate func distance(to part: String) -> Int? {
        firstRange(of: part).map { distance(from: startIndex, to: $0.lowerBound) }
    }
}
