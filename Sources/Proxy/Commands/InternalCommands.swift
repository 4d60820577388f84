import ArgumentParser
import Config
import Platform

/// The master's children: started by it, not by people.
struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "load", shouldDisplay: false)

    @Argument var file: String
    @Flag var keepCertificates = false

    func run() throws {
        let report = Loader.run(file, keepsCertificates: keepCertificates)
        try File.writeAll(report.encoded(), to: 1)
    }
}

struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)

    func run() throws {
        SignalDescriptor.ignoreBrokenPipes()
        SignalDescriptor.leaveEndingToParent()
        Privileges.forbidCoreDumps()
        let channel = ControlChannel(FileDescriptor(owning: ChildProcess.firstDescriptor))
        let worker: Worker
        do {
            worker = try Worker(try WorkerSetup(from: channel))
        } catch {
            Complaint.write("everyhop: worker: \(error)")
            throw ExitCode(1)
        }
        ChildProcess.dieWithParent()
        do { try worker.run() } catch {
            // The master is gone, or the kernel refuses to wait: nothing can be served any more.
            throw ExitCode(1)
        }
    }
}

struct MonitorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "monitor", shouldDisplay: false)

    func run() throws {
        SignalDescriptor.ignoreBrokenPipes()
        SignalDescriptor.leaveEndingToParent()
        // It may hold the key that servers ask clients for.
        Privileges.forbidCoreDumps()
        let channel = ControlChannel(FileDescriptor(owning: ChildProcess.firstDescriptor))
        var listener: AdminListener?
        let setup = try HelperSetup(from: channel) { configuration in
            guard let address = configuration.server.admin?.value.socketAddress else { return }
            listener = AdminListener(try Socket.listen(on: address, sharePort: false))
        }
        let monitor = try Monitor(setup, listener: listener)
        ChildProcess.dieWithParent()
        do { try monitor.run() } catch { throw ExitCode(1) }
    }
}

struct ResolverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "resolver", shouldDisplay: false)

    func run() throws {
        SignalDescriptor.ignoreBrokenPipes()
        SignalDescriptor.leaveEndingToParent()
        let channel = ControlChannel(FileDescriptor(owning: ChildProcess.firstDescriptor))
        let setup = try HelperSetup(from: channel) { _ in }
        ChildProcess.dieWithParent()
        do { try ResolverTask.run(setup) } catch { throw ExitCode(1) }
    }
}

struct WatcherCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "watcher", shouldDisplay: false)

    func run() throws {
        SignalDescriptor.ignoreBrokenPipes()
        SignalDescriptor.leaveEndingToParent()
        let channel = ControlChannel(FileDescriptor(owning: ChildProcess.firstDescriptor))
        let setup = try HelperSetup(from: channel) { _ in }
        ChildProcess.dieWithParent()
        do { try FolderWatch.run(setup) } catch { throw ExitCode(1) }
    }
}
