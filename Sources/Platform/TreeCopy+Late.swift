import Glibc

extension TreeCopy {
    /// What a look at a source that was replaced already came to.
    public struct LateChanges: Equatable, Sendable {
        /// What had changed, and was taken over.
        public var taken: [String] = []
        /// What had changed in both trees: neither is touched.
        public var conflicts: [String] = []
    }

    /// Takes over what changed in the source after its last pass; a target that others have changed meanwhile is left.
    ///
    /// - Parameters:
    ///   - since: what changed in the source from then on, in nanoseconds, is late.
    ///   - replaced: what changed in the target from then on was changed by others.
    public static func late(
        from source: borrowing FileDescriptor,
        to target: borrowing FileDescriptor,
        since: Int64,
        replaced: Int64
    ) throws(TreeFailure) -> LateChanges {
        var changes = LateChanges()
        try late(source.raw, target.raw, "", since, replaced, &changes)
        return changes
    }

    private static func late(
        _ source: CInt,
        _ target: CInt,
        _ path: String,
        _ since: Int64,
        _ replaced: Int64,
        _ changes: inout LateChanges
    ) throws(TreeFailure) {
        for name in try TreeWalk.at(path, { () throws(Errno) in try Folder.names(in: source) }) {
            let place = Folder.join(path, name)
            let seen = try TreeWalk.at(place) { () throws(Errno) in try Folder.status(at: source, name) }
            guard let status = seen else { continue }
            let there = try TreeWalk.at(place) { () throws(Errno) in try Folder.status(at: target, name) }
            if status.st_mode & S_IFMT == S_IFDIR {
                if let there, there.st_mode & S_IFMT != S_IFDIR {
                    changes.conflicts.append(place)
                    continue
                }
                if there == nil {
                    guard nanoseconds(status.st_ctim) >= since else { continue }
                    try makeFolder(target, name, status, place)
                    changes.taken.append(place)
                }
                let from = try TreeWalk.at(place) { () throws(Errno) in try Folder.opened(at: source, name).release() }
                let fromOwner = FileDescriptor(owning: from)
                let into = try TreeWalk.at(place) { () throws(Errno) in try Folder.opened(at: target, name).release() }
                let intoOwner = FileDescriptor(owning: into)
                try late(fromOwner.raw, intoOwner.raw, place, since, replaced, &changes)
            } else if nanoseconds(status.st_ctim) >= since {
                if let there, try isSame(source, target, name, status, there, place) { continue }
                if let there, nanoseconds(there.st_ctim) >= replaced {
                    changes.conflicts.append(place)
                } else {
                    try take(source, target, name, status, place)
                    changes.taken.append(place)
                }
            }
        }
    }

    private static func makeFolder(
        _ target: CInt,
        _ name: Folder.Name,
        _ status: stat,
        _ place: String
    ) throws(TreeFailure) {
        guard mkdirat(target, name, 0o700) == 0,
            fchownat(target, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) == 0,
            fchmodat(target, name, status.st_mode & 0o7777, 0) == 0
        else { throw TreeFailure(place, Errno(in: "mkdirat")) }
    }

    /// Under another name first: readers see the old or the new one, and so does whoever goes on after an interruption.
    private static func take(
        _ source: CInt,
        _ target: CInt,
        _ name: Folder.Name,
        _ status: stat,
        _ place: String
    ) throws(TreeFailure) {
        let other = Array(".everyhop-late".utf8CString)
        try TreeWalk.remove(other, in: target, at: place)
        try entry(source, name, status, to: target, as: other, at: place)
        guard renameat(target, other, target, name) == 0 else { throw TreeFailure(place, Errno(in: "renameat")) }
    }
}
