import ArgumentParser
import Evidence

/// `everyhop audit verify`: whether kept reports are what was signed, and none of them is missing.
struct AuditVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check reports: their signatures, and the chain back to the first.",
        discussion: """
            FILE checks a report and every one before it; FOLDER checks all reports of it. Without --public-key, the key
            is audit.pub beside the reports: whoever can write there can replace it, too, so keep a copy elsewhere.
            Exit code 0 when all is as it was signed, 1 when not, 2 when there is nothing to check it with.

            Example:
              everyhop audit verify reports
              everyhop audit verify reports/audit-20261125T101500Z.json --public-key /media/safe/audit.pub
            """
    )

    @Argument(help: "A report, or a folder of reports.")
    var path: String

    @Option(name: .customLong("public-key"), help: "A PEM public key; several for reports of several keys.")
    var publicKeys: [String] = []

    func run() throws {
        let result: ReportVerification
        do {
            result = try ReportVerification(path: path, publicKeyFiles: publicKeys)
        } catch {
            Complaint.write("everyhop: \(error)")
            throw ExitCode(2)
        }
        for link in result.links {
            let isGood = !result.faults.contains { $0.file == link.file || $0.file == "\(link.file.dropLast(5)).html" }
            print("\(isGood ? "good" : "BAD ")  \(link.file)  sha256 \(link.sha256 ?? "-")")
        }
        guard let first = result.faults.first else {
            let count = result.links.count
            print("\(count == 1 ? "1 report is" : "all \(count) reports are") as signed, the chain is whole")
            return
        }
        print("the chain is broken; first at \(first)")
        for fault in result.faults.dropFirst() { print("then \(fault)") }
        throw ExitCode(1)
    }
}
