import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Real clients and servers", .serialized) struct RealPeerTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let nginx: Nginx
    let everyhop: EveryhopProcess

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        nginx = try Nginx(trust)
        let port = try freePort()
        everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: try trust.configuration(port: port, upstream: nginx.port)
        )
    }

    private func curl(_ arguments: String...) throws -> ProgramResult {
        try Shell.run(
            ["curl", "--http1.1", "-sS", "-m", "100", "--cacert", "\(folder.path)/authority.pem"] + arguments,
            merged: false
        )
    }

    private func memory(of process: Int32) throws -> Int {
        let status = String(decoding: try File.read("/proc/\(process)/status"), as: UTF8.self)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS") } ?? ""
        return Int(line.split(separator: " ").dropLast().last ?? "") ?? 0
    }

    @Test func `curl gets nginx's page, and nginx what the proxy says of the client`() throws {
        let answer = try curl(
            "-H",
            "X-Forwarded-For: 6.6.6.6",
            "-H",
            "Via: 1.0 liar",
            "https://localhost:\(everyhop.port)/headers"
        ).text
        #expect(answer.hasPrefix("for=127.0.0.1 proto=https host=localhost:\(everyhop.port) via=1.1 everyhop id="))
        try everyhop.waitForAccess("\"server_reused\":false", "\"server_pin_matched\":true")
        _ = try curl("https://localhost:\(everyhop.port)/headers")
        try everyhop.waitForAccess("\"server_reused\":true")
    }

    @Test(arguments: ["--http1.0", "--http1.1"])
    func `HEAD, missing pages and ranges come as nginx sends them`(_ version: String) throws {
        try nginx.folder.write("www/file", [UInt8](repeating: 0x61, count: 10_000))
        chmod("\(nginx.folder.path)/www/file", 0o644)
        let address = "https://localhost:\(everyhop.port)"
        #expect(try curl(version, "-I", "\(address)/file").text.contains("Content-Length: 10000\r\n"))
        #expect(try curl(version, "-o", "/dev/null", "-w", "%{http_code}", "\(address)/none").text == "404")
        #expect(try curl(version, "-r", "0-99", "\(address)/file").output.count == 100)
        #expect(try curl(version, "\(address)/file").output.count == 10_000)
    }

    @Test func `a gibibyte down and up has equal checksums, in flat memory`() throws {
        let size = 1 << 30
        let worker = try #require(try everyhop.workers().first)
        let path = "\(nginx.folder.path)/www/big"
        #expect(
            try Shell.run([
                "sh", "-c",
                "openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 < /dev/zero 2>/dev/null | head -c \(size) > \(path)",
            ]).status == 0
        )
        chmod(path, 0o644)
        let before = try memory(of: worker)
        let down = try Shell.run([
            "sh", "-c",
            "curl -sS --cacert \(folder.path)/authority.pem https://localhost:\(everyhop.port)/big | sha256sum; sha256sum < \(path)",
        ]).text.split(separator: "\n")
        #expect(down.count == 2 && down[0] == down[1])
        // Up: to a server that counts and hashes what comes.
        let received = Shared(0)
        let file = "\(folder.path)/received"
        let server = try ScriptedServer(certificate: trust.app) { connection in
            let output = try File.openForAppending(file)
            var head = ""
            while !head.contains("\r\n\r\n"), let bytes = try connection.receive() {
                // The body may begin in the same piece; it is all of one byte value below 0x80, so text is safe.
                head += String(decoding: bytes, as: UTF8.self)
            }
            var count = head.utf8.count - (head.range(of: "\r\n\r\n").map { head[..<$0.upperBound].utf8.count } ?? 0)
            try File.writeAll([UInt8](repeating: 0x61, count: count), to: output.raw)
            while count < size, let bytes = try connection.receive() {
                try File.writeAll(bytes, to: output.raw)
                count += bytes.count
            }
            received.with { $0 = count }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        let other = try TemporaryFolder()
        try trust.write(to: other)
        let port = try freePort()
        let uploading = try EveryhopProcess(
            other,
            port: port,
            configuration: try trust.configuration(port: port, upstream: server.port)
        )
        let source = "\(folder.path)/source"
        #expect(try Shell.run(["sh", "-c", "head -c \(size) /dev/zero | tr '\\0' a > \(source)"]).status == 0)
        let up = try Shell.run([
            "curl", "-sS", "--cacert", "\(folder.path)/authority.pem", "-H", "Expect:", "-T", source,
            "https://localhost:\(port)/upload",
        ])
        #expect(up.text == "ok")
        #expect(received.value == size)
        #expect(try Shell.run(["cmp", source, file]).status == 0)
        let uploader = try #require(try uploading.workers().first)
        #expect(try memory(of: worker) - before < 8192)
        #expect(try memory(of: uploader) < before + 8192)
    }

    @Test func `one worker holds 5000 connections at once`() throws {
        let worker = try #require(try everyhop.workers().first)
        let context = try trust.client()
        let before = try memory(of: worker)
        var held: [Connection] = []
        for _ in 0..<5000 { held.append(try Connection(to: everyhop.port, context)) }
        // Each of them still serves.
        for connection in held[0..<50] {
            try connection.send("GET /headers HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(try connection.receive(until: "id=").hasPrefix("HTTP/1.1 200"))
        }
        let each = (try memory(of: worker) - before) * 1024 / held.count
        #expect(each < 40_000, "\(each) bytes for each connection")
    }

    @Test func `wrk finds no error`() throws {
        try nginx.folder.write("www/1k", [UInt8](repeating: 0x61, count: 1024))
        chmod("\(nginx.folder.path)/www/1k", 0o644)
        let result = try Shell.run(["wrk", "-t1", "-c64", "-d2", "https://localhost:\(everyhop.port)/1k"])
        #expect(result.status == 0)
        #expect(!result.text.contains("Non-2xx") && !result.text.contains("Socket errors"), "\(result.text)")
        #expect(result.text.contains("Requests/sec"))
    }

    @Test func `reloads under load lose no request`() throws {
        try nginx.folder.write("www/1k", [UInt8](repeating: 0x61, count: 1024))
        chmod("\(nginx.folder.path)/www/1k", 0o644)
        let result = try Shell.run([
            "sh", "-c",
            """
            (sleep 1; kill -HUP \(everyhop.process); sleep 1; kill -HUP \(everyhop.process)) &
            wrk -t1 -c32 -d4 https://localhost:\(everyhop.port)/1k
            """,
        ])
        #expect(!result.text.contains("Non-2xx") && !result.text.contains("Socket errors"), "\(result.text)")
        try everyhop.waitForLog("ready", count: 3)
    }

    @Test func `Chromium shows the page`() throws {
        try nginx.folder.write(
            "www/index.html",
            "<!doctype html><title>x</title><p id=a>before<script>document.getElementById('a').textContent = 'from ' + location.protocol</script>"
        )
        chmod("\(nginx.folder.path)/www/index.html", 0o644)
        let pin = try trust.pin(of: trust.portal).dropFirst("sha256/".count)
        let result = try Shell.run([
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--user-data-dir=\(folder.path)/profile", "--ignore-certificate-errors-spki-list=\(pin)", "--dump-dom",
            "https://localhost:\(everyhop.port)/index.html",
        ])
        #expect(result.text.contains("from https:"), "\(result.text)")
    }
}
