import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Processes and signals") struct ProcessTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func start(server: String = "", upstream: UInt16, more: String = "", workers: Int = 1) throws
        -> EveryhopProcess
    {
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: upstream, server: server, more: more)
        return try EveryhopProcess(
            folder,
            port: port,
            configuration: text.replacingOccurrences(of: "workers = 1", with: "workers = \(workers)")
        )
    }

    private func server(_ body: String = "ok") throws -> ScriptedServer {
        try ScriptedServer(certificate: trust.app) { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            }
        }
    }

    private func ask(_ everyhop: EveryhopProcess, _ context: ClientContext? = nil) throws -> (
        text: String, facts: TLSFacts?
    ) {
        let connection = try Connection(to: everyhop.port, try context ?? trust.client())
        try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let text = connection.receiveAll()
        return (text, connection.facts)
    }

    @Test func `a killed worker is replaced within a second`() throws {
        let everyhop = try start(upstream: try server().port)
        let worker = try #require(try everyhop.workers().first)
        let before = Clock.monotonicMicroseconds()
        kill(worker, SIGKILL)
        try waitUntil("a request after the worker's death") {
            (try? ask(everyhop).text.hasPrefix("HTTP/1.1 200")) ?? false
        }
        #expect(Clock.monotonicMicroseconds() - before < 1_500_000)
        #expect(try everyhop.workers().first != worker)
        try everyhop.waitForLog("worker 0 died; its connections are lost")
    }

    @Test func `SIGTERM finishes what is under way and ends with 0`() throws {
        let (isAsked, released) = (Shared(false), Shared(false))
        let slow = try ScriptedServer(certificate: trust.app) { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            isAsked.with { $0 = true }
            try waitUntil("the test's word") { released.value }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        let everyhop = try start(upstream: slow.port)
        let connection = try Connection(to: everyhop.port, try trust.client())
        try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try waitUntil("the request at the server") { isAsked.value }
        everyhop.signal(SIGTERM)
        try everyhop.waitForLog("stopping")
        released.with { $0 = true }
        let answer = connection.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 200 OK"))
        #expect(answer.contains("Connection: close"))
        #expect(try everyhop.waitForEnd() == 0)
    }

    @Test func `a session resumes whichever worker answers`() throws {
        let everyhop = try start(upstream: try server().port, workers: 2)
        let context = try trust.client()
        var resumed = 0
        for _ in 0..<12 { if try ask(everyhop, context).facts?.resumed == true { resumed += 1 } }
        #expect(resumed == 11)
    }

    @Test func `SIGUSR1 opens the access log again`() throws {
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: try server().port)
            .replacingOccurrences(of: "access = \"stdout\"", with: "access = \"\(folder.path)/access.jsonl\"")
        let everyhop = try EveryhopProcess(folder, port: port, configuration: text)
        _ = try ask(everyhop)
        let path = "\(folder.path)/access.jsonl"
        try waitUntil("the first line") { ((try? File.read(path))?.count ?? 0) > 0 }
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        everyhop.signal(SIGUSR1)
        try everyhop.waitForLog("access log reopened")
        try waitUntil("a line in the new file") {
            _ = try ask(everyhop)
            return ((try? File.read(path))?.count ?? 0) > 0
        }
        let line = try #require(String(decoding: try File.read(path), as: UTF8.self).split(separator: "\n").first)
        let json = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        #expect(json?["status"] as? Int == 200)
        #expect(json?["server_tls_version"] as? String == "TLSv1.3")
    }

    @Test func `a reload loses no connection and no request`() throws {
        let everyhop = try start(upstream: try server().port)
        let old = try Connection(to: everyhop.port, try trust.client())
        try old.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(try old.receive(until: "ok").hasPrefix("HTTP/1.1 200"))
        for round in 2...4 {
            everyhop.signal(SIGHUP)
            for _ in 0..<10 { #expect(try ask(everyhop).text.hasPrefix("HTTP/1.1 200")) }
            try everyhop.waitForLog("ready", count: round)
        }
        // The idle connection is ended politely, then its worker ends.
        _ = old.receiveAll()
        _ = consume old
        try waitUntil("the end of the old generations") { try everyhop.workers().count == 1 }
    }

    @Test func `a name that is new with a reload is known before anybody asks for it`() throws {
        let server = try server()
        let everyhop = try start(upstream: server.port)
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        try folder.write(
            "everyhop.toml",
            text.replacingOccurrences(of: "\"127.0.0.1:\(server.port)\"", with: "\"localhost:\(server.port)\"")
        )
        everyhop.signal(SIGHUP)
        while !everyhop.log.contains("generation=\"2\" workers=") {
            #expect(try ask(everyhop).text.hasPrefix("HTTP/1.1 200"))
        }
        for _ in 0..<20 { #expect(try ask(everyhop).text.hasPrefix("HTTP/1.1 200")) }
    }

    @Test func `a reload to fewer workers leaves no socket without one`() throws {
        let everyhop = try start(upstream: try server().port, workers: 4)
        let text = String(decoding: try File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)
        try folder.write("everyhop.toml", text.replacingOccurrences(of: "workers = 4", with: "workers = 1"))
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        try waitUntil("the end of the old workers") { try everyhop.workers().count == 1 }
        // The kernel spreads these over all sockets that there are.
        for _ in 0..<24 { #expect(try ask(everyhop).text.hasPrefix("HTTP/1.1 200")) }
    }

    @Test func `a reload that is asked for during another one follows it`() throws {
        let everyhop = try start(upstream: try server().port)
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("reloading")
        try folder.write("everyhop.toml", "[server]\nworkerz = 1\n")
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("reload refused")
        try everyhop.waitForLog("ready", count: 2)
        #expect(try ask(everyhop).text.hasPrefix("HTTP/1.1 200"))
    }

    @Test func `a worker that dies after a reload does not bring the old configuration back`() throws {
        let isOver = Shared(false)
        let slow = try ScriptedServer(certificate: trust.app) { connection in
            let request = try connection.receive(until: "\r\n\r\n")
            if request.contains("/slow") { try waitUntil("the test's end", seconds: 60) { isOver.value } }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        defer { isOver.with { $0 = true } }
        let everyhop = try start(upstream: slow.port)
        let old = try everyhop.workers()
        // Keeps the old worker draining.
        let waiting = try Connection(to: everyhop.port, try trust.client())
        try waiting.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try waitUntil("the slow request") { try ask(everyhop).text.hasPrefix("HTTP/1.1 200") }
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        // Killed as soon as they are there, most of them have not begun to serve.
        var killed: Set<Int32> = []
        try waitUntil("five deaths", seconds: 10) {
            for worker in try everyhop.workers() where !old.contains(worker) && killed.insert(worker).inserted {
                kill(worker, SIGKILL)
            }
            return killed.count >= 5
        }
        try waitUntil("an answer") { (try? ask(everyhop).text.hasPrefix("HTTP/1.1 200")) == true }
        #expect(!everyhop.log.contains("the present one stays"))
    }

    @Test func `the admin address tells metrics and health`() throws {
        let admin = try freePort()
        let everyhop = try start(server: "admin = \"127.0.0.1:\(admin)\"", upstream: try server().port)
        for _ in 0..<3 { _ = try ask(everyhop) }
        let text = try Shell.run([
            "curl", "-sS", "--retry", "5", "--retry-connrefused", "http://127.0.0.1:\(admin)/metrics",
        ]).text
        #expect(text.contains("\neveryhop_requests_total 3\n"))
        #expect(text.contains("everyhop_responses_total{class=\"2xx\"} 3\n"))
        #expect(text.contains("everyhop_upstream_requests_total{upstream=\"app\"} 3\n"))
        #expect(text.contains("everyhop_request_seconds_bucket{le=\"+Inf\"} 3\n"))
        // Counts survive the worker that made them.
        kill(try #require(try everyhop.workers().first), SIGKILL)
        try everyhop.waitForLog("worker 0 serves", count: 2)
        try waitUntil("the old counts") {
            try Shell.run(["curl", "-sS", "http://127.0.0.1:\(admin)/metrics"]).text.contains(
                "\neveryhop_requests_total 3\n"
            )
        }
        #expect(try Shell.run(["curl", "-sS", "http://127.0.0.1:\(admin)/healthz"]).text == "ok\n")
    }

    @Test func `a plain address answers with the https address and nothing else`() throws {
        let plain = try freePort()
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: 1)
            .replacingOccurrences(
                of: "upstream = \"app\"\n[[site.b",
                with: "upstream = \"app\"\nredirect = [\"127.0.0.1:\(plain)\"]\n[[site.b"
            )
        let everyhop = try EveryhopProcess(folder, port: port, configuration: text)
        let connection = try Connection(to: plain, nil)
        try connection.send("POST /a?b=c HTTP/1.1\r\nHost: localhost:\(plain)\r\nContent-Length: 5\r\n\r\nhello")
        let answer = connection.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 308 "))
        #expect(answer.contains("\r\nLocation: https://localhost:\(everyhop.port)/a?b=c\r\n"))
    }

    @Test func `at the connection limit new clients wait, and a line says so`() throws {
        let everyhop = try start(server: "maximum_connections = 3", upstream: try server().port)
        var held: [Connection] = []
        let context = try trust.client()
        for _ in 0..<3 { held.append(try Connection(to: everyhop.port, context)) }
        try everyhop.waitForLog("connection limit reached")
        let late = try? Connection(to: everyhop.port, context, seconds: 1)
        #expect(late == nil)
        // Clients that come and go at the limit are no news.
        let begin = Clock.monotonicMicroseconds()
        for _ in 0..<20 {
            held.removeFirst()
            held.append(try Connection(to: everyhop.port, context))
        }
        let told = everyhop.log.components(separatedBy: "connection limit reached").count - 1
        #expect(told <= 2 + Int((Clock.monotonicMicroseconds() - begin) / 9_000_000))
        held.removeAll()
        #expect(try ask(everyhop).text.hasPrefix("HTTP/1.1 200"))
    }

    @Test func `check tells every error at once, with place and fix`() throws {
        let file = try folder.write(
            "bad.toml",
            """
            [server]
            wrkers = 2
            [certificate.portal]
            chain = "missing.pem"
            key = "portal.key"
            [certificate.mixed]
            chain = "portal.pem"
            key = "app.key"
            [[site]]
            name = "portal"
            upstream = "ap"
            [[site.binding]]
            port = 70000
            certificate = "portal"
            [[site.binding]]
            host = "other.example"
            certificate = "good"
            [certificate.good]
            chain = "portal.pem"
            key = "portal.key"
            [[upstream]]
            name = "app"
            servers = ["10.0.0.1:80"]
            plaintext = true
            [[site]]
            name = "twice"
            upstream = "app"
            [[site.binding]]
            port = 444
            certificate = ["good", "good"]
            """
        )
        let result = try Shell.run([EveryhopProcess.program, "check", "--config", file], merged: true)
        #expect(result.status == 1)
        for expected in [
            ":2:1: error: unknown key \"wrkers\" in [server]", "did you mean \"workers\"?",
            ":4:9: error: chain \"missing.pem\" cannot be read: No such file or directory",
            ":8:7: error: certificate \"mixed\": the private key does not belong to the certificate",
            ":11:12: error: there is no upstream \"ap\"", "did you mean \"app\"?",
            ":13:8: error: port 70000 is out of range",
            ":16:8: error: certificate \"good\" does not cover host \"other.example\"",
            ":30:24: error: both certificates of the binding have a key of the kind ECDSA",
            ":23:12: error: 10.0.0.1:80 is not on this host: it cannot be spoken to in plain",
        ] { #expect(result.text.contains(expected), "\(expected) in:\n\(result.text)") }
    }

    @Test func `certificates are made, imported and shown`() throws {
        let program = EveryhopProcess.program
        let made = try Shell.run(
            [program, "cert", "self-signed", "a.example", "192.0.2.1", "--out", "\(folder.path)/a"],
            merged: true
        )
        #expect(made.status == 0)
        let subject = try Shell.run([
            "openssl", "x509", "-in", "\(folder.path)/a.pem", "-noout", "-ext", "subjectAltName",
        ]).text
        #expect(subject.contains("DNS:a.example, IP Address:192.0.2.1"))
        let request = try Shell.run([program, "cert", "csr", "b.example", "--key", "rsa", "--out", "\(folder.path)/b"])
        #expect(request.status == 0)
        #expect(
            try Shell.run(
                ["openssl", "req", "-in", "\(folder.path)/b.csr", "-noout", "-verify", "-text"],
                merged: true
            ).text.contains("DNS:b.example")
        )
        try folder.write("pass", "secret\n")
        _ = try Shell.run([
            "openssl", "pkcs12", "-export", "-in", "\(folder.path)/a.pem", "-inkey", "\(folder.path)/a.key", "-out",
            "\(folder.path)/a.pfx",
            "-passout", "pass:secret",
        ])
        let imported = try Shell.run([
            program, "cert", "import-pfx", "\(folder.path)/a.pfx", "--password-file", "\(folder.path)/pass", "--out",
            "\(folder.path)/c",
        ])
        #expect(imported.status == 0)
        #expect(try File.read("\(folder.path)/c.pem") == File.read("\(folder.path)/a.pem"))
        let again = try Shell.run(
            [program, "cert", "self-signed", "a.example", "--out", "\(folder.path)/a"],
            merged: true
        )
        #expect(again.status != 0 && again.text.contains("--force"))
    }

    @Test func `a command line that is none ends with 2 and says how it is done; help ends with 0`() throws {
        for arguments in [["nonsense"], ["run"], ["pin"], ["audit", "--format", "pdf"]] {
            let result = try Shell.run([EveryhopProcess.program] + arguments, merged: true)
            #expect(result.status == 2 && result.text.contains("Usage: everyhop"), "\(arguments): \(result.text)")
        }
        let help = try Shell.run([EveryhopProcess.program, "audit", "--help"])
        #expect(help.status == 0 && help.text.contains("SUBCOMMANDS"))
    }

    @Test func `pin prints what openssl computes`() throws {
        let nginx = try Nginx(trust)
        let result = try Shell.run([EveryhopProcess.program, "pin", "127.0.0.1:\(nginx.port)"])
        let expected = try Shell.run([
            "sh", "-c",
            "openssl x509 -in \(folder.path)/app.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64",
        ]).text
        #expect(result.text.contains("trust = { pins = [\"sha256/\(expected.dropLast())\"] }"))
    }

    @Test func `the demonstration works as it says, and a signal to all of its processes drains it`() throws {
        let output = "\(folder.path)/output"
        let process = try ChildProcess.spawn(
            "/bin/sh",
            arguments: [
                "sh", "-c", "cd \"$0\" && exec setsid \"$1\" demo --port 0 > \"$2\" 2>&1", folder.path,
                EveryhopProcess.program, output,
            ],
            environment: ChildProcess.currentEnvironment(),
            descriptors: []
        )
        defer {
            ChildProcess.end(process)
            _ = ChildProcess.wait(for: process)
        }
        let text = { (try? String(decoding: File.read(output), as: UTF8.self)) ?? "" }
        try waitUntil("the demonstration") { text().contains("ready") }
        let line = try #require(text().split(separator: "\n").first { $0.contains("curl --cacert") })
        let command = line[(line.range(of: "curl")?.lowerBound ?? line.startIndex)...]
        let answer = try Shell.run(["sh", "-c", "cd \(folder.path) && \(command) -sS -m 10"]).text
        #expect(answer.contains("This is the legacy application") && answer.contains("X-Forwarded-Proto: https"))
        kill(-process, SIGTERM)
        try waitUntil("a draining end: \(text())") {
            text().components(separatedBy: "has ended how=\"status 0\"").count >= 2
        }
        #expect(!text().contains("signal 15"))
    }
}
