import CLinux
import Glibc

/// A part of root's power (capabilities(7)) that the master keeps for what it does later.
public enum Capability: Int, CaseIterable, Sendable {
    /// Files that belong to others: their keys, and logs in folders of theirs.
    case overrideFilePermissions = 1
    /// The same, for reading only.
    case readEveryFile = 2
    /// The mode of a socket's file that belongs to another.
    case changeModes = 3
    /// Ending workers that run as another user.
    case signalOthers = 5
    /// The workers' group.
    case becomeGroup = 6
    /// The workers' user.
    case becomeUser = 7
    /// Having children give up even what they could gain.
    case dropBounding = 8
    /// Ports below 1024, also after a reload.
    case bindLowPorts = 10

    /// Past the last that any kernel has.
    private static let end: CInt = 64

    /// Whatever is started from now on can gain no others.
    ///
    /// What this process has stays; only who may change the bounding set changes it, and without any capability it gives
    /// nothing either.
    static func bound(to kept: Set<Capability>) {
        let mask = mask(kept)
        for number in 0..<end where mask & 1 << UInt64(number) == 0 {
            if everyhop_drop_from_bounding_set(number) != 0 { break }
        }
    }

    /// Gives up all others.
    ///
    /// - Throws: when the kernel does not let go of one.
    static func keep(_ kept: Set<Capability>) throws(Errno) {
        _ = everyhop_clear_ambient()
        var permitted: UInt64 = 0
        guard everyhop_permitted_capabilities(&permitted) == 0 else { throw Errno(in: "capget") }
        guard everyhop_keep_capabilities(permitted & mask(kept)) == 0 else { throw Errno(in: "capset") }
    }

    private static func mask(_ list: Set<Capability>) -> UInt64 { list.reduce(0) { $0 | 1 << UInt64($1.rawValue) } }
}
