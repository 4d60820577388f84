import Foundation
import Platform
import Support

/// A program of its own, so that another file can take its name.
final class InstalledProgram {
    let folder: TemporaryFolder
    var program: String { "\(folder.path)/everyhop" }

    /// - Parameters:
    ///   - prelude: what a shell does before the program takes its place.
    ///   - descriptors: what it finds at 3, 4 and so on.
    ///   - mark: what the log has to have.
    init(
        _ folder: TemporaryFolder,
        environment: [String] = [],
        prelude: String = ":",
        descriptors: [Int32] = [],
        mark: String = "ready"
    ) throws {
        self.folder = folder
        try install(EveryhopProcess.program)
        let command =
            "\(prelude); exec \"$0/everyhop\" run --config \"$0/everyhop.toml\" --pid-file \"$0/pid\" 2>> \"$0/log\" >> \"$0/access\""
        first = try ChildProcess.spawn(
            "/bin/sh",
            arguments: ["sh", "-c", command, folder.path],
            environment: ChildProcess.currentEnvironment() + environment,
            descriptors: descriptors
        )
        try waitForLog(mark)
    }

    private(set) var first: Int32 = 0

    /// Puts another file in its place, as package managers do.
    func install(_ path: String) throws {
        try? FileManager.default.removeItem(atPath: "\(program).new")
        try FileManager.default.copyItem(atPath: path, toPath: "\(program).new")
        try install(renaming: "\(program).new")
    }

    func install(script: String) throws {
        let path = try folder.write("script", script)
        chmod(path, 0o755)
        try install(renaming: path)
    }

    private func install(renaming path: String) throws {
        guard rename(path, program) == 0 else { throw Errno(in: "rename") }
    }

    /// The main process, by the pid file.
    var process: Int32 {
        let text = (try? String(decoding: File.read("\(folder.path)/pid"), as: UTF8.self)) ?? ""
        return Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }

    var log: String { (try? String(decoding: File.read("\(folder.path)/log"), as: UTF8.self)) ?? "" }

    func waitForLog(_ text: String, count: Int = 1) throws {
        try waitUntil("\"\(text)\" in the log:\n\(log)", seconds: 60) {
            log.components(separatedBy: text).count > count
        }
    }

    /// Asks for an upgrade, and waits until another process is the main one.
    func upgrade() throws {
        let before = process
        kill(before, SIGUSR2)
        try waitUntil("another main process:\n\(log)", seconds: 60) { process != before && process != 0 }
    }

    deinit {
        let last = process
        if last != first, last > 1 { kill(last, SIGKILL) }
        kill(first, SIGKILL)
        _ = ChildProcess.wait(for: first)
    }
}
