import Platform
import Support
import Testing

@testable import Evidence

@Suite struct AuditLogTests {
    private let path = "/tmp/everyhop-audit-log-\(UInt64.random(in: 0...UInt64.max))"

    private func bytes() throws -> [UInt8] { try File.read(path) }

    private func write(_ count: Int) throws {
        let log = try AuditLog(path: path)
        for index in 0..<count { try log.append(.hopRefused, ["reason": "pin mismatch \(index)"]) }
    }

    @Test func goesOnWhereItEnded() throws {
        defer { File.remove(path) }
        try write(3)
        try write(2)
        let found = AuditLogVerification(try bytes())
        #expect(found.broken == nil)
        #expect(found.entries == 5 && found.first == 1 && found.last == 5)
        #expect(try FileFacts(path).mode == 0o600)
    }

    @Test func oneWriterAtATime() throws {
        defer { File.remove(path) }
        let first = try AuditLog(path: path)
        #expect(throws: AuditLog.Failure.self) { try AuditLog(path: path) }
        try first.append(.start)
    }

    @Test func everyChangeIsFound() throws {
        defer { File.remove(path) }
        try write(6)
        let good = try bytes()
        let lines = good.split(separator: 0x0A).map(Array.init)
        for index in good.indices where good[index] != 0x0A {
            var changed = good
            changed[index] ^= 1
            // The last line has nobody to vouch for it but its head.
            let found = AuditLogVerification(changed)
            #expect(found.broken != nil || found.head != AuditLogVerification(good).head)
        }
        for index in 0..<5 {
            var without = lines
            without.remove(at: index)
            #expect(AuditLogVerification(Array(without.joined(separator: [0x0A])) + [0x0A]).broken != nil)
            var swapped = lines
            swapped.swapAt(index, index + 1)
            #expect(AuditLogVerification(Array(swapped.joined(separator: [0x0A])) + [0x0A]).broken != nil)
        }
        let cut = Array(lines.dropLast().joined(separator: [0x0A])) + [0x0A]
        #expect(AuditLogVerification(cut).broken == nil)
        #expect(AuditLogVerification(cut).head != AuditLogVerification(good).head)
    }

    @Test func aTornLineIsAccountedFor() throws {
        defer { File.remove(path) }
        try write(2)
        let whole = try bytes()
        for cut in [1, 30, 100] {
            try File.write(Array(whole.dropLast(cut)), to: path, mode: 0o600)
            try write(1)
            let found = AuditLogVerification(try bytes())
            #expect(found.broken == nil)
            #expect(found.torn == (cut == 1 ? 0 : 1))
        }
    }

    @Test func aRotationContinuesTheChain() throws {
        defer {
            File.remove(path)
            File.remove(path + ".1")
        }
        let log = try AuditLog(path: path)
        try log.append(.start)
        try log.reopen()
        try File.rename(path, to: path + ".1")
        try log.append(.reload)
        try log.reopen()
        try log.append(.stop)
        let old = AuditLogVerification(try File.read(path + ".1"))
        let new = AuditLogVerification(try bytes())
        #expect(old.broken == nil && old.entries == 2)
        #expect(new.broken == nil && new.continues == old.head && new.first == 3)
        #expect(AuditLogVerification(try bytes(), after: old).broken == nil)
        #expect(AuditLogVerification(try bytes(), after: AuditLogVerification([])).broken != nil)
    }

    @Test func factsCannotForgeLines() throws {
        defer { File.remove(path) }
        let log = try AuditLog(path: path)
        try log.append(
            .hopRefused,
            ["reason": "a\n{\"event\":\"stop\"}\u{1B}[2J" + String(repeating: "x", count: 100_000)]
        )
        let found = AuditLogVerification(try bytes())
        #expect(found.broken == nil && found.entries == 1)
        #expect(try bytes().count < 2000)
    }

    @Test func controlsOfTheSecondSetAreData() throws {
        defer { File.remove(path) }
        try AuditLog(path: path).append(.hopRefused, ["reason": "a\u{9B}2J\u{202E}b"])
        let text = String(decoding: try bytes(), as: UTF8.self)
        #expect(text.contains("a\u{FFFD}2J\u{FFFD}b"))
    }

    @Test func theHighestNumberHasNoneBehindIt() throws {
        defer { File.remove(path) }
        func entry(_ number: UInt64, _ event: AuditEntry.Event, _ previous: String) -> [UInt8] {
            AuditEntry(number: number, time: "t", event: event, facts: [:], previous: previous).line()
        }
        let first = entry(.max, .rotated, String(repeating: "1", count: 64))
        let second = entry(0, .stop, AuditEntry.digest(first))
        let log = first + [0x0A] + second + [0x0A]
        #expect(AuditLogVerification(log).broken?.line == 2)
        try File.write(first + [0x0A], to: path, mode: 0o600)
        #expect(throws: AuditLog.Failure.self) { try AuditLog(path: path) }
    }

    @Test(.enabled(if: Privileges.isRoot)) func aRotationOntoAFullDiskIsMadeUpFor() throws {
        let folder = "\(path)-disk"
        try File.makeFolder(folder)
        let mounted = try Shell.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", folder], merged: true)
        #expect(mounted.status == 0, "\(mounted.text)")
        defer { _ = try? Shell.run(["sh", "-c", "umount $0 && rmdir $0", folder]) }
        let log = try AuditLog(path: "\(folder)/audit.log")
        try log.append(.start)
        try File.rename("\(folder)/audit.log", to: "\(folder)/audit.log.1")
        _ = try Shell.run(["sh", "-c", "cat /dev/zero > $0/filler", folder], merged: true)
        #expect(throws: Errno.self) { try log.reopen() }
        #expect(throws: Errno.self) { try log.append(.reload) }
        File.remove("\(folder)/filler")
        try log.append(.stop)
        let old = AuditLogVerification(try File.read("\(folder)/audit.log.1"))
        let new = try File.read("\(folder)/audit.log")
        #expect(AuditLogVerification(new).broken == nil)
        #expect(AuditLogVerification(new, after: old).entries == 2)
        #expect(String(decoding: new, as: UTF8.self).contains("\"entries_lost_before\":\"1\""))
    }

    @Test func theConfigurationThatServesIsTold() throws {
        defer { File.remove(path) }
        let log = try AuditLog(path: path)
        for (event, digest, expected) in [
            (AuditEntry.Event.start, "a", "a"), (.reloadRefused, "b", "a"), (.reload, "c", "c"), (.stop, nil, nil),
        ] as [(AuditEntry.Event, String?, String?)] {
            try log.append(event, digest.map { ["sha256": $0, "process": "7"] } ?? [:])
            let found = AuditLogVerification(try bytes())
            #expect(found.serves == expected && found.servedBy == "7")
        }
    }

    @Test func refusesToGoOnBehindSomethingElse() throws {
        defer { File.remove(path) }
        try File.write(Array("some other file\n".utf8), to: path, mode: 0o600)
        #expect(throws: AuditLog.Failure.self) { try AuditLog(path: path) }
        #expect(try bytes() == Array("some other file\n".utf8))
    }
}
