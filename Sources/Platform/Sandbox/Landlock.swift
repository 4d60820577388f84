import CLinux
import Glibc

/// What landlock(7) permits a process; all else of what the kernel can restrict is denied.
struct Landlock {
    /// Interface versions, and what came with each.
    private enum Version {
        static let files = 1
        static let moving = 2
        static let truncating = 3
        static let network = 4
        static let devices = 5
        static let scope = 6
    }

    // linux/landlock.h
    private static let readFile: UInt64 = 1 << 2
    private static let readFolder: UInt64 = 1 << 3
    private static let writeFile: UInt64 = 1 << 1
    private static let removeFile: UInt64 = 1 << 5
    private static let makeFile: UInt64 = 1 << 8
    private static let truncateFile: UInt64 = 1 << 14
    private static let bind: UInt64 = 1 << 0
    private static let connect: UInt64 = 1 << 1

    /// What the kernel can restrict; 0 when it has no landlock, or was started without.
    let version: Int
    /// Why it has none.
    let failure: Errno?

    init() {
        let answer = everyhop_landlock_version()
        failure = answer < 0 ? Errno(in: "landlock_create_ruleset") : nil
        version = max(0, answer)
    }

    var restrictsNetwork: Bool { version >= Version.network }
    var restrictsScope: Bool { version >= Version.scope }

    /// Which parts of a plan are put on.
    struct Parts {
        var files = true
        var network = true
        var scope = true
    }

    /// Denies everything but what the plan permits, for good.
    func restrict(_ plan: Sandbox.Plan, _ parts: Parts) throws(Errno) {
        let files = parts.files ? handledFiles : 0
        let network = parts.network && restrictsNetwork ? Self.bind | (plan.ports == nil ? 0 : Self.connect) : 0
        let scope: UInt64 = parts.scope && restrictsScope ? 0b11 : 0
        guard files | network | scope != 0 else { return }
        let raw = everyhop_landlock_create(files, network, scope)
        guard raw >= 0 else { throw Errno(in: "landlock_create_ruleset") }
        let rules = FileDescriptor(owning: raw)
        if files != 0 {
            for folder in plan.folders { try allow(rules, Self.readFile | Self.readFolder, beneath: folder) }
            for path in plan.readable { try allow(rules, Self.readFile | Self.readFolder, beneathPath: path) }
            for path in plan.writable { try allow(rules, Self.writing & files, beneathPath: path) }
        }
        if network & Self.connect != 0 {
            for port in Set(plan.ports ?? []) {
                guard everyhop_landlock_allow_port(rules.raw, Self.connect, UInt64(port)) == 0 else {
                    throw Errno(in: "landlock_add_rule")
                }
            }
        }
        guard everyhop_landlock_restrict(rules.raw) == 0 else { throw Errno(in: "landlock_restrict_self") }
    }

    private static let writing = readFile | readFolder | writeFile | removeFile | makeFile | truncateFile

    /// Everything about files that this kernel can restrict.
    private var handledFiles: UInt64 {
        var all: UInt64 = (1 << 13) - 1
        if version >= Version.moving { all |= 1 << 13 }
        if version >= Version.truncating { all |= Self.truncateFile }
        if version >= Version.devices { all |= 1 << 15 }
        return all
    }

    private func allow(
        _ rules: borrowing FileDescriptor,
        _ access: UInt64,
        beneath folder: CInt
    ) throws(Errno) {
        guard everyhop_landlock_allow_beneath(rules.raw, access, folder) == 0 else {
            throw Errno(in: "landlock_add_rule")
        }
    }

    /// A folder that is not there permits nothing.
    private func allow(
        _ rules: borrowing FileDescriptor,
        _ access: UInt64,
        beneathPath path: String
    ) throws(Errno) {
        let raw = everyhop_open_folder(path)
        guard raw >= 0 else { return }
        let folder = FileDescriptor(owning: raw)
        try allow(rules, access, beneath: folder.raw)
    }
}
