import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("HTTP/2 to servers", .serialized) struct HTTP2UpstreamTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func start(_ upstream: UInt16, _ version: String, more: String = "") throws -> EveryhopProcess {
        let port = try freePort()
        let text = try trust.configuration(
            port: port,
            upstream: upstream,
            upstreamMore: "protocol = \"\(version)\"\n\(more)"
        )
        return try EveryhopProcess(folder, port: port, configuration: text)
    }

    private func curl(_ arguments: String...) throws -> String {
        try Shell.run(
            ["curl", "-sS", "-m", "60", "--cacert", "\(folder.path)/authority.pem"] + arguments,
            merged: true
        )
        .text
    }

    private func python(_ script: String, _ everyhop: EveryhopProcess) throws -> String {
        let peers = #filePath.components(separatedBy: "/EndToEndTests/")[0] + "/Peers"
        return try Shell.run(
            [
                "/usr/bin/python3", "-W", "ignore", "\(peers)/\(script)", "--port", "\(everyhop.port)", "--ca",
                "\(folder.path)/authority.pem",
            ],
            merged: true
        ).text
    }

    /// nginx in HTTP/2, which tells by number which connection a request came on.
    private func nginx() throws -> Nginx {
        try Nginx(
            trust,
            more: "location /version { return 200 \"$server_protocol $connection\\n\"; }",
            listen: "ssl http2"
        )
    }

    @Test(arguments: ["h2", "auto"])
    func `requests share one connection, in either version of the client`(_ version: String) throws {
        let nginx = try nginx()
        let everyhop = try start(nginx.port, version)
        var answers: Set<String> = []
        for client in ["--http1.1", "--http2", "--http1.1"] {
            answers.insert(try curl(client, "https://localhost:\(everyhop.port)/version"))
        }
        let load = try Shell.run(
            ["h2load", "-n", "500", "-c", "4", "-m", "16", "https://localhost:\(everyhop.port)/version"],
            merged: true
        ).text
        #expect(load.contains("500 succeeded, 0 failed"))
        answers.insert(try curl("https://localhost:\(everyhop.port)/version"))
        #expect(answers.count == 1 && answers.first?.hasPrefix("HTTP/2.0 ") == true, "\(answers)")
        try everyhop.waitForAccess("\"server_reused\":true")
    }

    @Test func `a server that ends its connection after some requests loses none of them`() throws {
        let nginx = try Nginx(trust, more: "keepalive_requests 50;", listen: "ssl http2")
        let everyhop = try start(nginx.port, "h2")
        let load = try Shell.run(
            ["h2load", "-n", "3000", "-c", "4", "-m", "8", "https://localhost:\(everyhop.port)/headers"],
            merged: true
        ).text
        #expect(load.contains("3000 succeeded, 0 failed"), "\(load)")
    }

    @Test func `auto goes on in HTTP 1 where the server knows nothing else, and h2 does not`() throws {
        let nginx = try Nginx(trust)
        let auto = try start(nginx.port, "auto")
        #expect(try curl("https://localhost:\(auto.port)/headers").hasPrefix("for=127.0.0.1"))
        let other = try TemporaryFolder()
        try trust.write(to: other)
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: nginx.port, upstreamMore: "protocol = \"h2\"")
        let strict = try EveryhopProcess(other, port: port, configuration: text)
        #expect(
            try curl("-o", "/dev/null", "-w", "%{http_code}", "https://localhost:\(strict.port)/headers") == "502"
        )
    }

    @Test(arguments: ["--http1.1", "--http2"])
    func `bodies of every size pass both ways unchanged`(_ client: String) throws {
        let server = try PeerServer(trust, script: "h2_server.py")
        let everyhop = try start(server.port, "h2")
        for size in [0, 1, 16_383, 16_384, 65_535, 65_536, 300_000, 5_000_000] {
            let file = try folder.write("body", [UInt8]((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }))
            let sent = try Shell.run(["sha256sum", file]).text.prefix(64)
            let answer = try Shell.run([
                "sh", "-c",
                "curl -sS -m 60 \(client) --cacert \(folder.path)/authority.pem --data-binary @\(file) "
                    + "https://localhost:\(everyhop.port)/echo | sha256sum",
            ]).text.prefix(64)
            #expect(answer == sent, "\(size)")
        }
    }

    @Test(arguments: ["--http1.1", "--http2"])
    func `trailers, interim answers, HEAD and answers without a body pass`(_ client: String) throws {
        let server = try PeerServer(trust, script: "h2_server.py")
        let everyhop = try start(server.port, "h2")
        let address = "https://localhost:\(everyhop.port)"
        #expect(try curl(client, "-v", "\(address)/hints").contains("103"))
        #expect(try curl(client, "-I", "\(address)/echo").lowercased().contains("content-length: 1234"))
        #expect(try curl(client, "-o", "/dev/null", "-w", "%{http_code}", "\(address)/204") == "204")
        #expect(try curl(client, "-o", "/dev/null", "-w", "%{http_code}", "\(address)/early", "-d", "x") == "403")
    }

    @Test func `trailers pass`() throws {
        let server = try PeerServer(trust, script: "h2_server.py")
        let everyhop = try start(server.port, "h2")
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send("GET /trailers HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _ = try connection.receive(until: "4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n")
        let address = "https://localhost:\(everyhop.port)/trailers"
        #expect(try Shell.run(["nghttp", "-v", "--no-dep", address], merged: true).text.contains("x-sum: 42"))
    }

    @Test func `what the server has not touched is sent again, what it has is not`() throws {
        let server = try PeerServer(trust, script: "h2_server.py")
        let everyhop = try start(server.port, "h2")
        let address = "https://localhost:\(everyhop.port)"
        // REFUSED_STREAM, once (RFC 9113 §8.7).
        #expect(try curl("-o", "/dev/null", "-w", "%{http_code}", "\(address)/refuse-once") == "200")
        #expect(try curl("-o", "/dev/null", "-w", "%{http_code}", "-d", "x", "\(address)/reset") == "502")
        try everyhop.waitForAccess("the server reset the stream (code 2)")
        // HTTP_1_1_REQUIRED where only HTTP/2 is allowed.
        #expect(try curl("-o", "/dev/null", "-w", "%{http_code}", "\(address)/http11") == "502")
        try everyhop.waitForAccess("set the upstream's protocol to")
        let cut = try curl("--http1.1", "\(address)/die-in-body")
        #expect(cut.contains("curl: (18)") || cut.contains("curl: (56)"))
    }

    @Test func `WebSocket takes a connection of its own, in HTTP 1`() throws {
        let server = try PeerServer(trust, script: "websocket_server.py")
        let everyhop = try start(server.port, "auto")
        #expect(try python("websocket_client.py", everyhop) == "done 1000 chart\n")
    }

    @Test func `a server that stops answering costs the request, not the connection`() throws {
        let server = try PeerServer(trust, script: "h2_server.py")
        let everyhop = try start(server.port, "h2", more: "[upstream.timeouts]\nresponse = \"1s\"")
        let address = "https://localhost:\(everyhop.port)"
        #expect(try curl("-o", "/dev/null", "-w", "%{http_code}", "\(address)/silence") == "504")
        #expect(try curl("-d", "still there", "\(address)/echo") == "still there")
        try everyhop.waitForAccess("\"server_reused\":true")
    }

    @Test func `gRPC passes in all its kinds, with deadlines and cancellation`() throws {
        let server = try PeerServer(trust, script: "grpc_server.py")
        let everyhop = try start(server.port, "h2")
        let answers = try python("grpc_client.py", everyhop).split(separator: "\n").map(String.init)
        #expect(
            answers == [
                "unary (100000, b'trahc', '100000')", "collect b'1000000'", "count (500, b'499499')",
                "chat (50, b'MESSAGE 49')", "fail FAILED_PRECONDITION no such chart", "unknown UNIMPLEMENTED ",
                "deadline DEADLINE_EXCEEDED ", "cancel cancelled",
            ]
        )
        // The server hears of both ends at once, not when its own patience ends.
        try waitUntil("both ends in \(server.log)", seconds: 10) {
            server.log.components(separatedBy: "\"event\": \"ended\"").count == 3
        }
        #expect(!server.log.contains("\"remaining\": false"))
    }
}
