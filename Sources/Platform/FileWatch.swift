import Glibc

/// Notices that files may be others now (inotify(7)).
///
/// Watched are the folders on the way to each file, along every link: files that are replaced by renaming, as editors
/// and renewal programs do it, and links that are turned to another folder, as Kubernetes does it, are seen alike. What
/// has happened is for `FileSignature` to tell.
public final class FileWatch {
    /// Readable when something has happened.
    public let descriptor: FileDescriptor
    private var watched: Set<CInt> = []

    /// Watches nothing yet.
    public init() throws(Errno) {
        let raw = inotify_init1(CInt(IN_NONBLOCK | IN_CLOEXEC))
        guard raw >= 0 else { throw Errno(in: "inotify_init1") }
        descriptor = FileDescriptor(owning: raw)
    }

    /// Watches the way to these files and to no others; what is there now decides which way that is.
    ///
    /// - Throws: when the kernel watches no more for this user; the rest is watched all the same.
    public func watch(_ paths: [String]) throws(Errno) {
        var folders: Set<String> = []
        for path in paths { folders.formUnion(Self.folders(onTheWayTo: path)) }
        let events =
            IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF
            | IN_MOVE_SELF | IN_ONLYDIR
        var numbers: Set<CInt> = []
        var failure: Errno?
        for folder in folders {
            let number = inotify_add_watch(descriptor.raw, folder, UInt32(events))
            if number >= 0 {
                numbers.insert(number)
            } else if errno == ENOSPC || errno == ENOMEM {
                failure = Errno(in: "inotify_add_watch")
            }
        }
        for number in watched.subtracting(numbers) { inotify_rm_watch(descriptor.raw, number) }
        watched = numbers
        if let failure { throw failure }
    }

    /// Forgets what has happened so far; whether anything has.
    public func drain() -> Bool {
        var room = [UInt8](repeating: 0, count: 8192)
        var hasHappened = false
        while read(descriptor.raw, &room, room.count) > 0 { hasHappened = true }
        return hasHappened
    }

    /// Every folder in which a name on the way to a file may come to mean something else.
    ///
    /// Where a part of the way is missing, it is the last folder that is there.
    static func folders(onTheWayTo path: String) -> Set<String> {
        var found: Set<String> = []
        var rest = Array(path.split(separator: "/").reversed())
        var folder = path.hasPrefix("/") ? "/" : "."
        var links = 0
        while let name = rest.popLast() {
            let next = folder == "/" ? "/\(name)" : "\(folder)/\(name)"
            var status = stat()
            guard lstat(next, &status) == 0 else {
                found.insert(folder)
                break
            }
            if status.st_mode & S_IFMT == S_IFLNK {
                found.insert(folder)
                links += 1
                guard links <= 40, let target = File.target(ofLink: next) else { break }
                if target.hasPrefix("/") { folder = "/" }
                rest += target.split(separator: "/").reversed()
            } else if rest.isEmpty {
                found.insert(folder)
            } else {
                folder = next
            }
        }
        return found
    }
}

/// What tells one state of a file from another without reading it.
public struct FileSignature: Equatable, Sendable {
    /// The device and number of the file that a path leads to, its size and when it was changed; in text form.
    public let text: String

    /// Looks at a path, along links; what is not there has a signature, too.
    public init(path: String) {
        var status = stat()
        text =
            stat(path, &status) == 0
            ? "\(status.st_dev) \(status.st_ino) \(status.st_size) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec) "
                + "\(status.st_ctim.tv_sec).\(status.st_ctim.tv_nsec)"
            : "none"
    }

    /// Takes what another process has written down.
    public init(text: String) { self.text = text }
}

extension File {
    /// Whether an open file is not any more what its path leads to, as after a rotation of logs.
    public static func hasMoved(_ raw: CInt, from path: String) -> Bool {
        var there = stat()
        var here = stat()
        guard fstat(raw, &here) == 0 else { return false }
        guard stat(path, &there) == 0 else { return errno == ENOENT }
        return there.st_dev != here.st_dev || there.st_ino != here.st_ino
    }

    /// Where a link leads; nil when it is none.
    static func target(ofLink path: String) -> String? {
        var room = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &room, room.count)
        return count > 0 ? String(decoding: room.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }

    /// Reads memory that was handed over by descriptor from its beginning.
    public static func readShared(_ descriptor: borrowing FileDescriptor, limit: Int) throws(Errno) -> [UInt8] {
        guard lseek(descriptor.raw, 0, SEEK_SET) == 0 else { throw Errno(in: "lseek") }
        return try readAll(descriptor, limit: limit)
    }
}
