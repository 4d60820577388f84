import Glibc

/// Which system calls a process may make once it is confined: a list of what its work needs, and no more.
///
/// What is not on the list fails with ENOSYS, as on a kernel that lacks it: another version of the C library that asks for
/// something newer falls back to what it did before. Opening a file fails with EACCES: libraries look for files once in a
/// while, and go on without. What no library does by accident, and a program that was broken into does first, is deadly.
public struct CallPolicy: Sendable {
    /// What a process does besides computing and talking to the master.
    public struct Needs: OptionSet, Sendable {
        /// See `OptionSet`.
        public let rawValue: Int
        /// See `OptionSet`.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// Stream sockets to IP addresses.
        public static let network = Needs(rawValue: 1 << 0)
        /// Stream sockets of this host.
        public static let localSockets = Needs(rawValue: 1 << 1)
        /// Taking connections from sockets that listen already.
        public static let accept = Needs(rawValue: 1 << 2)
        /// Looking names up: datagrams, and the modules of the C library.
        public static let names = Needs(rawValue: 1 << 3)
        /// Opening files beneath folders that are open already.
        public static let filesBeneath = Needs(rawValue: 1 << 4)
        /// Opening files by their path for reading.
        public static let files = Needs(rawValue: 1 << 5)
        /// Making and replacing files.
        public static let writing = Needs(rawValue: 1 << 6)
    }

    let rules: [CallRule]
    let otherwise = CallVerdict.fail(ENOSYS)

    /// - Parameter process: its own number, so that it may signal itself (abort(3)) and nobody else.
    init(_ needs: Needs, process: pid_t) {
        var rules: [CallRule] = []
        rules += Self.hot.map { CallRule(call: $0) }
        rules += Self.memory(mayExecute: needs.contains(.names))
        rules += Self.messages
        if !needs.isDisjoint(with: [.network, .localSockets, .names]) { rules += Self.sockets(needs) }
        if needs.contains(.accept) { rules.append(CallRule(call: .accept4)) }
        if !needs.isDisjoint(with: [.network, .localSockets, .names, .accept]) { rules += Self.connections }
        rules += Self.common.map { CallRule(call: $0) }
        rules += Self.descriptors
        rules += Self.own(process)
        if needs.contains(.filesBeneath) { rules.append(CallRule(call: .openat2)) }
        if needs.contains(.files) {
            rules += (Self.opening + Self.looking).map { CallRule(call: $0) }
        } else {
            rules += Self.opening.map { CallRule(call: $0, verdict: .fail(EACCES)) }
        }
        if needs.contains(.writing) { rules += Self.writing.map { CallRule(call: $0) } }
        // What is allowed above under conditions is deadly without them.
        rules += Self.deadly.map { CallRule(call: $0, verdict: .kill) }
        self.rules = rules
    }

    /// The program for this machine.
    func program(machine: UInt32) -> FilterProgram { FilterProgram(rules, machine: machine, otherwise: otherwise) }

    // MARK: the lists

    /// First what every request needs.
    private static let hot: [SystemCall] = [
        .epoll_wait, .epoll_pwait, .read, .write, .readv, .writev, .recvfrom, .epoll_ctl, .close, .clock_gettime,
        .futex,
    ]

    private static let common: [SystemCall] = [
        .pread64, .lseek, .fstat, .poll, .ppoll, .epoll_create1, .getrandom, .brk, .munmap, .mremap, .madvise, .mlock,
        .munlock, .clock_getres, .gettimeofday, .time, .nanosleep, .clock_nanosleep, .sched_yield, .sched_getaffinity,
        .exit, .exit_group, .rt_sigreturn, .rt_sigprocmask, .rt_sigaction, .sigaltstack, .restart_syscall, .gettid,
        .getpid,
        .getppid, .getuid, .geteuid, .getgid, .getegid,
    ]

    /// Memory that is written and memory that is executed are never the same; nothing becomes executable.
    private static func memory(mayExecute: Bool) -> [CallRule] {
        // Modules of the C library for names are programs, too.
        let conditions = mayExecute ? [] : [lacks(UInt32(PROT_EXEC), in: 2)]
        return [SystemCall.mmap, .mprotect].map { CallRule(call: $0, conditions: conditions) }
    }

    /// Not with MSG_FASTOPEN, which connects past landlock.
    private static let messages: [CallRule] = [
        CallRule(call: .sendmsg, conditions: [lacks(fastOpen, in: 2)]), CallRule(call: .recvmsg),
    ]

    private static let fastOpen: UInt32 = 0x2000_0000

