import ArgumentParser
import Bytes
import Evidence

/// `everyhop database`: whether a database encrypts what it stores, and how to have it do so.
struct DatabaseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "database",
        abstract: "Show and turn on the encryption of what a database stores.",
        subcommands: [Status.self, EnableEncryption.self]
    )

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ask a database's server whether its files are encrypted.",
            discussion: """
                Logs in over TLS, to the server that the configuration trusts. Exit code 0 when all is encrypted, 1 when
                not or when that could not be found out.

                Example:
                  everyhop database status ehr --config everyhop.toml --user auditor --password-file auditor.pass
                """
        )

        @OptionGroup var choice: DatabaseChoice

        func run() throws {
            let (access, credentials) = try choice.resolve()
            let audit = DatabaseStorageAudit(access, credentials: credentials)
            let report = audit.report()
            print(StoragePrinter.text(report), terminator: "")
            guard report.verdict == .holds else { throw ExitCode(1) }
        }
    }
}

/// A storage report as people read it in a terminal.
enum StoragePrinter {
    static func text(_ report: HopReport) -> String {
        var lines = ["\(report.name) at \(report.place)"]
        lines += report.facts.map { "  \($0.name): \(Visible.text($0.value))" }
        for finding in report.findings {
            lines.append("\(finding.verdict.words): \(Visible.text(finding.statement))")
            if let remedy = finding.remedy { lines.append("  mend it: \(Visible.text(remedy))") }
            lines += finding.evidence.map { "  \($0.name): \(Visible.text($0.value))" }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
