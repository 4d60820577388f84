import Foundation
import Platform
import Support
import Testing

/// Whatever ends `docroot encrypt`, and whenever: nothing is lost, and the next run finishes.
@Suite(.serialized) struct InterruptedMigrationTests {
    private static let steps = [
        "keys", "journal", "recovery", "begin", "pass 1", "pass 2", "verified", "prepare", "exchange", "rename",
        "swapped",
        "settle", "cleaning", "clean", "done",
    ]

    /// The tree is whole in one place at least: in the folder, or beside it.
    private func expectWhole(_ volume: EncryptedVolume, _ digest: String, _ step: String) throws {
        let places = [volume.path, "\(volume.state)/new", "\(volume.state)/plaintext"]
        let isWhole = try places.contains { try File.names(in: $0).isEmpty ? false : volume.digest($0) == digest }
        #expect(isWhole, "killed before \(step)")
    }

    @Test(arguments: ["fscrypt", "gocryptfs"])
    func aKillBeforeAnyStepLosesNothing(_ engine: String) throws {
        for step in Self.steps {
            let volume = try EncryptedVolume(engine, megabytes: 48)
            try volume.fill(files: 6)
            let before = try volume.digest()
            let killed = try volume.encrypt(["--stop-before", step])
            #expect(killed.status == -9, "\(step): \(killed.text)")
            if !["clean", "done"].contains(step) { try expectWhole(volume, before, step) }
            // The machine has lost power, too: no key and no mount is left.
            try volume.restart()
            #expect(try volume.run("status").status == 1, "\(step): not finished, and said to be")
            let finished = try volume.encrypt(["--recovery-file", "\(volume.recoveryFile).2"])
            #expect(finished.status == 0, "\(step): \(finished.text)")
            try expectFinished(volume, before, step)
        }
    }

