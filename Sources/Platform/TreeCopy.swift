public import Glibc

/// Makes one tree of files equal to another: contents, names, owners, modes, times, extended attributes, links.
///
/// A pass over a tree that is equal already changes nothing, but reads all of both: that is how a copy is verified, and how
/// one that was interrupted is finished.
public struct TreeCopy {
    /// What a pass did.
    public struct Outcome: Equatable, Sendable {
        /// Entries that were made, mended or removed; 0 says that both trees were equal.
        public var changes = 0
        /// Entries that were looked at.
        public var entries = 0
        /// The latest change of the source, in nanoseconds: contents, owner, mode or name.
        public var newest: Int64 = 0
    }

    private struct Identity: Hashable {
        let device: UInt
        let inode: UInt
    }

    private var links: [Identity: (path: Folder.Name, inode: UInt)] = [:]
    private var outcome = Outcome()
    private let target: CInt
    private var trail: [Folder.Name] = []
    private var buffers = CopyBuffers()

    private init(target: CInt) { self.target = target }

    /// Goes over both trees once.
    ///
    /// Nobody else may change the target meanwhile; the source may be in use.
    public static func pass(
        from source: borrowing FileDescriptor,
        to target: borrowing FileDescriptor
    ) throws(TreeFailure) -> Outcome {
        var copy = TreeCopy(target: target.raw)
        try copy.folder(source.raw, target.raw, "")
        let root = try TreeWalk.at("") { () throws(Errno) in
            var status = stat()
            guard fstat(source.raw, &status) == 0 else { throw Errno(in: "fstat") }
            return status
        }
        // Renaming a folder counts as a change of the folder itself, so of the root only its contents tell something.
        copy.outcome.newest = max(copy.outcome.newest, nanoseconds(root.st_mtim))
        try copy.metadata(source.raw, [0x2E, 0], target.raw, [0x2E, 0], "", root)
        return copy.outcome
    }

    /// Makes one file or link of the target equal to the source's; for a change that came late.
    static func entry(
        _ source: CInt,
        _ name: Folder.Name,
        _ status: stat,
        to target: CInt,
        as other: Folder.Name,
        at path: String
    ) throws(TreeFailure) {
        var copy = TreeCopy(target: target)
        try copy.make(source, name, status, target, other, path)
        try copy.metadata(source, name, target, other, path, status)
    }

    /// Whether one file or link is what the source's is, owner, mode and times as well.
    static func isSame(
        _ source: CInt,
        _ target: CInt,
        _ name: Folder.Name,
        _ status: stat,
        _ there: stat,
        _ place: String
    ) throws(TreeFailure) -> Bool {
        var copy = TreeCopy(target: target)
        guard there.st_mode == status.st_mode, there.st_uid == status.st_uid, there.st_gid == status.st_gid,
            nanoseconds(there.st_mtim) == nanoseconds(status.st_mtim), there.st_rdev == status.st_rdev
        else { return false }
        return try copy.isEqual(source, target, name, status, place)
    }

