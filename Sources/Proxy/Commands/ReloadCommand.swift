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

/// The everyhop that runs with a configuration, as commands see it.
private struct RunningMaster {
    let config: String

    /// Prints the answer; a refusal, or nobody there, ends the command.
    func ask(_ request: ControlRequest, orElse complaint: String) throws {
        SignalDescriptor.ignoreBrokenPipes()
        let answer: ControlMessage
        do throws(Errno) {
            var channel = ControlChannel(try dial())
            try channel.send(kind: request.rawValue)
            try channel.flushWaiting()
            answer = try channel.receiveWaiting()
        } catch {
            guard error.isRefusedConnection else {
                Complaint.write("everyhop: the running everyhop gave no answer: \(error)")
                throw ExitCode(1)
            }
            Complaint.write("everyhop: no everyhop runs with the configuration \(config)")
            throw ExitCode(2)
        }
        let text = String(decoding: answer.payload, as: UTF8.self)
        guard answer.kind == ControlAnswer.done.rawValue else {
            Complaint.write(text)
            Complaint.write("everyhop: \(complaint)")
            throw ExitCode(1)
        }
        print(text)
    }

    /// Whoever listens may be somebody else: only root and this user are asked.
    private func dial() throws(Errno) -> FileDescriptor {
        let descriptor = try AbstractSocket.connect(try ControlPlace.name(of: config))
        guard AbstractSocket.peer(of: descriptor)?.isTrusted == true else { throw Errno.refused(in: "connect") }
        return descriptor
    }
}
