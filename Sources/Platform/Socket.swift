import CLinux
import Glibc

/// Non-blocking stream sockets: what is called, and what the kernel answered.
///
/// Would-block is a value (nil), never an error; everything else is thrown as `Errno`.
public enum Socket {
    /// A connection that was just accepted.
    public struct Accepted: ~Copyable {
        /// The connection, non-blocking.
        public let descriptor: FileDescriptor
        /// Who dialled.
        public let peer: SocketAddress

        /// Hands the connection over.
        public consuming func takeDescriptor() -> FileDescriptor { descriptor }
    }

    /// A connection attempt that was just started.
    public struct Attempt: ~Copyable {
        /// The socket, non-blocking.
        public let descriptor: FileDescriptor
        /// How far it got.
        public let progress: ConnectProgress

        /// Hands the socket over.
        public consuming func takeDescriptor() -> FileDescriptor { descriptor }
    }

    /// How far a connection attempt got.
    public enum ConnectProgress: Sendable {
        /// The connection stands.
        case connected
        /// Wait until the socket is writable, then ask `connectResult`.
        case inProgress
    }

    /// Opens a listening socket.
    ///
    /// - Parameters:
    ///   - address: where to listen; the file of a unix socket that nobody answers on is replaced.
    ///   - sharePort: SO_REUSEPORT, so that each worker has a queue of its own.
    ///   - dualStack: whether an IPv6 wildcard also takes IPv4.
    /// - Throws: the call that failed, such as `bind: Address already in use`.
    public static func listen(
        on address: SocketAddress,
        sharePort: Bool,
        dualStack: Bool = false,
        backlog: CInt = 4096
    ) throws(Errno) -> FileDescriptor {
        let descriptor = try open(address.domain)
        if case .unix(let path) = address {
            try removeStaleSocket(path, address)
        } else {
            try set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
            if sharePort { try set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1) }
            if case .v6 = address { try set(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, dualStack ? 0 : 1) }
            setUp(listener: descriptor)
        }
        let bound = address.withSockAddr { bind(descriptor.raw, $0, $1) }
        guard bound == 0 else { throw Errno(in: "bind") }
        guard Glibc.listen(descriptor.raw, backlog) == 0 else { throw Errno(in: "listen") }
        return descriptor
    }

    /// Takes the next waiting connection, or nil when none waits.
    ///
    /// A connection that died while it waited is skipped.
    public static func accept(
        from listener: borrowing FileDescriptor
    ) throws(Errno) -> Accepted? {
        while true {
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let raw = everyhop_accept(listener.raw, &storage, &length)
            if raw >= 0 {
                return Accepted(
                    descriptor: FileDescriptor(owning: raw),
                    peer: SocketAddress(storage, length: length) ?? .unix(path: "")
                )
            }
            switch errno {
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH: continue
            case EAGAIN: return nil
            case let code: throw Errno(code, in: "accept")
            }
        }
    }

    /// Starts a connection.
    public static func connect(
        to address: SocketAddress
    ) throws(Errno) -> Attempt {
        let descriptor = try open(address.domain)
        if case .unix = address {
        } else {
            setNoDelay(descriptor)
            keepAlive(descriptor, after: 30, every: 10, times: 3)
        }
        while true {
            if address.withSockAddr({ Glibc.connect(descriptor.raw, $0, $1) }) == 0 {
                return Attempt(descriptor: descriptor, progress: .connected)
            }
            switch errno {
            case EINTR: continue
            case EINPROGRESS: return Attempt(descriptor: descriptor, progress: .inProgress)
            case let code: throw Errno(code, in: "connect")
            }
        }
    }

    /// What became of a connection attempt, once the socket is writable.
    public static func connectResult(_ descriptor: borrowing FileDescriptor) throws(Errno) {
        var code: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        guard getsockopt(descriptor.raw, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else {
            throw Errno(in: "getsockopt")
        }
        guard code == 0 else { throw Errno(code, in: "connect") }
    }

    /// The address that a socket is bound to.
    public static func localAddress(_ descriptor: borrowing FileDescriptor) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor.raw, $0, &length) }
        }
        return result == 0 ? SocketAddress(storage, length: length) : nil
    }

    /// Sends small writes at once; a socket that has no such option keeps as it is.
    public static func setNoDelay(_ descriptor: borrowing FileDescriptor) {
        try? set(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, 1)
    }

    /// Sets what every connection inherits from the socket that it comes to (Linux): options that nobody has to set again.
    public static func setUp(listener: borrowing FileDescriptor) {
        setNoDelay(listener)
        limitUnsent(listener)
        keepAlive(listener)
    }

    /// At most so many bytes wait in the kernel beyond what the peer lets be sent; connections inherit it from a listener.
    public static let mostUnsent = 131_072

    private static func limitUnsent(_ descriptor: borrowing FileDescriptor) {
        try? set(descriptor, CInt(IPPROTO_TCP), TCP_NOTSENT_LOWAT, CInt(mostUnsent))
    }

    /// Has the kernel ask a silent peer whether it is still there; times in seconds.
    public static func keepAlive(
        _ descriptor: borrowing FileDescriptor,
        after idle: CInt = 60,
        every pause: CInt = 15,
        times count: CInt = 4
    ) {
        try? set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
        try? set(descriptor, CInt(IPPROTO_TCP), TCP_KEEPIDLE, idle)
        try? set(descriptor, CInt(IPPROTO_TCP), TCP_KEEPINTVL, pause)
        try? set(descriptor, CInt(IPPROTO_TCP), TCP_KEEPCNT, count)
    }

    /// How many bytes the peer's host has taken, which is less than what was written; nil where it is not TCP.
    public static func acknowledged(_ descriptor: borrowing FileDescriptor) -> UInt64? {
        var count: UInt64 = 0
        return everyhop_bytes_acknowledged(descriptor.raw, &count) == 0 ? count : nil
    }

    /// What waits to be read.
    public enum Waiting: Equatable, Sendable {
        /// Bytes, of which this is the first.
        case byte(UInt8)
        /// Nothing yet.
        case nothing
        /// The end, or an error: reading tells which.
        case end
    }

    /// Looks at the first byte that waits, and leaves it there.
    public static func peek(_ descriptor: borrowing FileDescriptor) -> Waiting {
        var byte: UInt8 = 0
        let count = recv(descriptor.raw, &byte, 1, CInt(MSG_PEEK) | CInt(MSG_DONTWAIT))
        if count == 1 { return .byte(byte) }
        return count < 0 && (errno == EAGAIN || errno == EINTR) ? .nothing : .end
    }

    /// Looks at what waits, up to `most` bytes, and leaves it there: nil when nothing does, empty at the end of the stream.
    public static func peek(_ descriptor: borrowing FileDescriptor, most: Int) throws(Errno) -> [UInt8]? {
        try receive(descriptor, most: most, flags: CInt(MSG_PEEK))
    }

    /// Takes up to `most` bytes: nil when none wait, empty at the end of the stream.
    public static func take(_ descriptor: borrowing FileDescriptor, most: Int) throws(Errno) -> [UInt8]? {
        try receive(descriptor, most: most, flags: 0)
    }

    private static func receive(
        _ descriptor: borrowing FileDescriptor,
        most: Int,
        flags: CInt
    ) throws(Errno) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: most)
        while true {
            let count = bytes.withUnsafeMutableBytes { recv(descriptor.raw, $0.baseAddress, most, flags) }
            if count >= 0 { return Array(bytes.prefix(count)) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return nil
            case let code: throw Errno(code, in: "recv")
            }
        }
    }

    /// Says that nothing more is written; the other direction stays open.
    public static func shutdownWriting(_ descriptor: borrowing FileDescriptor) {
        _ = shutdown(descriptor.raw, CInt(SHUT_WR))
    }

    /// Makes the coming close a reset, so that the peer never takes a cut-off message for a whole one.
    public static func resetOnClose(_ descriptor: borrowing FileDescriptor) {
        var value = linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(descriptor.raw, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    /// Reads at most `room.count` bytes: nil when none wait, 0 at the end of the stream.
    ///
    /// - Parameter descriptor: the number of a descriptor that its owner keeps open for the time of the call.
    public static func read(
        _ descriptor: CInt,
        into room: UnsafeMutableBufferPointer<UInt8>
    ) throws(Errno) -> Int? {
        while true {
            let count = recv(descriptor, room.baseAddress, room.count, 0)
            if count >= 0 { return count }
            switch errno {
            case EINTR: continue
            case EAGAIN: return nil
            case let code: throw Errno(code, in: "recv")
            }
        }
    }

    /// Writes at most `bytes.count` bytes: nil when the socket is full.
    public static func write(_ descriptor: borrowing FileDescriptor, _ bytes: Span<UInt8>) throws(Errno) -> Int? {
        while true {
            let count = bytes.withUnsafeBufferPointer {
                send(descriptor.raw, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if count >= 0 { return count }
            switch errno {
            case EINTR: continue
            case EAGAIN: return nil
            case let code: throw Errno(code, in: "send")
            }
        }
    }

    private static func open(_ family: CInt) throws(Errno) -> FileDescriptor {
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let raw = socket(family, type, 0)
        guard raw >= 0 else { throw Errno(in: "socket") }
        return FileDescriptor(owning: raw)
    }

    private static func set(
        _ descriptor: borrowing FileDescriptor,
        _ level: CInt,
        _ option: CInt,
        _ value: CInt
    ) throws(Errno) {
        var value = value
        guard setsockopt(descriptor.raw, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) == 0 else {
            throw Errno(in: "setsockopt")
        }
    }

    /// A socket file that nobody listens on is a leftover; one that answers belongs to somebody.
    private static func removeStaleSocket(_ path: String, _ address: SocketAddress) throws(Errno) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw Errno(EEXIST, in: "bind") }
        let probe = try open(AF_UNIX)
        guard address.withSockAddr({ Glibc.connect(probe.raw, $0, $1) }) != 0, errno == ECONNREFUSED else {
            throw Errno(EADDRINUSE, in: "bind")
        }
        unlink(path)
    }
}
