import Foundation
import Platform
import Support
import TLS

/// An application server of a test: tells its name, and does what the test says.
final class AppServer: Sendable {
    enum Mode: Sendable {
        /// Answers every request.
        case serve
        /// Ends every connection when a request has come.
        case hangUp
        /// Answers no request before the test says so.
        case hold
    }

    let name: String
    let mode: Shared<Mode>
    /// What it answers on /healthz.
    let health = Shared("200 OK")
    /// How many requests it has seen, checks not counted.
    let requests = Shared(0)
    /// The heads of the checks it has seen.
    let checks = Shared([String]())
    /// The last request's head.
    let last = Shared("")
    private let server: ScriptedServer

    var port: UInt16 { server.port }
    var address: String { "127.0.0.1:\(server.port)" }

    init(_ name: String, certificate: CertificateMaker.Issued, port: UInt16 = 0, mode: Mode = .serve) throws {
        self.name = name
        let shared = (mode: Shared(mode), health: health, requests: requests, checks: checks, last: last)
        self.mode = shared.mode
        server = try ScriptedServer(certificate: certificate, port: port) { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard head.contains("\r\n\r\n") else { return }
                if head.hasPrefix("GET /healthz ") {
                    shared.checks.with { $0.append(head) }
                    try connection.send("HTTP/1.1 \(shared.health.value)\r\nContent-Length: 0\r\n\r\n")
                    continue
                }
                shared.requests.with { $0 += 1 }
                shared.last.with { $0 = head }
                while shared.mode.value == .hold { usleep(2000) }
                guard shared.mode.value == .serve else { return }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(name.utf8.count)\r\n\r\n\(name)")
            }
        }
    }
}

/// A proxy before several servers.
struct Balanced {
    let everyhop: EveryhopProcess
    let admin: UInt16
    let trust: TestTrust

    /// - Parameters:
    ///   - servers: the array's elements, as the configuration has them.
    ///   - upstream: further keys of the upstream.
    init(
        _ trust: TestTrust,
        _ folder: TemporaryFolder,
        servers: String,
        upstream: String = "",
        workers: Int = 1,
        trusting: String? = nil
    ) throws {
        let port = try freePort()
        admin = try freePort()
        self.trust = trust
        everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try Self.configuration(
                trust,
                port: port,
                admin: admin,
                servers: servers,
                upstream: upstream,
                workers: workers,
                trusting: trusting
            )
        )
    }

    static func configuration(
        _ trust: TestTrust,
        port: UInt16,
        admin: UInt16,
        servers: String,
        upstream: String,
        workers: Int = 1,
        trusting: String? = nil
    ) throws -> String {
        try trust.configuration(
            port: port,
            upstream: 1,
            server: "admin = \"127.0.0.1:\(admin)\"",
            trust: trusting,
            upstreamMore: upstream
        )
        .replacingOccurrences(of: "servers = [\"127.0.0.1:1\"]", with: "servers = [\(servers)]")
        .replacingOccurrences(of: "workers = 1", with: "workers = \(workers)") + "\n[audit]\nprobe_interval = \"off\"\n"
    }

    /// A connection of a client.
    func connect() throws -> Connection { try Connection(to: everyhop.port, try trust.client()) }

    /// One request on a connection of its own: the whole answer.
    func ask(_ path: String = "/", _ fields: String = "") throws -> String {
        let connection = try connect()
        try connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(fields)\r\n")
        return connection.receiveAll()
    }

    /// The name of the server that answered, or the status line.
    func served(_ path: String = "/", _ fields: String = "") throws -> String {
        let answer = try ask(path, fields)
        guard answer.hasPrefix("HTTP/1.1 200 ") else { return String(answer.prefix { $0 != "\r" && $0 != "\r\n" }) }
        return answer.components(separatedBy: "\r\n\r\n").last ?? ""
    }

    /// What a path of the admin address answers: status and body.
    func admin(_ path: String) throws -> (status: String, body: String) {
        let connection = try Connection(to: admin, nil)
        try connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let answer = connection.receiveAll().components(separatedBy: "\r\n\r\n")
        return (String(answer[0].dropFirst(9).prefix(3)), answer.dropFirst().joined())
    }

    /// Waits for a line of the metrics.
    func waitForMetric(_ line: String) throws {
        var text = ""
        try waitUntil("\(line) in the metrics:\n\(text)\n\(everyhop.log)") {
            text = (try? admin("/metrics").body) ?? ""
            return text.contains("\n\(line)\n")
        }
    }

    /// A server's labels in the metrics.
    static func labels(_ server: AppServer) -> String { "upstream=\"app\",server=\"\(server.address)\"" }
}