    /// A time as one number.
    public static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000).partialValue &+ Int64(time.tv_nsec)
    }

    private mutating func folder(_ source: CInt, _ target: CInt, _ path: String) throws(TreeFailure) {
        let names = try TreeWalk.at(path) { () throws(Errno) in try Folder.names(in: source) }
        let there = try TreeWalk.at(path) { () throws(Errno) in try Folder.names(in: target) }
        let wanted = Set(names)
        for name in there where !wanted.contains(name) {
            outcome.changes += 1
            try TreeWalk.remove(name, in: target, at: Folder.join(path, name))
        }
        for name in names {
            let place = Folder.join(path, name)
            do { try entry(source, target, name, place) } catch {
                // What vanished meanwhile is removed by the next pass, which this one makes necessary.
                guard error.cause.code == ENOENT, isGone(source, name) else { throw error }
                outcome.changes += 1
            }
        }
    }

    private func isGone(_ folder: CInt, _ name: Folder.Name) -> Bool {
        do { return try Folder.status(at: folder, name) == nil } catch { return false }
    }

    private mutating func entry(
        _ source: CInt,
        _ target: CInt,
        _ name: Folder.Name,
        _ place: String
    ) throws(TreeFailure) {
        let seen = try TreeWalk.at(place) { () throws(Errno) in try Folder.status(at: source, name) }
        guard let status = seen else { throw TreeFailure(place, Errno(ENOENT, in: "fstatat")) }
        outcome.entries += 1
        outcome.newest = max(outcome.newest, Self.nanoseconds(status.st_ctim))
        var there = try TreeWalk.at(place) { () throws(Errno) in try Folder.status(at: target, name) }
        if let old = there, !Self.mayStay(old, for: status) {
            try remove(name, in: target, place)
            there = nil
        }
        if status.st_mode & S_IFMT == S_IFDIR {
            if there == nil {
                outcome.changes += 1
                guard mkdirat(target, name, 0o700) == 0 else { throw TreeFailure(place, Errno(in: "mkdirat")) }
            }
            let from = try TreeWalk.at(place) { () throws(Errno) in try Folder.opened(at: source, name).release() }
            let fromOwner = FileDescriptor(owning: from)
            let into = try TreeWalk.at(place) { () throws(Errno) in try Folder.opened(at: target, name).release() }
            let intoOwner = FileDescriptor(owning: into)
            trail.append(name)
            try folder(fromOwner.raw, intoOwner.raw, place)
            _ = trail.popLast()
        } else if status.st_nlink > 1, try isLinked(status, target, name, there, place) {
            return
        } else if try needsMaking(there, source, target, name, status, place) {
            if there != nil { try remove(name, in: target, place) }
            outcome.changes += 1
            try make(source, name, status, target, name, place)
        }
        if status.st_nlink > 1, status.st_mode & S_IFMT != S_IFDIR,
            let made = try TreeWalk.at(place, { () throws(Errno) in try Folder.status(at: target, name) })
        {
            links[Identity(device: status.st_dev, inode: status.st_ino)] = (path(of: name), made.st_ino)
        }
        try metadata(source, name, target, name, place, status)
    }

    /// Whether what is there is of the right kind, and no name more than it should be.
    private static func mayStay(_ old: stat, for status: stat) -> Bool {
        guard old.st_mode & S_IFMT == status.st_mode & S_IFMT else { return false }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return true
        case S_IFCHR, S_IFBLK: return old.st_rdev == status.st_rdev && old.st_nlink <= status.st_nlink
        default: return old.st_nlink <= status.st_nlink
        }
    }

    /// Whether the file has another name that was met before; then this name is one of that file, too.
    private mutating func isLinked(
        _ status: stat,
        _ target: CInt,
        _ name: Folder.Name,
        _ there: stat?,
        _ place: String
    ) throws(TreeFailure) -> Bool {
        guard let first = links[Identity(device: status.st_dev, inode: status.st_ino)] else { return false }
        if let there, there.st_ino == first.inode { return true }
        outcome.changes += 1
        if there != nil { try remove(name, in: target, place) }
        guard linkat(self.target, first.path, target, name, 0) == 0 else {
            throw TreeFailure(place, Errno(in: "linkat"))
        }
        return true
    }

    /// Byte by byte: what is printed of a name may not be what it is.
    private func path(of name: Folder.Name) -> Folder.Name {
        trail.flatMap { $0.dropLast() + [0x2F] } + name
    }

    private func remove(_ name: Folder.Name, in folder: CInt, _ place: String) throws(TreeFailure) {
        try TreeWalk.remove(name, in: folder, at: place)
    }

    private mutating func needsMaking(
        _ there: stat?,
        _ source: CInt,
        _ target: CInt,
        _ name: Folder.Name,
        _ status: stat,
        _ place: String
    ) throws(TreeFailure) -> Bool {
        if there == nil { return true }
        return try !isEqual(source, target, name, status, place)
    }

    private mutating func isEqual(
        _ source: CInt,
        _ target: CInt,
        _ name: Folder.Name,
        _ status: stat,
        _ place: String
    ) throws(TreeFailure) -> Bool {
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            let one = try FileContents(source, name, place)
            let other = try FileContents(target, name, place)
            return try buffers.areEqual(one, other, place)
        case S_IFLNK: return try Self.destination(source, name, place) == Self.destination(target, name, place)
        default: return true
        }
    }

    private mutating func make(
        _ source: CInt,
        _ name: Folder.Name,
        _ status: stat,
        _ target: CInt,
        _ other: Folder.Name,
        _ place: String
    ) throws(TreeFailure) {
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            let contents = try FileContents(source, name, place)
            try buffers.copy(contents, target, other, place)
        case S_IFLNK:
            guard symlinkat(try Self.destination(source, name, place), target, other) == 0 else {
                throw TreeFailure(place, Errno(in: "symlinkat"))
            }
        default:
            guard mknodat(target, other, status.st_mode & S_IFMT | 0o600, status.st_rdev) == 0 else {
                throw TreeFailure(place, Errno(in: "mknodat"))
            }
        }
    }

    private static func destination(
        _ folder: CInt,
        _ name: Folder.Name,
        _ place: String
    ) throws(TreeFailure) -> Folder.Name {
        var bytes: [CChar] = Array(repeating: 0, count: Int(PATH_MAX) + 1)
        let count = readlinkat(folder, name, &bytes, bytes.count - 1)
        guard count >= 0 else { throw TreeFailure(place, Errno(in: "readlinkat")) }
        return Array(bytes.prefix(count)) + [0]
    }

    private mutating func metadata(
        _ source: CInt,
        _ name: Folder.Name,
        _ target: CInt,
        _ other: Folder.Name,
        _ place: String,
        _ status: stat
    ) throws(TreeFailure) {
        let seen = try TreeWalk.at(place) { () throws(Errno) in try Folder.status(at: target, other) }
        guard let old = seen else { throw TreeFailure(place, Errno(EIO, in: "fstatat")) }
        var changed = false
        if old.st_uid != status.st_uid || old.st_gid != status.st_gid {
            changed = true
            guard fchownat(target, other, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) == 0 else {
                throw TreeFailure(place, Errno(in: "fchownat"))
            }
        }
        let isLink = status.st_mode & S_IFMT == S_IFLNK
        if try ExtendedAttributes.copy(source, name, target, other, place) { changed = true }
        if !isLink, changed || old.st_mode != status.st_mode {
            changed = true
            guard fchmodat(target, other, status.st_mode & 0o7777, 0) == 0 else {
                throw TreeFailure(place, Errno(in: "fchmodat"))
            }
        }
        let time = Self.nanoseconds(status.st_mtim)
        if changed || Self.nanoseconds(old.st_mtim) != time {
            changed = true
            let times = [status.st_atim, status.st_mtim]
            guard utimensat(target, other, times, AT_SYMLINK_NOFOLLOW) == 0 else {
                throw TreeFailure(place, Errno(in: "utimensat"))
            }
        }
        if changed { outcome.changes += 1 }
    }
}
