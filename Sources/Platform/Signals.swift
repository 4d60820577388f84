import CLinux
import Glibc

/// Signals as something to read from, so that no code runs inside a handler.
public struct SignalDescriptor: ~Copyable {
    /// Readable when a signal waits.
    public let descriptor: FileDescriptor

    /// Blocks `signals` for this process and opens a descriptor that delivers them.
    public init(_ signals: [CInt]) throws(Errno) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        guard sigprocmask(SIG_BLOCK, &set, nil) == 0 else { throw Errno(in: "sigprocmask") }
        let raw = signalfd(-1, &set, CInt(SFD_NONBLOCK | SFD_CLOEXEC))
        guard raw >= 0 else { throw Errno(in: "signalfd") }
        descriptor = FileDescriptor(owning: raw)
    }

    /// Takes the next signal, or nil when none waits.
    public func next() -> CInt? {
        var information = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        return read(descriptor.raw, &information, size) == size ? CInt(information.ssi_signo) : nil
    }

    /// Leaves the terminal's and the service manager's signals to the master: they reach every process of the group.
    public static func leaveEndingToParent() {
        signal(SIGINT, SIG_IGN)
        signal(SIGTERM, SIG_IGN)
        signal(SIGHUP, SIG_IGN)
        signal(SIGUSR1, SIG_IGN)
        signal(SIGUSR2, SIG_IGN)
    }

    /// Lets a write to a closed pipe or socket fail with EPIPE instead of ending the process.
    public static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }
}
