import CLinux
import Glibc

/// Files, as far as the program needs them: read whole, write whole, append.
public enum File {
    /// How long a pipe is read that a person named, in milliseconds.
    public static let patience: UInt64 = 10_000

    /// Reads a whole file, and nothing that could be waited for: pipes and devices are refused.
    ///
    /// - Parameters:
    ///   - limit: a larger file is refused with `EFBIG`.
    ///   - milliseconds: for how long it may be a pipe nevertheless; 0 for never.
    public static func read(
        _ path: String,
        limit: Int = 16 << 20,
        orPipeFor milliseconds: UInt64 = 0
    ) throws(Errno) -> [UInt8] {
        // Without O_NONBLOCK, opening alone may wait for somebody who writes.
        let raw = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard raw >= 0 else { throw Errno(in: "open") }
        let descriptor = FileDescriptor(owning: raw)
        if milliseconds > 0, try kind(descriptor) == S_IFIFO {
            let end = Clock.monotonicMicroseconds() + 1000 * milliseconds
            return try readAll(descriptor, limit: limit, until: end)
        }
        try demandFile(descriptor)
        return try readAll(descriptor, limit: limit)
    }

    /// Opens a file for reading: the file itself, not what a link of that name leads to, and no pipe or device.
    public static func openForReading(_ path: String) throws(Errno) -> FileDescriptor {
        let raw = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard raw >= 0 else { throw Errno(in: "open") }
        let descriptor = FileDescriptor(owning: raw)
        try demandFile(descriptor)
        return descriptor
    }

    private static func kind(_ descriptor: borrowing FileDescriptor) throws(Errno) -> mode_t {
        var status = stat()
        guard fstat(descriptor.raw, &status) == 0 else { throw Errno(in: "fstat") }
        return status.st_mode & S_IFMT
    }

    private static func demandFile(_ descriptor: borrowing FileDescriptor) throws(Errno) {
        switch try kind(descriptor) {
        case S_IFREG: break
        case S_IFDIR: throw Errno(EISDIR, in: "read")
        case S_IFIFO: throw .notFile("a pipe")
        default: throw .notFile("a device")
        }
    }

    /// Reads to the end of a file or pipe.
    ///
    /// - Parameters:
    ///   - milliseconds: how long each piece may be waited for; -1 without end.
    ///   - end: until when the last may be, in monotonic microseconds.
    public static func readAll(
        _ descriptor: borrowing FileDescriptor,
        limit: Int,
        milliseconds: CInt = -1,
        until end: UInt64? = nil
    ) throws(Errno) -> [UInt8] {
        var bytes: [UInt8] = []
        var piece: [UInt8] = Array(repeating: 0, count: 65_536)
        while true {
            var entry = pollfd(fd: descriptor.raw, events: CShort(POLLIN), revents: 0)
            let now = Clock.monotonicMicroseconds()
            let most = end.map { CInt(clamping: (max($0, now) - now) / 1000) } ?? milliseconds
            if most >= 0, poll(&entry, 1, most) == 0 { throw Errno(ETIMEDOUT, in: "read") }
            let count = Glibc.read(descriptor.raw, &piece, piece.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw Errno(in: "read")
            }
            if count == 0 { return bytes }
            bytes.append(contentsOf: piece.prefix(count))
            if bytes.count > limit { throw Errno(EFBIG, in: "read") }
        }
    }

