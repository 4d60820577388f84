import Glibc

/// Unix sockets in the abstract namespace (unix(7)): no file is left behind, whatever happens.
///
/// A name belongs to whoever takes it first, and anybody may dial: both sides look at `peer`.
public enum AbstractSocket {
    /// Who is at the other end.
    public struct Peer: Equatable, Sendable {
        /// Its process.
        public let process: Int32
        /// Its user.
        public let user: UInt32

        /// Whether it may command, or be obeyed: root, or whoever runs this process.
        public var isTrusted: Bool { user == 0 || user == geteuid() }
    }

    /// Listens on a name.
    public static func listen(_ name: String) throws(Errno) -> FileDescriptor {
        let descriptor = try open()
        guard try withAddress(name, { bind(descriptor.raw, $0, $1) }) == 0 else { throw Errno(in: "bind") }
        guard Glibc.listen(descriptor.raw, 64) == 0 else { throw Errno(in: "listen") }
        return descriptor
    }

    /// Dials a name.
    public static func connect(_ name: String) throws(Errno) -> FileDescriptor {
        let descriptor = try open()
        guard try withAddress(name, { Glibc.connect(descriptor.raw, $0, $1) }) == 0 else {
            throw Errno(in: "connect")
        }
        return descriptor
    }

    /// Who is at the other end of a connection; of a listener that accepts later, whoever has listened.
    public static func peer(of descriptor: borrowing FileDescriptor) -> Peer? {
        // struct ucred: the process, the user, the group.
        var credentials: (Int32, UInt32, UInt32) = (0, 0, 0)
        var length = socklen_t(MemoryLayout.size(ofValue: credentials))
        guard getsockopt(descriptor.raw, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0, length == 12 else {
            return nil
        }
        return Peer(process: credentials.0, user: credentials.1)
    }

    private static func open() throws(Errno) -> FileDescriptor {
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let raw = socket(AF_UNIX, type, 0)
        guard raw >= 0 else { throw Errno(in: "socket") }
        return FileDescriptor(owning: raw)
    }

    private static func withAddress(
        _ name: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) throws(Errno) -> CInt {
        var address = sockaddr_un()
        let path = [0] + Array(name.utf8)
        guard path.count <= MemoryLayout.size(ofValue: address.sun_path) else { throw Errno(ENAMETOOLONG, in: "bind") }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}

extension Errno {
    /// Nobody who counts is there.
    public static func refused(in call: StaticString) -> Errno { Errno(ECONNREFUSED, in: call) }
}
