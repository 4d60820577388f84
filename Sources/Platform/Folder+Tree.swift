import CLinux
public import Glibc

/// A failure somewhere in a tree of files.
public struct TreeFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// Where, from the tree's root.
    public let path: String
    /// What failed.
    public let cause: Errno

    /// Names it.
    public init(_ path: String, _ cause: Errno) {
        self.path = path
        self.cause = cause
    }

    /// `a/b: open: Permission denied`.
    public var description: String { "\(path.isEmpty ? "." : path): \(cause)" }
}

// Folders by descriptor: whoever owns what is in them can exchange a folder for a link at any time, so no path is followed
// twice.
extension Folder {
    /// A name in a folder, as the kernel has it, with its ending zero; not always UTF-8.
    public typealias Name = [CChar]

    /// Opens a folder, no link.
    public static func opened(_ path: String) throws(Errno) -> FileDescriptor {
        try opened(at: AT_FDCWD, Array(path.utf8CString))
    }

    /// Opens a folder in a folder, no link.
    public static func opened(at folder: CInt, _ name: Name) throws(Errno) -> FileDescriptor {
        let raw = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard raw >= 0 else { throw Errno(in: "openat") }
        return FileDescriptor(owning: raw)
    }

    /// What is in an open folder, sorted by bytes.
    public static func names(in folder: CInt) throws(Errno) -> [Name] {
        let own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0 else { throw Errno(in: "openat") }
        guard let stream = fdopendir(own) else {
            let failure = Errno(in: "fdopendir")
            close(own)
            throw failure
        }
        defer { closedir(stream) }
        var names: [Name] = []
        errno = 0
        while let entry = readdir(stream) {
            // The kernel's record ends with the name; the structure is longer than that.
            guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { break }
            let start = (UnsafeRawPointer(entry) + offset).assumingMemoryBound(to: CChar.self)
            let name = Name(UnsafeBufferPointer(start: start, count: strlen(start) + 1))
            if name != [0x2E, 0], name != [0x2E, 0x2E, 0] { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw Errno(in: "readdir") }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// What a name stands for, without following it; nil when it stands for nothing.
    public static func status(at folder: CInt, _ name: Name) throws(Errno) -> stat? {
        var status = stat()
        if fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 { return status }
        if errno == ENOENT { return nil }
        throw Errno(in: "fstatat")
    }

    /// What an open file is.
    public static func status(of descriptor: borrowing FileDescriptor) throws(Errno) -> stat {
        var status = stat()
        guard fstat(descriptor.raw, &status) == 0 else { throw Errno(in: "fstat") }
        return status
    }

    /// Makes all that a file system was told last.
    public static func syncFileSystem(of folder: borrowing FileDescriptor) throws(Errno) {
        guard everyhop_sync_file_system(folder.raw) == 0 else { throw Errno(in: "syncfs") }
    }

    /// Two names change places, in one step.
    public static func exchange(_ one: String, _ other: String) throws(Errno) {
        guard everyhop_exchange(one, other) == 0 else { throw Errno(in: "renameat2") }
    }

    /// Forbids changes in a folder, whoever asks, or allows them again; not every file system can.
    ///
    /// - Returns: whether it did.
    @discardableResult
    public static func setImmutable(_ immutable: Bool, _ path: String) -> Bool {
        guard let folder = try? opened(path) else { return false }
        return everyhop_set_immutable(folder.raw, immutable ? 1 : 0) == 0
    }

    /// Tells the device which space is free, so that it forgets what was there (FITRIM).
    ///
    /// - Returns: whether device and file system can, and this user may.
    public static func discardFree(at folder: borrowing FileDescriptor) -> Bool {
        everyhop_discard_free(folder.raw) == 0
    }

    /// Takes a mount away; fails while something in it is in use.
    public static func unmount(_ path: String) throws(Errno) {
        guard everyhop_unmount(path) == 0 else { throw Errno(in: "umount2") }
    }

    /// The room that a file system has for this user, in bytes.
    public static func freeBytes(at folder: borrowing FileDescriptor) throws(Errno) -> UInt64 {
        var space = statvfs()
        guard fstatvfs(folder.raw, &space) == 0 else { throw Errno(in: "fstatvfs") }
        return UInt64(space.f_bavail).multipliedReportingOverflow(by: UInt64(space.f_frsize)).partialValue
    }

    static func text(_ name: Name) -> String {
        String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func join(_ path: String, _ name: Name) -> String { path.isEmpty ? text(name) : "\(path)/\(text(name))" }
}
