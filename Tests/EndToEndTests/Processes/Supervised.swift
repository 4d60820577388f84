import Foundation
import Platform
import Support
import Testing

/// An everyhop whose processes meet what they hardly ever meet.
struct Supervised {
    let reloaded: Reloaded
    let admin: UInt16
    var folder: TemporaryFolder { reloaded.folder }

    init() throws {
        reloaded = try Reloaded()
        admin = try freePort()
    }

    func start(workers: Int = 1, more: String = "") throws -> EveryhopProcess {
        let text = try reloaded.trust.configuration(
            port: reloaded.port,
            upstream: try reloaded.countingServer().port,
            server: "admin = \"127.0.0.1:\(admin)\"",
            more: more
        )
        return try EveryhopProcess(
            folder,
            port: reloaded.port,
            configuration: text.replacingOccurrences(of: "workers = 1", with: "workers = \(workers)")
        )
    }

    /// Changes the configuration file.
    func change(_ old: String, to new: String) throws {
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        try folder.write("everyhop.toml", text.replacingOccurrences(of: old, with: new))
    }

    /// Has the configuration file ask for another generation.
    func changeDrain(to seconds: Int) throws {
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        try folder.write(
            "everyhop.toml",
            lines.map { $0.hasPrefix("drain = ") ? "drain = \"\(seconds)s\"" : $0 }.joined(separator: "\n")
        )
    }

    var isServed: Bool { (try? reloaded.ask().text.hasPrefix("HTTP/1.1 200")) ?? false }

    /// The body of what the admin address answers, by a connection of its own.
    func askAdmin(_ path: String) throws -> String {
        let connection = try Connection(to: admin, nil)
        try connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection.receiveAll()
    }

    /// The children whose command line begins with this.
    func children(_ everyhop: EveryhopProcess, _ command: String) -> [Int32] {
        let master = everyhop.process
        let list = (try? File.read("/proc/\(master)/task/\(master)/children")) ?? []
        return String(decoding: list, as: UTF8.self).split(separator: " ").compactMap { Int32($0) }.filter {
            let line = (try? File.read("/proc/\($0)/cmdline")) ?? []
            return String(decoding: line, as: UTF8.self).hasPrefix("everyhop\0\(command)\0")
        }
    }

    /// Has a configuration loaded, again and again until the child that does it has been seen and stopped in the middle.
    func stopLoader(of everyhop: EveryhopProcess) throws -> Int32 {
        var stopped: Int32?
        try waitUntil("a loader") {
            everyhop.signal(SIGHUP)
            // It is there for some milliseconds.
            let end = Clock.monotonicMicroseconds() + 2_000_000
            while stopped == nil, Clock.monotonicMicroseconds() < end {
                guard let loader = children(everyhop, "load").first, kill(loader, SIGSTOP) == 0 else { continue }
                try waitUntil("its stop, or its end") {
                    let state = ProcessState.summary(of: loader)
                    return state.hasPrefix("stopped") || state.hasPrefix("ended") || state.hasPrefix("it cannot")
                }
                if ProcessState.summary(of: loader).hasPrefix("stopped") { stopped = loader }
            }
            return stopped != nil
        }
        return try #require(stopped)
    }

    /// Runs a Python program until the end of the test, and waits until it has printed its first line.
    func python(_ program: String) throws -> PythonProgram { try PythonProgram(program) }

    /// One that takes the place of the debugger of a process: it cannot be collected, whatever becomes of it, before
    /// this program ends.
    func keep(_ process: Int32) throws -> PythonProgram {
        try python(
            """
            import ctypes, os, time
            ptrace = ctypes.CDLL(None, use_errno=True).ptrace
            ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
            assert ptrace(0x4206, \(process), None, None) == 0, os.strerror(ctypes.get_errno())
            print("held", flush=True)
            time.sleep(600)
            """
        )
    }
}

/// A Python program beside the test.
final class PythonProgram {
    private let process: Int32
    private var hasEnded = false

    init(_ program: String) throws {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        do {
            let writing = pipe.takeSecond()
            process = try ChildProcess.spawn(
                try Shell.find("python3"),
                arguments: ["python3", "-c", program],
                environment: ChildProcess.currentEnvironment(),
                descriptors: [],
                standardOutput: writing.raw
            )
        }
        let output = PipeReader(reading, limit: 1 << 20)
        var isOver = false
        try waitUntil("the program's first line") {
            isOver = try output.read()
            return isOver || output.bytes.contains(0x0A)
        }
        guard output.bytes.contains(0x0A) else {
            end()
            throw DeadlinePassed(description: "the program has ended: \(String(decoding: output.bytes, as: UTF8.self))")
        }
    }

    deinit { end() }

    /// Ends it.
    func end() {
        guard !hasEnded else { return }
        hasEnded = true
        ChildProcess.end(process)
        _ = ChildProcess.wait(for: process)
    }
}
