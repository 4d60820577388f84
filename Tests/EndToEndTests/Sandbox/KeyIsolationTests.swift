import Foundation
import Platform
import Support
import TLS
import Testing

/// Private keys in a process of their own (`key_isolation`).
@Suite("Isolated keys") struct KeyIsolationTests {
    private let trust: TestTrust
    private let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    private func server() throws -> ScriptedServer {
        try ScriptedServer(certificate: trust.app) { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
    }

    /// What says that a handshake was ours: OpenSSL does not answer the server's name.
    private static let answeredName = "TLS server extension \"server name\""

    @Test(arguments: ["own", "openssl"]) func `hands are shaken by whom the configuration names`(_ who: String) throws {
        let everyhop = try start(isolated: false, upstream: try server().port, more: "handshakes = \"\(who)\"\n")
        for version in ["-tls1_2", "-tls1_3"] {
            let text = try Shell.run([
                "sh", "-c",
                "timeout 20 openssl s_client -connect localhost:\(everyhop.port) -servername localhost -groups X25519:P-256 "
                    + "-tlsextdebug \(version) < /dev/null 2>&1",
            ]).text
            #expect(text.contains("Cipher is"))
            #expect(text.contains(Self.answeredName) == (who == "own"), "\(text)")
        }
        for version in ["1.2", "1.3"] { #expect(try curl(everyhop, version: version) == "ok") }
    }

    private func start(isolated: Bool, upstream: UInt16, more: String = "", upstreamMore: String = "") throws
        -> EveryhopProcess
    {
        let port = try freePort()
        let text = try trust.configuration(
            port: port,
            upstream: upstream,
            server: "user = \"nobody\"",
            more: "[tls]\nkey_isolation = \(isolated)\n" + more,
            upstreamMore: upstreamMore
        )
        return try EveryhopProcess(folder, port: port, configuration: text)
    }

    /// Asks with the program curl, a version of TLS and a new connection.
    private func curl(_ everyhop: EveryhopProcess, version: String) throws -> String {
        try Shell.run([
            "curl", "-s", "--max-time", "10", "--tlsv\(version)", "--tls-max", version, "--cacert",
            "\(folder.path)/authority.pem", "https://localhost:\(everyhop.port)/",
        ]).text
    }

    private func process(_ kind: String, of everyhop: EveryhopProcess) throws -> Int32? {
        let result = try Shell.run(["ps", "--ppid", "\(everyhop.process)", "-o", "pid=,args="])
        return result.text.split(separator: "\n").filter { $0.hasSuffix("everyhop \(kind)") }
            .compactMap { Int32($0.split(separator: " ")[0]) }.first
    }

    /// Whether a process has some bytes anywhere in its memory.
    private func memory(of process: Int32, holds needle: [UInt8]) throws -> Bool {
        try !ProcessMemory(process: process).places(of: needle).isEmpty
    }

    /// The private number of an EC key, as `openssl` prints it.
    private func secret(of key: String) throws -> [UInt8] {
        let text = try Shell.run(["openssl", "ec", "-in", key, "-noout", "-text"]).text
        let lines = text.split(separator: "\n").drop { !$0.hasPrefix("priv") }.dropFirst()
        let digits = lines.prefix { $0.hasPrefix(" ") }.joined().filter { $0.isHexDigit }
        let bytes = stride(from: 0, to: digits.count, by: 2).compactMap { offset in
            UInt8(digits.dropFirst(offset).prefix(2), radix: 16)
        }
        return bytes.first == 0 ? Array(bytes.dropFirst()) : bytes
    }

    /// As a big number lies in memory: its lowest byte first.
    @Test(arguments: [true, false]) func `a worker has no private key`(_ isolated: Bool) throws {
        let everyhop = try start(isolated: isolated, upstream: try server().port)
        #expect(try curl(everyhop, version: "1.3") == "ok")
        let secret = try secret(of: "\(folder.path)/portal.key")
        #expect(secret.count >= 28)
        let worker = try #require(try everyhop.workers().first)
        let inWorker = try memory(of: worker, holds: secret.reversed())
        #expect(inWorker == !isolated)
        guard isolated else { return #expect(try process("signer", of: everyhop) == nil) }
        let signer = try #require(try process("signer", of: everyhop))
        #expect(try memory(of: signer, holds: secret.reversed()))
        // Nor has the worker the file that it came in.
        let body = try #require(trust.portal.keyPEM.split(separator: 0x0A).dropFirst().first)
        #expect(try !memory(of: worker, holds: Array(body)))
    }

    @Test func `what a key was read from is wiped`() throws {
        let everyhop = try start(isolated: false, upstream: try server().port)
        let body = try #require(trust.portal.keyPEM.split(separator: 0x0A).dropFirst().first)
        let worker = try #require(try everyhop.workers().first)
        #expect(try !memory(of: worker, holds: Array(body)))
    }

    /// "dd" is memory that no core file has: the secure heap.
    @Test func `session ticket keys lie in the secure heap alone, also after a replacement`() throws {
        func keys() -> [UInt8] { (0..<240).map { _ in UInt8.random(in: 0...255) } }
        // Names of keys are no secret: what follows them is.
        func secret(_ keys: [UInt8], _ index: Int) -> [UInt8] { Array(keys[(80 * index + 16)..<(80 * index + 80)]) }
        let old = keys()
        try File.write(old, to: "\(folder.path)/ticket.keys", mode: 0o600)
        let everyhop = try start(
            isolated: false,
            upstream: try server().port,
            more: "tickets = { keys = \"ticket.keys\" }\n"
        )
        let worker = ProcessMemory(process: try #require(try everyhop.workers().first))
        #expect(try curl(everyhop, version: "1.3") == "ok")
        for index in 0..<3 {
            let places = try worker.places(of: secret(old, index))
            #expect(places.count == 1 && places.allSatisfy { $0.contains("dd") }, "\(places)")
        }
        let next = keys()
        try File.write(next, to: "\(folder.path)/ticket.keys.new", mode: 0o600)
        #expect(rename("\(folder.path)/ticket.keys.new", "\(folder.path)/ticket.keys") == 0)
        try waitUntil("the new keys: \(everyhop.log)") { try !worker.places(of: secret(next, 0)).isEmpty }
        try waitUntil("that nothing is left of how they came") {
            try worker.places(of: secret(next, 2)).count == 1 && worker.places(of: secret(old, 0)).isEmpty
        }
        for index in 0..<3 {
            #expect(try worker.places(of: secret(old, index)).isEmpty)
            let places = try worker.places(of: secret(next, index))
            #expect(places.count == 1 && places.allSatisfy { $0.contains("dd") }, "\(places)")
        }
        #expect(try curl(everyhop, version: "1.3") == "ok")
    }

    @Test(arguments: ["rsa:2048", "rsa-pss", "ec:P-256", "ec:P-384", "ed25519"])
    func `keys of every kind sign in both versions`(_ kind: String) throws {
        let parts = kind.split(separator: ":").map(String.init)
        var arguments = ["openssl", "req", "-x509", "-nodes", "-days", "7", "-subj", "/CN=localhost"]
        arguments += ["-addext", "subjectAltName=DNS:localhost", "-keyout", "\(folder.path)/portal.key"]
        arguments += ["-out", "\(folder.path)/portal.pem"]
        switch parts[0] {
        case "rsa": arguments += ["-newkey", kind]
        case "ec": arguments += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:\(parts[1])"]
        default: arguments += ["-newkey", parts[0]]
        }
        #expect(try Shell.run(arguments, merged: true).status == 0)
        let everyhop = try start(isolated: true, upstream: try server().port)
        for version in ["1.2", "1.3"] {
            let answer = try Shell.run(
                [
                    "openssl", "s_client", "-connect", "localhost:\(everyhop.port)", "-servername", "localhost",
                    "-tls\(version.replacingOccurrences(of: ".", with: "_"))", "-CAfile", "\(folder.path)/portal.pem",
                    "-verify_return_error", "-brief",
                ],
                merged: true
            )
            #expect(answer.text.contains("Verification: OK"), "\(kind) \(version): \(answer.text)\n\(everyhop.log)")
            #expect(answer.text.contains("TLSv\(version)"))
        }
    }

    @Test func `a key of a kind that the signer does not have is found out before anything starts`() throws {
        let made = try Shell.run(
            [
                "openssl", "req", "-x509", "-nodes", "-days", "7", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=DNS:localhost", "-newkey", "ed448", "-keyout", "\(folder.path)/portal.key", "-out",
                "\(folder.path)/portal.pem",
            ],
            merged: true
        )
        #expect(made.status == 0, "\(made.text)")
        for (isolates, status) in [(true, 1), (false, 0)] {
            let text = try trust.configuration(
                port: 8443,
                upstream: 1,
                more: "[tls]\nkey_isolation = \(isolates)\n"
            )
            let file = try folder.write("everyhop.toml", text)
            let checked = try Shell.run([EveryhopProcess.program, "check", "--config", file], merged: true)
            #expect(checked.status == status, "\(checked.text)")
            let complaint =
                "everyhop.toml:10:7: error: certificate \"portal\" has a key (ED448) that cannot be isolated"
            #expect(checked.text.contains(complaint) == isolates, "\(checked.text)")
        }
    }

    @Test(arguments: ["TLSv1.2", "TLSv1.3"])
    func `a certificate for servers is signed for, too`(_ version: String) throws {
        let nginx = try Nginx(
            trust,
            more: "ssl_client_certificate \(folder.path)/authority.pem; ssl_verify_client on;",
            protocols: version
        )
        chmod(folder.path, 0o755)
        let edge = try CertificateMaker.issue(names: ["edge.internal"], by: trust.authority)
        try folder.write("edge.pem", edge.certificatePEM)
        try folder.write("edge.key", edge.keyPEM)
        let everyhop = try start(
            isolated: true,
            upstream: nginx.port,
            more: "[certificate.edge]\nchain = \"edge.pem\"\nkey = \"edge.key\"\n",
            upstreamMore: "client_certificate = \"edge\"\nhealth = { path = \"/headers\", interval = \"200ms\" }"
        )
        let answer = try Shell.run([
            "curl", "-s", "--max-time", "10", "--cacert", "\(folder.path)/authority.pem",
            "https://localhost:\(everyhop.port)/headers",
        ]).text
        #expect(answer.contains("proto=https"), "\(everyhop.log)")
    }

    @Test func `handshakes fail without a signer, and go on with the next`() throws {
        let everyhop = try start(isolated: true, upstream: try server().port)
        #expect(try curl(everyhop, version: "1.3") == "ok")
        let signer = try #require(try process("signer", of: everyhop))
        kill(signer, SIGKILL)
        try everyhop.waitForLog("the signer died")
        try waitUntil("a handshake with another signer:\n\(everyhop.log)") {
            try curl(everyhop, version: "1.3") == "ok"
        }
        #expect(try process("signer", of: everyhop) != signer)
        // The worker is the same: nobody lost a connection.
        #expect(!everyhop.log.contains("its connections are lost"))
    }

    /// So many handshakes that the signer would be replaced before their end, if each of them waited for it.
    @Test func `a signer that hangs makes nobody wait, and handshakes go on when it does`() throws {
        let everyhop = try start(isolated: true, upstream: try server().port)
        let established = try Connection(to: everyhop.port, try trust.client())
        func isAnswered() throws -> Bool {
            try established.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return try established.receive(until: "\r\n\r\nok").hasPrefix("HTTP/1.1 200")
        }
        #expect(try isAnswered())
        let signer = try #require(try process("signer", of: everyhop))
        kill(signer, SIGSTOP)
        for _ in 0..<20 {
            #expect(throws: (any Error).self) { try Connection(to: everyhop.port, try trust.client()) }
            #expect(try isAnswered())
        }
        #expect(try process("signer", of: everyhop) == signer, "\(everyhop.log)")
        try everyhop.waitForLog("TLS handshake: the signer does not answer")
        kill(signer, SIGCONT)
        try waitUntil("a handshake:\n\(everyhop.log)") { (try? Connection(to: everyhop.port, trust.client())) != nil }
        // What was asked for in the meantime is answered by now, and mistaken for nothing else.
        for version in ["1.2", "1.3"] { #expect(try curl(everyhop, version: version) == "ok") }
        #expect(try process("signer", of: everyhop) == signer && isAnswered())
    }

    /// Whether a process is confined already and waits in poll, as nothing of a worker does that serves.
    private func waits(_ process: Int32) -> Bool {
        let read = { (name: String) in
            (try? File.read("/proc/\(process)/\(name)")).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        return read("status").contains("Seccomp:\t2") && ["7", "73"].contains(read("syscall").prefix { $0 != " " })
    }

    @Test(arguments: [true, false])
    func `a worker waits for a signer that has not begun, but not for ever`(_ begins: Bool) throws {
        let everyhop = try start(isolated: true, upstream: try server().port)
        let worker = try #require(try everyhop.workers().first)
        let signer = try #require(try process("signer", of: everyhop))
        kill(signer, SIGSTOP)
        kill(worker, SIGKILL)
        try waitUntil("the next worker:\n\(everyhop.log)") {
            try process("worker", of: everyhop).map { $0 != worker && waits($0) } ?? false
        }
        if !begins {
            try everyhop.waitForLog("the signer has not begun: handshakes fail until it answers")
            try everyhop.waitForLog("worker 0 serves", count: 2)
        }
        kill(signer, SIGCONT)
        try everyhop.waitForLog("worker 0 serves", count: 2)
        if begins { #expect(try curl(everyhop, version: "1.3") == "ok") }
        try waitUntil("a handshake:\n\(everyhop.log)") { try curl(everyhop, version: "1.2") == "ok" }
        #expect(everyhop.log.contains("the signer has not begun") != begins)
        #expect(try process("signer", of: everyhop) == signer)
    }

    @Test func `a key that is replaced signs at once`() throws {
        let everyhop = try start(isolated: true, upstream: try server().port)
        #expect(try curl(everyhop, version: "1.3") == "ok")
        let next = try CertificateMaker.issue(names: ["localhost"], by: trust.authority)
        try folder.write("portal.pem", next.certificatePEM)
        try folder.write("portal.key", next.keyPEM)
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("certificate replaced")
        try waitUntil("the new key") { try curl(everyhop, version: "1.3") == "ok" }
        let shown = try Shell.run(
            ["openssl", "s_client", "-connect", "localhost:\(everyhop.port)", "-servername", "localhost", "-brief"],
            merged: true
        )
        #expect(shown.status == 0)
        #expect(try curl(everyhop, version: "1.3") == "ok")
        #expect(try curl(everyhop, version: "1.2") == "ok")
    }
}
