import CLinux
import Glibc

/// What somebody who has taken over a process tries first; each ends with 0 when it was done, or with the error's number.
public enum SandboxAttempt: String, CaseIterable, Sendable {
    /// Computing, and nothing else.
    case nothing
    /// Reading a file, by its path.
    case openFile = "open-file"
    /// Making a file, by its path.
    case makeFile = "make-file"
    /// Reading a file beneath a folder that is served.
    case openBeneath = "open-beneath"
    /// Starting another program.
    case execute
    /// Making another process.
    case fork
    /// Reaching a port of this host.
    case connect
    /// The same, past connect(2).
    case fastOpen = "fast-open"
    /// Taking connections at a port.
    case listen
    /// Datagrams, which know no ports of servers.
    case datagrams
    /// TCP by another name.
    case multipath
    /// Talking to programs of this host.
    case localSocket = "local-socket"
    /// The same, without a file.
    case abstractSocket = "abstract-socket"
    /// Taking over another process.
    case trace
    /// Reading another process.
    case readMemory = "read-memory"
    /// Ending another process.
    case signal
    /// Becoming root.
    case becomeRoot = "become-root"
    /// Gaining a capability.
    case gainCapability = "gain-capability"
    /// A world of its own, where it would be root.
    case namespace
    /// Making memory executable.
    case makeExecutable = "make-executable"
    /// Memory that is written and executed.
    case mapExecutable = "map-executable"
    /// System calls by other numbers.
    case otherInterface = "other-interface"
    /// Leaving the memory in a file.
    case dumpCore = "dump-core"

    /// Tries it.
    ///
    /// - Parameters:
    ///   - target: a path, a port, a process or a name.
    ///   - folders: those that are served.
    public func make(_ target: String, folders: [CInt]) -> CInt {
        let number = CInt(target) ?? 0
        let port = UInt16(truncatingIfNeeded: number)
        switch self {
        case .nothing: return 0
        case .openFile: return outcome(open(target, O_RDONLY | O_CLOEXEC))
        case .makeFile: return outcome(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600))
        case .openBeneath: return outcome(folders.first.map { everyhop_open_beneath($0, target, 0) } ?? -1)
        case .execute: return everyhop_try_execute(target)
        case .fork: return everyhop_try_fork()
        case .connect: return connect(port)
        case .fastOpen: return everyhop_try_fast_open(port)
        case .listen: return listen(port)
        case .datagrams: return everyhop_try_socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
        case .multipath: return everyhop_try_socket(AF_INET, CInt(SOCK_STREAM.rawValue), 262)
        case .localSocket: return everyhop_try_socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        case .abstractSocket: return everyhop_try_abstract_socket(target, target.utf8.count)
        case .trace: return everyhop_try_trace(number)
        case .readMemory: return everyhop_try_read_memory(number)
        case .signal: return everyhop_try_signal(number)
        case .becomeRoot: return everyhop_set_user(0) == 0 ? 0 : errno
        case .gainCapability:
            return everyhop_keep_capabilities(1 << UInt64(Capability.bindLowPorts.rawValue)) == 0 ? 0 : errno
        case .namespace: return everyhop_try_new_namespace()
        case .makeExecutable: return everyhop_try_executable_memory(0)
        case .mapExecutable: return everyhop_try_executable_memory(1)
        case .otherInterface: return everyhop_try_other_interface()
        case .dumpCore: abort()
        }
    }

    private func outcome(_ descriptor: CInt) -> CInt {
        guard descriptor >= 0 else { return errno }
        close(descriptor)
        return 0
    }

    private func connect(_ port: UInt16) -> CInt {
        guard let address = SocketAddress(ip: "127.0.0.1", port: port) else { return EINVAL }
        do throws(Errno) {
            let attempt = try Socket.connect(to: address)
            var entry = pollfd(fd: attempt.descriptor.raw, events: CShort(POLLOUT), revents: 0)
            _ = poll(&entry, 1, 5000)
            try Socket.connectResult(attempt.descriptor)
            return 0
        } catch { return error.code }
    }

    private func listen(_ port: UInt16) -> CInt {
        guard let address = SocketAddress(ip: "127.0.0.1", port: port) else { return EINVAL }
        do throws(Errno) {
            _ = try Socket.listen(on: address, sharePort: false)
            return 0
        } catch { return error.code }
    }
}
