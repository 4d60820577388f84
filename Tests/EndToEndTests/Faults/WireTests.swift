import Foundation
import Platform
import Support
import TLS
import Testing

/// Wires that lose, delay, cut or swallow; docs/faults.md has the outcomes.
@Suite("Faults of the wire", .serialized) struct WireTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let admin: UInt16
    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        admin = try freePort()
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
            server: "admin = \"127.0.0.1:\(admin)\"\n\(server)",
            upstreamMore: upstreamMore
        )
        .replacingOccurrences(of: "ip = \"127.0.0.1\"", with: "ip = \"\(binding)\"")
        .replacingOccurrences(
            of: "[\"127.0.0.1:1\"]",
            with: "[\(servers.map { "\"\($0)\"" }.joined(separator: ", "))]"
        )
        return try EveryhopProcess(folder, port: port, configuration: text)
    }

    private func metrics() throws -> String {
        try Shell.run(["curl", "-sS", "--retry", "9", "--retry-connrefused", "http://127.0.0.1:\(admin)/metrics"]).text
    }

    private func waitForMetric(_ line: String) throws {
        try waitUntil(line) { try metrics().contains("\n\(line)\n") }
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
