import Foundation
import Platform
import Support
import TLS
import Testing

/// Wires that lose, delay, cut or swallow; docs/faults.md has the outcomes.
@Suite("Faults of the wire", .serialized) struct WireTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let admin: EveryhopAdmin
    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        admin = try EveryhopAdmin()
    }

    /// - Parameters:
    ///   - servers: addresses with ports.
    ///   - binding: where clients come to.
    private func start(
        _ servers: [String],
        binding: String = "127.0.0.1",
        server: String = "",
        upstreamMore: String = ""
    ) throws -> EveryhopProcess {
        let port = try freePort()
        let text = try trust.configuration(
            port: port,
            upstream: 1,
            server: "\(admin.setting)\n\(server)",
            upstreamMore: upstreamMore
        )
        .replacingOccurrences(of: "ip = \"127.0.0.1\"", with: "ip = \"\(binding)\"")
        .replacingOccurrences(
            of: "[\"127.0.0.1:1\"]",
            with: "[\(servers.map { "\"\($0)\"" }.joined(separator: ", "))]"
        )
        return try EveryhopProcess(folder, port: port, configuration: text)
    }

    private func ask(_ everyhop: EveryhopProcess) throws -> String {
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send(Self.get)
        return connection.receiveAll()
    }

    private func server() throws -> ScriptedServer {
        try ScriptedServer(certificate: trust.app) { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
    }

    // MARK: loss and delay

    @Test func `with every fifth packet lost on both legs, requests take longer and succeed`() throws {
        let network = try TestNetwork()
        let nginx = try Nginx(trust, address: network.there, prefix: network.prefix)
        try nginx.folder.write("www/file", [UInt8](repeating: 0x61, count: 100_000))
        let everyhop = try start(
            ["\(network.there):\(nginx.port)"],
            binding: network.here,
            server: "timeouts = { handshake = \"2m\" }",
            upstreamMore: "timeouts = { connect = \"2m\" }"
        )
        try network.lose("numgen random mod 100 < 20")
        let url = "https://localhost:\(everyhop.port)/file"
        let result = try Shell.run(
            network.prefix + [
                "curl", "-sS", "-m", "110", "--cacert", "\(folder.path)/authority.pem", "--resolve",
                "localhost:\(everyhop.port):\(network.here)", "-o", "/dev/null", "-w",
                "%{http_code} %{size_download}\n",
                url, "-o", "/dev/null", url, "-o", "/dev/null", url,
            ],
            merged: true
        )
        #expect(result.text == String(repeating: "200 100000\n", count: 3))
        try network.pass()
    }

    @Test func `with 300 ms each way on both legs, requests take as long and succeed`() throws {
        var faults = FaultProxy.Faults()
        faults.delay = 300
        let everyhop = try start(["127.0.0.1:\(try FaultProxy(to: server().port, faults).port)"])
        let near = try FaultProxy(to: everyhop.port, faults)
        let connection = try Connection(to: near.port, try trust.client())
        for least in [1_800_000, 1_200_000] as [UInt64] {
            let before = Clock.monotonicMicroseconds()
            #expect(try connection.answers(200))
            // There and back on both legs; the first time also for the handshake with the server.
            #expect(Clock.monotonicMicroseconds() - before >= least)
        }
        #expect(try admin.metric("everyhop_upstream_connections_total") == 1)
        #expect(try admin.metric("everyhop_upstream_timeouts_total") == 0)
    }

    // MARK: resets in mid-handshake

    @Test(arguments: [0, 1, 100, 300, 900])
    func `a client that is reset in mid-handshake costs nothing but its connection`(_ bytes: Int) throws {
        let everyhop = try start(["127.0.0.1:\(try server().port)"])
        #expect(try ask(everyhop).hasPrefix("HTTP/1.1 200 "))
        let worker = try #require(try everyhop.workers().first)
        func descriptors() throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(worker)/fd").count
        }
        let before = try descriptors()
        var faults = FaultProxy.Faults()
        if bytes == 900 { faults.resetAfterRequest = 250 } else { faults.resetAfterAnswer = bytes + 1 }
        let wire = try FaultProxy(to: everyhop.port, faults)
        for _ in 0..<20 { #expect(throws: (any Error).self) { try Connection(to: wire.port, try trust.client()) } }
        try waitUntil("the descriptors of \(before) before") { try descriptors() <= before }
        #expect(try ask(everyhop).hasPrefix("HTTP/1.1 200 "))
        #expect(try everyhop.workers().first == worker)
    }

    // The server's first flight has some 800 bytes.
    @Test(arguments: [1, 200, 600])
    func `a server that is reset in mid-handshake is 502`(_ bytes: Int) throws {
        var faults = FaultProxy.Faults()
        faults.resetAfterAnswer = bytes
        let everyhop = try start(["127.0.0.1:\(try FaultProxy(to: server().port, faults).port)"])
        #expect(try ask(everyhop).hasPrefix("HTTP/1.1 502 "))
        try everyhop.waitForAccess("\"status\":502", "TLS: Connection reset by peer")
        try admin.waitForMetric("everyhop_upstream_connect_failures_total", 1)
    }

    @Test func `a server that is reset in mid-handshake does not matter while there is another one`() throws {
        var faults = FaultProxy.Faults()
        faults.resetAfterAnswer = 200
        let server = try server()
        let wire = try FaultProxy(to: server.port, faults)
        let everyhop = try start(["127.0.0.1:\(wire.port)", "127.0.0.1:\(server.port)"])
        for _ in 0..<4 { #expect(try ask(everyhop).hasPrefix("HTTP/1.1 200 ")) }
        try admin.waitForMetric("everyhop_upstream_connect_failures_total", 1)
    }

    @Test func `a database that is reset in mid-handshake is an error in its protocol`() throws {
        let postgres = try PostgresServer(trust)
        var faults = FaultProxy.Faults()
        faults.resetAfterAnswer = 600
        let wire = try FaultProxy(to: postgres.port, faults)
        let port = try freePort()
        let database = """
            [[database]]
            name = "ehr"
            protocol = "postgres"
            server = "127.0.0.1:\(wire.port)"
            trust = { pins = ["\(try trust.pin())"] }
            [[database.binding]]
            port = \(port)
            """
        let everyhop = try EveryhopProcess(folder, port: port, configuration: trust.configuration(databases: database))
        func login() throws -> String {
            let client = try Connection(to: port, nil)
            try client.send([0, 0, 0, 20, 0, 3, 0, 0] + Array("user\0alice\0\0".utf8))
            return String(decoding: try client.receive() ?? [], as: UTF8.self)
        }
        let refused = try login()
        #expect(refused.hasPrefix("E") && refused.contains("08001"), "\(refused)")
        try everyhop.waitForAccess("\"database\":\"ehr\"", "\"established\":false", "TLS")
        wire.faults.with { $0 = FaultProxy.Faults() }
        #expect(try login().hasPrefix("R"))
    }

    // MARK: half-open

    @Test func `a server that vanishes in mid-request is 504, and one that vanishes at rest is noticed`() throws {
        let network = try TestNetwork()
        let nginx = try Nginx(trust, address: network.there, prefix: network.prefix)
        try nginx.folder.write("www/file", [UInt8](repeating: 0x61, count: 100))
        let everyhop = try start(
            ["\(network.there):\(nginx.port)"],
            upstreamMore: "timeouts = { response = \"2s\", connect = \"2s\" }"
        )
        func status() throws -> String {
            try Shell.run([
                "curl", "-sS", "-m", "60", "--cacert", "\(folder.path)/authority.pem", "-o", "/dev/null", "-w",
                "%{http_code}", "https://localhost:\(everyhop.port)/file",
            ]).text
        }
        #expect(try status() == "200")
        try network.lose("")
        // The connection that rested: its server does not even acknowledge.
        #expect(try status() == "504")
        try everyhop.waitForAccess("no response in time")
        #expect(try status() == "504")
        try everyhop.waitForAccess("not connected and verified in time")
        try network.pass()
        try waitUntil("the server's return") { try status() == "200" }
        let options = try Shell.run(["ss", "-Htno", "dst", "\(network.there):\(nginx.port)"]).text
        #expect(options.contains("timer:(keepalive"), "\(options)")
    }
}
