import Glibc
import Platform
import Telemetry
import Testing

/// What becomes of lines that nobody has taken when a worker ends, or has another file.
@Suite("The end of an access log") struct AccessLogEndTests {
    private static let filler = String(repeating: "x", count: 1000)

    /// A log whose reader takes nothing by itself.
    private func silentReader() throws -> (reader: Int32, writer: Int32) {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    private func lines(_ bytes: [UInt8]) -> Int { bytes.count { $0 == 0x0A } }

    @Test func `lines that still wait are counted as lost`() throws {
        let ends = try silentReader()
        let reader = FileDescriptor(owning: ends.reader)
        var log = AccessLog(FileDescriptor(owning: ends.writer))
        for _ in 0..<900 { log.append { $0.field("filler", Self.filler) } }
        #expect(log.flush() == 0)
        let lost = log.finish()
        #expect(log.finish() == 0)
        _ = consume log
        let taken = lines(try File.readAll(reader, limit: 1 << 22))
        #expect(lost > 0 && taken > 0 && lost + taken == 900)
    }

    @Test func `lines that still wait go on in another file, as whole ones`() throws {
        let ends = try silentReader()
        let reader = FileDescriptor(owning: ends.reader)
        var file = try File.pipe()
        let reading = file.takeFirst()
        var log = AccessLog(FileDescriptor(owning: ends.writer))
        for _ in 0..<500 { log.append { $0.field("filler", Self.filler) } }
        log.change(to: file.takeSecond())
        // The pipe takes 64 KiB, and the rest is lost.
        let lost = log.finish()
        _ = consume log
        let old = try File.readAll(reader, limit: 1 << 22)
        let new = try File.readAll(reading, limit: 1 << 22)
        #expect(lines(old) > 0 && lines(new) > 0 && lost > 0)
        #expect(lines(old) + lines(new) + lost == 500)
        for line in new.split(separator: 0x0A) { #expect(line.count == 1013) }
    }

    @Test func `the same file opened again goes on where it was`() throws {
        let ends = try silentReader()
        let reader = FileDescriptor(owning: ends.reader)
        var log = AccessLog(FileDescriptor(owning: ends.writer))
        for _ in 0..<900 { log.append { $0.field("filler", Self.filler) } }
        log.change(to: FileDescriptor(owning: dup(ends.writer)))
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        while lines(bytes) < 900 {
            let count = recv(reader.raw, &room, room.count, Int32(MSG_DONTWAIT))
            if count > 0 { bytes += room.prefix(count) } else if log.flush() != 0 { break }
        }
        #expect(log.finish() == 0)
        for line in bytes.split(separator: 0x0A) { #expect(line.count == 1013) }
    }
}
