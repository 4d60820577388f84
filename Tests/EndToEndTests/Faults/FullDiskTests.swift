import Foundation
import Platform
import Support
import TLS
import Testing

/// Logs on a disk that is full; docs/faults.md has the outcomes.
@Suite("A full disk", .serialized) struct FullDiskTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let admin: EveryhopAdmin

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        admin = try EveryhopAdmin()
    }

    private func start(more: String = "", change: (String) -> String = { $0 }) throws -> EveryhopProcess {
        let server = try ScriptedServer(certificate: trust.app) { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: server.port, server: admin.setting, more: more)
        return try EveryhopProcess(folder, port: port, configuration: change(text))
    }

    @Test func `requests go on when the access log's disk is full; what is lost is counted, and told once`() throws {
        let disk = try SmallDisk(kilobytes: 64)
        let everyhop = try start {
            $0.replacingOccurrences(of: "access = \"stdout\"", with: "access = \"\(disk.path)/access\"")
        }
        let client = try Connection(to: everyhop.port, try trust.client())
        let end = Clock.monotonicMicroseconds() + 120_000_000
        var answers = 0
        repeat {
            for _ in 0..<200 where try client.answers(200) { answers += 1 }
        } while try admin.metric("everyhop_access_log_dropped_total") <= 0 && Clock.monotonicMicroseconds() < end
        #expect(answers % 200 == 0 && answers > 0)
        #expect(try admin.metric("everyhop_access_log_dropped_total") > 0)
        #expect(everyhop.log.components(separatedBy: "the access log cannot be written").count == 2)
        try disk.grow(kilobytes: 8192)
        #expect(try client.answers(200))
        try everyhop.waitForLog("the access log is written again")
    }

    @Test func `lines that a worker still keeps when it ends are counted as lost, and told`() throws {
        let disk = try SmallDisk(kilobytes: 64)
        let everyhop = try start {
            $0.replacingOccurrences(of: "access = \"stdout\"", with: "access = \"\(disk.path)/access\"")
        }
        let worker = try #require(try everyhop.workers().first)
        do {
            let client = try Connection(to: everyhop.port, try trust.client())
            for _ in 0..<400 { #expect(try client.answers(200)) }
        }
        try everyhop.waitForLog("the access log cannot be written")
        #expect(try admin.metric("everyhop_access_log_dropped_total") == 0)
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        try folder.write("everyhop.toml", text.replacingOccurrences(of: "drain = \"5s\"", with: "drain = \"6s\""))
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("lines of the access log are lost with this worker: write: No space left on device")
        try waitUntil("the old worker's end") { try !everyhop.workers().contains(worker) }
        let kept = try File.read("\(disk.path)/access").count { $0 == 0x0A }
        #expect(kept > 0 && kept < 400)
        try admin.waitForMetric("everyhop_access_log_dropped_total", 400 - kept)
    }

    @Test func `traffic goes on when the audit log's disk is full, which is loud; the chain shows what is missing`()
        throws
    {
        let disk = try SmallDisk(kilobytes: 64)
        let log = "\(disk.path)/audit"
        let everyhop = try start(more: "[audit]\nlog = \"\(log)\"")
        _ = try Shell.run(["dd", "if=/dev/zero", "of=\(disk.path)/fill", "bs=4096"], merged: true)
        // A refused reload is an entry of a kilobyte, and the page that is begun has room for four at most.
        let good = try String(contentsOfFile: "\(folder.path)/everyhop.toml", encoding: .utf8)
        try folder.write("everyhop.toml", "\(String(repeating: "x", count: 1000)) = 1\n\(good)")
        let loud = "the audit log cannot be written"
        for count in 1...10 where !everyhop.log.contains(loud) {
            everyhop.signal(SIGHUP)
            try everyhop.waitForLog("reload refused", count: count)
        }
        try everyhop.waitForLog(loud)
        #expect(try admin.metric("everyhop_audit_entries_lost_total") > 0)
        #expect(try Connection(to: everyhop.port, try trust.client()).answers(200))
        _ = try Shell.run(["rm", "\(disk.path)/fill"])
        try folder.write("everyhop.toml", good)
        everyhop.signal(SIGHUP)
        try waitUntil("an entry that tells of those lost, after\n\(everyhop.log)", seconds: 90) {
            String(decoding: try File.read(log), as: UTF8.self).contains("entries_lost_before")
        }
        let verdict = try Shell.run([EveryhopProcess.program, "audit", "verify-log", log], merged: true)
        #expect(verdict.status == 0, "\(verdict.text)")
    }
}

/// A file system in memory with little room.
private final class SmallDisk {
    let path: String
    private let folder: TemporaryFolder

    init(kilobytes: Int) throws {
        folder = try TemporaryFolder()
        path = "\(folder.path)/small"
        try File.makeFolder(path)
        try LoopVolume.run(["mount", "-t", "tmpfs", "-o", "size=\(kilobytes)k", "none", path])
    }

    func grow(kilobytes: Int) throws {
        try LoopVolume.run(["mount", "-o", "remount,size=\(kilobytes)k", path])
    }

    deinit { _ = try? Shell.run(["umount", "-l", path], merged: true) }
}
