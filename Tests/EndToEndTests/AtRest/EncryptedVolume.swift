import Foundation
import Platform
import Support

/// A folder `portal` on a file system of its own, and everyhop's commands for it.
final class EncryptedVolume {
    let volume: LoopVolume
    let engine: String
    private let secrets: TemporaryFolder
    let keyFile: String
    let recoveryFile: String

    /// fscrypt gets a file system that can encrypt, gocryptfs one that cannot.
    init(_ engine: String, megabytes: Int = 128) throws {
        self.engine = engine
        volume = try LoopVolume(megabytes: megabytes, encrypts: engine == "fscrypt")
        secrets = try TemporaryFolder()
        var key: [UInt8] = Array(repeating: 0, count: 64)
        try Randomness.fill(&key)
        keyFile = try secrets.write("key", key)
        recoveryFile = "\(secrets.path)/recovery"
        try File.makeFolder(path)
    }

    var path: String { "\(volume.path)/portal" }
    var state: String { "\(volume.path)/.portal.everyhop" }

    /// A file outside of the folder.
    func write(_ name: String, _ text: String) throws -> String { try secrets.write(name, text) }

    /// Runs `everyhop docroot COMMAND PATH ...`.
    func run(_ command: String, _ arguments: [String] = [], path: String? = nil) throws -> ProgramResult {
        try Shell.run([EveryhopProcess.program, "docroot", command, path ?? self.path] + arguments, merged: true)
    }

    /// The same with something on standard input.
    func run(_ command: String, _ arguments: [String], input: String) throws -> ProgramResult {
        let file = try secrets.write("input", input)
        return try Shell.run(
            ["sh", "-c", "input=$1; shift; exec \"$@\" < \"$input\"", "sh", file, EveryhopProcess.program, "docroot"]
                + [command, path] + arguments,
            merged: true
        )
    }

    func encrypt(_ arguments: [String] = []) throws -> ProgramResult {
        try run("encrypt", ["--key-file", keyFile, "--recovery-file", "\(secrets.path)/recovery"] + arguments)
    }

    /// Fills the folder.
    func fill(files: Int = 60, bytes: Int = 20_000) throws {
        try LoopVolume.run(["python3", Self.peer("tree_make.py"), path, "\(files)", "\(bytes)"])
    }

    /// All of a folder that has to stay.
    func digest(_ path: String? = nil) throws -> String {
        try LoopVolume.run(["python3", Self.peer("tree_digest.py"), path ?? self.path])
    }

    /// Loses all that is in memory, keys included, as at a new start of the machine.
    func restart() throws {
        // The process behind a mount that was taken away ends a moment later, and one whose parent was killed may mount only now.
        try waitUntil("\(volume.path) to be free") {
            for mount in try MountTable.current().below(volume.path).reversed() {
                _ = try Shell.run(["umount", mount.path])
            }
            return (try? volume.unmount()) != nil
        }
        try volume.mount()
    }

    /// What a thief of the disk finds: how often a text is on it.
    func onDisk(_ text: String) throws -> Int {
        let found = try Shell.run(["grep", "-a", "-o", "-F", text, volume.image])
        return found.text.split(separator: "\n").count
    }

    private static func peer(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../Peers/\(name)").standardizedFileURL.path
    }
}
