import ArgumentParser

/// The program `everyhop`.
@main
struct Everyhop: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "everyhop",
        abstract: "Encryption on every hop of an application that cannot be changed.",
        version: Version.text,
        subcommands: [
            RunCommand.self, CheckCommand.self, DemoCommand.self, CertificateCommand.self, PinCommand.self,
            AuditCommand.self, DatabaseCommand.self, DocumentRootCommand.self,
            LoadCommand.self, WorkerCommand.self, MonitorCommand.self,
            ResolverCommand.self, WatcherCommand.self, DemoApplicationCommand.self,
        ]
    )
}

/// The version of this program.
enum Version {
    static let text = "0.1.0"
}
