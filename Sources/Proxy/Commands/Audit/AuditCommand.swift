import ArgumentParser

/// `everyhop audit`: proves every hop, live.
struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Prove that every hop is encrypted, live.",
        subcommands: [AuditRunCommand.self, AuditVerifyCommand.self, AuditVerifyLogCommand.self],
        defaultSubcommand: AuditRunCommand.self
    )
}
