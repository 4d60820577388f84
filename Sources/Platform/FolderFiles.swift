import CLinux
import Glibc

/// What a file system says about a file.
public struct FileStatus: Equatable, Sendable {
    /// What it is, as far as the program cares.
    public enum Kind: Sendable {
        /// A file with contents.
        case regular
        /// A folder.
        case folder
        /// A socket.
        case socket
        /// A device, a pipe.
        case other
    }

    /// What it is.
    public let kind: Kind
    /// The file system it is on.
    public let device: UInt64
    /// Which file of that file system.
    public let inode: UInt64
    /// In bytes.
    public let size: UInt64
    /// Seconds since 1970 of the last change, as far as programs leave it: they may set it to any time.
    public let modified: Int64
    /// Nanoseconds since 1970 of the last change of anything, which no program sets.
    public let changed: Int64

    /// Of an open descriptor.
    public init(_ descriptor: borrowing FileDescriptor) throws(Errno) {
        var status = stat()
        guard everyhop_file_status(descriptor.raw, &status) == 0 else { throw Errno(in: "fstat") }
        self.init(status)
    }

    /// Of what a path leads to.
    public init(path: String) throws(Errno) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw Errno(in: "stat") }
        self.init(status)
    }

    private init(_ status: stat) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .regular
        case S_IFDIR: kind = .folder
        case S_IFSOCK: kind = .socket
        default: kind = .other
        }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = UInt64(max(0, status.st_size))
        modified = Int64(status.st_mtim.tv_sec)
        changed = Int64(status.st_ctim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_ctim.tv_nsec)
    }
}

/// Why a file below a folder is not opened.
public enum BeneathFailure: Error, Equatable, Sendable {
    /// There is nothing of the name.
    case missing
    /// A link or a mount stands in the way, or leads out of the folder.
    case leadsAway
    /// This user may not read it.
    case forbidden
    /// The folder's file system does not answer as it should: locked, unmounted, or broken.
    case unavailable(Errno)
}

extension File {
    /// Opens a folder for nothing but to open files below it.
    public static func openFolder(_ path: String) throws(Errno) -> FileDescriptor {
        let raw = everyhop_open_folder(path)
        guard raw >= 0 else { throw Errno(in: "open") }
        return FileDescriptor(owning: raw)
    }

    /// Opens a file below a folder for reading; nothing in the path can lead out of the folder or its file system.
    ///
    /// - Parameters:
    ///   - path: names with slashes between them, without a zero.
    ///   - followsLinks: whether links that stay inside are followed.
    public static func openBeneath(
        _ folder: borrowing FileDescriptor,
        _ path: [UInt8],
        followsLinks: Bool
    ) throws(BeneathFailure) -> FileDescriptor {
        var code: CInt = 0
        // A folder that is moved meanwhile makes the kernel give up: it is asked again.
        for _ in 0..<8 {
            let raw = (path + [0]).withUnsafeBytes { bytes in
                everyhop_open_beneath(
                    folder.raw,
                    bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                    followsLinks ? 1 : 0
                )
            }
            if raw >= 0 { return FileDescriptor(owning: raw) }
            code = errno
            guard code == EINTR || code == EAGAIN else { break }
        }
        switch code {
        case ENOENT, ENOTDIR, ENAMETOOLONG, ENXIO: throw .missing
        case ELOOP, EXDEV: throw .leadsAway
        case EACCES, EPERM: throw .forbidden
        default: throw .unavailable(Errno(code, in: "openat2"))
        }
    }

    /// Reads at most `count` bytes at a place of a file to the start of a buffer; 0 at the file's end.
    public static func read(
        _ descriptor: borrowing FileDescriptor,
        at offset: UInt64,
        _ count: Int,
        into buffer: inout [UInt8]
    ) throws(Errno) -> Int {
        let raw = descriptor.raw
        while true {
            let read = buffer.withUnsafeMutableBytes { room in
                pread(raw, room.baseAddress, min(count, room.count), off_t(truncatingIfNeeded: offset))
            }
            if read >= 0 { return read }
            guard errno == EINTR else { throw Errno(in: "pread") }
        }
    }
}
