import Foundation
import Platform
import Support
import Testing

/// `everyhop docroot` on real file systems; what this machine's kernel cannot do fails.
@Suite(.serialized) struct DocumentRootTests {
    @Test(arguments: ["fscrypt", "gocryptfs"])
    func aFolderWithContentsIsEncryptedAndKeepsAll(_ engine: String) throws {
        let volume = try EncryptedVolume(engine)
        try volume.fill()
        let before = try volume.digest()
        let made = try volume.encrypt()
        #expect(made.status == 0, "\(made.text)")
        #expect(try volume.digest() == before)
        let status = try volume.run("status", ["--json"])
        #expect(status.status == 0)
        for fact in [
            "\"engine\" : \"\(engine)\"", "\"encrypted\" : true", "\"recovery\" : true", "\"unlocked\" : true",
        ] {
            #expect(status.text.contains(fact), "\(status.text)")
        }
        // The application notices nothing: it makes files as ever.
        try File.write(Array("PLAINTEXT-OF-A-NEW-FILE".utf8), to: "\(volume.path)/NAME-OF-A-NEW-FILE", mode: 0o644)
        #expect(try volume.run("lock").status == 0)
        #expect(!File.names(in: volume.path).contains { $0.contains("NAME") || $0 == "records" })
        #expect((try? File.read("\(volume.path)/NAME-OF-A-NEW-FILE")) == nil)
        let locked = try volume.run("status")
        #expect(locked.status == 0 && locked.text.contains("locked"), "\(locked.text)")
        try volume.restart()
        for text in ["PLAINTEXT-OF-A-NEW-FILE", "NAME-OF-A-NEW-FILE", "PLAINTEXT-OF-A-PATIENT"] {
            #expect(try volume.onDisk(text) == 0, "\(text)")
        }
        // The device itself is what is searched: what lies beside the folder is found on it.
        try File.write(Array("PLAINTEXT-BESIDE".utf8), to: "\(volume.volume.path)/beside", mode: 0o644)
        try LoopVolume.run(["sync", "-f", "\(volume.volume.path)/beside"])
        #expect(try volume.onDisk("PLAINTEXT-BESIDE") > 0)
        #expect(try volume.run("unlock", ["--key-file", volume.keyFile]).status == 0)
        let new = try File.read("\(volume.path)/NAME-OF-A-NEW-FILE")
        #expect(new == Array("PLAINTEXT-OF-A-NEW-FILE".utf8))
        File.remove("\(volume.path)/NAME-OF-A-NEW-FILE")
        try LoopVolume.run(["touch", "-d", "@6", volume.path])
        #expect(try volume.digest() == before)
    }

    @Test(arguments: ["fscrypt", "gocryptfs"])
    func everySecretOpensItAndNoOther(_ engine: String) throws {
        let volume = try EncryptedVolume(engine, megabytes: 64)
        try volume.fill(files: 3)
        let passphrase = try volume.write("passphrase", "correct horse battery\n")
        let made = try volume.run("encrypt", ["--passphrase-file", passphrase])
        #expect(made.status == 0, "\(made.text)")
        let line = made.text.split(separator: "\n").first { $0.hasPrefix("    ") }
        let recovery = try #require(line).trimmingCharacters(in: .whitespaces)
        #expect(recovery.utf8.count == 69)
        let stored = try File.read("\(volume.state)/keys.json") + File.read("\(volume.state)/journal.json")
        #expect(!String(decoding: stored, as: UTF8.self).contains(recovery.prefix(9)))

        #expect(try volume.run("lock").status == 0)
        let wrong = try volume.write("wrong", "incorrect horse battery")
        let refused = try volume.run("unlock", ["--passphrase-file", wrong])
        #expect(refused.status == 1 && refused.text.contains("not the right one"), "\(refused.text)")
        #expect(try volume.run("unlock", ["--key-file", volume.keyFile]).status == 1)
        #expect(try volume.run("unlock", [], input: "correct horse battery\n").status == 0)

        #expect(try volume.run("lock").status == 0)
        let typed = recovery.lowercased().replacing("-", with: " ")
        #expect(try volume.run("unlock", ["--recovery"], input: typed).status == 0)
        #expect(try volume.run("unlock", ["--recovery"], input: typed).status == 0)
        #expect(try volume.run("lock").status == 0)
        let mistyped = try volume.run("unlock", ["--recovery"], input: String(recovery.dropLast()) + "?")
        #expect(mistyped.status == 1 && mistyped.text.contains("'?'"), "\(mistyped.text)")

        // The forgotten passphrase is replaced with the recovery key, and that is replaced then.
        let changed = try volume.run("change-key", ["--recovery", "--new-key-file", volume.keyFile], input: recovery)
        #expect(changed.status == 0, "\(changed.text)")
        #expect(try volume.run("unlock", ["--key-file", volume.keyFile]).status == 0)
        #expect(try volume.run("change-key", ["--key-file", volume.keyFile, "--new-recovery"]).status == 0)
        #expect(try volume.run("lock").status == 0)
        #expect(try volume.run("unlock", ["--recovery"], input: recovery).status == 1)
    }

