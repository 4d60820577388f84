import Glibc
import Platform
import Support
import Testing

@testable import Evidence

/// What encrypts a folder, asked of this machine's kernel; no tool is left out, since make deps installs them.
@Suite struct FolderEncryptionTests {
    private func folder(_ path: String) throws -> FileDescriptor {
        let raw = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard raw >= 0 else { throw Errno(in: "open") }
        return FileDescriptor(owning: raw)
    }

    @Test func aPolicyOfTheKernelIsFoundAndItsKeyIsAskedFor() throws {
        let volume = try LoopVolume(megabytes: 32)
        let secret = "\(volume.path)/secret"
        try File.makeFolder(secret)
        #expect(try FolderEncryption.inspect(secret).engine == .none)
        var key: [UInt8] = Array(repeating: 0, count: 64)
        try Randomness.fill(&key)
        let name = try key.withUnsafeBytes { try KernelEncryption.add(key: $0, at: folder(secret)) }
        try KernelEncryption.encrypt(folder(secret), key: name)
        try File.makeFolder("\(secret)/inner")
        try File.write([1], to: "\(secret)/inner/file", mode: 0o600)
        for path in [secret, "\(secret)/inner", "\(secret)/inner/file"] {
            let found = try FolderEncryption.inspect(path)
            #expect(found.engine == .fscrypt && found.isUnlocked && found.shortcomings.isEmpty)
            #expect(found.detail.contains(Fact("contents", "AES-256-XTS")))
            #expect(found.detail.contains(Fact("names", "AES-256-CTS")))
            #expect(found.detail.contains(Fact("policy version", "2")))
        }
        #expect(try KernelEncryption.remove(key: name, at: folder(volume.path)) == .complete)
        #expect(try FolderEncryption.inspect(secret).isUnlocked == false)
        #expect(try FolderEncryption.inspect(volume.path).engine == .none)
    }

    @Test func aMountOfGocryptfsIsFoundAndVerified() throws {
        let place = try TemporaryFolder()
        let (cipher, plain) = ("\(place.path)/ci pher", "\(place.path)/pl ain")
        for path in [cipher, plain] { try File.makeFolder(path) }
        let password = try place.write("password", "correct horse")
        try LoopVolume.run(["gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", password, cipher])
        #expect(try FolderEncryption.inspect(plain).engine == .none)
        try LoopVolume.run(["gocryptfs", "-q", "-passfile", password, cipher, plain])
        defer { _ = try? LoopVolume.run(["umount", "-l", plain]) }
        try File.makeFolder("\(plain)/inner")
        for path in [plain, "\(plain)/inner"] {
            let found = try FolderEncryption.inspect(path)
            #expect(found.engine == .gocryptfs && found.isUnlocked && found.shortcomings.isEmpty)
            #expect(found.detail.contains(Fact("contents", "AES-256-GCM")))
            #expect(found.detail.contains(Fact("cipher directory", cipher)))
        }
        try LoopVolume.run(["mv", "\(cipher)/gocryptfs.conf", "\(cipher)/away"])
        #expect(try FolderEncryption.inspect(plain).engine == .none)
    }

    @Test func namesInPlainAreAShortcoming() throws {
        let place = try TemporaryFolder()
        let password = try place.write("password", "correct horse")
        let (cipher, plain) = ("\(place.path)/cipher", "\(place.path)/plain")
        for path in [cipher, plain] { try File.makeFolder(path) }
        try LoopVolume.run([
            "gocryptfs", "-q", "-init", "-plaintextnames", "-scryptn", "10", "-passfile", password, cipher,
        ])
        try LoopVolume.run(["gocryptfs", "-q", "-passfile", password, cipher, plain])
        defer { _ = try? LoopVolume.run(["umount", "-l", plain]) }
        let found = try FolderEncryption.inspect(plain)
        #expect(found.engine == .gocryptfs && found.shortcomings.count == 1)
    }

    @Test func whatIsNoSettingsFileIsRefused() {
        for text in ["", "{}", "[]", "{\"EncryptedKey\":\"\",\"Version\":2,\"FeatureFlags\":[]}", "\u{0}\u{0}", "{"] {
            #expect(throws: GocryptfsSettings.Unreadable.self) { try GocryptfsSettings(json: Array(text.utf8)) }
        }
    }

    @Test func aFileSystemInMemoryIsInPlain() throws {
        let found = try FolderEncryption.inspect("/dev/shm")
        #expect(found.engine == .none && found.shortcomings == ["tmpfs lies on no block device"])
    }

    @Test func aPathThatIsNotThereIsAnError() {
        #expect(throws: Errno.self) { try FolderEncryption.inspect("/nowhere/at/all") }
    }
}

/// dm-crypt below a file system, from descriptions of devices as the kernel gives them.
@Suite struct FolderDevicesTests {
    private let system: TemporaryFolder

