import Foundation
import Platform

/// The admin address of an everyhop under test.
public struct EveryhopAdmin: Sendable {
    /// Its port.
    public let port: UInt16

    /// On a port that is free.
    public init() throws { port = try freePort() }

    /// Its line of `[server]`.
    public var setting: String { "admin = \"127.0.0.1:\(port)\"" }

    /// What `/metrics` says now.
    public func metrics() throws -> String {
        try Shell.run(["curl", "-sS", "--retry", "9", "--retry-connrefused", "http://127.0.0.1:\(port)/metrics"]).text
    }

    /// The value of one, which is named with its labels; -1 when there is none.
    public func metric(_ name: String) throws -> Int {
        let line = try metrics().components(separatedBy: "\n").first { $0.hasPrefix("\(name) ") } ?? ""
        return Int(line.components(separatedBy: " ").last ?? "") ?? -1
    }

    /// Waits until one has a value; others tell of it in the message.
    public func waitForMetric(_ name: String, _ value: Int) throws {
        var seen = 0
        do {
            try waitUntil(name) {
                seen = try metric(name)
                return seen == value
            }
        } catch let error as DeadlinePassed {
            throw DeadlinePassed(description: "\(error.description) of \(value), not \(seen)")
        }
    }
}
