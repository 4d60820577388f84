import Evidence
import Platform
import Support
import Testing

@Suite struct ProcessAuditTests {
    @Test func aLogThatCannotBeSeenIsNotTakenForGood() throws {
        let folder = try TemporaryFolder()
        let access = try folder.write("access.jsonl", "")
        chmodded(access)
        for (path, expected) in [(access, Verdict.holds), ("\(folder.path)/none", .notChecked)] {
            let report = ProcessAudit(
                configuration: "/none",
                digest: "",
                secrets: [],
                logs: [ProcessAudit.GuardedFile(what: "access log", path: path)],
                logsQueries: false,
                auditLog: nil,
                knownHead: nil,
                admin: nil,
                told: .unknown(reason: "nobody was asked")
            ).report()
            #expect(report.findings.filter { $0.check == .processLogs }.map(\.verdict) == [expected])
        }
    }

    private func chmodded(_ path: String) { try? File.setMode(0o600, of: path) }
}
