import Evidence
import Testing

@Suite struct AuditReportTests {
    private func report(_ findings: [Finding]) -> AuditReport {
        AuditReport(
            program: "everyhop 1",
            host: "portal",
            configuration: .init(path: "everyhop.toml", sha256: "00"),
            begun: "2026-11-25T10:00:00Z",
            ended: "2026-11-25T10:00:01Z",
            hops: [
                HopReport(kind: .client, name: "portal", place: "0.0.0.0:443", facts: [], findings: findings)
            ],
            provider: [],
            previous: nil
        )
    }

    @Test func oneFaultIsAFaultOfAll() {
        let good = Finding.holds(.clientVersions, "good")
        let unknown = Finding.notChecked(.clientRedirect, "no plain port")
        let bad = Finding.fallsShort(.clientPlaintext, "bad", remedy: "mend")
        #expect(report([good]).verdict == .holds)
        #expect(report([good, unknown]).verdict == .notChecked)
        #expect(report([good, unknown, bad]).verdict == .fallsShort)
        #expect(report([]).verdict == .notChecked)
    }

    @Test func readsWhatItWrote() throws {
        let evidence = [Fact("alert", "protocol_version (70) \"/\u{7}")]
        let before = report([.fallsShort(.clientVersions, "TLS 1.0 is accepted", remedy: "refuse it", evidence)])
        let bytes = try before.json()
        let after = try AuditReport(json: bytes)
        #expect(after == before)
        #expect(try after.json() == bytes)
    }

    @Test(arguments: ["", "{}", "[]", "nonsense", #"{"schema":"everyhop-audit/1"}"#])
    func refusesWhatIsNoReport(text: String) {
        #expect(throws: AuditReport.Unreadable.self) { try AuditReport(json: Array(text.utf8)) }
    }

    @Test func refusesALaterForm() throws {
        let text = String(decoding: try report([]).json(), as: UTF8.self)
        let later = Array(text.replacing("everyhop-audit/1", with: "everyhop-audit/2").utf8)
        #expect(throws: AuditReport.Unreadable.self) { try AuditReport(json: later) }
    }

    @Test func everyRequirementIsServed() {
        let served = Set(Check.allCases.flatMap(\.requirements))
        #expect(served == Set(Requirement.allCases))
    }
}
