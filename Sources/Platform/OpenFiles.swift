import CLinux
import Glibc

/// Which processes have files of a folder open; of other users' processes only root is told.
public enum OpenFiles {
    /// One process with files of a folder.
    public struct Use: Equatable, Sendable, CustomStringConvertible {
        /// Its number.
        public let process: Int32
        /// Its name.
        public let name: String
        /// Whether it may write to one of them, by an open file or by shared memory.
        public let isWriting: Bool

        /// `nginx (1234)`.
        public var description: String { "\(name) (\(process))" }
    }

    /// Every process that has something below `folder` open, or works in there; this one is left out.
    public static func below(_ folder: String) -> [Use] {
        let own = getpid()
        var uses: [Use] = []
        for entry in File.names(in: "/proc") {
            guard let process = Int32(entry), process > 0, process != own else { continue }
            let (isUsing, isWriting) = look(at: "/proc/\(process)", folder)
            guard isUsing else { continue }
            let name = (try? File.read("/proc/\(process)/comm", limit: 4096)) ?? Array("?".utf8)
            let text = String(decoding: name.prefix { $0 != 0x0A }, as: UTF8.self)
            uses.append(Use(process: process, name: text, isWriting: isWriting))
        }
        return uses
    }

    /// Every process with an argument, itself left out.
    public static func processes(withArgument argument: String) -> [Int32] {
        let wanted = Array(argument.utf8)
        return File.names(in: "/proc").compactMap { Int32($0) }.filter { process in
            guard process > 0, process != getpid() else { return false }
            let arguments = (try? File.read("/proc/\(process)/cmdline", limit: 1 << 20)) ?? []
            return arguments.split(separator: 0).contains { $0.elementsEqual(wanted) }
        }
    }

    private static func look(at process: String, _ folder: String) -> (isUsing: Bool, isWriting: Bool) {
        var (isUsing, isWriting) = (false, false)
        for place in ["cwd", "root"] where isBelow(link("\(process)/\(place)"), folder) { isUsing = true }
        for number in File.names(in: "\(process)/fd") where isBelow(link("\(process)/fd/\(number)"), folder) {
            isUsing = true
            if canWrite("\(process)/fdinfo/\(number)") { isWriting = true }
        }
        let maps = (try? File.read("\(process)/maps", limit: 64 << 20)) ?? []
        let needle = Array(" \(folder)/".utf8)
        // A program may have thousands of lines, and hardly ever one of these.
        if maps.withUnsafeBytes({ everyhop_find($0.baseAddress, $0.count, needle, needle.count) }) >= 0 {
            isUsing = true
            isWriting = isWriting || maps.split(separator: 0x0A).contains { Self.isSharedForWriting($0, needle) }
        }
        return (isUsing, isWriting)
    }

    /// `7f00-7f01 rw-s ... /path`.
    private static func isSharedForWriting(_ line: ArraySlice<UInt8>, _ needle: [UInt8]) -> Bool {
        let found = line.withUnsafeBytes { everyhop_find($0.baseAddress, $0.count, needle, needle.count) >= 0 }
        let rights = line.split(separator: 0x20, maxSplits: 2).dropFirst().first ?? []
        return found && rights.count == 4 && rights.dropFirst().first == 0x77 && rights.last == 0x73
    }

    private static func isBelow(_ path: String, _ folder: String) -> Bool {
        path == folder || path.hasPrefix("\(folder)/")
    }

    private static func link(_ path: String) -> String {
        var bytes: [CChar] = Array(repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The access mode is the last two bits of `flags`, which is octal.
    private static func canWrite(_ info: String) -> Bool {
        for line in ((try? File.read(info, limit: 65_536)) ?? []).split(separator: 0x0A)
        where line.starts(with: "flags:".utf8) {
            guard let last = line.last, (0x30...0x37).contains(last) else { return true }
            return (last &- 0x30) & 3 != 0
        }
        return false
    }
}
