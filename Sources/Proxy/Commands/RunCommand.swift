import ArgumentParser
import Platform
import TLS

/// `everyhop run`: the master, in the foreground.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Serve, in the foreground.",
        discussion: """
            SIGHUP loads the configuration again; a bad one never replaces a good one.
            SIGTERM stops accepting, finishes what is under way, and ends.
            SIGUSR1 opens the access log again, after a rotation.
            SIGUSR2 starts the program's file again, which takes over without refusing a client; if it cannot, this one goes on.
            systemd (Type=notify) is told when it serves, reloads and stops.

            Example:
              everyhop run --config /etc/everyhop/everyhop.toml
            """
    )

    @Option(name: .shortAndLong, help: "The configuration file.")
    var config: String

    @Option(help: "Where to write the process id, which an upgrade changes.")
    var pidFile: String?

    @Flag(help: .private)
    var takeOver = false

    func run() throws {
        let program = ProgramFile.path(startedAs: CommandLine.arguments.first ?? "")
        let options = RunOptions(file: config, pidFile: pidFile, program: program)
        var former: Former?
        do {
            // Both take keys.
            TLSLibrary.prepare()
            if takeOver { former = try Former() }
            try Master(options, former: former).run()
        } catch Master.Failure.configuration(let findings) {
            try end(2, findings + "everyhop: the configuration cannot be used", former)
        } catch Master.Failure.system(let reason) {
            try end(1, "everyhop: \(reason)", former)
        } catch {
            try end(1, "everyhop: \(error)", former)
        }
    }

    private func end(_ code: Int32, _ reason: String, _ former: Former?) throws {
        former?.tell(.failed, Array(reason.utf8))
        Complaint.write(reason)
        throw ExitCode(code)
    }
}

/// `everyhop check`: all of the configuration, files and keys included.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Validate a configuration with every file and key it names.",
        discussion: """
            Prints every error at once, each with its place and its fix. Exit code 0 when it can be used, 1 when not.

            Example:
              everyhop check --config everyhop.toml
            """
    )

    @Option(name: .shortAndLong, help: "The configuration file.")
    var config: String

    func run() throws {
        let report = Loader.load(config, keepsCertificates: false, demandsValidity: true)
        if !report.findings.isEmpty { Complaint.write(report.findings) }
        guard report.bundle != nil else { throw ExitCode(1) }
        print("\(config): good")
    }
}

/// Says something to the operator on standard error.
enum Complaint {
    static func write(_ text: String) {
        try? File.writeAll(Array((text.hasSuffix("\n") ? text : text + "\n").utf8), to: 2)
    }
}
