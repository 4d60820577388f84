import CLinux
import Glibc

/// A regular file of a tree, opened for reading; reading it leaves no trace where that is allowed.
struct FileContents: ~Copyable {
    let descriptor: FileDescriptor
    let size: Int

    init(_ folder: CInt, _ name: Folder.Name, _ place: String) throws(TreeFailure) {
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        // O_NOATIME, which Glibc's module lacks; owner and root may ask for it.
        var raw = openat(folder, name, flags | 0o1_000_000)
        if raw < 0, errno == EPERM { raw = openat(folder, name, flags) }
        guard raw >= 0 else { throw TreeFailure(place, Errno(in: "openat")) }
        let owner = FileDescriptor(owning: raw)
        var status = stat()
        guard fstat(raw, &status) == 0 else { throw TreeFailure(place, Errno(in: "fstat")) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw TreeFailure(place, Errno(ESTALE, in: "openat")) }
        size = status.st_size
        descriptor = owner
    }
}

/// The memory that files are read into.
struct CopyBuffers {
    private static let size = 256 << 10
    /// Of lseek(2); Glibc's module lacks them.
    private static let (seekData, seekHole): (CInt, CInt) = (3, 4)
    private var one: [UInt8] = Array(repeating: 0, count: Self.size)
    private var other: [UInt8] = Array(repeating: 0, count: Self.size)

    /// Compares all bytes; what the kernel remembers of the second is dropped first, so that the disk is read.
    mutating func areEqual(
        _ first: borrowing FileContents,
        _ second: borrowing FileContents,
        _ place: String
    ) throws(TreeFailure) -> Bool {
        guard first.size == second.size else { return false }
        posix_fadvise(second.descriptor.raw, 0, 0, POSIX_FADV_DONTNEED)
        while true {
            let count = try Self.read(first.descriptor.raw, &one, place)
            guard try Self.read(second.descriptor.raw, &other, place) == count else { return false }
            if count == 0 { return true }
            guard memcmp(one, other, count) == 0 else { return false }
        }
    }

    /// Makes a file with the same bytes, and the same holes as far as the file system tells them.
    mutating func copy(
        _ contents: borrowing FileContents,
        _ folder: CInt,
        _ name: Folder.Name,
        _ place: String
    ) throws(TreeFailure) {
        let raw = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw TreeFailure(place, Errno(in: "openat")) }
        let target = FileDescriptor(owning: raw)
        let source = contents.descriptor.raw
        guard ftruncate(target.raw, contents.size) == 0 else { throw TreeFailure(place, Errno(in: "ftruncate")) }
        var position: Int = 0
        while position < contents.size {
            let start = lseek(source, position, Self.seekData)
            if start < 0 {
                if errno == ENXIO { break }
                if lseek(source, position, SEEK_SET) < 0 { throw TreeFailure(place, Errno(in: "lseek")) }
            }
            let from = max(start, position)
            let hole = lseek(source, from, Self.seekHole)
            let end = hole > from ? hole : contents.size
            try copy(source, target.raw, from..<max(from, end), place)
            position = max(end, from + 1)
        }
    }

    private mutating func copy(
        _ source: CInt,
        _ target: CInt,
        _ range: Range<Int>,
        _ place: String
    ) throws(TreeFailure) {
        var position = range.lowerBound
        while position < range.upperBound {
            let wanted = min(Self.size, range.upperBound - position)
            let count = pread(source, &one, wanted, position)
            if count < 0 {
                if errno == EINTR { continue }
                throw TreeFailure(place, Errno(in: "pread"))
            }
            // It has become shorter; the next pass sees that.
            if count == 0 { return }
            var written = 0
            while written < count {
                let more = one.withUnsafeBytes {
                    pwrite(target, $0.baseAddress.map { $0 + written }, count - written, position + written)
                }
                if more < 0, errno == EINTR { continue }
                guard more > 0 else { throw TreeFailure(place, Errno(in: "pwrite")) }
                written += more
            }
            position += count
        }
    }

    /// Fills the buffer, or reads to the end.
    private static func read(_ source: CInt, _ buffer: inout [UInt8], _ place: String) throws(TreeFailure) -> Int {
        var filled = 0
        while filled < size {
            let count = buffer.withUnsafeMutableBytes {
                Glibc.read(source, $0.baseAddress.map { $0 + filled }, size - filled)
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw TreeFailure(place, Errno(in: "read"))
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }
}

/// Extended attributes, access control lists among them.
enum ExtendedAttributes {
    /// Labels come from the system's own policy, by place.
    private static let left: Set<String> = ["security.selinux"]

    /// Makes the target's attributes equal to the source's; whether they were not.
    static func copy(
        _ source: CInt,
        _ name: Folder.Name,
        _ target: CInt,
        _ other: Folder.Name,
        _ place: String
    ) throws(TreeFailure) -> Bool {
        let (from, into) = (path(source, name), path(target, other))
        let wanted = try all(from, place)
        let there = try all(into, place)
        guard wanted != there else { return false }
        for (key, value) in wanted where there[key] != value {
            guard lsetxattr(into, key, value, value.count, 0) == 0 else {
                throw TreeFailure("\(place) (attribute \(key))", Errno(in: "lsetxattr"))
            }
        }
        for key in there.keys where wanted[key] == nil {
            guard lremovexattr(into, key) == 0 else {
                throw TreeFailure("\(place) (attribute \(key))", Errno(in: "lremovexattr"))
            }
        }
        return true
    }

    /// The folder is followed by its descriptor, the name is not followed.
    private static func path(_ folder: CInt, _ name: Folder.Name) -> Folder.Name {
        Array("/proc/self/fd/\(folder)/".utf8CString.dropLast()) + name
    }

    private static func all(_ path: Folder.Name, _ place: String) throws(TreeFailure) -> [String: [UInt8]] {
        let size = llistxattr(path, nil, 0)
        if size == 0 || (size < 0 && (errno == ENOTSUP || errno == ENOSYS)) { return [:] }
        guard size > 0 else { throw TreeFailure(place, Errno(in: "llistxattr")) }
        var list: [CChar] = Array(repeating: 0, count: size)
        let count = llistxattr(path, &list, size)
        guard count >= 0 else { throw TreeFailure(place, Errno(in: "llistxattr")) }
        var found: [String: [UInt8]] = [:]
        for part in list.prefix(count).split(separator: 0) {
            let key = String(decoding: part.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if left.contains(key) { continue }
            var value: [UInt8] = Array(repeating: 0, count: 65_536)
            let length = lgetxattr(path, key, &value, value.count)
            if length < 0, errno == ENODATA { continue }
            guard length >= 0 else { throw TreeFailure("\(place) (attribute \(key))", Errno(in: "lgetxattr")) }
            found[key] = Array(value.prefix(length))
        }
        return found
    }
}
