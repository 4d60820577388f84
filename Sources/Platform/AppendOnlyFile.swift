import Glibc

/// What a log that is only added to needs of its file.
extension File {
    /// Opens a file to add to, made for its owner alone when it is not there.
    ///
    /// - Throws: `ELOOP` for a link.
    public static func openAuditLog(_ path: String) throws(Errno) -> FileDescriptor {
        let raw = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard raw >= 0 else { throw Errno(in: "open") }
        return FileDescriptor(owning: raw)
    }

    /// Keeps other processes from holding the file, too (flock(2)); ends with the descriptor.
    ///
    /// - Throws: `EWOULDBLOCK` when another one holds it.
    public static func hold(_ descriptor: borrowing FileDescriptor) throws(Errno) {
        guard flock(descriptor.raw, LOCK_EX | LOCK_NB) == 0 else { throw Errno(in: "flock") }
    }

    /// The last bytes of a file.
    public static func tail(_ path: String, most: Int) throws(Errno) -> [UInt8] {
        let raw = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard raw >= 0 else { throw Errno(in: "open") }
        let descriptor = FileDescriptor(owning: raw)
        let end = lseek(raw, 0, SEEK_END)
        guard end >= 0, lseek(raw, max(0, end - most), SEEK_SET) >= 0 else { throw Errno(in: "lseek") }
        return try readAll(descriptor, limit: most + 65_536)
    }

    /// How many bytes a file has.
    public static func size(_ descriptor: borrowing FileDescriptor) throws(Errno) -> Int {
        var status = stat()
        guard fstat(descriptor.raw, &status) == 0 else { throw Errno(in: "fstat") }
        return status.st_size
    }

    /// Whether both are the same file.
    public static func isSame(
        _ one: borrowing FileDescriptor,
        _ other: borrowing FileDescriptor
    ) throws(Errno) -> Bool {
        var first = stat()
        var second = stat()
        guard fstat(one.raw, &first) == 0, fstat(other.raw, &second) == 0 else { throw Errno(in: "fstat") }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    /// Has what was written outlast a loss of power.
    public static func sync(_ descriptor: borrowing FileDescriptor) throws(Errno) {
        guard fdatasync(descriptor.raw) == 0 else { throw Errno(in: "fdatasync") }
    }

    /// Drops what stands behind `size` bytes.
    public static func truncate(_ descriptor: borrowing FileDescriptor, to size: Int) throws(Errno) {
        guard ftruncate(descriptor.raw, size) == 0 else { throw Errno(in: "ftruncate") }
    }
}
