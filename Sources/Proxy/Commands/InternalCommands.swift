import ArgumentParser
import Config
import Platform
import TLS

/// The master's children: started by it, not by people.
///
/// Their arguments are not parsed like those of commands: that would take a third of the time in which such a process begins.
enum InternalCommand: String {
    case load, worker, monitor, prober, resolver, watcher, signer, stapler, acme

    /// What this process was started as, unless a person did.
    static var requested: InternalCommand? {
        CommandLine.arguments.count > 1 ? InternalCommand(rawValue: CommandLine.arguments[1]) : nil
    }

    /// Does the child's work, and ends the process.
    func main() -> Never {
        do {
            try run(CommandLine.arguments.dropFirst(2))
            Everyhop.exit()
        } catch let code as ExitCode {
            Everyhop.exit(withError: code)
        } catch {
            Complaint.write("everyhop: \(rawValue): \(error)")
            Everyhop.exit(withError: ExitCode(1))
        }
    }

    private func run(_ arguments: ArraySlice<String>) throws {
        switch self {
        case .load: try Child.load(arguments)
        case .worker: try Child.work()
        // It may hold the key that servers ask clients for.
        case .monitor: try Child.watch()
        case .prober: try Child.help(holdsKeys: true, { settings, _ in .prober(settings) }, ProbeTask.run)
        case .resolver: try Child.help(holdsKeys: false, { settings, _ in .resolver(settings) }, ResolverTask.run)
        case .watcher:
            try Child.help(
                holdsKeys: false,
                keeping: [.readEveryFile],
                { settings, _ in .watcher(settings) },
                FolderWatch.run
            )
        case .signer: try Child.help(holdsKeys: true, { settings, _ in .signer(settings) }, SignerTask.run)
        case .stapler: try Child.help(holdsKeys: false, Sandbox.Plan.stapler, StaplerTask.run)
        case .acme: try Child.help(holdsKeys: true, Sandbox.Plan.issuer, IssuerTask.run)
        }
    }
}

/// What every child of the master begins with.
private enum Child {
    /// Who it was that started this process.
    static let parent = ChildProcess.parent

    /// Leaves ending to the master, and takes the channel to it.
    ///
    /// - Parameter holdsKeys: whether a core file could hold a key.
    static func begin(holdsKeys: Bool) -> ControlChannel {
        _ = parent
        SignalDescriptor.ignoreBrokenPipes()
        SignalDescriptor.leaveEndingToParent()
        if holdsKeys {
            Privileges.forbidCoreDumps()
            Privileges.wipeFreed(true)
        }
        return ControlChannel(FileDescriptor(owning: ChildProcess.firstDescriptor))
    }

    /// Loads a configuration, or what may be replaced in one; its report goes to standard output.
    ///
    /// - Parameter arguments: the file, and flags: `--keep-certificates`; `--takes-over`; `--demands-validity`, with which
    ///   certificates that are not valid now are errors; `--present` when what is served now is at descriptor 3; `--again`
    ///   when it is, and only what may be replaced in it is read.
    static func load(_ arguments: ArraySlice<String>) throws {
        guard let file = arguments.first else { throw ExitCode(2) }
        let flags = Set(arguments.dropFirst())
        let isAgain = flags.contains("--again")
        var served: Bundle?
        if isAgain || flags.contains("--present") {
            let memory = FileDescriptor(owning: ChildProcess.firstDescriptor)
            served = try Bundle(decoding: try File.readShared(memory, limit: ControlChannel.limit))
        }
        // The loader's own sandbox would hide it.
        let lacks = isAgain ? [:] : Sandbox.unavailable()
        let keepsCertificates = flags.contains("--keep-certificates")
        let report = try load(file, writes: isAgain || keepsCertificates) {
            if isAgain, let served { return Loader.run(again: served) }
            return Loader.run(
                file,
                keepsCertificates: keepsCertificates,
                present: served,
                takesOver: flags.contains("--takes-over"),
                demandsValidity: flags.contains("--demands-validity"),
                lacks: lacks
            )
        }
        try File.writeAll(report.encoded(), to: 1)
    }

    /// Parses and checks a configuration, and may do nothing else.
    ///
    /// - Parameter writes: whether certificates that are made are kept.
    private static func load(_ file: String, writes: Bool, _ work: () -> LoadReport) throws -> LoadReport {
        Privileges.wipeFreed(true)
        var held = try Sandbox.giveUp(
            becoming: nil,
            keeping: [.overrideFilePermissions, .readEveryFile, .changeModes]
        )
        TLSLibrary.prepare()
        Sandbox.confine(.loader(file, writes: writes), &held)
        return work()
    }

    /// Collects what the master hands to a helper without a socket of its own, and does the helper's work.
    static func help(
        holdsKeys: Bool,
        keeping kept: Set<Capability> = [],
        _ plan: (Configuration, Bundle) -> Sandbox.Plan,
        _ work: (consuming HelperSetup) throws -> Void
    ) throws {
        let setup = try HelperSetup(from: begin(holdsKeys: holdsKeys), keeping: kept, plan: plan)
        ChildProcess.dieWithParent(parent)
        do { try work(setup) } catch { throw ExitCode(1) }
    }

    /// Serves clients.
    static func work() throws {
        let channel = begin(holdsKeys: true)
        // Before any context is made.
        LibraryProvider.install()
        let worker: Worker
        do {
            worker = try Worker(try WorkerSetup(from: channel))
        } catch {
            Complaint.write("everyhop: worker: \(error)")
            throw ExitCode(1)
        }
        ChildProcess.dieWithParent(parent)
        // What follows is traffic.
        Privileges.wipeFreed(false)
        do { try worker.run() } catch {
            // The master is gone, or the kernel refuses to wait: nothing can be served any more.
            throw ExitCode(1)
        }
    }

    /// Checks servers, and answers on the admin address.
    static func watch() throws {
        let channel = begin(holdsKeys: true)
        let monitor = try Monitor(try HelperSetup(from: channel) { settings, _ in .monitor(settings) })
        ChildProcess.dieWithParent(parent)
        do { try monitor.run() } catch { throw ExitCode(1) }
    }
}
