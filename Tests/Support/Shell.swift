import Foundation
import Platform

/// What a program did.
public struct ProgramResult: Sendable {
    /// Its exit status, or the negative number of the signal that ended it.
    public let status: Int
    /// What it wrote to standard output.
    public let output: [UInt8]

    /// Standard output as text.
    public var text: String { String(decoding: output, as: UTF8.self) }
}

/// Programs that a test starts.
public enum Shell {
    /// Runs a program to its end; standard error goes with standard output when `merged`.
    public static func run(_ arguments: [String], merged: Bool = false, seconds: Int32 = 300) throws -> ProgramResult {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        let child: Int32
        do {
            let writing = pipe.takeSecond()
            let path = try find(arguments[0])
            let command =
                merged
                ? ["/bin/sh", "-c", "exec \"$@\" 2>&1", "sh", path] + arguments.dropFirst()
                : [path] + arguments.dropFirst()
            child = try ChildProcess.spawn(
                command[0],
                arguments: command,
                environment: ChildProcess.currentEnvironment(),
                descriptors: [],
                standardOutput: writing.raw
            )
        }
        do {
            let output = try File.readAll(reading, limit: 1 << 31, milliseconds: seconds * 1000)
            return ProgramResult(status: ChildProcess.wait(for: child), output: output)
        } catch {
            ChildProcess.end(child)
            _ = ChildProcess.wait(for: child)
            throw error
        }
    }

    /// Where a program is; a test without its tool fails.
    public static func find(_ name: String) throws -> String {
        if name.hasPrefix("/") { return name }
        for folder in ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        where access("\(folder)/\(name)", X_OK) == 0 {
            return "\(folder)/\(name)"
        }
        throw MissingTool(name: name)
    }
}

/// A tool that `make deps` installs is not there.
public struct MissingTool: Error, CustomStringConvertible {
    let name: String
    /// What to do.
    public var description: String { "\(name) is not installed: run make deps" }
}

/// A condition did not come true in time.
public struct DeadlinePassed: Error, CustomStringConvertible {
    /// What was waited for.
    public let description: String

    /// Names it.
    public init(description: String) { self.description = description }
}

/// Waits until `condition` holds, looking again every few milliseconds.
public func waitUntil(_ what: String, seconds: Double = 20, _ condition: () throws -> Bool) throws {
    let end = Clock.monotonicMicroseconds() + UInt64(seconds * 1_000_000)
    while !(try condition()) {
        guard Clock.monotonicMicroseconds() < end else { throw DeadlinePassed(description: what) }
        usleep(5000)
    }
}

/// A folder that goes away with the test.
public final class TemporaryFolder: Sendable {
    /// Its path.
    public let path: String

    /// Makes it.
    public init() throws {
        var template = Array("/tmp/everyhop-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(in: "mkdtemp") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file in it; its path.
    @discardableResult
    public func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = "\(path)/\(name)"
        try File.write(bytes, to: file, mode: 0o600)
        return file
    }

    /// Writes a text file in it; its path.
    @discardableResult
    public func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }
}

/// A TCP port of loopback that nobody listens on.
///
/// Below the range that the kernel takes ports of outgoing connections from: otherwise one of those may have it before
/// the program that it is meant for listens.
public func freePort() throws -> UInt16 {
    for _ in 0..<1000 {
        let port = nextPort.with { next in
            next = next >= 32_000 ? 12_000 : next + 1
            return next
        }
        guard let address = SocketAddress(ip: "127.0.0.1", port: port) else { continue }
        if (try? Socket.listen(on: address, sharePort: false)) != nil { return port }
    }
    throw DeadlinePassed(description: "a free port")
}

private let nextPort = Shared(UInt16.random(in: 12_000..<32_000))
