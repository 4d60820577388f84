import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("WebSocket", .serialized) struct WebSocketTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func start(_ upstream: UInt16, site: String = "", upstreamMore: String = "") throws -> EveryhopProcess {
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: upstream, upstreamMore: upstreamMore)
            .replacingOccurrences(of: "upstream = \"app\"\n", with: "upstream = \"app\"\n\(site)\n")
        return try EveryhopProcess(folder, port: port, configuration: text)
    }

    private func client(_ everyhop: EveryhopProcess, _ version: String, _ more: String...) throws -> String {
        let peers = #filePath.components(separatedBy: "/EndToEndTests/")[0] + "/Peers"
        return try Shell.run(
            [
                "/usr/bin/python3", "-W", "ignore", "\(peers)/websocket_client.py", "--port", "\(everyhop.port)",
                "--ca", "\(folder.path)/authority.pem", "--version", version,
            ] + more,
            merged: true
        ).text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private static let handshake =
        "GET /chart HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    @Test(arguments: ["1.1", "2"])
    func `ten thousand messages of mixed sizes come back as they were sent`(_ version: String) throws {
        let server = try PeerServer(trust, script: "websocket_server.py")
        let everyhop = try start(server.port)
        #expect(try client(everyhop, version, "--messages", "10000") == "done 1000 chart")
        try everyhop.waitForAccess("\"status\":\(version == "2" ? 200 : 101)", "\"path\":\"/chart\"")
        let via = version == "2" ? "2.0" : "1.1"
        #expect(server.log.contains("\"via\": \"\(via) everyhop\", \"keys\": 1"))
    }

    @Test(arguments: ["1.1", "2"])
    func `a close passes either way, with its code`(_ version: String) throws {
        let server = try PeerServer(trust, script: "websocket_server.py")
        let everyhop = try start(server.port)
        #expect(try client(everyhop, version, "--then", "close") == "closed 4001 chart")
        #expect(try client(everyhop, version) == "done 1000 chart")
        try waitUntil("both closes in \(server.log)") {
            server.log.contains("\"code\": 4001") && server.log.contains("\"code\": 1000")
        }
    }

    @Test func `a server that dies is a connection that breaks`() throws {
        let server = try PeerServer(trust, script: "websocket_server.py")
        let everyhop = try start(server.port)
        #expect(try client(everyhop, "1.1", "--then", "die") == "closed 1006 chart")
        #expect(try client(everyhop, "2", "--then", "die").hasPrefix("failed: EOFError"))
    }

    @Test func `either side may end alone, and the other goes on`() throws {
        let server = try ScriptedServer(certificate: trust.app) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n")
            _ = try connection.receive(until: "last words")
            while try connection.receive() != nil {}
            try connection.send("heard to the end")
            connection.close()
        }
        let everyhop = try start(server.port)
        let connection = try Connection(to: everyhop.port, try trust.client())
        // Bytes that follow the request at once wait for the server's word.
        try connection.send(Self.handshake + "early ")
        let head = try connection.receive(until: "\r\n\r\n")
        #expect(head.hasPrefix("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"))
        try connection.send("last words")
        connection.endWriting()
        #expect(try connection.receive(until: "heard to the end") == "heard to the end")
        try everyhop.waitForAccess("\"status\":101", "\"bytes_out\":16")
    }

    @Test func `silence ends a tunnel when the configuration says so`() throws {
        let server = try PeerServer(trust, script: "websocket_server.py")
        let everyhop = try start(server.port, upstreamMore: "[upstream.timeouts]\ntunnel = \"300ms\"")
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send(Self.handshake)
        _ = try connection.receive(until: "\r\n\r\n")
        #expect(connection.receiveAll().isEmpty)
        try everyhop.waitForAccess("nothing went over the upgraded connection for too long")
    }

    @Test func `what a site does not allow goes on as plain HTTP`() throws {
        let seen = Shared("")
        let server = try ScriptedServer(certificate: trust.app) { connection in
            while let head = try? connection.receive(until: "\r\n\r\n") {
                seen.with { $0 = head }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let everyhop = try start(server.port, site: "upgrades = [\"chart/2\"]")
        for (name, passes) in [("websocket", false), ("h2c", false), ("chart/2", true)] {
            let connection = try Connection(to: everyhop.port, try trust.client())
            try connection.send(
                "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: \(name)\r\n"
                    + "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
            )
            #expect(try connection.receive(until: "ok").hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(seen.value.contains("Upgrade: \(name)") == passes)
            #expect(!seen.value.contains("HTTP2-Settings"))
        }
        #expect(try client(everyhop, "2") == "status 501")
    }

    @Test(arguments: ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n"])
    func `a server that changes the protocol unasked, or to another, is not followed`(_ fields: String) throws {
        let server = try ScriptedServer(certificate: trust.app) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 101 Switching Protocols\r\n\(fields)\r\nsmuggled")
        }
        let everyhop = try start(server.port)
        let connection = try Connection(to: everyhop.port, try trust.client())
        let asks = !fields.contains("websocket")
        try connection.send(asks ? Self.handshake : "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(try connection.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 502 "))
        try everyhop.waitForAccess("the server switched protocols without being asked to")
    }

    @Test func `a tunnel lives through a reload`() throws {
        let server = try PeerServer(trust, script: "websocket_server.py")
        let everyhop = try start(server.port)
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send(Self.handshake)
        _ = try connection.receive(until: "\r\n\r\n")
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        // A masked text frame of "hi" with an empty mask, and its echo.
        try connection.send([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])
        #expect(try connection.receive() == [0x81, 0x02, 0x68, 0x69])
    }

    @Test func `events of a server come as they are written`() throws {
        let goOn = Shared(false)
        let server = try ScriptedServer(certificate: trust.app) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            try waitUntil("the client to have read") { goOn.value }
            try connection.send("data: 2\n\n")
            connection.close()
        }
        let everyhop = try start(server.port)
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _ = try connection.receive(until: "data: 1\n\n\r\n")
        goOn.with { $0 = true }
        _ = try connection.receive(until: "data: 2\n\n\r\n0\r\n\r\n")
    }
}
