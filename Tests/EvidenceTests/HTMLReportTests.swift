import Evidence
import Foundation
import Support
import TLS
import Testing

@Suite("HTML report") struct HTMLReportTests {
    private func page(_ report: AuditReport) -> String { HTMLReport(report, seal: nil).render() }

    @Test(arguments: [
        "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)", "]]></svg><b>",
        "</style><script>", "&lt;b&gt;", "--><b>", "\u{202E}\u{0}\u{1B}[31m",
    ])
    func `words of others never become markup`(words: String) {
        // As long, and with the same ends of words: the picture breaks lines there.
        let plain = page(ReportSamples.hostile(String(words.map { "<>\"'&".contains($0) ? "x" : $0 })))
        let hostile = page(ReportSamples.hostile(words))
        for mark in ["<", ">", "\"", "'"] as [Character] {
            #expect(hostile.count { $0 == mark } == plain.count { $0 == mark })
        }
        #expect(!hostile.contains(words))
        #expect(hostile.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
    }

    @Test func `nothing is loaded and nothing runs`() throws {
        let page = page(ReportSamples.full())
        for part in ["<script", "src=", "url(", "@import", "http://", "https://", "<link", " style=", "onclick"] {
            #expect(!page.contains(part), "\(part)")
        }
        let style = try #require(page.firstMatch(of: #/<style>((?s:.*?))</style>/#)?.output.1)
        let digest = SHA256.base64(Array(style.utf8))
        #expect(page.contains("content=\"default-src &#39;none&#39;; style-src &#39;sha256-\(digest)&#39;; "))
    }

