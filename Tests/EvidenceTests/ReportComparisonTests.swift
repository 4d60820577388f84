import Evidence
import Testing

@Suite("Comparison of reports") struct ReportComparisonTests {
    private func report(_ hops: [HopReport], sha256: String = "a", provider: [ProviderAnswer] = []) -> AuditReport {
        AuditReport(
            program: "p",
            host: "h",
            configuration: .init(path: "c.toml", sha256: sha256),
            begun: "b",
            ended: "e",
            hops: hops,
            provider: provider,
            previous: nil
        )
    }

    private func hop(_ place: String, _ facts: [Fact] = [], _ findings: [Finding] = []) -> HopReport {
        HopReport(kind: .app, name: "app", place: place, facts: facts, findings: findings)
    }

    private func changes(_ before: AuditReport, _ after: AuditReport) -> [String] {
        ReportComparison.changes(from: before, to: after).map {
            "\($0.kind.rawValue) \($0.hop ?? "-") \($0.subject ?? "-") \($0.before ?? "-") \($0.after ?? "-")"
        }
    }

    @Test func `a report does not differ from itself`() {
        let report = ReportSamples.full()
        #expect(ReportComparison.changes(from: report, to: report).isEmpty)
    }

    @Test func `times and wording are no change`() {
        let before = report([hop("1", [], [.holds(.appExpiry, "expires in 40 days")])])
        #expect(changes(before, report([hop("1", [], [.holds(.appExpiry, "expires in 39 days")])])).isEmpty)
    }

    @Test func `hops come and go`() {
        let good = Finding.holds(.appTrust, "good")
        #expect(
            changes(report([hop("1", [], [good]), hop("2")]), report([hop("3"), hop("1", [], [good])]))
                == ["hop-appeared app hop app, 3 - - not-checked", "hop-disappeared app hop app, 2 - not-checked -"]
        )
        #expect(
            changes(report([hop("1"), hop("1")]), report([hop("1")])) == [
                "hop-disappeared app hop app, 1 - not-checked -"
            ]
        )
    }

    @Test func `verdicts change, and checks are made no longer`() {
        let before = hop("1", [], [.holds(.appTrust, "good"), .holds(.appVersion, "good")])
        let after = hop("1", [], [.fallsShort(.appTrust, "bad", remedy: "mend"), .holds(.appExpiry, "good")])
        #expect(
            changes(report([before]), report([after])) == [
                "hop-verdict app hop app, 1 - holds falls-short", "finding app hop app, 1 app.trust holds falls-short",
                "finding app hop app, 1 app.expiry - holds", "finding app hop app, 1 app.version holds -",
            ]
        )
    }

    @Test func `facts and evidence change, also those of one name`() {
        let before = hop(
            "1",
            [Fact("pin", "a"), Fact("name", "x"), Fact("name", "y")],
            [.holds(.appTrust, "", [Fact("key", "k")])]
        )
        let after = hop(
            "1",
            [Fact("pin", "b"), Fact("name", "x"), Fact("group", "g")],
            [.holds(.appTrust, "", [Fact("key", "l")])]
        )
        #expect(
            changes(report([before]), report([after])) == [
                "fact app hop app, 1 pin a b", "fact app hop app, 1 name x, y x", "fact app hop app, 1 group - g",
                "fact app hop app, 1 app.trust: key k l",
            ]
        )
    }

    @Test func `a process that was started again is the same`() {
        let reports = [(1, "0600"), (2, "0640")].map { number, mode in
            let evidence = [Fact("worker \(number)", "all layers"), Fact("key", mode)]
            return report([
                HopReport(
                    kind: .process,
                    name: "everyhop",
                    place: "process \(number)",
                    facts: [Fact("user", mode)],
                    findings: [.holds(.processSandbox, "good", evidence)]
                )
            ])
        }
        #expect(changes(reports[0], reports[1]) == ["fact process everyhop, process 2 user 0600 0640"])
    }

    @Test func `what encrypts at rest stands beside versions of TLS, the database's own version does not`() {
        let facts = [Fact("version", "10.11"), Fact("contents", "AES-256-XTS")]
        let page = HTMLReport(
            report([HopReport(kind: .storage, name: "ehr", place: "p", facts: facts, findings: [])]),
            seal: nil
        ).render()
        #expect(page.contains("<div><code class=\"part\">AES-256-XTS</code></div>"))
        #expect(page.contains("<desc id=\"pd\">storage ehr, p: not checked, AES-256-XTS.</desc>"))
    }

    @Test func `the configuration and answers change`() {
        let open = ProviderAnswer(question: .backup, state: .open, answer: nil, by: nil, on: nil)
        let told = ProviderAnswer(question: .backup, state: .answered, answer: "daily", by: "we", on: "2026-01-01")
        #expect(
            changes(report([], provider: [open]), report([], sha256: "b", provider: [told])) == [
                "configuration - c.toml a b", "provider - backup open answered: daily (we, 2026-01-01)",
            ]
        )
    }

    @Test func `text, HTML and JSON tell what has changed`() throws {
        let newer = ReportSamples.full(isMended: true)
        let report = newer.compared(with: ReportSamples.full(), file: .init(file: "old.json", sha256: "00"))
        let text = TextReport(report, isColoured: false).render()
        #expect(text.contains("Changes since old.json"))
        #expect(
            text.contains(
                "  app hop app, 10.0.1.11:443\n    Verdict: falls short -> holds\n    version: TLSv1.2 -> TLSv1.3\n"
            )
        )
        let page = HTMLReport(report, seal: nil).render()
        #expect(page.contains("<td role=\"cell\" data-label=\"Now\"><div><code>TLSv1.3</code></div></td>"))
        #expect(try AuditReport(json: report.json()) == report)
        #expect(String(decoding: try report.json(), as: UTF8.self).contains("\"kind\" : \"hop-verdict\""))
        #expect(String(decoding: try newer.json(), as: UTF8.self).contains("comparison") == false)
    }
}
