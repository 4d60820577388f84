import CLinux
import Glibc

/// What keeps a process that was broken into from doing harm: layers, each of which holds when the others have a hole.
public enum Sandbox {
    /// One way of giving up.
    public enum Layer: String, CaseIterable, Sendable {
        /// Another user than root.
        case user
        /// No part of root's power.
        case capabilities
        /// No program started later gains any.
        case privileges
        /// No core file, and no other process of the same user looks into the memory.
        case memory
        /// No memory becomes executable (Linux 6.3).
        case code
        /// Landlock: no files but those beneath some folders (Linux 5.13).
        case files
        /// Landlock: no TCP port but those of servers (Linux 6.7).
        case ports
        /// Landlock: no signal and no abstract socket leads out (Linux 6.12).
        case scope
        /// Seccomp: no system call but those of a list.
        case calls

        /// What it is called.
        public var name: String {
            switch self {
            case .user: "unprivileged user"
            case .capabilities: "no capabilities"
            case .privileges: "no new privileges"
            case .memory: "no core file, not dumpable"
            case .code: "no executable memory"
            case .files: "landlock: files"
            case .ports: "landlock: TCP ports"
            case .scope: "landlock: signals and abstract sockets"
            case .calls: "seccomp"
            }
        }

        /// The first kernel that has it; nil when every kernel does that is supported.
        private var since: String? {
            switch self {
            case .code: "Linux 6.3"
            case .files: "Linux 5.13"
            case .ports: "Linux 6.7"
            case .scope: "Linux 6.12"
            case .user, .capabilities, .privileges, .memory, .calls: nil
            }
        }

        /// What is said when it is missing.
        public var meaning: String { since.map { "\(name) (\($0))" } ?? name }
    }

    /// What a process goes on to need.
    public struct Plan: Sendable {
        /// What system calls it makes.
        public var needs: CallPolicy.Needs
        /// Open folders beneath which it reads.
        public var folders: [CInt] = []
        /// Folders beneath which it reads, by path.
        public var readable: [String] = []
        /// Folders beneath which it writes, by path.
        public var writable: [String] = []
        /// TCP ports that it may connect to; nil for any.
        public var ports: [UInt16]? = []

        /// A process that computes and talks to the master.
        public init(needs: CallPolicy.Needs = []) { self.needs = needs }
    }

    /// Which layers a process has put on, and why it has not put on the others.
    public struct Report: Equatable, Sendable {
        /// What holds.
        public var layers: Set<Layer> = []
        /// What does not, and why.
        public var missing: [Layer: String] = [:]

        /// Nothing yet.
        public init() {}

        mutating func take(_ layer: Layer, _ work: () throws(Errno) -> Void) {
            do throws(Errno) {
                try work()
                layers.insert(layer)
            } catch { missing[layer] = "\(error)" }
        }
    }

    /// The first half, as early as can be: who the process is, and what it can never become.
    ///
    /// - Parameters:
    ///   - user: whom to become, or nil to stay.
    ///   - kept: what is kept of root's power; nothing by those who carry traffic.
    ///   - layers: which of them are put on; all but for probing them.
    /// - Throws: when the user cannot be changed; the caller must end, since it may still be privileged.
    public static func giveUp(
        becoming user: (user: UInt32, group: UInt32)?,
        keeping kept: Set<Capability> = [],
        only layers: Set<Layer> = Set(Layer.allCases)
    ) throws(Errno) -> Report {
        var report = Report()
        // Before the change of user, which takes away the right to do this.
        if layers.contains(.capabilities) { Capability.bound(to: kept) }
        if layers.contains(.user) {
            if let user { try Privileges.become(user: user.user, group: user.group) }
            // Who keeps some of root's power is root on purpose.
            if Privileges.isRoot, kept.isEmpty {
                report.missing[.user] = "user is not set in [server]"
            } else if !Privileges.isRoot {
                report.layers.insert(.user)
            }
        }
        if layers.contains(.capabilities) {
            report.take(.capabilities) { () throws(Errno) in try Capability.keep(kept) }
        }
        if layers.contains(.privileges) {
            report.take(.privileges) { () throws(Errno) in
                guard everyhop_set_no_new_privileges() == 0 else { throw Errno(in: "prctl") }
            }
        }
        if layers.contains(.memory) {
            report.take(.memory) { () throws(Errno) in
                Privileges.forbidCoreDumps()
                guard everyhop_set_dumpable(0) == 0 else { throw Errno(in: "prctl") }
            }
        }
        return report
    }

    /// The second half, when everything is open: what the process may do from now on.
    ///
    /// A layer that the kernel lacks is left out, and told.
    public static func confine(
        _ plan: Plan,
        _ report: inout Report,
        only layers: Set<Layer> = Set(Layer.allCases)
    ) {
        if layers.contains(.code), !plan.needs.contains(.names) {
            report.take(.code) { () throws(Errno) in
                guard everyhop_refuse_executable_memory() == 0 else { throw Errno(in: "prctl") }
            }
        }
        restrict(plan, &report, layers)
        if layers.contains(.calls) {
            report.take(.calls) { () throws(Errno) in
                let machine = everyhop_audit_arch()
                guard machine != 0 else { throw Errno(ENOSYS, in: "seccomp") }
                try CallPolicy(plan.needs, process: getpid()).program(machine: machine).install()
            }
        }
    }

    private static func restrict(_ plan: Plan, _ report: inout Report, _ layers: Set<Layer>) {
        let wanted = layers.intersection([.files, .ports, .scope])
        let landlock = Landlock()
        var possible = wanted
        if landlock.version == 0 { possible = [] }
        if !landlock.restrictsNetwork { possible.remove(.ports) }
        if !landlock.restrictsScope { possible.remove(.scope) }
        let parts = Landlock.Parts(
            files: possible.contains(.files),
            network: possible.contains(.ports),
            scope: possible.contains(.scope)
        )
        do throws(Errno) {
            try landlock.restrict(plan, parts)
            report.layers.formUnion(possible)
        } catch {
            for layer in possible { report.missing[layer] = "\(error)" }
        }
        for layer in wanted.subtracting(possible) {
            report.missing[layer] = landlock.failure.map { "\($0)" } ?? "the kernel has version \(landlock.version)"
        }
    }

    /// What this kernel, or whoever confines this process already, does not permit, and why.
    public static func unavailable() -> [Layer: String] {
        var lacks: [Layer: String] = [:]
        if everyhop_can_refuse_executable_memory() != 0 { lacks[.code] = "\(Errno(in: "prctl"))" }
        if everyhop_audit_arch() == 0 || everyhop_can_filter() != 0 { lacks[.calls] = "\(Errno(in: "seccomp"))" }
        let landlock = Landlock()
        let reason = landlock.failure.map { "\($0)" } ?? "the kernel has version \(landlock.version)"
        if landlock.version == 0 { lacks[.files] = reason }
        if !landlock.restrictsNetwork { lacks[.ports] = reason }
        if !landlock.restrictsScope { lacks[.scope] = reason }
        return lacks
    }
}
