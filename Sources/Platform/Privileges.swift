import CLinux
import Glibc

/// Who a process is, and what it may hold.
public enum Privileges {
    /// Whether this process runs as root.
    public static var isRoot: Bool { geteuid() == 0 }

    /// The number and group of a user, or nil when the system knows no such name.
    public static func lookUp(user name: String) -> (user: UInt32, group: UInt32)? {
        guard let entry = getpwnam(name) else { return nil }
        return (entry.pointee.pw_uid, entry.pointee.pw_gid)
    }

    /// Becomes another user for good, without supplementary groups.
    ///
    /// - Throws: the call that failed; the caller must end, since it may still be privileged.
    public static func become(user: UInt32, group: UInt32) throws(Errno) {
        guard setgroups(0, nil) == 0 else { throw Errno(in: "setgroups") }
        guard everyhop_set_group(group) == 0 else { throw Errno(in: "setresgid") }
        guard everyhop_set_user(user) == 0 else { throw Errno(in: "setresuid") }
        guard user == 0 || setuid(0) != 0 else { throw Errno(EPERM, in: "setresuid") }
    }

    /// Raises the soft limit of open descriptors to the hard one.
    ///
    /// - Returns: how many descriptors this process may now hold.
    public static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(truncatingIfNeeded: min(limit.rlim_cur, 10_000_000))
    }

    /// No core file: it would hold keys.
    public static func forbidCoreDumps() {
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        _ = setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
    }

    /// Whether memory that is given back is overwritten at once: what a key was read from leaves no copy behind.
    ///
    /// It costs time with every piece of memory: for a process that begins, and for one that holds keys and little else.
    public static func wipeFreed(_ wipes: Bool) { everyhop_wipe_freed(wipes ? 1 : 0) }

    /// How many processors this process may run on.
    public static func processorCount() -> Int { max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))) }
}
