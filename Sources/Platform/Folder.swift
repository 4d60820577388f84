import Glibc

/// Folders, and files in them that are made once.
public enum Folder {
    /// The names in a folder, sorted by their bytes, without `.` and `..`.
    public static func names(in path: String) throws(Errno) -> [String] {
        guard let stream = opendir(path) else { throw Errno(in: "opendir") }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw Errno(in: "readdir") }
                break
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    }

    /// Whether there is a folder, or a link to one.
    public static func exists(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Has the names in a folder outlast a loss of power.
    public static func sync(_ path: String) throws(Errno) {
        let raw = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard raw >= 0 else { throw Errno(in: "open") }
        let descriptor = FileDescriptor(owning: raw)
        guard fsync(descriptor.raw) == 0 else { throw Errno(in: "fsync") }
    }

    /// Waits until no other process holds the folder's lock, and takes it (flock(2)); it lasts as long as the descriptor.
    public static func lock(_ path: String) throws(Errno) -> FileDescriptor {
        let raw = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard raw >= 0 else { throw Errno(in: "open") }
        let descriptor = FileDescriptor(owning: raw)
        while flock(raw, LOCK_EX) != 0 {
            if errno != EINTR { throw Errno(in: "flock") }
        }
        return descriptor
    }
}

/// A folder's lock (flock(2)), as long as this lasts.
public final class FolderLock {
    private let descriptor: FileDescriptor

    /// Takes the lock; nil while another process holds it.
    public init?(_ path: String) throws(Errno) {
        let raw = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard raw >= 0 else { throw Errno(in: "open") }
        descriptor = FileDescriptor(owning: raw)
        while flock(raw, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK { return nil }
            if errno != EINTR { throw Errno(in: "flock") }
        }
    }
}

extension File {
    /// Whether anything has this name, a link that leads nowhere included.
    public static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// Writes a whole file that is not there yet: it appears as a whole, and one that exists is never replaced.
    ///
    /// - Throws: `EEXIST` when something has the name.
    public static func create(_ bytes: [UInt8], at path: String, mode: UInt32) throws(Errno) {
        let temporary = "\(path).new"
        unlink(temporary)
        let raw = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard raw >= 0 else { throw Errno(in: "open") }
        defer { unlink(temporary) }
        let descriptor = FileDescriptor(owning: raw)
        try writeAll(bytes, to: descriptor.raw)
        guard fsync(descriptor.raw) == 0 else { throw Errno(in: "fsync") }
        // Unlike rename(2), link(2) refuses a name that is taken.
        guard link(temporary, path) == 0 else { throw Errno(in: "link") }
    }
}
