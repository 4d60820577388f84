import Foundation
import Platform
import Support
import TLS

/// A proxy with routes before several servers; each server is an upstream of its name.
struct Routed {
    let everyhop: EveryhopProcess
    let admin: UInt16
    let trust: TestTrust
    let folder: TemporaryFolder

    /// - Parameters:
    ///   - peer: a further server, the upstream `peer`.
    ///   - site: keys of the site.
    ///   - binding: further keys of its binding.
    ///   - routes: tables below the site.
    ///   - server: further keys of the server.
    ///   - upstream: further keys of every upstream.
    init(
        _ trust: TestTrust,
        _ folder: TemporaryFolder,
        _ apps: [AppServer],
        peer: PeerServer? = nil,
        site: String = "upstream = \"app\"",
        binding: String = "",
        routes: String = "",
        server: String = "",
        upstream: String = ""
    ) throws {
        let port = try freePort()
        admin = try freePort()
        self.trust = trust
        self.folder = folder
        everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try Self.configuration(
                trust,
                apps.map { ($0.name, $0.port) } + (peer.map { [("peer", $0.port)] } ?? []),
                port: port,
                admin: admin,
                site: site,
                binding: binding,
                routes: routes,
                server: server,
                upstream: upstream
            )
        )
    }

    static func configuration(
        _ trust: TestTrust,
        _ apps: [(name: String, port: UInt16)],
        port: UInt16 = 1,
        admin: UInt16 = 2,
        site: String = "upstream = \"app\"",
        binding: String = "",
        routes: String = "",
        server: String = "",
        upstream: String = ""
    ) throws -> String {
        """
        [server]
        workers = 1
        drain = "5s"
        admin = "127.0.0.1:\(admin)"
        \(server)
        [audit]
        probe_interval = "off"
        [log]
        access = "stdout"
        level = "debug"
        [certificate.portal]
        chain = "portal.pem"
        key = "portal.key"
        [[site]]
        name = "portal"
        \(site)
        [[site.binding]]
        ip = "127.0.0.1"
        port = \(port)
        certificate = "portal"
        \(binding)
        \(routes)

        """
            + (try apps.map { app in
                """
                [[upstream]]
                name = "\(app.name)"
                servers = ["127.0.0.1:\(app.port)"]
                server_name = "app.internal"
                trust = { pins = ["\(try trust.pin())"] }
                \(upstream)

                """
            }.joined())
    }

    /// What curl gets; nothing of the path is tidied up.
    func curl(_ path: String, _ arguments: String..., version: String = "--http1.1") throws -> String {
        try Shell.run(
            ["curl", version, "-sS", "-m", "20", "--path-as-is", "--cacert", "\(folder.path)/authority.pem"] + arguments
                + ["https://localhost:\(everyhop.port)\(path)"],
            merged: true
        ).text
    }

    /// The status that curl gets.
    func status(_ path: String, _ arguments: String..., version: String = "--http1.1") throws -> String {
        try Shell.run(
            [
                "curl", version, "-sS", "-m", "20", "--path-as-is", "--cacert", "\(folder.path)/authority.pem", "-o",
                "/dev/null", "-w", "%{http_code}",
            ] + arguments + ["https://localhost:\(everyhop.port)\(path)"],
            merged: true
        ).text
    }

    /// Waits for a line of the metrics.
    func waitForMetric(_ line: String) throws { try Self.waitForMetric(line, admin) }

    static func waitForMetric(_ line: String, _ admin: UInt16) throws {
        try waitForMetrics("\(line) in the metrics", admin) { $0.contains("\n\(line)\n") }
    }

    /// Waits until the metrics are as they should be.
    static func waitForMetrics(_ what: String, _ admin: UInt16, _ condition: (String) -> Bool) throws {
        var text = ""
        try waitUntil("\(what):\n\(text)") {
            // The monitor opens its address after the workers serve.
            guard let connection = try? Connection(to: admin, nil) else { return false }
            try connection.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            text = connection.receiveAll()
            return condition(text)
        }
    }
}