    @Test(arguments: ["fscrypt", "gocryptfs"])
    func aFolderInUseIsNotSaidToBeLocked(_ engine: String) throws {
        let volume = try EncryptedVolume(engine, megabytes: 64)
        try volume.fill(files: 3)
        #expect(try volume.encrypt().status == 0)
        let writer = try Writer("\(volume.path)/open")
        let refused = try volume.run("lock")
        #expect(refused.status == 1 && refused.text.contains("(\(writer.process))"), "\(refused.text)")
        try writer.end()
        #expect(try volume.run("lock").status == 0)
        #expect(try volume.run("status").text.contains("locked"))
    }

    /// A backup of keys and ciphertext has no journal, and one may be lost: the keys stay what they are.
    @Test(arguments: ["fscrypt", "gocryptfs"])
    func aFolderWithoutItsJournalIsOpenedAndNotEncryptedAnew(_ engine: String) throws {
        let volume = try EncryptedVolume(engine, megabytes: 64)
        try volume.fill(files: 3)
        let before = try volume.digest()
        #expect(try volume.encrypt().status == 0)
        #expect(try volume.run("lock").status == 0)
        File.remove("\(volume.state)/journal.json")
        let keys = try File.read("\(volume.state)/keys.json")
        let locked = try volume.run("status")
        #expect(locked.status == 0 && locked.text.contains("locked"), "\(locked.text)")
        let again = try volume.encrypt(["--recovery-file", "\(volume.recoveryFile).2"])
        #expect(again.status == 1 && again.text.contains("docroot unlock"), "\(again.text)")
        #expect(try File.read("\(volume.state)/keys.json") == keys)
        #expect(try volume.run("unlock", ["--key-file", volume.keyFile]).status == 0)
        #expect(try volume.digest() == before)
        #expect(try volume.run("lock").status == 0)
    }

    /// As when memory runs out: the mount is left, and answers nothing.
    @Test(arguments: ["unlock", "lock"])
    func aFolderWhoseGocryptfsWasKilledIsOpenedAndLocked(_ command: String) throws {
        let volume = try EncryptedVolume("gocryptfs", megabytes: 64)
        try volume.fill(files: 3)
        let before = try volume.digest()
        #expect(try volume.encrypt().status == 0)
        let daemon = try #require(OpenFiles.processes(withArgument: "\(volume.state)/cipher").first)
        ChildProcess.end(daemon)
        try waitUntil("the mount to be left") { access(volume.path, F_OK) != 0 && errno == ENOTCONN }
        let status = try volume.run("status")
        #expect(status.status == 1 && status.text.contains("has ended"), "\(status.text)")
        #expect(try volume.run(command, command == "unlock" ? ["--key-file", volume.keyFile] : []).status == 0)
        #expect(try volume.run("unlock", ["--key-file", volume.keyFile]).status == 0)
        #expect(try volume.digest() == before)
        #expect(try volume.run("lock").status == 0)
    }

    /// What has lost its journal in mid-change may be all that there is.
    @Test(arguments: ["fscrypt", "gocryptfs"])
    func keysOfACopyWithoutItsJournalAreNotReplaced(_ engine: String) throws {
        let volume = try EncryptedVolume(engine, megabytes: 64)
        try volume.fill(files: 3)
        #expect(try volume.encrypt(["--stop-before", "verified"]).status == -9)
        try volume.restart()
        File.remove("\(volume.state)/journal.json")
        let keys = try File.read("\(volume.state)/keys.json")
        let refused = try volume.encrypt(["--recovery-file", "\(volume.recoveryFile).2"])
        #expect(refused.status == 1 && refused.text.contains("journal.json"), "\(refused.text)")
        #expect(try File.read("\(volume.state)/keys.json") == keys)
    }

    /// A recovery key that nobody got does not replace the one that somebody has.
    @Test func aRecoveryKeyThatIsNotGivenAwayReplacesNothing() throws {
        let volume = try EncryptedVolume("fscrypt", megabytes: 64)
        #expect(try volume.encrypt().status == 0)
        let recovery = String(decoding: try File.read(volume.recoveryFile), as: UTF8.self)
        let options = ["--key-file", volume.keyFile, "--new-recovery", "--recovery-file", volume.recoveryFile]
        let failed = try volume.run("change-key", options)
        #expect(failed.status == 1 && failed.text.contains("not be given away"), "\(failed.text)")
        #expect(try volume.run("lock").status == 0)
        #expect(try volume.run("unlock", ["--recovery"], input: recovery).status == 0)
    }

    /// What opens the folder is not put where it cannot be read any more when it is needed.
    @Test func noSecretIsPutIntoTheFolderThatItOpens() throws {
        let volume = try EncryptedVolume("fscrypt", megabytes: 64)
        #expect(try volume.encrypt().status == 0)
        let inside = "\(volume.path)/key"
        try LoopVolume.run(["cp", "-p", volume.keyFile, inside])
        for options in [["--new-key-file", inside], ["--new-recovery", "--recovery-file", "\(volume.path)/recovery"]] {
            let refused = try volume.run("change-key", ["--key-file", volume.keyFile] + options)
            #expect(refused.status == 1 && refused.text.contains("locked up with it"), "\(refused.text)")
        }
        #expect(File.names(in: volume.path) == ["key"])
    }

