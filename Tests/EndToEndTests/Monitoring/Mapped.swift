import Foundation
import Platform
import Support
import TLS

/// everyhop with an admin address, and probes as often as a test has patience for.
struct Mapped {
    let everyhop: EveryhopProcess
    let admin: UInt16
    let trust: TestTrust

    /// - Parameters:
    ///   - databases: tables of databases.
    ///   - audit: further keys of `[audit]`.
    init(
        _ trust: TestTrust,
        _ folder: TemporaryFolder,
        servers: [String],
        databases: String = "",
        audit: String = "",
        binding: String = "",
        interval: String = "200ms"
    ) throws {
        let port = try freePort()
        admin = try freePort()
        self.trust = trust
        let configuration = try trust.configuration(
            port: port,
            upstream: 1,
            server: "admin = \"127.0.0.1:\(admin)\"",
            more: "\(databases)\n[audit]\nprobe_interval = \"\(interval)\"\n\(audit)\n"
        )
        .replacing("servers = [\"127.0.0.1:1\"]", with: "servers = \(servers)")
        .replacing("certificate = \"portal\"\n", with: "certificate = \"portal\"\n\(binding)\n")
        everyhop = try EveryhopProcess(folder, port: port, configuration: configuration)
        // The monitor opens its address after the workers serve.
        let admin = self.admin
        try waitUntil("the admin address") { (try? Connection(to: admin, nil)) != nil }
    }

    /// The whole answer of the admin address.
    func ask(_ path: String, host: String = "localhost") throws -> String {
        let connection = try Connection(to: admin, nil)
        try connection.send("GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\r\n")
        return connection.receiveAll()
    }

    /// The body of what the admin address answers; nil while there is no answer.
    func body(_ path: String) -> String? {
        guard let answer = try? ask(path), let end = answer.range(of: "\r\n\r\n") else { return nil }
        return String(answer[end.upperBound...])
    }

    /// `/hops.json`.
    func map() throws -> [String: Any] {
        guard let text = body("/hops.json") else { return [:] }
        return (try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]) ?? [:]
    }

    /// The hops of a kind.
    func hops(_ kind: String) throws -> [[String: Any]] {
        ((try map()["hops"] as? [[String: Any]]) ?? []).filter { $0["kind"] as? String == kind }
    }

    /// Waits for a hop that is as `condition` wants it.
    func waitForHop(
        _ kind: String,
        seconds: Double = 40,
        _ condition: ([String: Any]) -> Bool
    ) throws -> [String: Any] {
        var found: [String: Any]?
        do {
            try waitUntil("a \(kind) hop", seconds: seconds) {
                found = try hops(kind).first(where: condition)
                return found != nil
            }
        } catch {
            throw DeadlinePassed(description: "\(error) in \(body("/hops.json") ?? "")\n\(everyhop.log)")
        }
        return found ?? [:]
    }

    /// Waits for a line of the metrics.
    func waitForMetric(_ line: String) throws {
        try waitUntil("\(line) in the metrics:\n\(body("/metrics") ?? "")", seconds: 40) {
            (body("/metrics") ?? "").contains("\n\(line)\n")
        }
    }

    /// One request by way of everyhop.
    func request() throws { try Self.request(trust, everyhop.port) }

    /// One request to everyhop at this port.
    static func request(_ trust: TestTrust, _ port: UInt16) throws {
        let connection = try Connection(to: port, try trust.client())
        try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        _ = connection.receiveAll()
    }

    /// The process id of a helper.
    func helper(_ name: String) throws -> Int32? {
        let children = try Shell.run(["ps", "--ppid", "\(everyhop.process)", "-o", "pid=,args="]).text
        let line = children.split(separator: "\n").first { $0.hasSuffix("everyhop \(name)") }
        return line.flatMap { Int32($0.split(separator: " ")[0]) }
    }
}
