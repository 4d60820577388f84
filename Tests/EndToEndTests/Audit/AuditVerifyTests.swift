import Evidence
import Foundation
import Platform
import Support
import Testing

@Suite("everyhop audit verify") struct AuditVerifyTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        for second in 0..<3 {
            let report = AuditReport(
                program: "everyhop",
                host: "h",
                configuration: .init(path: "c", sha256: "s"),
                begun: "2026-11-25T10:15:0\(second)Z",
                ended: "2026-11-25T10:15:09Z",
                hops: [],
                provider: [],
                previous: nil
            )
            _ = try ReportStore(folder: "\(folder.path)/reports", keyFile: nil).write(report, html: second == 2)
        }
    }

    private func verify(_ arguments: String...) throws -> ProgramResult {
        try Shell.run([EveryhopProcess.program, "audit", "verify"] + arguments, merged: true)
    }

    @Test func `what is whole is 0, what is not is 1, what cannot be said is 2`() throws {
        let reports = "\(folder.path)/reports"
        let one = "\(reports)/audit-20261125T101501Z.json"
        let good = try verify(reports)
        #expect(good.status == 0 && good.text.hasSuffix("all 3 reports are as signed, the chain is whole\n"))
        let digest = try Shell.run(["sha256sum", one]).text.prefix(64)
        #expect(good.text.contains("good  audit-20261125T101501Z.json  sha256 \(digest)\n"))
        #expect(try verify("\(reports)/audit-20261125T101502Z.html").status == 0)
        #expect(try verify(one, "--public-key", "\(reports)/audit.pub").status == 0)

        let text = String(decoding: try File.read(one), as: UTF8.self)
        try File.write(Array(text.replacingOccurrences(of: "everyhop\"", with: "nobody\"").utf8), to: one, mode: 0o640)
        let bad = try verify(reports)
        #expect(bad.status == 1)
        #expect(bad.text.contains("BAD   audit-20261125T101501Z.json"))
        #expect(bad.text.contains("the chain is broken; first at audit-20261125T101501Z.json: the signature does not"))
        #expect(try verify("\(reports)/audit-20261125T101500Z.json").status == 0)

        try FileManager.default.removeItem(atPath: one)
        let missing = try verify("\(reports)/audit-20261125T101502Z.json")
        #expect(missing.status == 1)
        #expect(
            missing.text.contains(
                "first at audit-20261125T101502Z.json: the report before it, audit-20261125T101501Z.json, is missing"
            )
        )

        #expect(try verify("\(folder.path)/none").status == 2)
        #expect(try verify(folder.path).status == 2)
        #expect(try verify(reports, "--public-key", "\(folder.path)/none").status == 2)
    }

    @Test func `an answer of tomorrow is told by check`() throws {
        let file = try folder.write(
            "c.toml",
            "[[database]]\nname = \"d\"\nprotocol = \"postgres\"\nserver = \"10.0.0.1:5432\"\ntrust = { pins = [\"sha256/\(String(repeating: "A", count: 43))=\"] }\n[[database.binding]]\nport = 15432\n[provider]\nbackup = { answer = \"a\", by = \"b\", on = 9999-01-01 }\n"
        )
        let result = try Shell.run([EveryhopProcess.program, "check", "--config", file], merged: true)
        #expect(result.status == 1)
        #expect(result.text.contains("c.toml:9:41: error: backup is answered on 9999-01-01, which is in the future"))
    }
}
