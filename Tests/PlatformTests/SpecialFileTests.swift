import Glibc
import Platform
import Testing

/// Files that are none: whoever reads them might wait for ever.
@Suite("Special files") struct SpecialFileTests {
    let pipe: String

    init() { pipe = "/tmp/everyhop-pipe-\(getpid())-\(UInt64.random(in: 0...UInt64.max))" }

    private func reason(_ path: String, orPipeFor milliseconds: UInt64 = 0) -> String {
        do throws(Errno) {
            return "\(try File.read(path, orPipeFor: milliseconds).count) bytes"
        } catch { return error.message }
    }

    @Test func `a pipe or a device is refused at once`() {
        #expect(mkfifo(pipe, 0o600) == 0)
        defer { unlink(pipe) }
        #expect(reason(pipe) == "it is a pipe, not a file")
        #expect(reason("/dev/zero") == "it is a device, not a file")
        #expect(reason("/dev/zero", orPipeFor: 60_000) == "it is a device, not a file")
        #expect(reason("/tmp") == "Is a directory")
        #expect(throws: Errno.notFile("a pipe")) { _ = try File.openForReading(pipe) }
    }

    @Test func `a pipe that is permitted is read to its end`() throws {
        #expect(mkfifo(pipe, 0o600) == 0)
        defer { unlink(pipe) }
        let writer = try ChildProcess.spawn(
            "/bin/sh",
            arguments: ["sh", "-c", "printf one > \"$0\"", pipe],
            environment: [],
            descriptors: []
        )
        #expect(try File.read(pipe, orPipeFor: 60_000) == Array("one".utf8))
        #expect(ChildProcess.wait(for: writer) == 0)
    }

    @Test func `a pipe into which nobody writes is not waited for without end`() {
        #expect(mkfifo(pipe, 0o600) == 0)
        defer { unlink(pipe) }
        #expect(reason(pipe, orPipeFor: 50) == "Connection timed out")
        let writer = open(pipe, O_RDWR)
        defer { close(writer) }
        #expect(reason(pipe, orPipeFor: 50) == "Connection timed out")
    }
}

@Suite("Priority") struct PriorityTests {
    @Test func `a child that need not come back is nicer than its parent`() throws {
        let child = try ChildProcess.spawn(
            "/bin/sleep",
            arguments: ["sleep", "600"],
            environment: [],
            descriptors: []
        )
        defer {
            ChildProcess.end(child)
            _ = ChildProcess.wait(for: child)
        }
        let own = Priority.niceness
        Priority.lower(child, isForGood: true)
        #expect(Priority.niceness(of: child) == min(19, own + Priority.step))
        #expect(Priority.niceness == own)
    }
}
