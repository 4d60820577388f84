import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Folders that are encrypted") struct EncryptedFolderTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func open(_ path: String) throws -> FileDescriptor {
        let raw = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard raw >= 0 else { throw Errno(in: "open") }
        return FileDescriptor(owning: raw)
    }

    private func check(_ root: String) throws -> ProgramResult {
        let text = try Routed.configuration(trust, [], site: "root = \"\(root)\"")
        let file = try folder.write("check.toml", text)
        return try Shell.run([EveryhopProcess.program, "check", "--config", file], merged: true)
    }

    @Test func `the kernel's encryption is believed as long as the key is there`() throws {
        let volume = try LoopVolume(megabytes: 32)
        let secret = "\(volume.path)/secret"
        try File.makeFolder(secret)
        #expect(try check(secret).text.contains("is refused: it is not encrypted: "))
        var key = [UInt8](repeating: 0, count: 64)
        try Randomness.fill(&key)
        let handle = try open(volume.path)
        let name = try key.withUnsafeBytes { try KernelEncryption.add(key: $0, at: handle) }
        try KernelEncryption.encrypt(open(secret), key: name)
        chmod(secret, 0o755)
        let site = try FileSite(trust, folder, encrypted: secret, server: "user = \"nobody\"")
        #expect(try site.routed.curl("/ten.txt") == FileSite.ten)
        #expect(!site.everyhop.log.contains("in plain"))
        // Whoever takes the key away finds that files are in use; everyhop lets go of them.
        var removal = try KernelEncryption.remove(key: name, at: handle)
        try waitUntil("503") { try site.routed.status("/ten.txt") == "503" }
        try site.everyhop.waitForLog("root: it is encrypted and locked")
        try waitUntil("all of the key is gone") {
            if removal != .complete { removal = try KernelEncryption.remove(key: name, at: handle) }
            return removal == .complete
        }
        let refused = try check(secret)
        #expect(refused.status == 1 && refused.text.contains("is refused: it is encrypted and locked"))
        #expect(refused.text.contains("fix: unlock it: everyhop docroot unlock \(secret)"))
        _ = try key.withUnsafeBytes { try KernelEncryption.add(key: $0, at: handle) }
        site.everyhop.signal(SIGHUP)
        try waitUntil("the file again") { (try? site.routed.curl("/ten.txt")) == FileSite.ten }
    }

    @Test func `what an interrupted encryption left in plain is warned of`() throws {
        let volume = try EncryptedVolume("fscrypt", megabytes: 48)
        try volume.fill(files: 3)
        #expect(try volume.encrypt(["--stop-before", "cleaning"]).status == -9)
        let warned = try check(volume.path)
        #expect(
            warned.status == 0 && warned.text.contains("still in plain in \(volume.state)/plaintext"),
            "\(warned.text)"
        )
        #expect(try volume.encrypt().status == 0)
        #expect(try !check(volume.path).text.contains("in plain"))
    }

    @Test func `a mount of gocryptfs is believed, and let go of when it is unmounted`() throws {
        let (cipher, plain) = ("\(folder.path)/cipher", "\(folder.path)/plain")
        for path in [cipher, plain] { try File.makeFolder(path) }
        let password = try folder.write("password", "correct horse")
        try LoopVolume.run(["gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", password, cipher])
        #expect(try check(plain).status == 1)
        try LoopVolume.run(["gocryptfs", "-q", "-allow_other", "-passfile", password, cipher, plain])
        defer { _ = try? Shell.run(["umount", "-l", plain], merged: true) }
        chmod(plain, 0o755)
        let site = try FileSite(trust, folder, encrypted: plain, server: "user = \"nobody\"")
        #expect(try site.routed.curl("/ten.txt") == FileSite.ten)
        let bytes = FileSite.pattern(1_000_000)
        try File.write(bytes, to: "\(plain)/p.bin", mode: 0o644)
        #expect(try site.routed.curl("/p.bin", "-r", "500000-500009", "-o", "\(folder.path)/got") == "")
        #expect(try File.read("\(folder.path)/got") == Array(bytes[500_000..<500_010]))
        try LoopVolume.run(["umount", "-l", plain])
        try FileSite.write("what lies below", "\(plain)/ten.txt")
        try waitUntil("503") {
            let answer = try site.routed.curl("/ten.txt", "-i")
            #expect(!answer.contains("what lies below"))
            return answer.contains(" 503")
        }
        // Nobody holds the file system any more, so its daemon ends.
        try waitUntil("the end of gocryptfs") {
            try Shell.run(["ps", "-eo", "args="]).text.split(separator: "\n").allSatisfy { !$0.contains(cipher) }
        }
        File.remove("\(plain)/ten.txt")
        try LoopVolume.run(["gocryptfs", "-q", "-allow_other", "-passfile", password, cipher, plain])
        site.everyhop.signal(SIGHUP)
        try waitUntil("the file again") { (try? site.routed.curl("/ten.txt")) == FileSite.ten }
    }
}