    init() throws {
        system = try TemporaryFolder()
        for path in ["dev", "dev/block", "devices", "fs", "fs/btrfs"] { try File.makeFolder("\(system.path)/\(path)") }
    }

    /// Adds a device; `slaves` by their numbers.
    private func add(_ device: String, _ name: String, uuid: String? = nil, slaves: [String] = []) throws {
        let folder = "\(system.path)/devices/\(name)"
        for path in [folder, "\(folder)/slaves"] { try File.makeFolder(path) }
        try system.write("devices/\(name)/dev", "\(device)\n")
        if let uuid {
            try File.makeFolder("\(folder)/dm")
            try system.write("devices/\(name)/dm/uuid", "\(uuid)\n")
            try system.write("devices/\(name)/dm/name", "vault\n")
        }
        for slave in slaves { symlink("../../../dev/block/\(slave)", "\(folder)/slaves/s\(slave)") }
        symlink("../../devices/\(name)", "\(system.path)/dev/block/\(device)")
    }

    private func engine(_ device: String, type: String = "ext4") -> FolderDevices.Answer {
        let line = "30 1 \(device) / /srv rw - \(type) /dev/any rw\n"
        return FolderDevices(root: system.path).encryption(of: MountTable(text: Array(line.utf8)).mounts[0], depth: 0)
    }

    private func isEncrypted(_ device: String, type: String = "ext4") -> Bool {
        if case .encrypted = engine(device, type: type) { true } else { false }
    }

    @Test func anEncryptedDeviceIsFoundAlsoBelowVolumes() throws {
        try add("8:2", "sda2")
        try add("253:0", "dm-0", uuid: "CRYPT-LUKS2-0123456789-vault", slaves: ["8:2"])
        try add("253:1", "dm-1", uuid: "LVM-abc", slaves: ["253:0"])
        #expect(engine("253:0") == .encrypted([Fact("encrypted device", "vault (LUKS2, dm-0)")]))
        #expect(isEncrypted("253:1"))
        #expect(!isEncrypted("8:2"))
        #expect(!isEncrypted("99:9"))
    }

    @Test func onePlainDeviceMakesAllPlain() throws {
        try add("8:2", "sda2")
        try add("8:3", "sda3")
        try add("253:0", "dm-0", uuid: "CRYPT-PLAIN-x", slaves: ["8:2"])
        try add("253:1", "dm-1", uuid: "LVM-abc", slaves: ["253:0", "8:3"])
        #expect(!isEncrypted("253:1"))
    }

    @Test func whatOnlyVerifiesDoesNotEncrypt() throws {
        try add("253:0", "dm-0", uuid: "CRYPT-VERITY-0123-root")
        try add("253:1", "dm-1", uuid: "CRYPT-INTEGRITY-0123-root")
        try add("253:2", "dm-2", uuid: "CRYPTIC-LUKS2-0123-root")
        for device in ["253:0", "253:1", "253:2"] { #expect(!isEncrypted(device)) }
    }

    @Test func aPartitionIsItsDisk() throws {
        try add("8:2", "sda2")
        try add("253:0", "dm-0", uuid: "CRYPT-LUKS1-0123-vault")
        try add("9:0", "md0", slaves: ["253:0"])
        try add("259:1", "md0/md0p1")
        try system.write("devices/md0/md0p1/partition", "1\n")
        #expect(isEncrypted("259:1"))
    }

    @Test func aCircleEnds() throws {
        try add("253:0", "dm-0", slaves: ["253:1"])
        try add("253:1", "dm-1", slaves: ["253:0"])
        #expect(!isEncrypted("253:0"))
    }

    @Test func everyDeviceOfBtrfsCounts() throws {
        try add("8:2", "sda2")
        try add("253:0", "dm-0", uuid: "CRYPT-LUKS2-0123-vault")
        for path in ["fs/btrfs/0123", "fs/btrfs/0123/devices"] { try File.makeFolder("\(system.path)/\(path)") }
        symlink("../../../../devices/dm-0", "\(system.path)/fs/btrfs/0123/devices/dm-0")
        #expect(isEncrypted("253:0", type: "btrfs"))
        symlink("../../../../devices/sda2", "\(system.path)/fs/btrfs/0123/devices/sda2")
        #expect(!isEncrypted("253:0", type: "btrfs"))
    }

    @Test func namesWithSpacesAreRead() {
        let text =
            "41 1 8:1 / /srv/a\\040b rw,noatime shared:1 - ext4 /dev/a\\134b rw,errors=continue\nnonsense\n\n1 2 3\n"
        let mounts = MountTable(text: Array(text.utf8)).mounts
        #expect(mounts.map(\.path) == ["/srv/a b"])
        #expect(mounts.map(\.source) == ["/dev/a\\b"])
        #expect(mounts.first?.options == ["rw", "noatime", "rw", "errors=continue"])
    }
}
