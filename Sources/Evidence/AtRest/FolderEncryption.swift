import Glibc
public import Platform

/// What encrypts a folder, as the kernel tells it: nothing is believed because a file or a name says so.
public struct FolderEncryption: Equatable, Sendable {
    /// What encrypts it; the nearest, when there are several.
    public enum Engine: String, Sendable, CaseIterable {
        /// The file system itself, by the folder's policy.
        case fscrypt
        /// A file system of FUSE before a folder of ciphertext.
        case gocryptfs
        /// The block device that the file system lies on.
        case dmCrypt = "dm-crypt"
        /// Nothing that could be verified.
        case none
    }

    /// What encrypts it.
    public let engine: Engine
    /// Whether its files can be read now; a folder in plain always can.
    public let isUnlocked: Bool
    /// How it is encrypted.
    public let detail: [Fact]
    /// What is weaker than it should be, such as names in plain; for a folder in plain, why nothing counts.
    public let shortcomings: [String]

    /// Whether something encrypts it, open or not.
    public var isEncrypted: Bool { engine != .none }

    /// Looks at a folder, or at the folder of a file; a folder inside an encrypted one is encrypted.
    ///
    /// - Throws: when the path cannot be opened.
    public static func inspect(_ path: String) throws(Errno) -> FolderEncryption {
        try inspect(path, devices: FolderDevices(), depth: 0)
    }

    static func inspect(_ path: String, devices: FolderDevices, depth: Int) throws(Errno) -> FolderEncryption {
        let folder = try open(path)
        if let policy = try KernelEncryption.policy(of: folder) { return try fscrypt(policy, folder) }
        guard let mount = try MountTable.current().mount(of: folder) else {
            return FolderEncryption(none: "the mount that it lies on is not known", [])
        }
        let place = [Fact("file system", mount.type), Fact("mounted at", mount.path), Fact("device", mount.source)]
        if mount.type == "fuse.gocryptfs" { return gocryptfs(mount, place) }
        if let locked = FolderState.lockedMountPoint(path) { return locked }
        return dmCrypt(mount, place, devices, depth)
    }

    private static func open(_ path: String) throws(Errno) -> FileDescriptor {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK
        var raw = Glibc.open(path, flags)
        if raw < 0, errno == ENOTDIR {
            let whole = try File.absolutePath(path)
            let end = whole.lastIndex(of: "/") ?? whole.startIndex
            raw = Glibc.open(end == whole.startIndex ? "/" : String(whole[..<end]), flags)
        }
        guard raw >= 0 else { throw Errno(in: "open") }
        return FileDescriptor(owning: raw)
    }

    private static func fscrypt(
        _ policy: KernelEncryption.Policy,
        _ folder: borrowing FileDescriptor
    ) throws(Errno) -> FolderEncryption {
        let state = try KernelEncryption.keyState(of: policy, at: folder)
        var weak: [String] = []
        if policy.version < 2 { weak.append("the policy is of version 1, whose key the kernel does not verify") }
        for mode in [policy.contents, policy.names] where !approvedModes.contains(mode) {
            weak.append("\(name(ofMode: mode)) is no algorithm that NIST approves")
        }
        let words: String
        switch state {
        case .absent: words = "not in the kernel"
        case .present: words = "in the kernel"
        case .inRemoval: words = "taken away, but files in use keep theirs"
        }
        return FolderEncryption(
            engine: .fscrypt,
            isUnlocked: state == .present,
            detail: [
                Fact("policy version", "\(policy.version)"),
                Fact("contents", name(ofMode: policy.contents)),
                Fact("names", name(ofMode: policy.names)),
                Fact("key identifier", hexadecimal(policy.key)),
                Fact("key", words),
            ],
            shortcomings: weak
        )
    }

    /// A mount of that type could be anybody's: the folder of ciphertext has to be one, and the one that is mounted.
    private static func gocryptfs(_ mount: MountTable.Mount, _ place: [Fact]) -> FolderEncryption {
        let facts = [Fact("mounted at", mount.path), Fact("cipher directory", mount.source)]
        let settings: GocryptfsSettings
        do { settings = try GocryptfsSettings.read(folder: mount.source) } catch {
            return FolderEncryption(none: "\(mount.source) is no folder of gocryptfs: \(error)", place)
        }
        guard isView(mount.path, of: mount.source) else {
            return FolderEncryption(none: "what is mounted is not \(mount.source)", place)
        }
        var weak: [String] = []
        if !settings.encryptsNames { weak.append("the names of files are in plain") }
        if settings.contents == "XChaCha20-Poly1305" {
            weak.append("\(settings.contents) is no algorithm that NIST approves")
        }
        let how = [Fact("contents", settings.contents), Fact("names", settings.names)]
        return FolderEncryption(engine: .gocryptfs, isUnlocked: true, detail: facts + how, shortcomings: weak)
    }

    /// Whether the root of a mount shows what the folder of ciphertext is: its times come from there, and FUSE remembers
    /// them for a second at most.
    private static func isView(_ path: String, of source: String) -> Bool {
        for _ in 0..<20 {
            var (seen, behind) = (stat(), stat())
            guard stat(path, &seen) == 0, stat(source, &behind) == 0, seen.st_mode == behind.st_mode else {
                return false
            }
            if seen.st_ctim.tv_sec == behind.st_ctim.tv_sec, seen.st_ctim.tv_nsec == behind.st_ctim.tv_nsec {
                return true
            }
            usleep(100_000)
        }
        return false
    }

    private static func dmCrypt(
        _ mount: MountTable.Mount,
        _ place: [Fact],
        _ devices: FolderDevices,
        _ depth: Int
    ) -> FolderEncryption {
        switch devices.encryption(of: mount, depth: depth) {
        case .encrypted(let facts):
            FolderEncryption(engine: .dmCrypt, isUnlocked: true, detail: place + facts, shortcomings: [])
        case .plain(let reason): FolderEncryption(none: reason, place)
        }
    }
}

extension FolderEncryption {
    init(none reason: String, _ detail: [Fact]) {
        self.init(engine: .none, isUnlocked: true, detail: detail, shortcomings: [reason])
    }

    /// AES with 256 or 128 bits.
    private static let approvedModes: Set<Int> = [1, 4, 5, 6, 10]

    private static func name(ofMode mode: Int) -> String {
        switch mode {
        case 1: "AES-256-XTS"
        case 4: "AES-256-CTS"
        case 5: "AES-128-CBC"
        case 6: "AES-128-CTS"
        case 9: "Adiantum"
        case 10: "AES-256-HCTR2"
        default: "mode \(mode)"
        }
    }

    static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
