import ArgumentParser
import Config
import Platform
import TLS

/// The master's children: started by it, not by people.
struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "load", shouldDisplay: false)

    @Argument var file: String
    @Flag var keepCertificates = false
    @Flag var takesOver = false
    @Flag(help: "certificates that are not valid now are errors") var demandsValidity = false
    @Flag(help: "what is served now is at descriptor 3") var present = false
    @Flag(help: "the same, and only what may be replaced in it is read") var again = false

    func run() throws {
        var served: Bundle?
        if again || present {
            let memory = FileDescriptor(owning: ChildProcess.firstDescriptor)
            served = try Bundle(decoding: try File.readShared(memory, limit: ControlChannel.limit))
        }
        // The loader's own sandbox would hide it.
        let lacks = again ? [:] : Sandbox.unavailable()
        let report = try Child.load(file, writes: again || keepCertificates) {
            if again, let served { return Loader.run(again: served) }
            return Loader.run(
                file,
                keepsCertificates: keepCertificates,
                present: served,
                takesOver: takesOver,
                demandsValidity: demandsValidity,
                lacks: lacks
            )
        }
        try File.writeAll(report.encoded(), to: 1)
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

    /// Parses and checks a configuration, and may do nothing else.
    ///
    /// - Parameter writes: whether certificates that are made are kept.
    static func load(_ file: String, writes: Bool, _ work: () -> LoadReport) throws -> LoadReport {
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
        ChildProcess.dieWithParent(Child.parent)
        do { try work(setup) } catch { throw ExitCode(1) }
    }
}

struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)

    func run() throws {
        let channel = Child.begin(holdsKeys: true)
        // Before any context is made.
        LibraryProvider.install()
        let worker: Worker
        do {
            worker = try Worker(try WorkerSetup(from: channel))
        } catch {
            Complaint.write("everyhop: worker: \(error)")
            throw ExitCode(1)
        }
        ChildProcess.dieWithParent(Child.parent)
        // What follows is traffic.
        Privileges.wipeFreed(false)
        do { try worker.run() } catch {
            // The master is gone, or the kernel refuses to wait: nothing can be served any more.
            throw ExitCode(1)
        }
    }
}

struct MonitorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "monitor", shouldDisplay: false)

    func run() throws {
        // It may hold the key that servers ask clients for.
        let channel = Child.begin(holdsKeys: true)
        let monitor = try Monitor(try HelperSetup(from: channel) { settings, _ in .monitor(settings) })
        ChildProcess.dieWithParent(Child.parent)
        do { try monitor.run() } catch { throw ExitCode(1) }
    }
}

struct ProberCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "prober", shouldDisplay: false)

    func run() throws {
        // It may hold the key that servers ask clients for.
        try Child.help(holdsKeys: true, { settings, _ in .prober(settings) }, ProbeTask.run)
    }
}

struct ResolverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "resolver", shouldDisplay: false)

    func run() throws {
        try Child.help(holdsKeys: false, { settings, _ in .resolver(settings) }, ResolverTask.run)
    }
}

struct StaplerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "stapler", shouldDisplay: false)

    func run() throws {
        try Child.help(holdsKeys: false, Sandbox.Plan.stapler, StaplerTask.run)
    }
}

struct IssuerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "acme", shouldDisplay: false)

    func run() throws {
        try Child.help(holdsKeys: true, Sandbox.Plan.issuer, IssuerTask.run)
    }
}

struct WatcherCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "watcher", shouldDisplay: false)

    func run() throws {
        try Child.help(
            holdsKeys: false,
            keeping: [.readEveryFile],
            { settings, _ in .watcher(settings) },
            FolderWatch.run
        )
    }
}

struct SignerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "signer", shouldDisplay: false)

    func run() throws {
        try Child.help(holdsKeys: true, { settings, _ in .signer(settings) }, SignerTask.run)
    }
}
