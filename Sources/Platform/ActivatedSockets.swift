import Glibc

/// Sockets that the service manager has opened and handed over at the start (sd_listen_fds(3)).
public enum ActivatedSockets {
    /// One of them.
    public struct Entry: ~Copyable {
        /// The socket, not blocking.
        public let descriptor: FileDescriptor
        /// Where it listens.
        public let address: SocketAddress
        /// What the service manager calls it.
        public let name: String

        /// Hands the socket over.
        public consuming func takeDescriptor() -> FileDescriptor { descriptor }
    }

    /// Why a socket cannot be used.
    public struct Failure: Error, CustomStringConvertible {
        /// What is wrong, and what to do.
        public let description: String
    }

    /// How many there are; none when they are another process's.
    public static var count: Int {
        guard ServiceManager.number("LISTEN_PID") == UInt64(getpid()),
            let count = ServiceManager.number("LISTEN_FDS"), count <= 4096
        else { return 0 }
        return Int(count)
    }

    /// Takes one over, once; the first has the number 0.
    public static func take(_ index: Int) throws(Failure) -> Entry {
        let raw = ChildProcess.firstDescriptor + CInt(index)
        let name = name(index)
        _ = fcntl(raw, F_SETFD, FD_CLOEXEC)
        let flags = fcntl(raw, F_GETFL)
        guard flags >= 0 else { throw Failure(description: "the service manager's socket \(name) is not open") }
        _ = fcntl(raw, F_SETFL, flags | O_NONBLOCK)
        let descriptor = FileDescriptor(owning: raw)
        guard let address = Socket.localAddress(descriptor), option(SO_TYPE, raw) == CInt(SOCK_STREAM.rawValue),
            option(SO_ACCEPTCONN, raw) == 1
        else { throw Failure(description: "the service manager's socket \(name) is no listening stream socket") }
        if case .v6 = address, option(CInt(IPV6_V6ONLY), raw, level: CInt(IPPROTO_IPV6)) == 0, address.host == "::" {
            throw Failure(
                description: "the service manager's socket \(name) at \(address) takes IPv4, too: set "
                    + "BindIPv6Only=ipv6-only, and add ListenStream=0.0.0.0:\(address.port) for IPv4"
            )
        }
        if case .unix = address {} else { Socket.setUp(listener: descriptor) }
        return Entry(descriptor: descriptor, address: address, name: name)
    }

    /// Forgets the variables: no child is to take its own descriptors for such sockets.
    public static func forget() { for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) } }

    private static func name(_ index: Int) -> String {
        let names = getenv("LISTEN_FDNAMES").map { String(cString: $0) } ?? ""
        let list = names.split(separator: ":", omittingEmptySubsequences: false)
        return list.indices.contains(index) && !list[index].isEmpty ? "\"\(list[index])\"" : "number \(index + 1)"
    }

    private static func option(_ option: CInt, _ raw: CInt, level: CInt = SOL_SOCKET) -> CInt {
        var value: CInt = -1
        var length = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(raw, level, option, &value, &length) == 0 ? value : -1
    }
}