    private static func sockets(_ needs: Needs) -> [CallRule] {
        var rules: [CallRule] = []
        if !needs.isDisjoint(with: [.network, .names]) {
            for family in [AF_INET, AF_INET6] {
                // Nothing but TCP: landlock knows the ports of no other protocol.
                for protocolNumber in [0, UInt32(IPPROTO_TCP)] {
                    rules.append(socket(family, SOCK_STREAM, [equals(protocolNumber, in: 2)]))
                }
                if needs.contains(.names) { rules.append(socket(family, SOCK_DGRAM)) }
            }
        }
        if !needs.isDisjoint(with: [.localSockets, .names]) { rules.append(socket(AF_UNIX, SOCK_STREAM)) }
        if needs.contains(.names) {
            // How addresses are sorted depends on those of this host.
            rules += [socket(AF_NETLINK, SOCK_RAW), socket(AF_UNIX, SOCK_DGRAM)]
            rules += [SystemCall.bind, .recvmmsg, .ioctl, .uname].map { CallRule(call: $0) }
            rules.append(CallRule(call: .sendmmsg, conditions: [lacks(fastOpen, in: 3)]))
        }
        return rules + [CallRule(call: .connect)]
    }

    /// What is done with a connection, whoever made it.
    private static let connections =
        [CallRule(call: .sendto, conditions: [lacks(fastOpen, in: 3)])]
        + [SystemCall.getsockopt, .setsockopt, .getsockname, .getpeername, .shutdown].map { CallRule(call: $0) }

    private static func socket(
        _ family: CInt,
        _ type: __socket_type,
        _ more: [CallRule.Condition] = []
    ) -> CallRule {
        let isType = CallRule.Condition(argument: 1, mask: 0xF, value: type.rawValue)
        return CallRule(call: .socket, conditions: [equals(UInt32(bitPattern: family), in: 0), isType] + more)
    }

    /// Not F_SETOWN and its like, which have the kernel send signals.
    private static let descriptors: [CallRule] = [
        F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC,
    ].map { CallRule(call: .fcntl, conditions: [equals(UInt32(bitPattern: $0), in: 1)]) }

    /// What a process does to itself.
    private static func own(_ process: pid_t) -> [CallRule] {
        let isSelf = [equals(UInt32(bitPattern: process), in: 0)]
        let deathSignal: UInt32 = 1
        return [
            CallRule(call: .tgkill, conditions: isSelf), CallRule(call: .kill, conditions: isSelf),
            CallRule(call: .prctl, conditions: [equals(deathSignal, in: 0)]),
        ]
    }

    private static let opening: [SystemCall] = [.openat, .open, .openat2]

    private static let looking: [SystemCall] = [
        .newfstatat, .stat, .lstat, .statx, .access, .faccessat, .faccessat2, .readlink, .readlinkat, .getdents64,
        .getcwd,
        .statfs, .fstatfs, .ioctl, .uname, .sysinfo,
    ]

    private static let writing: [SystemCall] = [
        .unlink, .unlinkat, .rename, .renameat, .renameat2, .chmod, .fchmod, .fchmodat, .fsync, .fdatasync, .ftruncate,
    ]

    private static let deadly: [SystemCall] = [
        // Another program, another process, another thread.
        .execve, .execveat, .fork, .vfork, .clone, .ptrace, .process_vm_readv, .process_vm_writev, .process_madvise,
        .kill, .tkill, .tgkill, .pidfd_open, .pidfd_getfd, .pidfd_send_signal, .rt_sigqueueinfo, .rt_tgsigqueueinfo,
        .kcmp,
        // Memory that can be executed or seen by others.
        .mmap, .mprotect, .pkey_mprotect, .userfaultfd, .memfd_secret, .shmget, .shmat,
        // Other sockets.
        .socket, .bind, .listen, .sendto, .sendmsg,
        // Other rights, other users, other worlds.
        .capset, .setuid, .setgid, .setreuid, .setregid, .setresuid, .setresgid, .setfsuid, .setfsgid, .setgroups,
        .personality, .setns, .unshare, .chroot, .pivot_root, .mount, .umount2, .move_mount, .open_tree, .fsopen,
        .fsmount,
        .fsconfig, .fspick, .mount_setattr, .open_by_handle_at,
        // The kernel itself.
        .init_module, .finit_module, .delete_module, .kexec_load, .kexec_file_load, .bpf, .perf_event_open,
        .io_uring_setup,
        .io_uring_enter, .io_uring_register, .keyctl, .add_key, .request_key, .reboot, .swapon, .swapoff, .settimeofday,
        .clock_settime, .adjtimex, .clock_adjtime, .sethostname, .setdomainname, .acct, .quotactl, .syslog,
    ]

    private static func equals(_ value: UInt32, in argument: Int) -> CallRule.Condition {
        CallRule.Condition(argument: argument, mask: .max, value: value)
    }

    private static func lacks(_ bits: UInt32, in argument: Int) -> CallRule.Condition {
        CallRule.Condition(argument: argument, mask: bits, value: 0)
    }
}
