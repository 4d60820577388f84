import ArgumentParser

/// The program `everyhop`.
@main
struct Everyhop: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "everyhop",
        abstract: "Encryption on every hop of an application that cannot be changed.",
        version: Version.text,
        subcommands: [
            RunCommand.self, ReloadCommand.self, UpgradeCommand.self, CheckCommand.self, DemoCommand.self,
            CertificateCommand.self,
            PinCommand.self, HealthCommand.self, AuditCommand.self, DatabaseCommand.self, DocumentRootCommand.self,
            DemoApplicationCommand.self, SandboxProbeCommand.self,
        ]
    )

    /// Exit code 2 for a command line that is none, as for a configuration that cannot be used.
    static func main() {
        InternalCommand.requested?.main()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            Complaint.write(fullMessage(for: error))
            exit(withError: ExitCode(2))
        }
    }
}

/// The version of this program.
enum Version {
    static let text = "0.1.0"
}
