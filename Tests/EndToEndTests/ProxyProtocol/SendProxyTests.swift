import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("PROXY headers to servers", .serialized) struct SendProxyTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func nginx() throws -> Nginx {
        try Nginx(
            trust,
            more: """
                location /who { return 200 "$proxy_protocol_addr $connection $connection_requests\\n"; }
                location /healthz { return 204; }
                """,
            listen: "ssl proxy_protocol"
        )
    }

    private func start(_ server: UInt16, _ version: String, more: String = "") throws -> (EveryhopProcess, UInt16) {
        let port = try freePort()
        let admin = try freePort()
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try Routed.configuration(
                trust,
                [("app", server)],
                port: port,
                admin: admin,
                upstream: "send_proxy = \"\(version)\"\n\(more)"
            )
        )
        return (everyhop, admin)
    }

    private func curl(_ client: String, _ port: UInt16, _ more: [String], _ paths: [String] = ["/who"]) throws
        -> [String]
    {
        try Shell.run(
            ["curl", "-sS", "-m", "20", "--interface", client, "--cacert", "\(folder.path)/authority.pem"] + more
                + paths.map { "https://localhost:\(port)\($0)" },
            merged: false
        ).text.split(separator: "\n").map(String.init)
    }

    @Test(arguments: ["v1", "v2"])
    func `nginx gets every client's own address, on connections that no other client uses`(_ version: String) throws {
        let nginx = try nginx()
        let (everyhop, admin) = try start(nginx.port, version)
        var connections: Set<String> = []
        for round in 1...3 {
            for client in ["127.0.0.7", "127.0.0.8"] {
                let lines = try curl(client, everyhop.port, ["--http1.1"], ["/who", "/who", "/who"])
                let words = lines.map { $0.split(separator: " ").map(String.init) }
                #expect(words.map { $0.first } == [client, client, client], "\(lines)")
                // One client's requests share a connection.
                #expect(Set(words.compactMap { $0.dropFirst().first }).count == 1, "\(lines)")
                #expect(words.compactMap(\.last) == ["1", "2", "3"])
                connections.formUnion(words.compactMap { $0.dropFirst().first })
            }
            #expect(connections.count == round * 2)
        }
        // What belonged to clients that have gone does not rest.
        try Routed.waitForMetric("everyhop_upstream_connections 0", admin)
    }

    @Test func `an HTTP/2 client's streams have connections of its own`() throws {
        let nginx = try nginx()
        let (everyhop, _) = try start(nginx.port, "v2")
        let paths = (0..<12).map { "/who?\($0)" }
        let first = try curl("127.0.0.7", everyhop.port, ["--http2", "--parallel", "--parallel-immediate"], paths)
        let second = try curl("127.0.0.8", everyhop.port, ["--http2", "--parallel"], paths)
        #expect(first.count == 12 && first.allSatisfy { $0.hasPrefix("127.0.0.7 ") }, "\(first)")
        #expect(second.count == 12 && second.allSatisfy { $0.hasPrefix("127.0.0.8 ") }, "\(second)")
        let numbers = { (lines: [String]) in Set(lines.map { $0.split(separator: " ")[1] }) }
        #expect(numbers(first).isDisjoint(with: numbers(second)))
    }

    @Test(arguments: ["v1", "v2"])
    func `HAProxy reads the header, and what it says of TLS`(_ version: String) throws {
        let server = try HAProxy(
            trust,
            """
            frontend app
              mode http
              bind 127.0.0.1:PORT accept-proxy ssl crt PATH/both.pem
              http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst_port] %[fc_pp_authority]\\n"
            """
        )
        let (everyhop, _) = try start(server.port, version)
        let answer = try curl("127.0.0.7", everyhop.port, ["--http1.1", "--local-port", "21000-29000"])
        let words = (answer.first ?? "").split(separator: " ").map(String.init)
        #expect(words.first == "127.0.0.7", "\(answer)")
        #expect(words.dropFirst().first.flatMap { UInt16($0) }.map { (21000...29000).contains($0) } == true)
        #expect(words.dropFirst(2).first == "\(everyhop.port)")
        #expect(words.last == (version == "v2" ? "localhost" : "\(everyhop.port)"))
    }

    @Test(arguments: ["v1", "v2"])
    func `checks, audits and pin begin as the server expects it`(_ version: String) throws {
        let nginx = try nginx()
        let (everyhop, admin) = try start(
            nginx.port,
            version,
            more: "health = { path = \"/healthz\", interval = \"200ms\", fall = 1, rise = 1 }"
        )
        try Routed.waitForMetrics("checks that passed", admin) {
            $0.contains("result=\"passed\"} ") && !$0.contains("result=\"passed\"} 0\n")
                && $0.contains("result=\"failed\"} 0\n")
        }
        #expect(try curl("127.0.0.7", everyhop.port, []).first?.hasPrefix("127.0.0.7 ") == true)
        let pin = try Shell.run([EveryhopProcess.program, "pin", "127.0.0.1:\(nginx.port)", "--send-proxy", version])
        #expect(try pin.text.contains(trust.pin()), "\(pin.text)")
        let audit = try Shell.run(
            [EveryhopProcess.program, "audit", "run", "--config", "\(folder.path)/everyhop.toml", "--format", "text"],
            merged: true
        ).text
        #expect(audit.contains("127.0.0.1:\(nginx.port) answers"), "\(audit)")
        #expect(audit.contains("pin"), "\(audit)")
    }
}