    @Test func `every link leads somewhere, no name is taken twice, headings are in order`() {
        for report in [ReportSamples.full(), ReportSamples.hostile("words")] {
            let page = page(report)
            let names = page.matches(of: #/ id="([^"]*)"/#).map(\.output.1)
            #expect(Set(names).count == names.count)
            for link in page.matches(of: #/ href="#([^"]*)"/#).map(\.output.1) {
                #expect(names.contains(link), "\(link)")
            }
            for name in page.matches(of: #/ aria-(?:labelledby|describedby)="([^"]*)"/#).map(\.output.1) {
                #expect(names.contains(name), "\(name)")
            }
            let levels = page.matches(of: #/<h([1-6])/#).compactMap { Int($0.output.1) }
            #expect(levels.first == 1 && levels.count { $0 == 1 } == 1)
            #expect(zip(levels, levels.dropFirst()).allSatisfy { $1 <= $0 + 1 })
        }
    }

    @Test func `a finding is tied to what it serves, both ways`() throws {
        let page = page(ReportSamples.full())
        #expect(page.contains("<a href=\"#r6\" title=\"guard against") == false)
        let row = try #require(
            page.firstMatch(of: #/<tr role="row"><th[^>]*><span id="r5">45 CFR 164\.312\(e\)\(1\)</span>.*</tr>/#)
        )
        #expect(row.output.contains("<a href=\"#f4.1\">4.1 app: Whether the server answers in plain, too</a>"))
        #expect(page.contains("id=\"f4.1\""))
        let finding = try #require(page.firstMatch(of: #/<div class="finding bad" id="f4.1">(?s:.*?)</ul>\n</div>/#))
        #expect(finding.output.contains("<a href=\"#r5\""))
        #expect(finding.output.contains("Close port 80 on 10.0.1.11") && finding.output.contains("HTTP/1.1 200 OK"))
        #expect(page.contains("No check of this audit serves it."))
        #expect(page.contains("everyhop has verified none of them."))
    }

    @Test func `the picture tells in words what it draws`() throws {
        let page = page(ReportSamples.full())
        let words = try #require(page.firstMatch(of: #/<desc id="pd">([^<]*)</desc>/#)?.output.1)
        #expect(words.contains("app hop app, 10.0.1.11:443: falls short, TLSv1.2, TLS_AES_128_GCM_SHA256."))
        #expect(words.contains("storage ehr, sql.internal, database ehr: not checked."))
    }

    @Test func `of many hops the picture draws those that fall short`() {
        let good = (1...20).map {
            HopReport(kind: .app, name: "s\($0)", place: "p", facts: [], findings: [.holds(.appTrust, "good")])
        }
        let bad = HopReport(
            kind: .app,
            name: "broken",
            place: "p",
            facts: [],
            findings: [.fallsShort(.appTrust, "bad", remedy: "mend")]
        )
        let report = AuditReport(
            program: "p",
            host: "h",
            configuration: .init(path: "c", sha256: "s"),
            begun: "b",
            ended: "e",
            hops: good + [bad],
            provider: [],
            previous: nil
        )
        let page = page(report)
        #expect(page.contains(">broken</text>") && page.contains(" 15 more are in the summary only."))
    }

    @Test func `contrast is at least 4.5 in both schemes and on paper`() throws {
        let style = try #require(page(ReportSamples.full()).firstMatch(of: #/<style>((?s:.*?))</style>/#)?.output.1)
        let schemes = style.matches(of: #/:root\{([^}]*)\}/#).map { Self.colours(String($0.output.1)) }
        #expect(schemes.count == 3)
        for scheme in schemes {
            let pairs =
                ["ink", "soft", "accent", "good", "bad", "open", "told"].flatMap { [($0, "sheet"), ($0, "tint")] }
                + ["good", "bad", "open", "told"].flatMap { [($0, "\($0)-ground"), ("ink", "\($0)-ground")] }
                + ["accent", "good", "bad", "open"].map { ("on", $0) }
            for (text, ground) in pairs {
                let ratio = try Self.contrast(try #require(scheme[text]), try #require(scheme[ground]))
                #expect(ratio >= 4.5, "\(text) on \(ground): \(ratio)")
            }
        }
    }

    private static func colours(_ text: String) -> [String: String] {
        var colours: [String: String] = [:]
        for match in text.matches(of: #/--([a-z-]+):#([0-9a-f]+)/#) {
            colours[String(match.output.1)] = String(match.output.2)
        }
        return colours
    }

    /// WCAG 2.2, "contrast ratio".
    private static func contrast(_ first: String, _ second: String) throws -> Double {
        let values = try [first, second].map { text in
            let digits = text.count == 3 ? text.flatMap { [$0, $0] } : Array(text)
            let parts = try (0..<3).map { index in
                let value = Double(try #require(UInt8(String(digits[index * 2...index * 2 + 1]), radix: 16))) / 255
                return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
            }
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
        }
        return ((values.max() ?? 0) + 0.05) / ((values.min() ?? 0) + 0.05)
    }

    @Test func `Chromium shows the page and has nothing to complain of`() throws {
        let folder = try TemporaryFolder()
        let hostile = page(ReportSamples.hostile("<script>document.title = 'taken'</script>\"'><b>"))
        let page = page(ReportSamples.full())
        let good = try chromium(folder, page)
        #expect(good.contains("<h1>Encryption on every hop</h1>") && !good.contains("CONSOLE"), "\(good)")
        let other = try chromium(folder, hostile)
        #expect(!other.contains("<script>") && !other.contains("<b>") && !other.contains("CONSOLE"))
        #expect(!other.contains("<title>taken"))
        // That complaints would be seen: a style that the policy does not know.
        let changed = try chromium(folder, page.replacingOccurrences(of: "<style>", with: "<style>b{}"))
        #expect(changed.contains("CONSOLE"), "\(changed)")
    }

    private func chromium(_ folder: TemporaryFolder, _ page: String) throws -> String {
        let file = try folder.write("report.html", page)
        return try Shell.run(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--user-data-dir=\(folder.path)/profile", "--enable-logging=stderr", "--dump-dom", "file://\(file)",
            ],
            merged: true
        ).text
    }
}
