import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Failures that a client sees") struct FailureTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func start(
        _ upstream: UInt16,
        server: String = "",
        upstreamMore: String = "",
        more: String = ""
    ) throws -> EveryhopProcess {
        let port = try freePort()
        return try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(
                port: port,
                upstream: upstream,
                server: server,
                more: more,
                upstreamMore: upstreamMore
            )
        )
    }

    private func server(_ script: @escaping @Sendable (Connection) throws -> Void) throws -> ScriptedServer {
        try ScriptedServer(certificate: trust.app, script: script)
    }

    private func ask(_ everyhop: EveryhopProcess, _ request: String) throws -> String {
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send(request)
        return connection.receiveAll()
    }

    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    @Test func `a server that refuses connections is 502`() throws {
        let everyhop = try start(try freePort())
        #expect(try ask(everyhop, Self.get).hasPrefix("HTTP/1.1 502 "))
        try everyhop.waitForAccess("\"status\":502", "connect: Connection refused")
    }

    @Test func `a server that does not answer is 504`() throws {
        let silent = try server { connection in
            _ = try connection.receive()
            _ = try connection.receive()
        }
        let everyhop = try start(silent.port, upstreamMore: "timeouts = { response = \"300ms\" }")
        #expect(try ask(everyhop, Self.get).hasPrefix("HTTP/1.1 504 "))
        try everyhop.waitForAccess("\"status\":504", "no response in time")
    }

    @Test func `a server whose head comes a byte at a time is 504 when its time is over`() throws {
        let trickling = try server { connection in
            _ = try connection.receive()
            for byte in Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \(String(repeating: "a", count: 500))".utf8) {
                try connection.send([byte])
                usleep(20_000)
            }
        }
        let everyhop = try start(trickling.port, upstreamMore: "timeouts = { response = \"600ms\" }")
        #expect(try ask(everyhop, Self.get).hasPrefix("HTTP/1.1 504 "))
    }

    @Test func `a server that never shakes hands is 504`() throws {
        let mute = try ScriptedServer(certificate: nil) { connection in
            while try connection.receive() != nil {}
        }
        let everyhop = try start(mute.port, upstreamMore: "timeouts = { connect = \"300ms\" }")
        #expect(try ask(everyhop, Self.get).hasPrefix("HTTP/1.1 504 "))
    }

    @Test func `an answer that is no HTTP is 502`() throws {
        let odd = try server { connection in
            _ = try connection.receive()
            try connection.send("SSH-2.0-OpenSSH_9.2\r\n\r\n")
        }
        let everyhop = try start(odd.port)
        #expect(try ask(everyhop, Self.get).hasPrefix("HTTP/1.1 502 "))
        try everyhop.waitForAccess("invalid response: a malformed status line")
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
    ])
    func `a server that dies in mid-body cuts the client off`(_ response: String) throws {
        let dying = try server { connection in
            _ = try connection.receive()
            try connection.send(response)
        }
        let everyhop = try start(dying.port)
        // 18: partial file; 56: failure in receiving; 92: stream broken off; all say that the transfer is not whole.
        for (version, codes) in [("--http1.1", [18, 56]), ("--http2", [92])] {
            let result = try Shell.run([
                "curl", version, "-sS", "-m", "20", "--cacert", "\(folder.path)/authority.pem",
                "https://localhost:\(everyhop.port)/",
            ])
            #expect(codes.contains(result.status))
        }
        try everyhop.waitForAccess("\"status\":200", "error")
    }

    @Test func `a body framed by the close needs close_notify`() throws {
        let honest = try server { connection in
            _ = try connection.receive()
            try connection.send("HTTP/1.0 200 OK\r\n\r\nwhole")
            connection.close()
        }
        #expect(try ask(try start(honest.port), Self.get).contains("whole"))
        let cut = try server { connection in
            _ = try connection.receive()
            try connection.send("HTTP/1.0 200 OK\r\n\r\nhalf")
        }
        let other = try TemporaryFolder()
        try trust.write(to: other)
        let port = try freePort()
        let everyhop = try EveryhopProcess(
            other,
            port: port,
            configuration: try trust.configuration(port: port, upstream: cut.port)
        )
        let answer = try ask(everyhop, Self.get)
        #expect(!answer.hasSuffix("0\r\n\r\n"))
        try everyhop.waitForAccess("the server closed before its response was whole")
    }

    @Test func `a client that dies in mid-body is not a whole request to the server`() throws {
        let seen = Shared<(text: String, ended: Bool)>(("", false))
        let recording = try server { connection in
            while let bytes = try? connection.receive() {
                seen.with { $0.text += String(decoding: bytes, as: UTF8.self) }
            }
            seen.with { $0.ended = true }
        }
        let everyhop = try start(recording.port)
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        try waitUntil("half a body at the server") { seen.value.text.contains("half") }
        connection.abort()
        _ = consume connection
        try waitUntil("the end of the server's connection") { seen.value.ended }
        #expect(!seen.value.text.hasSuffix("0\r\n\r\n"))
        try everyhop.waitForAccess("\"status\":499")
    }

    @Test func `a client that sends a byte at a time is 408 when the head's time is over`() throws {
        let everyhop = try start(1, server: "timeouts = { head = \"400ms\" }")
        let connection = try Connection(to: everyhop.port, try trust.client())
        for byte in Array("GET / HTTP/1.1\r\nHost: localhost\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".utf8) {
            guard (try? connection.send([byte])) != nil else { break }
            usleep(15_000)
        }
        #expect(connection.receiveAll().hasPrefix("HTTP/1.1 408 "))
        try everyhop.waitForAccess("\"status\":408", "the request's head did not come in time")
    }

    @Test func `a body that stops is 408`() throws {
        let patient = try server { connection in while try connection.receive() != nil {} }
        let everyhop = try start(patient.port, server: "timeouts = { body = \"300ms\" }")
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
        #expect(connection.receiveAll().hasPrefix("HTTP/1.1 408 "))
    }

    @Test(arguments: [
        "Content-Length: 2000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + String(repeating: "x", count: 2000) + "\r\n0\r\n\r\n",
    ])
    func `a body over the limit is 413`(_ rest: String) throws {
        let everyhop = try start(
            try server { connection in while try connection.receive() != nil {} }.port,
            server: "limits = { body = 1000 }"
        )
        let answer = try ask(everyhop, "POST / HTTP/1.1\r\nHost: localhost\r\n\(rest)")
        #expect(answer.hasPrefix("HTTP/1.1 413 "))
    }

    @Test func `an error is JSON for those who ask for it, with the id that the log has`() throws {
        let everyhop = try start(try freePort())
        let answer = try ask(
            everyhop,
            "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        )
        let body = Data((answer.components(separatedBy: "\r\n\r\n").last ?? "").utf8)
        let json = try JSONSerialization.jsonObject(with: body) as? [String: Any]
        #expect(json?["status"] as? Int == 502)
        let id = try #require(json?["request_id"] as? String)
        try everyhop.waitForAccess(id)
        let length = answer.components(separatedBy: "Content-Length: ")[1].prefix { $0.isNumber }
        #expect(Int(length) == body.count)
    }

    @Test func `a host of another binding is 421`() throws {
        let everyhop = try start(
            try freePort(),
            more: """
                [certificate.other]
                self_signed = ["other.example"]
                [[site]]
                name = "other"
                upstream = "app"
                [[site.binding]]
                ip = "127.0.0.1"
                port = PORT
                host = "other.example"
                certificate = "other"
                """.replacingOccurrences(of: "PORT", with: "\(try freePort())")
        )
        // The default binding serves any host; the other one only its own.
        #expect(try ask(everyhop, Self.get).hasPrefix("HTTP/1.1 502 "))
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        let ports = text.components(separatedBy: "port = ").dropFirst().compactMap { UInt16($0.prefix { $0.isNumber }) }
        let pem = try File.read("\(folder.path)/other.self-signed.pem")
        let context = try ClientContext(
            trust: .init(authoritiesPEM: pem, pins: []),
            name: "other.example",
            policy: .modern,
            alpn: []
        )
        let connection = try Connection(to: try #require(ports.last), context)
        try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        #expect(connection.receiveAll().hasPrefix("HTTP/1.1 421 "))
    }

    @Test func `a host that has a binding of its own is 421 for the default and for a wildcard`() throws {
        let everyhop = try start(try freePort())
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        let bindings = """
            [certificate.other]
            self_signed = ["own.example.org"]
            [certificate.wild]
            self_signed = ["*.example.org"]
            [[site]]
            name = "other"
            upstream = "app"
            [[site.binding]]
            ip = "127.0.0.1"
            port = \(everyhop.port)
            host = "own.example.org"
            certificate = "other"
            [[site]]
            name = "wild"
            upstream = "app"
            [[site.binding]]
            port = \(everyhop.port)
            host = "*.example.org"
            certificate = "wild"
            [[site.binding]]
            port = \(everyhop.port)
            host = "same.example.org"
            certificate = "wild"
            """
        try folder.write("everyhop.toml", text + "\n" + bindings)
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        for (host, status) in [
            ("localhost", "502"), ("own.example.org", "421"), ("any.example.org", "421"), ("example.org", "502"),
        ] {
            let get = Self.get.replacingOccurrences(of: "localhost", with: host)
            #expect(try ask(everyhop, get).hasPrefix("HTTP/1.1 \(status) "), "\(host)")
        }
        let pem = try File.read("\(folder.path)/wild.self-signed.pem")
        for (host, status) in [
            ("own.example.org", "421"), ("any.example.org", "502"), ("same.example.org", "502"), ("localhost", "421"),
        ] {
            let wild = try ClientContext(
                trust: .init(authoritiesPEM: pem, pins: []),
                name: "any.example.org",
                policy: .modern,
                alpn: []
            )
            let connection = try Connection(to: everyhop.port, wild)
            try connection.send(Self.get.replacingOccurrences(of: "localhost", with: host))
            #expect(connection.receiveAll().hasPrefix("HTTP/1.1 \(status) "), "\(host)")
        }
    }

    @Test func `a head that never ends is neither answered nor logged as an earlier client's request`() throws {
        let everyhop = try start(try freePort(), server: "timeouts = { head = \"1s\" }")
        let other =
            "HEAD /of-another HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        #expect(try ask(everyhop, other).hasPrefix("HTTP/1.1 502 "))
        let answer = try ask(everyhop, "G")
        #expect(answer.hasPrefix("HTTP/1.1 408 ") && answer.hasSuffix("</html>\n"))
        try everyhop.waitForAccess("\"status\":408", "\"path\":\"\"")
        #expect(everyhop.access.filter { $0.contains("of-another") }.count == 1)
    }

    @Test func `a server that takes nothing of a body is 504, not the client's fault`() throws {
        let isOver = Shared(false)
        defer { isOver.with { $0 = true } }
        let deaf = try server { _ in try waitUntil("the test's end", seconds: 60) { isOver.value } }
        let everyhop = try start(deaf.port, server: "timeouts = { body = \"500ms\" }")
        let client = try Connection(to: everyhop.port, try trust.client())
        client.beImpatient()
        try client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        let piece = [UInt8](repeating: 0x61, count: 1 << 20)
        while (try? client.send(piece)) != nil {}
        try everyhop.waitForAccess("\"status\":504", "the server took nothing")
    }

    /// Waits until the worker has used next to no processor time for a while.
    private func waitForRest(_ everyhop: EveryhopProcess) throws {
        let worker = try #require(try everyhop.workers().first)
        func ticks() throws -> Int {
            let text = String(decoding: try File.read("/proc/\(worker)/stat"), as: UTF8.self)
            let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
            return (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
        }
        try waitUntil("a worker at rest") {
            let before = try ticks()
            usleep(400_000)
            return try ticks() - before <= 4
        }
    }

    @Test func `a client that resets while the server takes nothing is gone at once`() throws {
        let isOver = Shared(false)
        defer { isOver.with { $0 = true } }
        let deaf = try server { _ in try waitUntil("the test's end", seconds: 60) { isOver.value } }
        let everyhop = try start(deaf.port)
        var client: Connection? = try Connection(to: everyhop.port, try trust.client())
        client?.beImpatient()
        try client?.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        let piece = [UInt8](repeating: 0x61, count: 1 << 20)
        while (try? client?.send(piece)) != nil {}
        client?.abort()
        client = nil
        try everyhop.waitForAccess("\"status\":499")
        try waitForRest(everyhop)
    }

    @Test func `a server that resets while the client reads nothing costs no time, and what it sent arrives`() throws {
        let size = 100_000_000
        let isFull = Shared(false)
        let generous = try ScriptedServer(certificate: trust.app) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            connection.sendUntilFull([UInt8](repeating: 0x61, count: 1 << 20))
            connection.abort()
            isFull.with { $0 = true }
        }
        let everyhop = try start(generous.port)
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try waitUntil("the server's reset") { isFull.value }
        try waitForRest(everyhop)
        let answer = client.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.utf8.count > 1 << 17 && answer.utf8.count < size)
        try everyhop.waitForAccess("\"status\":200", "\"error\":")
    }

    @Test func `plain HTTP on the TLS port is logged as such`() throws {
        let everyhop = try start(1)
        let connection = try Connection(to: everyhop.port, nil)
        try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _ = connection.receiveAll()
        try everyhop.waitForLog("plain HTTP on a TLS port")
    }

    @Test func `a request lost on a stale connection is sent again, a POST is not`() throws {
        let connections = Shared(0)
        let fickle = try server { connection in
            connections.with { $0 += 1 }
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            // The second request on a connection is read, and the connection dropped without an answer.
            _ = try connection.receive(until: "\r\n\r\n")
        }
        let everyhop = try start(fickle.port)
        let client = try Connection(to: everyhop.port, try trust.client())
        for _ in 0..<3 {
            try client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(try client.receive(until: "ok").hasPrefix("HTTP/1.1 200 "))
        }
        #expect(connections.value == 3)
        try client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi")
        #expect(try client.receive(until: "</html>").hasPrefix("HTTP/1.1 502 "))
        #expect(connections.value == 3)
    }

    @Test func `a chunked request whose end went to a stale connection is not sent again without its end`() throws {
        let fickle = try server { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            _ = try connection.receive(until: "0\r\n\r\n")
        }
        let everyhop = try start(fickle.port)
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(try client.receive(until: "ok").hasPrefix("HTTP/1.1 200 "))
        try client.send("PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        #expect(try client.receive(until: "</html>").hasPrefix("HTTP/1.1 502 "))
    }

    @Test func `a server that sends interim responses without end is 502`() throws {
        let chatty = try server { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            while true { try connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") }
        }
        let everyhop = try start(chatty.port)
        let answer = try ask(everyhop, Self.get)
        #expect(answer.components(separatedBy: "HTTP/1.1 103 ").count == 33)
        #expect(answer.contains("HTTP/1.1 502 "))
        try everyhop.waitForAccess("too many interim responses")
    }

    @Test func `a client that sends requests and reads no answer waits for itself`() throws {
        let everyhop = try start(try freePort())
        let worker = try #require(try everyhop.workers().first)
        let client = try Connection(to: everyhop.port, try trust.client())
        client.beImpatient()
        let batch = String(repeating: "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", count: 500)
        // Once everyhop reads no more, the sockets fill up and sending stands still.
        #expect(throws: DeadlinePassed.self) { for _ in 0..<2000 { try client.send(batch) } }
        let status = String(decoding: try File.read("/proc/\(worker)/status"), as: UTF8.self)
        let resident = status.split(separator: "\n").first { $0.hasPrefix("VmRSS") }?.split(separator: " ")
        #expect(Int(resident?.dropLast().last ?? "") ?? .max < 100_000)
        #expect(client.receiveAll().contains("HTTP/1.1 502 "))
    }
}
