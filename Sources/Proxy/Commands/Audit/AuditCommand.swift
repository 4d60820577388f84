import ArgumentParser
import Evidence
import Platform

/// `everyhop audit`: proves every hop, live.
struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Prove that every hop is encrypted, live.",
        subcommands: [AuditRunCommand.self, AuditVerifyCommand.self],
        defaultSubcommand: AuditRunCommand.self
    )
}

/// `everyhop audit run`, which `everyhop audit` is short for.
struct AuditRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Probe every hop and say what holds.",
        discussion: """
            Every binding, server and database of the configuration is asked from outside what it accepts; nobody logs
            in anywhere. Exit code 0 only when every hop holds.

            Example:
              everyhop audit --config everyhop.toml
            """
    )

    @Option(name: .shortAndLong, help: "The configuration file.")
    var config: String

    func run() throws {
        let loaded = Loader.load(config, keepsCertificates: false)
        if !loaded.findings.isEmpty { Complaint.write(loaded.findings) }
        guard let bundle = loaded.bundle else { throw ExitCode(2) }
        let hops = try AuditPlan(bundle).hops()
        let report = AuditReport(
            program: "everyhop \(Version.text)",
            host: "",
            configuration: .init(path: config, sha256: ""),
            begun: "",
            ended: "",
            hops: hops,
            provider: [],
            previous: nil
        )
        print(String(decoding: try report.json(), as: UTF8.self))
        guard report.verdict == .holds else { throw ExitCode(1) }
    }
}
