public import Glibc

/// A tree of files, seen as a whole.
public struct TreeSurvey: Equatable, Sendable {
    /// Files, folders and everything else, the root not among them.
    public var entries = 0
    /// What they take on the disk.
    public var bytes: UInt64 = 0
    /// Files that have another name outside of the tree.
    public var linkedOutside: [String] = []

    private struct Link: Equatable {
        var path: String
        var missing: UInt
    }

    /// Looks at every entry below an open folder.
    public init(_ folder: borrowing FileDescriptor) throws(TreeFailure) {
        var links: [UInt: Link] = [:]
        var (count, size): (Int, UInt64) = (0, 0)
        try TreeWalk.visit(folder) { (entry: TreeWalk.Entry) throws(TreeFailure) in
            count += 1
            size &+= UInt64(clamping: entry.status.st_blocks) &* 512
            guard !entry.isFolder, entry.status.st_nlink > 1 else { return }
            links[entry.status.st_ino, default: Link(path: entry.path, missing: UInt(entry.status.st_nlink))]
                .missing &-= 1
        }
        entries = count
        bytes = size
        linkedOutside = links.values.filter { $0.missing != 0 }.map(\.path).sorted()
    }
}

/// Going through a tree of files by descriptors.
public enum TreeWalk {
    /// One entry of a tree.
    public struct Entry {
        /// The open folder that it is in.
        public let folder: CInt
        /// Its name there.
        public let name: Folder.Name
        /// Where it is, from the tree's root.
        public let path: String
        /// What it is.
        public let status: stat

        /// Whether it is a folder.
        public var isFolder: Bool { status.st_mode & S_IFMT == S_IFDIR }
    }

    /// Calls `body` for every entry, a folder before what is in it.
    ///
    /// What vanishes meanwhile is left out.
    public static func visit(
        _ folder: borrowing FileDescriptor,
        _ body: (Entry) throws(TreeFailure) -> Void
    ) throws(TreeFailure) {
        try visit(folder.raw, "", body)
    }

    private static func visit(
        _ folder: CInt,
        _ path: String,
        _ body: (Entry) throws(TreeFailure) -> Void
    ) throws(TreeFailure) {
        for name in try at(path, { () throws(Errno) in try Folder.names(in: folder) }) {
            let place = Folder.join(path, name)
            guard let status = try at(place, { () throws(Errno) in try Folder.status(at: folder, name) }) else {
                continue
            }
            let entry = Entry(folder: folder, name: name, path: place, status: status)
            try body(entry)
            guard entry.isFolder else { continue }
            let inner: FileDescriptor
            do { inner = try Folder.opened(at: folder, name) } catch {
                if error.code == ENOENT { continue }
                throw TreeFailure(place, error)
            }
            try visit(inner.raw, place, body)
        }
    }

    /// Removes everything below an open folder.
    public static func empty(_ folder: CInt, at path: String = "") throws(TreeFailure) {
        for name in try at(path, { () throws(Errno) in try Folder.names(in: folder) }) {
            try remove(name, in: folder, at: Folder.join(path, name))
        }
    }

    /// Removes one entry with all that is below it.
    static func remove(_ name: Folder.Name, in folder: CInt, at place: String) throws(TreeFailure) {
        guard let status = try at(place, { () throws(Errno) in try Folder.status(at: folder, name) }) else { return }
        let isFolder = status.st_mode & S_IFMT == S_IFDIR
        if isFolder {
            let inner = try at(place) { () throws(Errno) in try Folder.opened(at: folder, name).release() }
            let owner = FileDescriptor(owning: inner)
            try empty(owner.raw, at: place)
        }
        guard unlinkat(folder, name, isFolder ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT else {
            throw TreeFailure(place, Errno(in: "unlinkat"))
        }
    }

    static func at<R>(_ path: String, _ body: () throws(Errno) -> R) throws(TreeFailure) -> R {
        do { return try body() } catch { throw TreeFailure(path, error) }
    }
}
