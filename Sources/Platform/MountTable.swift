import CLinux
import Glibc

/// What is mounted where, as this process sees it (/proc/self/mountinfo).
public struct MountTable: Equatable, Sendable {
    /// One mount.
    public struct Mount: Equatable, Sendable {
        /// The kernel's number for it.
        public let id: Int
        /// Its device, such as `254:0`; major 0 belongs to no block device.
        public let device: String
        /// Where it is.
        public let path: String
        /// The kind of file system, such as `ext4` or `fuse.gocryptfs`.
        public let type: String
        /// What is mounted, such as `/dev/vda`.
        public let source: String
        /// Its options, and those of its file system.
        public let options: [String]
    }

    /// Every mount, later ones cover earlier ones.
    public let mounts: [Mount]

    /// Reads the table as it is now.
    public static func current() throws(Errno) -> MountTable {
        MountTable(text: try File.read("/proc/self/mountinfo"))
    }

    /// Takes a table apart; lines that are none are left out.
    public init(text: [UInt8]) {
        mounts = text.split(separator: 0x0A).compactMap(Self.mount)
    }

    /// The mount that an open file or folder lies on.
    public func mount(of descriptor: borrowing FileDescriptor) throws(Errno) -> Mount? {
        let lines = try File.read("/proc/self/fdinfo/\(descriptor.raw)").split(separator: 0x0A)
        for line in lines {
            let text = String(decoding: line, as: UTF8.self)
            guard text.hasPrefix("mnt_id:") else { continue }
            let digits = Array(text.utf8.dropFirst(7).drop { $0 == 0x20 || $0 == 0x09 })
            guard let id = Self.number(digits) else { return nil }
            return mounts.last { $0.id == id }
        }
        return nil
    }

    /// Every mount below a folder, itself not among them.
    public func below(_ path: String) -> [Mount] {
        let prefix = path == "/" ? "/" : "\(path)/"
        return mounts.filter { $0.path.hasPrefix(prefix) && $0.path != path }
    }

    /// A device's number as the table writes it.
    public static func deviceNumber(_ device: UInt) -> String {
        "\(everyhop_major(device)):\(everyhop_minor(device))"
    }

    private static func mount(_ line: ArraySlice<UInt8>) -> Mount? {
        let fields = line.split(separator: 0x20)
        guard let dash = fields.firstIndex(where: { $0.elementsEqual("-".utf8) }), dash >= 6, fields.count > dash + 3,
            let id = number(Array(fields[0]))
        else { return nil }
        let options = [fields[5], fields[dash + 3]].flatMap { text($0).split(separator: ",").map(String.init) }
        return Mount(
            id: id,
            device: text(fields[2]),
            path: text(fields[4]),
            type: text(fields[dash + 1]),
            source: text(fields[dash + 2]),
            options: options
        )
    }

    /// Spaces, tabs, line feeds and backslashes are written as three octal digits.
    private static func text(_ field: ArraySlice<UInt8>) -> String {
        var bytes: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == 0x5C, digits.count == 3, digits.allSatisfy({ (0x30...0x37).contains($0) }) {
                bytes.append(digits.reduce(0) { $0 &* 8 &+ ($1 &- 0x30) })
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func number(_ digits: [UInt8]) -> Int? {
        guard (1...9).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
}