    @Test func whatCannotEndWellDoesNotBegin() throws {
        let volume = try EncryptedVolume("fscrypt", megabytes: 64)
        try volume.fill(files: 3)
        let before = try volume.digest()

        try LoopVolume.run(["ln", "\(volume.path)/records/linked", "\(volume.volume.path)/outside"])
        let linked = try volume.encrypt()
        #expect(linked.status == 1 && linked.text.contains("another name outside"), "\(linked.text)")
        File.remove("\(volume.volume.path)/outside")

        try LoopVolume.run(["mount", "-t", "tmpfs", "none", "\(volume.path)/empty"])
        let mounted = try volume.encrypt()
        #expect(mounted.status == 1 && mounted.text.contains("mounted inside"), "\(mounted.text)")
        try LoopVolume.run(["umount", "\(volume.path)/empty"])

        let top = try volume.run("encrypt", ["--key-file", volume.keyFile], path: volume.volume.path)
        #expect(top.status == 1 && top.text.contains("something is mounted"), "\(top.text)")

        let inside = "\(volume.path)/key"
        try LoopVolume.run(["cp", "-p", volume.keyFile, inside])
        let locked = try volume.run("encrypt", ["--key-file", inside])
        #expect(locked.status == 1 && locked.text.contains("locked up with it"), "\(locked.text)")
        File.remove(inside)

        try LoopVolume.run(["fallocate", "-l", "30M", "\(volume.path)/large"])
        let full = try volume.encrypt()
        #expect(full.status == 1 && full.text.contains("not enough room"), "\(full.text)")
        File.remove("\(volume.path)/large")

        for arguments in [[], ["--key-file", volume.keyFile, "--passphrase-file", volume.keyFile]] {
            #expect(try volume.run("change-key", arguments).status != 0)
        }
        #expect(try volume.run("status").status == 1)
        #expect(try volume.run("lock").status == 1)
        try LoopVolume.run(["touch", "-d", "@6", volume.path])
        try LoopVolume.run(["touch", "-d", "@2", "\(volume.path)/empty"])
        #expect(try volume.digest() == before)
    }

    @Test func aLinkAndDotsLeadToTheFolder() throws {
        let volume = try EncryptedVolume("fscrypt", megabytes: 64)
        try volume.fill(files: 3)
        let before = try volume.digest()
        symlink("portal", "\(volume.volume.path)/link")
        let path = "\(volume.volume.path)/../\(volume.volume.path.split(separator: "/").last ?? "")/link/."
        let made = try volume.run("encrypt", ["--key-file", volume.keyFile], path: path)
        #expect(made.status == 0, "\(made.text)")
        #expect(try volume.digest() == before)
        #expect(try volume.run("status", path: "\(volume.volume.path)/link").status == 0)
    }

    @Test func damagedKeysAreRefusedAndNothingElseHappens() throws {
        let volume = try EncryptedVolume("fscrypt", megabytes: 64)
        try volume.fill(files: 3)
        #expect(try volume.encrypt().status == 0)
        #expect(try volume.run("lock").status == 0)
        let file = "\(volume.state)/keys.json"
        let whole = try File.read(file)
        // Every capital letter: some stand in each wrapped key, whatever it is.
        let changed = whole.map { (0x41...0x5A).contains($0) ? $0 ^ 1 : $0 }
        for bytes in [[], Array(whole.prefix(200)), Array("{}".utf8), changed] {
            try File.write(bytes, to: file, mode: 0o600)
            let refused = try volume.run("unlock", ["--key-file", volume.keyFile])
            #expect(refused.status == 1, "\(refused.text)")
        }
        try File.write(whole, to: file, mode: 0o600)
        #expect(try volume.run("unlock", ["--key-file", volume.keyFile]).status == 0)
    }
}

/// A process that has a file open for writing, and writes what it is told.
final class Writer {
    let process: Int32
    private var input: CInt

    init(_ path: String) throws {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        input = pipe.takeSecond().release()
        process = try ChildProcess.spawn(
            "/bin/sh",
            arguments: ["sh", "-c", "exec cat >> \"$0\"", path],
            environment: [],
            descriptors: [],
            standardInput: reading.raw
        )
        try waitUntil("\(path) to be open") {
            OpenFiles.below((path as NSString).deletingLastPathComponent).contains { $0.process == process }
        }
    }

    func write(_ text: String) throws { try File.writeAll(Array(text.utf8), to: input) }

    /// Waits until all of it is written and the file is closed.
    func end() throws {
        guard input >= 0 else { return }
        close(input)
        input = -1
        _ = ChildProcess.wait(for: process)
    }

    deinit { try? end() }
}
