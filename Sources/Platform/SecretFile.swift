import Glibc

/// Files that hold a secret: read only when nobody but their owner can.
public enum SecretFile {
    /// Why a secret is not read.
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// Others than the owner may read or write it.
        case exposed(path: String, mode: Int)
        /// It cannot be read at all.
        case unreadable(path: String, Errno)

        /// What is wrong, and how to mend it.
        public var description: String {
            switch self {
            case .exposed(let path, let mode):
                "\(path) can be read by others than its owner (mode 0\(String(mode, radix: 8))); chmod 0600 \(path)"
            case .unreadable(let path, let errno): "\(path) cannot be read: \(errno.message)"
            }
        }
    }

    /// Reads a password: a whole file of at most 64 KiB, without the line end that an editor leaves.
    public static func readPassword(_ path: String) throws(Failure) -> [UInt8] {
        let raw = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard raw >= 0 else { throw .unreadable(path: path, Errno(in: "open")) }
        let descriptor = FileDescriptor(owning: raw)
        var status = stat()
        guard fstat(raw, &status) == 0 else { throw .unreadable(path: path, Errno(in: "fstat")) }
        // A file that is a pipe, as a shell makes one of <(...), has no mode that means anything.
        if status.st_mode & S_IFMT == S_IFREG { try check(status.st_mode, path) }
        let bytes: [UInt8]
        do { bytes = try File.readAll(descriptor, limit: 65_536, milliseconds: 5000) } catch {
            throw .unreadable(path: path, error)
        }
        return Array(bytes.prefix { $0 != 0x0A && $0 != 0x0D })
    }

    /// Whether nobody but the owner can read it; a file that is not there is nobody's.
    public static func check(_ path: String) throws(Failure) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw .unreadable(path: path, Errno(in: "stat")) }
        try check(status.st_mode, path)
    }

    private static func check(_ mode: mode_t, _ path: String) throws(Failure) {
        guard mode & 0o077 == 0 else { throw .exposed(path: path, mode: Int(mode & 0o777)) }
    }
}
