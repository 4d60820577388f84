import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("The state of a folder") struct FolderStateTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func check(_ site: String) throws -> ProgramResult {
        let file = try folder.write("everyhop.toml", try Routed.configuration(trust, [], site: site))
        return try Shell.run([EveryhopProcess.program, "check", "--config", file], merged: true)
    }

    /// The line of the configuration that names the root.
    private func line() throws -> Int {
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        return (text.components(separatedBy: "\n").firstIndex { $0.hasPrefix("root = ") } ?? -1) + 1
    }

    @Test func `a folder that is not encrypted is refused, unless the configuration says otherwise`() throws {
        try FileSite.fill("\(folder.path)/www")
        let refused = try check("root = \"www\"")
        #expect(refused.status == 1)
        #expect(
            try refused.text.contains(
                "everyhop.toml:\(line()):8: error: root \"www\" is refused: it is not encrypted: "
            ),
            "\(refused.text)"
        )
        #expect(
            refused.text.contains(
                "fix: encrypt it: everyhop docroot encrypt \(folder.path)/www; or say plaintext_root = true"
            )
        )
        let run = try Shell.run(
            [EveryhopProcess.program, "run", "--config", "\(folder.path)/everyhop.toml"],
            merged: true
        )
        #expect(run.status == 2 && run.text.contains("is refused: it is not encrypted"))
        let allowed = try check("root = \"www\"\nplaintext_root = true")
        #expect(
            try allowed.status == 0
                && allowed.text.contains(":\(line()):8: warning: root \"www\" may lie on the disk in plain")
        )
    }

    @Test func `what is no folder is refused`() throws {
        try folder.write("file", "x")
        for (path, reason) in [("nope", "No such file or directory"), ("file", "Not a directory")] {
            let refused = try check("root = \"\(path)\"\nplaintext_root = true")
            #expect(
                try refused.status == 1
                    && refused.text.contains(":\(line()):8: error: root \"\(path)\" cannot be used: \(reason)")
            )
            #expect(refused.text.contains("relative to the configuration file: \(folder.path)/\(path)"))
        }
    }

    @Test func `a folder that is replaced is 503 until a reload`() throws {
        let site = try FileSite(trust, folder)
        #expect(try site.routed.curl("/ten.txt") == FileSite.ten)
        let size = 64 << 20
        try FileSite.write("", "\(site.www)/big.bin")
        #expect(truncate("\(site.www)/big.bin", off_t(size)) == 0)
        let connection = try Connection(to: site.everyhop.port, try trust.client())
        try connection.send("GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let reader = HTTP1Peer(connection)
        try reader.receive { $0.hasHead }
        try FileManager.default.moveItem(atPath: site.www, toPath: "\(folder.path)/old")
        try FileSite.make(site.www)
        try FileSite.write("what lay below", "\(site.www)/ten.txt")
        try waitUntil("503") {
            let answer = try site.routed.curl("/ten.txt", "-i")
            #expect(!answer.contains("what lay below"))
            return answer.contains(" 503") && answer.contains("\r\nRetry-After: 5\r\n")
        }
        try site.everyhop.waitForLog("root: another folder has taken its place")
        try site.everyhop.waitForAccess("\"status\":503", "the folder www is not there any more")
        // What was under way has ended, too.
        try reader.receive { $0.isClosed }
        #expect(!reader.message.isWhole && reader.message.body.count < size)
        // Nobody holds the old one any more.
        for process in try [site.everyhop.process] + site.everyhop.workers() {
            let held = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").compactMap {
                try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/fd/\($0)")
            }
            #expect(!held.contains { $0.hasPrefix("\(folder.path)/old") }, "\(held)")
        }
        // A worker that comes later does not get it, either.
        let worker = try site.everyhop.workers()[0]
        kill(worker, SIGKILL)
        try waitUntil("another worker") { (try? site.routed.status("/ten.txt")) == "503" }
        site.everyhop.signal(SIGHUP)
        try waitUntil("the new folder") { (try? site.routed.curl("/ten.txt")) == "what lay below" }
    }

    @Test func `a folder that is gone is 503, and a reload without it is refused`() throws {
        let site = try FileSite(trust, folder)
        try FileManager.default.moveItem(atPath: site.www, toPath: "\(folder.path)/old")
        try site.everyhop.waitForLog("root: No such file or directory")
        #expect(try site.routed.status("/ten.txt") == "503")
        site.everyhop.signal(SIGHUP)
        try site.everyhop.waitForLog("reload refused")
        #expect(try site.routed.status("/ten.txt") == "503")
        try FileManager.default.moveItem(atPath: "\(folder.path)/old", toPath: site.www)
        site.everyhop.signal(SIGHUP)
        try waitUntil("the folder") { (try? site.routed.curl("/ten.txt")) == FileSite.ten }
    }

    @Test func `a watcher that dies is replaced`() throws {
        let site = try FileSite(trust, folder)
        let children = try Shell.run(["ps", "--ppid", "\(site.everyhop.process)", "-o", "pid=,args="]).text
        let line = try #require(children.split(separator: "\n").first { $0.hasSuffix("everyhop watcher") })
        kill(try #require(Int32(line.split(separator: " ")[0])), SIGKILL)
        try site.everyhop.waitForLog("the watcher died; it is started again")
        try FileManager.default.moveItem(atPath: site.www, toPath: "\(folder.path)/old")
        try waitUntil("503") { try site.routed.status("/ten.txt") == "503" }
    }

    @Test func `what is mounted over the folder is not served`() throws {
        let site = try FileSite(trust, folder)
        let mounted = try Shell.run(["mount", "-t", "tmpfs", "none", site.www], merged: true)
        #expect(mounted.status == 0, "\(mounted.text)")
        defer { _ = try? Shell.run(["umount", "-l", site.www]) }
        try FileSite.write("other", "\(site.www)/ten.txt")
        try waitUntil("503") {
            let answer = try site.routed.curl("/ten.txt", "-i")
            #expect(!answer.hasSuffix("other"))
            return answer.contains(" 503")
        }
    }
}
