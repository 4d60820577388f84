import Glibc

/// A failed system call: its error number and its name.
public struct Errno: Error, Equatable, Sendable, CustomStringConvertible {
    /// The value of `errno` right after the call.
    public let code: CInt
    /// The call that failed, such as `bind`.
    public let call: StaticString

    /// Names a failure; read `errno` before anything else can change it.
    public init(_ code: CInt, in call: StaticString) {
        self.code = code
        self.call = call
    }

    /// Captures the calling thread's current `errno`.
    public init(in call: StaticString) { self.init(errno, in: call) }

    /// `bind: Address already in use`.
    public var description: String { code == Self.notFileCode ? message : "\(call): \(message)" }

    /// What strerror(3) says.
    public var message: String {
        if code == Self.notFileCode { return "it is \(call), not a file" }
        guard let text = strerror(code) else { return "error \(code)" }
        return String(cString: text)
    }

    /// Two failures are equal when the numbers and the calls are.
    public static func == (left: Errno, right: Errno) -> Bool {
        left.code == right.code && left.call.description == right.call.description
    }
}

extension Errno {
    private static let notFileCode: CInt = -1

    /// What was named is something else, such as `a pipe`.
    public static func notFile(_ kind: StaticString) -> Errno { Errno(notFileCode, in: kind) }

    /// Whether this process or the system has no descriptor or memory left for another socket.
    public var isOutOfDescriptors: Bool {
        code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM
    }

    /// Whether this host does not speak the address family at all.
    public var isUnsupportedFamily: Bool { code == EAFNOSUPPORT || code == EADDRNOTAVAIL }

    /// Whether nobody listens there, or a firewall says that nobody is to.
    public var isRefusedConnection: Bool { code == ECONNREFUSED || code == EHOSTUNREACH || code == ENOENT }

    /// Whether the other end of a channel is closed.
    public var isGone: Bool { code == ECONNRESET || code == EPIPE }

    /// Whether something else has to happen first.
    public var isWouldBlock: Bool { code == EWOULDBLOCK }

    /// Whether nothing is there by that name.
    public var isMissing: Bool { code == ENOENT || code == ENOTDIR }

    /// What was named is no folder.
    public static func notFolder(in call: StaticString) -> Errno { Errno(ENOTDIR, in: call) }

    /// What was named is not any more what it was.
    public static func replaced(in call: StaticString) -> Errno { Errno(ESTALE, in: call) }

    /// A time that ran out while a call was waited for.
    public static func timedOut(in call: StaticString) -> Errno { Errno(ETIMEDOUT, in: call) }
}
