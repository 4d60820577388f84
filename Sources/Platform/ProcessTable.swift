import Glibc

/// What proc(5) tells about other processes.
public struct ProcessFacts: Sendable {
    /// The process.
    public let identifier: Int32
    /// Who started it.
    public let parent: Int32
    /// What it was called with, the program first.
    public let arguments: [String]
    /// Its working folder, or nil when that may not be seen.
    public let folder: String?
    /// The lines of its status, such as `Uid` and `NoNewPrivs`.
    public let status: [String: String]
    /// The most bytes of a core file, or nil when that may not be seen.
    public let coreLimit: String?

    /// Reads what is known about a process; nil when there is none.
    public init?(_ identifier: Int32) {
        let place = "/proc/\(identifier)"
        guard let line = try? File.read("\(place)/cmdline"), let text = try? File.read("\(place)/status") else {
            return nil
        }
        self.identifier = identifier
        arguments = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        var status: [String: String] = [:]
        for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 {
                status[String(parts[0])] = String(parts[1].drop { $0 == " " || $0 == "\t" })
            }
        }
        self.status = status
        parent = status["PPid"].flatMap { Int32($0) } ?? 0
        folder = try? File.absolutePath("\(place)/cwd")
        let limits = (try? File.read("\(place)/limits")).map { String(decoding: $0, as: UTF8.self) } ?? ""
        coreLimit = limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") }
            .flatMap { $0.split(separator: " ").dropFirst(4).first.map(String.init) }
    }

    /// Whose rights it has.
    public var user: UInt32? {
        status["Uid"]?.split(whereSeparator: { $0 == "\t" || $0 == " " }).dropFirst().first.flatMap { UInt32($0) }
    }

    /// Every process that can be seen now, the oldest number first.
    public static func all() -> [ProcessFacts] {
        File.names(in: "/proc").compactMap { Int32($0) }.sorted().compactMap { ProcessFacts($0) }
    }
}

/// Who owns a file, and who may do what with it.
public struct FileFacts: Sendable {
    /// The permission bits, such as 0o600.
    public let mode: Int
    /// The owner.
    public let user: UInt32
    /// The owning group.
    public let group: UInt32

    /// Asks the file system.
    public init(_ path: String) throws(Errno) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw Errno(in: "stat") }
        mode = Int(status.st_mode & 0o7777)
        user = status.st_uid
        group = status.st_gid
    }

    /// As ls(1) and chmod(1) write it, such as `0640`.
    public var modeText: String {
        let digits = String(mode, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}

/// This host, and what this process was started with.
public enum Host {
    /// Whether a person looks at what is written to a descriptor.
    public static func isTerminal(_ raw: CInt) -> Bool { isatty(raw) == 1 }

    /// The number of this process.
    public static var process: Int32 { getpid() }

    /// What gethostname(2) calls it.
    public static var name: String {
        var bytes = [CChar](repeating: 0, count: 256)
        guard gethostname(&bytes, bytes.count - 1) == 0 else { return "unknown" }
        return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
