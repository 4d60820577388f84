import ArgumentParser
import Platform

/// `everyhop reload`: asks the running master, and waits for the outcome.
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Have the running everyhop load its configuration again, and wait until it serves.",
        discussion: """
            Exit code 0 when the new configuration serves, 1 when it was refused and the present one goes on (what is
            wrong is printed), 2 when no everyhop runs with this configuration.

            Where only certificates, keys, pins, authorities or ticket keys have changed, they are replaced in place:
            no connection ends.

            Example:
              everyhop reload --config /etc/everyhop/everyhop.toml
            """
    )

    @Option(name: .shortAndLong, help: "The configuration file, as the running everyhop was given it.")
    var config: String

    func run() throws {
        try RunningMaster(config: config).ask(
            .reload,
            orElse: "the reload was refused, the present configuration goes on"
        )
    }
}

/// `everyhop upgrade`: asks the running master, and waits for the outcome.
struct UpgradeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade",
        abstract: "Have the running everyhop change to the program file that has taken its own one's place.",
        discussion: """
            Exit code 0 when the new program serves, 1 when it could not take over and the present one goes on (why is
            printed), 2 when no everyhop runs with this configuration. No client is refused meanwhile.

            Example:
              everyhop upgrade --config /etc/everyhop/everyhop.toml
            """
    )

    @Option(name: .shortAndLong, help: "The configuration file, as the running everyhop was given it.")
    var config: String

    func run() throws {
        try RunningMaster(config: config).ask(.upgrade, orElse: "the upgrade failed, the present program goes on")
    }
}
