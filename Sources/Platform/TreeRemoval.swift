import Glibc

/// Removes what is in a folder that others may still write to; what changed lately stays.
public struct TreeRemoval {
    /// Where what changed lately is.
    public private(set) var late: [String] = []
    /// How many entries are left, late ones among them.
    public private(set) var left = 0

    private let keep: Set<String>
    private let since: Int64
    /// Files that had other names before this one was removed: that counts as a change of the file.
    private var linked: Set<UInt> = []

    /// Removes all that is below an open folder.
    ///
    /// - Parameters:
    ///   - keep: what stays in any case, from the folder's root.
    ///   - since: what changed from then on stays, in nanoseconds.
    public init(_ folder: CInt, keep: Set<String>, since: Int64) throws(TreeFailure) {
        self.keep = keep
        self.since = since
        left = try empty(folder, "")
    }

    private mutating func empty(_ folder: CInt, _ path: String) throws(TreeFailure) -> Int {
        var left = 0
        for name in try TreeWalk.at(path, { () throws(Errno) in try Folder.names(in: folder) }) {
            left += try remove(name, in: folder, Folder.join(path, name))
        }
        return left
    }

    private mutating func remove(_ name: Folder.Name, in folder: CInt, _ place: String) throws(TreeFailure) -> Int {
        if keep.contains(place) { return 1 }
        let seen = try TreeWalk.at(place) { () throws(Errno) in try Folder.status(at: folder, name) }
        guard let status = seen else { return 0 }
        if status.st_mode & S_IFMT == S_IFDIR {
            let inner = try TreeWalk.at(place) { () throws(Errno) in try Folder.opened(at: folder, name).release() }
            let owner = FileDescriptor(owning: inner)
            let names = try TreeWalk.at(place) { () throws(Errno) in try Folder.names(in: owner.raw) }
            if names.isEmpty, TreeCopy.nanoseconds(status.st_ctim) >= since { return keep(place) }
            let left = try empty(owner.raw, place)
            if left > 0 { return left + 1 }
            if unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT { return 0 }
            // Something was put there since it was empty.
            guard errno != ENOTEMPTY else { return keep(place) }
        } else {
            let time = linked.contains(status.st_ino) ? status.st_mtim : status.st_ctim
            if TreeCopy.nanoseconds(time) >= since { return keep(place) }
            if status.st_nlink > 1 { linked.insert(status.st_ino) }
            if unlinkat(folder, name, 0) == 0 || errno == ENOENT { return 0 }
        }
        throw TreeFailure(place, Errno(in: "unlinkat"))
    }

    private mutating func keep(_ place: String) -> Int {
        late.append(place)
        return 1
    }
}
