import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("What is passed on") struct ForwardingTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func start(_ upstream: UInt16, change: (String) -> String = { $0 }) throws -> EveryhopProcess {
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: upstream)
        return try EveryhopProcess(folder, port: port, configuration: change(text))
    }

    private func server(_ script: @escaping @Sendable (Connection) throws -> Void) throws -> ScriptedServer {
        try ScriptedServer(certificate: trust.app, script: script)
    }

    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    private static let get = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    @Test func `100-continue is the server's to say, and the body waits for it`() throws {
        let seen = Shared("")
        let careful = try server { connection in
            let head = try connection.receive(until: "\r\n\r\n")
            seen.with { $0 = head }
            try connection.send("HTTP/1.1 100 Continue\r\n\r\n")
            _ = try connection.receive(until: "hello")
            try connection.send(Self.ok)
        }
        let everyhop = try start(careful.port)
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
        #expect(seen.value.contains("\r\nExpect: 100-continue\r\n"))
        try client.send("hello")
        #expect(try client.receive(until: "ok").hasPrefix("HTTP/1.1 200 OK"))
    }

    @Test func `trailers pass both ways`() throws {
        let seen = Shared("")
        let echo = try server { connection in
            let text = try connection.receive(until: "X-Sum: 1\r\n\r\n")
            seen.with { $0 = text }
            try connection.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Back: 2\r\n\r\n"
            )
        }
        let everyhop = try start(echo.port)
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send(
            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n"
        )
        #expect(try client.receive(until: "X-Back: 2\r\n\r\n").hasSuffix("2\r\nok\r\n0\r\nX-Back: 2\r\n\r\n"))
        #expect(seen.value.hasSuffix("2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n"))
    }

    @Test func `a client of HTTP/1.0 gets a chunked body as it is, ended by the close`() throws {
        let chunked = try server { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
            )
        }
        let everyhop = try start(chunked.port)
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        let answer = client.receiveAll()
        #expect(answer.hasSuffix("\r\n\r\nabcdef") && !answer.contains("Transfer-Encoding"))
    }

    @Test func `an early answer is passed on, and both connections end`() throws {
        let hasty = try server { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            while try connection.receive() != nil {}
        }
        let everyhop = try start(hasty.port)
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nbeginning")
        let answer = client.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 403 ") && answer.hasSuffix("no"))
    }

    @Test func `a name is resolved, and one that has no address is 503`() throws {
        let answering = try server { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty { try connection.send(Self.ok) }
        }
        let everyhop = try start(answering.port) {
            $0.replacingOccurrences(of: "127.0.0.1:\(answering.port)", with: "localhost:\(answering.port)")
        }
        try waitUntil("an address for localhost") {
            let client = try Connection(to: everyhop.port, try trust.client())
            try client.send(Self.get)
            return client.receiveAll().hasPrefix("HTTP/1.1 200")
        }
        let other = try TemporaryFolder()
        try trust.write(to: other)
        let port = try freePort()
        let nowhere = try EveryhopProcess(
            other,
            port: port,
            configuration: try trust.configuration(port: port, upstream: 1).replacingOccurrences(
                of: "127.0.0.1:1\"",
                with: "none.invalid:1\""
            )
        )
        let client = try Connection(to: nowhere.port, try trust.client())
        try client.send(Self.get)
        #expect(client.receiveAll().hasPrefix("HTTP/1.1 503 "))
        try nowhere.waitForLog("cannot resolve none.invalid")
    }

    @Test func `another server is asked when the first refuses`() throws {
        let answering = try server { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty { try connection.send(Self.ok) }
        }
        let dead = try freePort()
        let everyhop = try start(answering.port) {
            $0.replacingOccurrences(of: "servers = [", with: "servers = [\"127.0.0.1:\(dead)\", ")
        }
        for _ in 0..<4 {
            let client = try Connection(to: everyhop.port, try trust.client())
            try client.send(Self.get)
            #expect(client.receiveAll().hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func `a limit of connections that rest with another server keeps nobody waiting`() throws {
        let first = try server { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty { try connection.send(Self.ok) }
        }
        let second = try server { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty { try connection.send(Self.ok) }
        }
        let everyhop = try start(second.port) {
            $0.replacingOccurrences(
                of: "servers = [",
                with: "maximum_connections = 1\nbalance = \"round-robin\"\nservers = [\"127.0.0.1:\(first.port)\", "
            )
        }
        for _ in 0..<4 {
            let client = try Connection(to: everyhop.port, try trust.client())
            try client.send(Self.get)
            #expect(client.receiveAll().hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test(arguments: [
        "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ])
    func `the log tells the bytes of head and body, in one piece or in several`(_ rest: String) throws {
        // What comes in pieces goes on in pieces: chunks that are not the client's.
        let end = rest.contains("chunked") ? "\r\n0\r\n\r\n" : "hello"
        let answering = try server { connection in
            while try !connection.receive(until: end).isEmpty { try connection.send(Self.ok) }
        }
        let everyhop = try start(answering.port)
        let request = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + rest
        let whole = try Connection(to: everyhop.port, try trust.client())
        try whole.send(request)
        #expect(whole.receiveAll().hasPrefix("HTTP/1.1 200"))
        let split = try Connection(to: everyhop.port, try trust.client())
        for byte in request.utf8 { try split.send([byte]) }
        #expect(split.receiveAll().hasPrefix("HTTP/1.1 200"))
        let count = "\"bytes_in\":\(request.utf8.count),"
        try waitUntil("two lines with \(count):\n\(everyhop.access)") {
            everyhop.access.filter { $0.contains(count) }.count == 2
        }
    }

    @Test func `a unix socket on this host may be spoken to in plain`() throws {
        let path = "\(folder.path)/app.sock"
        let ready = Shared(false)
        let thread = Thread {
            guard let listener = try? Socket.listen(on: .unix(path: path), sharePort: false) else { return }
            ready.with { $0 = true }
            while true {
                if let accepted = try? Socket.accept(from: listener),
                    let connection = try? Connection(accepted: accepted.takeDescriptor(), nil)
                {
                    _ = try? connection.receive(until: "\r\n\r\n")
                    try? connection.send(Self.ok)
                    return
                }
                usleep(1000)
            }
        }
        thread.start()
        try waitUntil("the socket") { ready.value }
        let everyhop = try start(1) { text in
            text.split(separator: "\n", omittingEmptySubsequences: false)
                .filter { !$0.hasPrefix("trust") && !$0.hasPrefix("server_name") }
                .map { $0.hasPrefix("servers") ? "servers = [\"unix:\(path)\"]\nplaintext = true" : String($0) }.joined(
                    separator: "\n"
                )
        }
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send(Self.get)
        #expect(client.receiveAll().hasPrefix("HTTP/1.1 200"))
        try everyhop.waitForAccess("\"server_plaintext\":true")
    }

    @Test func `a server that asks for a certificate gets ours`() throws {
        let strict = try Nginx(
            trust,
            more: "ssl_verify_client on; ssl_client_certificate PATH/authority.pem; ssl_verify_depth 2;"
        )
        let text = try trust.configuration(port: 0, upstream: strict.port)
        let port = try freePort()
        let with = text.replacingOccurrences(of: "port = 0", with: "port = \(port)")
            .replacingOccurrences(of: "trust = {", with: "client_certificate = \"edge\"\ntrust = {")
            .replacingOccurrences(
                of: "[[site]]",
                with: "[certificate.edge]\nchain = \"app.pem\"\nkey = \"app.key\"\n[[site]]"
            )
        let everyhop = try EveryhopProcess(folder, port: port, configuration: with)
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send("GET /headers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let answer = client.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 200"), "\(answer)")
    }

    @Test func `old clients get the RSA certificate, others the ECDSA one`() throws {
        let rsa = try CertificateMaker.issue(names: ["localhost"], by: trust.authority, key: .rsa)
        try folder.write("rsa.pem", rsa.certificatePEM)
        try folder.write("rsa.key", rsa.keyPEM)
        let everyhop = try start(1) {
            $0.replacingOccurrences(of: "certificate = \"portal\"", with: "certificate = [\"portal\", \"rsa\"]")
                .replacingOccurrences(
                    of: "[[site]]",
                    with: "[certificate.rsa]\nchain = \"rsa.pem\"\nkey = \"rsa.key\"\n[[site]]"
                )
        }
        for (algorithms, key) in [("RSA-PSS+SHA256", "rsaEncryption"), ("ECDSA+SHA256", "id-ecPublicKey")] {
            let text = try Shell.run([
                "sh", "-c",
                "openssl s_client -connect localhost:\(everyhop.port) -servername localhost -sigalgs \(algorithms) < /dev/null 2>/dev/null | openssl x509 -noout -text",
            ]).text
            #expect(text.contains(key))
        }
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func `the modern policy refuses TLS 1.2`(_ version: String) throws {
        let everyhop = try start(1) { $0 + "\n[tls]\npolicy = \"modern\"\n" }
        let text = try Shell.run([
            "sh", "-c", "openssl s_client -connect localhost:\(everyhop.port) \(version) < /dev/null 2>&1",
        ]).text
        #expect(text.contains("Cipher is TLS_AES_128_GCM_SHA256") == (version == "-tls1_3"))
    }

    @Test func `workers are the configured user and can gain nothing`() throws {
        try #require(Privileges.isRoot, "this test needs root, as a container of a build has it")
        let everyhop = try start(1) {
            $0.replacingOccurrences(of: "workers = 1", with: "workers = 1\nuser = \"nobody\"")
        }
        let worker = try #require(try everyhop.workers().first)
        let status = String(decoding: try File.read("/proc/\(worker)/status"), as: UTF8.self)
        #expect(status.contains("Uid:\t65534\t65534\t65534\t65534"))
        #expect(status.contains("NoNewPrivs:\t1") && status.contains("Groups:\t \n"))
    }

    private func memory(of everyhop: EveryhopProcess) throws -> Int {
        let worker = try #require(try everyhop.workers().first)
        let status = String(decoding: try File.read("/proc/\(worker)/status"), as: UTF8.self)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS") } ?? ""
        return Int(line.split(separator: " ").dropLast().last ?? "") ?? 0
    }

    @Test func `a server that reads nothing makes the client wait, not the worker grow`() throws {
        let stuck = Shared(true)
        let deaf = try server { _ in try waitUntil("the test's end", seconds: 60) { !stuck.value } }
        let everyhop = try start(deaf.port)
        let before = try memory(of: everyhop)
        let client = try Connection(to: everyhop.port, try trust.client())
        client.beImpatient()
        try client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        let piece = [UInt8](repeating: 0x61, count: 1 << 20)
        var sent = 0
        while sent < 100, (try? client.send(piece)) != nil { sent += 1 }
        #expect(sent < 100)
        #expect(try memory(of: everyhop) - before < 4096)
        stuck.with { $0 = false }
    }

    @Test func `a client that reads nothing makes the server wait, not the worker grow`() throws {
        let sent = Shared(0)
        let generous = try server { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            let piece = [UInt8](repeating: 0x61, count: 1 << 16)
            for _ in 0..<1600 {
                try connection.send(piece)
                sent.with { $0 += 1 }
            }
        }
        let everyhop = try start(generous.port)
        let before = try memory(of: everyhop)
        let client = try Connection(to: everyhop.port, try trust.client())
        try client.send(Self.get)
        var last = -1
        try waitUntil("the server's pause") {
            defer { last = sent.value }
            usleep(300_000)
            return last == sent.value && last > 0
        }
        #expect(sent.value < 1600)
        #expect(try memory(of: everyhop) - before < 4096)
        client.abort()
    }
}
