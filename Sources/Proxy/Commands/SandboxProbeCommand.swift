import ArgumentParser
import Config
import Platform
import TLS

/// `everyhop sandbox-probe`: puts on what a child puts on, by the same code, and then tries what that is to stop.
///
/// It is how the tests, and whoever doubts, see on their own host what each layer does. Ends with 0 when the attempt was
/// successful and with 3 when it failed; what is deadly ends it with SIGSYS.
struct SandboxProbeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "sandbox-probe", shouldDisplay: false)

    enum Child: String, CaseIterable, ExpressibleByArgument {
        case worker, monitor, prober, resolver, watcher, signer

        func plan(_ configuration: Configuration, folders: [Int32]) -> Sandbox.Plan {
            switch self {
            case .worker: .worker(configuration, folders: folders)
            case .monitor: .monitor(configuration)
            case .prober: .prober(configuration)
            case .resolver: .resolver(configuration)
            case .watcher: .watcher(configuration)
            case .signer: .signer(configuration)
            }
        }
    }

    @Argument(help: "What is tried.") var attempt: String
    @Option(name: .shortAndLong, help: "The configuration file.") var config: String
    @Option(help: "Whose sandbox.") var child = Child.worker
    @Option(help: "Which layers, with commas between them; \"none\" for none. Default: all.") var layers: String?
    @Option(help: "A path, a port, a process or a name, as the attempt needs it.") var target = ""

    func run() throws {
        guard let attempt = SandboxAttempt(rawValue: attempt) else {
            throw ValidationError("one of \(SandboxAttempt.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let report = Loader.run(config, keepsCertificates: false)
        guard let configuration = try report.bundle?.configuration() else {
            Complaint.write(report.findings)
            throw ExitCode(2)
        }
        let user = configuration.server.user.flatMap { Privileges.isRoot ? Privileges.lookUp(user: $0.value) : nil }
        let folders = configuration.folders.compactMap { served in
            try? File.openFolder(Loader.resolved(served.folder.path.value, beside: config)).release()
        }
        var held = try Sandbox.giveUp(becoming: user, keeping: child.kept, only: try chosen())
        TLSLibrary.prepare()
        Sandbox.confine(child.plan(configuration, folders: folders), &held, only: try chosen())
        for layer in Sandbox.Layer.allCases {
            guard let reason = held.missing[layer] else { continue }
            Complaint.write("everyhop: \(layer.meaning): \(reason)")
        }
        let code = attempt.make(target, folders: folders)
        Complaint.write("\(attempt.rawValue): \(code == 0 ? "done" : Errno(code, in: "attempt").message)")
        throw ExitCode(code == 0 ? 0 : 3)
    }

    private func chosen() throws -> Set<Sandbox.Layer> {
        guard let layers, layers != "all" else { return Set(Sandbox.Layer.allCases) }
        if layers == "none" { return [] }
        return Set(
            try layers.split(separator: ",").map { name in
                guard let layer = Sandbox.Layer(rawValue: String(name)) else {
                    throw ValidationError("\(name) is no layer")
                }
                return layer
            }
        )
    }
}

extension SandboxProbeCommand.Child {
    /// What is kept of root's power.
    var kept: Set<Capability> {
        switch self {
        case .watcher: [.readEveryFile]
        case .worker, .monitor, .prober, .resolver, .signer: []
        }
    }
}