    /// Reads a file that holds a secret into memory that nothing else gets a copy of.
    ///
    /// - Parameter limit: a larger file is refused with `EFBIG`.
    public static func readSecret(_ path: String, limit: Int) throws(Errno) -> [UInt8] {
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { throw Errno(in: "open") }
        let descriptor = FileDescriptor(owning: raw)
        var bytes: [UInt8] = Array(repeating: 0, count: limit + 1)
        var filled = 0
        while filled < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                Glibc.read(descriptor.raw, $0.baseAddress.map { $0 + filled }, $0.count - filled)
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw Errno(in: "read")
            }
            if count == 0 { break }
            filled += count
        }
        guard filled <= limit else { throw Errno(EFBIG, in: "read") }
        bytes.removeLast(bytes.count - filled)
        return bytes
    }

    /// Writes a whole file in place of what was there; readers see the old or the new one, never half.
    ///
    /// - Parameter mode: the permissions of the new file, such as 0o600 for a key.
    public static func write(_ bytes: [UInt8], to path: String, mode: UInt32) throws(Errno) {
        let temporary = "\(path).new"
        unlink(temporary)
        let raw = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard raw >= 0 else { throw Errno(in: "open") }
        let descriptor = FileDescriptor(owning: raw)
        try writeAll(bytes, to: descriptor.raw)
        guard fsync(raw) == 0 else { throw Errno(in: "fsync") }
        guard Glibc.rename(temporary, path) == 0 else { throw Errno(in: "rename") }
    }

    /// Writes all of `bytes`, waiting for room.
    public static func writeAll(_ bytes: [UInt8], to raw: CInt) throws(Errno) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(raw, $0.baseAddress.map { $0 + sent }, $0.count - sent) }
            if count < 0 {
                if errno == EINTR { continue }
                throw Errno(in: "write")
            }
            sent += count
        }
    }

    /// Writes a file that must not be there yet, also where there are no links, as on sticks.
    public static func writeNew(_ bytes: [UInt8], to path: String, mode: UInt32) throws(Errno) {
        let raw = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard raw >= 0 else { throw Errno(in: "open") }
        let descriptor = FileDescriptor(owning: raw)
        try writeAll(bytes, to: raw)
        guard fsync(descriptor.raw) == 0 else { throw Errno(in: "fsync") }
    }

    /// The permissions of a file.
    public static func mode(of path: String) throws(Errno) -> UInt32 {
        var status = stat()
        guard stat(path, &status) == 0 else { throw Errno(in: "stat") }
        return status.st_mode & 0o7777
    }

    /// Makes a folder, readable by its owner alone; one that exists is kept as it is.
    public static func makeFolder(_ path: String) throws(Errno) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw Errno(in: "mkdir") }
    }

    /// The path from the root, without links.
    public static func absolutePath(_ path: String) throws(Errno) -> String {
        guard let resolved = realpath(path, nil) else { throw Errno(in: "realpath") }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Sets the permissions of a file.
    public static func setMode(_ mode: Int, of path: String) throws(Errno) {
        guard chmod(path, mode_t(truncatingIfNeeded: mode)) == 0 else { throw Errno(in: "chmod") }
    }

    /// Gives a file another name, in place of what has it.
    public static func rename(_ path: String, to other: String) throws(Errno) {
        guard Glibc.rename(path, other) == 0 else { throw Errno(in: "rename") }
    }

    /// The names of what is in a folder, sorted; none when it cannot be read.
    public static func names(in folder: String) -> [String] { (try? Folder.names(in: folder)) ?? [] }

    /// Removes a file, if it is there.
    public static func remove(_ path: String) { unlink(path) }

    /// Opens a file for appending, made when it is missing, readable by owner and group.
    public static func openForAppending(_ path: String) throws(Errno) -> FileDescriptor {
        let raw = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0o640)
        guard raw >= 0 else { throw Errno(in: "open") }
        return FileDescriptor(owning: raw)
    }

    /// Another number for the same open file.
    public static func duplicate(_ raw: CInt) throws(Errno) -> FileDescriptor {
        let copy = fcntl(raw, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw Errno(in: "fcntl") }
        return FileDescriptor(owning: copy)
    }

    /// A standard stream for writing lines that never wait for its reader.
    ///
    /// A pipe is opened anew: the flag belongs to the open file, which others hold as well.
    public static func withoutWaiting(_ raw: CInt) throws(Errno) -> FileDescriptor {
        var status = stat()
        if fstat(raw, &status) == 0, status.st_mode & S_IFMT == S_IFIFO {
            let own = open("/proc/self/fd/\(raw)", O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK)
            if own >= 0 { return FileDescriptor(owning: own) }
        }
        return try duplicate(raw)
    }

    /// Memory of `size` bytes that other processes can map by descriptor (memfd_create(2)).
    public static func sharedMemory(_ name: String, size: Int) throws(Errno) -> FileDescriptor {
        let raw = everyhop_memfd(name)
        guard raw >= 0 else { throw Errno(in: "memfd_create") }
        let descriptor = FileDescriptor(owning: raw)
        guard ftruncate(raw, size) == 0 else { throw Errno(in: "ftruncate") }
        return descriptor
    }

    /// A pipe: what is written to the second end is read from the first.
    public static func pipe() throws(Errno) -> DescriptorPair {
        var ends: (CInt, CInt) = (-1, -1)
        let result = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: CInt.self, capacity: 2) { everyhop_pipe($0) }
        }
        guard result == 0 else { throw Errno(in: "pipe2") }
        return DescriptorPair(first: FileDescriptor(owning: ends.0), second: FileDescriptor(owning: ends.1))
    }
}