    private func expectFinished(_ volume: EncryptedVolume, _ digest: String, _ step: String) throws {
        #expect(try volume.digest() == digest, "\(step)")
        let status = try volume.run("status", ["--json"])
        #expect(status.status == 0 && status.text.contains("\"recovery\" : true"), "\(step): \(status.text)")
        let left = Set(File.names(in: volume.state)).subtracting(["cipher"])
        #expect(left == ["journal.json", "keys.json"], "\(step)")
        // The recovery key that was given last is the one that counts.
        let given = ["\(volume.recoveryFile).2", volume.recoveryFile].first { (try? File.read($0)) != nil }
        let recovery = String(decoding: try File.read(try #require(given)), as: UTF8.self)
        #expect(try volume.run("lock").status == 0, "\(step)")
        #expect(try volume.run("unlock", ["--recovery"], input: recovery).status == 0, "\(step)")
        #expect(try volume.digest() == digest, "\(step)")
    }

    @Test(arguments: ["fscrypt", "gocryptfs"])
    func killsAtRandomTimesLoseNothing(_ engine: String) throws {
        for _ in 0..<2 {
            let volume = try EncryptedVolume(engine, megabytes: 160)
            try volume.fill(files: 300, bytes: 60_000)
            let before = try volume.digest()
            var kills = 0
            while kills < 8 {
                let child = try ChildProcess.spawn(
                    EveryhopProcess.program,
                    arguments: [
                        "everyhop", "docroot", "encrypt", volume.path, "--key-file", volume.keyFile, "--recovery-file",
                        "\(volume.recoveryFile).\(kills)",
                    ],
                    environment: ChildProcess.currentEnvironment(),
                    descriptors: []
                )
                let end = Clock.monotonicMicroseconds() + UInt64.random(in: 10_000..<900_000)
                var status: Int?
                while status == nil, Clock.monotonicMicroseconds() < end {
                    status = ChildProcess.reap(child)?.status
                    usleep(500)
                }
                if status == nil {
                    ChildProcess.end(child)
                    status = ChildProcess.wait(for: child)
                }
                if status == 0 { break }
                #expect(status == -9)
                kills += 1
                if Bool.random() { try volume.restart() }
            }
            let finished = try volume.encrypt(["--recovery-file", "\(volume.recoveryFile).last"])
            #expect(finished.status == 0, "\(finished.text)")
            #expect(try volume.digest() == before)
            #expect(try volume.run("status").status == 0)
            #expect(File.names(in: "\(volume.state)/plaintext").isEmpty)
        }
    }

    @Test(arguments: ["fscrypt", "gocryptfs"])
    func whatIsWrittenLateIsNotLost(_ engine: String) throws {
        let volume = try EncryptedVolume(engine, megabytes: 64)
        try volume.fill(files: 3)
        let writers = [try Writer("\(volume.path)/journal"), try Writer("\(volume.path)/both")]
        try writers[0].write("early\n")
        let held = try volume.encrypt()
        #expect(held.status == 1 && held.text.contains("still writes"), "\(held.text)")
        #expect(try volume.run("status").status == 1)
        for writer in writers { try writer.write("late\n") }
        for writer in writers { try writer.end() }
        // Somebody else writes to the encrypted one of the same name.
        try LoopVolume.run(["sh", "-c", "echo other > \(volume.path)/both"])
        let conflict = try volume.encrypt()
        #expect(conflict.status == 1 && conflict.text.contains("changed in both"), "\(conflict.text)")
        #expect(try File.read("\(volume.path)/journal") == Array("early\nlate\n".utf8))
        #expect(try File.read("\(volume.path)/both") == Array("other\n".utf8))
        #expect(File.names(in: "\(volume.state)/plaintext") == ["both"])
        #expect(try File.read("\(volume.state)/plaintext/both") == Array("late\n".utf8))
        File.remove("\(volume.state)/plaintext/both")
        #expect(try volume.encrypt().status == 0)
        #expect(try volume.run("status").status == 0)
    }

    /// Who works in the folder that was in plain needs no file to be open to write there.
    @Test(arguments: ["fscrypt", "gocryptfs"])
    func whatIsWrittenWhileTheRestIsRemovedIsNotLost(_ engine: String) throws {
        let volume = try EncryptedVolume(engine, megabytes: 64)
        try volume.fill(files: 3)
        try File.makeFolder("\(volume.path)/folder")
        try File.write(Array("one".utf8), to: "\(volume.path)/folder/changed", mode: 0o640)
        #expect(try volume.encrypt(["--stop-before", "clean"]).status == -9)
        let old = "\(volume.state)/plaintext"
        try File.write(Array("new".utf8), to: "\(old)/folder/new", mode: 0o640)
        try LoopVolume.run(["sh", "-c", "echo two > \(old)/folder/changed; mkdir \(old)/late"])
        let finished = try volume.encrypt()
        #expect(finished.status == 0, "\(finished.text)")
        #expect(try File.read("\(volume.path)/folder/new") == Array("new".utf8))
        #expect(try File.read("\(volume.path)/folder/changed") == Array("two\n".utf8))
        #expect(Folder.exists("\(volume.path)/late"))
        #expect(!File.exists(old))
    }

    @Test func aDiskThatGetsFullLeavesTheFolderAsItWas() throws {
        let volume = try EncryptedVolume("gocryptfs", megabytes: 64)
        try volume.fill(files: 3)
        try LoopVolume.run(["fallocate", "-l", "12M", "\(volume.path)/large"])
        let before = try volume.digest()
        #expect(try volume.encrypt(["--stop-before", "pass 1"]).status == -9)
        #expect(
            try Shell.run(["dd", "if=/dev/zero", "of=\(volume.volume.path)/ballast", "bs=1M"], merged: true).status == 1
        )
        let full = try volume.encrypt()
        #expect(full.status == 1 && full.text.contains("is as it was"), "\(full.text)")
        #expect(try volume.digest() == before)
        File.remove("\(volume.volume.path)/ballast")
        #expect(try volume.encrypt().status == 0)
        #expect(try volume.digest() == before)
    }
}
