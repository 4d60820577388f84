import Foundation
import Platform
import Support
import TLS
import Testing

/// Faults of the host: a full disk, a clock that jumps, a name server that is silent; docs/faults.md has the outcomes.
@Suite("Faults of the host", .serialized) struct HostFaultTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let admin: UInt16

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        admin = try freePort()
    }

    /// Answers every request; `/close` on a connection that ends then.
    private func server() throws -> ScriptedServer {
        try ScriptedServer(certificate: trust.app) { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard !head.isEmpty else { return }
                let closes = head.contains("/close")
                try connection.send(
                    "HTTP/1.1 200 OK\r\n\(closes ? "Connection: close\r\n" : "")Content-Length: 2\r\n\r\nok"
                )
                if closes { return connection.close() }
            }
        }
    }

    private func start(
        _ upstream: UInt16,
        more: String = "",
        prefix: [String] = [],
        change: (String) -> String = { $0 }
    ) throws -> EveryhopProcess {
        let port = try freePort()
        let text = try trust.configuration(
            port: port,
            upstream: upstream,
            server: "admin = \"127.0.0.1:\(admin)\"",
            more: more
        )
        return try EveryhopProcess(folder, port: port, configuration: change(text), prefix: prefix)
    }

    private func metric(_ name: String) throws -> Int {
        let text = try Shell.run([
            "curl", "-sS", "--retry", "9", "--retry-connrefused", "http://127.0.0.1:\(admin)/metrics",
        ]).text
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(name) ") } ?? ""
        return Int(line.split(separator: " ").last ?? "") ?? -1
    }

    // MARK: a full disk

    @Test func `requests go on when the access log's disk is full; what is lost is counted, and told once`() throws {
        let disk = try SmallDisk(kilobytes: 64)
        let everyhop = try start(try server().port) {
            $0.replacingOccurrences(of: "access = \"stdout\"", with: "access = \"\(disk.path)/access\"")
        }
        let client = try Connection(to: everyhop.port, try trust.client())
        let end = Clock.monotonicMicroseconds() + 120_000_000
        var answers = 0
        repeat {
            for _ in 0..<200 where try client.answers(200) { answers += 1 }
        } while try metric("everyhop_access_log_dropped_total") <= 0 && Clock.monotonicMicroseconds() < end
        #expect(answers % 200 == 0 && answers > 0)
        #expect(try metric("everyhop_access_log_dropped_total") > 0)
        #expect(everyhop.log.components(separatedBy: "the access log cannot be written").count == 2)
        try File.write([], to: "\(disk.path)/access", mode: 0o600)
        #expect(try client.answers(200))
        try everyhop.waitForLog("the access log is written again")
    }

    // MARK: the clock

    // MARK: names
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

    deinit { _ = try? Shell.run(["umount", "-l", path], merged: true) }
}

extension Connection {
    /// Whether a request over this connection, which stays, is answered with that status.
    fileprivate func answers(_ status: Int, _ path: String = "/") throws -> Bool {
        try send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
        var head = try receive(until: "\r\n\r\n")
        let length = head.components(separatedBy: "Content-Length: ").dropFirst().first?.prefix { $0.isNumber } ?? ""
        let body = head.components(separatedBy: "\r\n\r\n").dropFirst().joined(separator: "\r\n\r\n")
        var missing = (Int(length) ?? 0) - body.utf8.count
        while missing > 0, let more = try receive() { missing -= more.count }
        head.removeSubrange(head.index(head.startIndex, offsetBy: min(12, head.count))...)
        return head == "HTTP/1.1 \(status)"
    }
}
