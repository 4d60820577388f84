import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Real clients of HTTP/2", .serialized) struct HTTP2RealPeerTests {
    let bench: Bench
    let nginx: Nginx
    let everyhop: EveryhopProcess

    init() throws {
        bench = try Bench()
        nginx = try Nginx(bench.trust)
        everyhop = try bench.start(nginx.port)
    }

    private func publish(_ name: String, _ bytes: [UInt8]) throws {
        try nginx.folder.write("www/\(name)", bytes)
        chmod("\(nginx.folder.path)/www/\(name)", 0o644)
    }

    @Test func `h2load loses no request while the configuration is loaded again`() throws {
        try publish("1k", [UInt8](repeating: 0x61, count: 1024))
        let result = try Shell.run([
            "sh", "-c",
            """
            (sleep 1; kill -HUP \(everyhop.process); sleep 1; kill -HUP \(everyhop.process)) &
            h2load -c 8 -m 16 -n 20000 https://localhost:\(everyhop.port)/1k; \
            h2load -c 8 -m 16 -n 20000 https://localhost:\(everyhop.port)/1k; wait
            """,
        ])
        try everyhop.waitForLog("ready", count: 3)
        // h2load does not dial again after GOAWAY: what it had not begun counts as errored, what it had begun succeeds.
        let lines = result.text.split(separator: "\n").filter {
            $0.hasPrefix("status codes:") || $0.hasPrefix("requests:")
        }
        #expect(lines.count == 4, "\(result.text)")
        for line in lines where line.hasPrefix("status codes:") {
            #expect(line.contains(" 0 3xx, 0 4xx, 0 5xx"), "\(line)")
        }
        for line in lines where line.hasPrefix("requests:") {
            let numbers = line.split { !$0.isNumber }.compactMap { Int($0) }
            // total, started, done, succeeded, failed, errored, timeout
            #expect(numbers.count == 7 && numbers[1] > 0 && numbers[1] == numbers[3] && numbers[6] == 0, "\(line)")
        }
    }

    @Test func `streams that are open at a reload are finished after GOAWAY`() throws {
        let proceed = Shared(false)
        let server = try bench.server { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try waitUntil("the reload") { proceed.value }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let folder = try TemporaryFolder()
        try bench.trust.write(to: folder)
        let port = try freePort()
        let text = try bench.trust.configuration(port: port, upstream: server.port)
        let everyhop = try EveryhopProcess(folder, port: port, configuration: text)
        let client = try bench.client(everyhop)
        let first = try client.request(HTTP2Frames.get())
        everyhop.signal(SIGHUP)
        try client.receive { $0.goAway != nil }
        #expect(client.goAway?.last == Int32.max && client.goAway?.code == 0)
        // Streams that were on their way are taken still.
        let second = try client.request(HTTP2Frames.get())
        proceed.with { $0 = true }
        #expect(try client.answer(first).text == "ok")
        #expect(try client.answer(second).text == "ok")
        try client.receive { $0.goAways == 2 }
        #expect(client.goAway?.last == second)
        try client.receive { _ in false }
        #expect(client.isClosed)
    }

    @Test func `curl gets and puts a large file with equal checksums`() throws {
        try publish("big", [])
        let file = "\(nginx.folder.path)/www/big"
        #expect(try Shell.run(["sh", "-c", "head -c 20000000 /dev/urandom > \(file)"]).status == 0)
        let result = try Shell.run([
            "sh", "-c",
            """
            curl -sS --http2 --cacert \(bench.folder.path)/authority.pem https://localhost:\(everyhop.port)/big | sha256sum
            sha256sum < \(file)
            """,
        ]).text.split(separator: "\n")
        #expect(result.count == 2 && result[0] == result[1])
        try everyhop.waitForAccess("/big", "\"tls_alpn\":\"h2\"")
        let echo = try bench.echo()
        let folder = try TemporaryFolder()
        try bench.trust.write(to: folder)
        let port = try freePort()
        let text = try bench.trust.configuration(port: port, upstream: echo.port)
        let echoing = try EveryhopProcess(folder, port: port, configuration: text)
        let back = try Shell.run([
            "sh", "-c",
            """
            head -c 3000000 \(file) > \(folder.path)/part
            curl -sS --http2 --cacert \(folder.path)/authority.pem -T \(folder.path)/part https://localhost:\(echoing.port)/x \
            | cmp - \(folder.path)/part
            """,
        ])
        #expect(back.status == 0)
    }

    private func chromium(_ arguments: String...) throws -> String {
        let pin = try bench.trust.pin(of: bench.trust.portal).dropFirst("sha256/".count)
        return try Shell.run(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--user-data-dir=\(bench.folder.path)/profile", "--ignore-certificate-errors-spki-list=\(pin)",
                "--dump-dom",
            ] + arguments
        ).text
    }

    @Test(arguments: ["h2", "http/1.1"])
    func `Chromium holds a WebSocket`(_ version: String) throws {
        let server = try PeerServer(bench.trust, script: "websocket_server.py")
        let folder = try TemporaryFolder()
        try bench.trust.write(to: folder)
        let port = try freePort()
        let text = try bench.trust.configuration(port: port, upstream: server.port)
            .replacingOccurrences(
                of: "certificate = \"portal\"",
                with: "certificate = \"portal\"\nprotocols = [\"\(version)\"]"
            )
        let everyhop = try EveryhopProcess(folder, port: port, configuration: text)
        let shown = try chromium("https://localhost:\(everyhop.port)/page")
        #expect(shown.contains("500 echoes as chart"), "\(shown.suffix(300))")
        try everyhop.waitForAccess(
            "\"path\":\"/chart\",\"status\":\(version == "h2" ? 200 : 101)",
            "\"tls_alpn\":\"\(version)\""
        )
        try waitUntil("the close in \(server.log)") { server.log.contains("\"code\": 1000") }
    }

    @Test func `Chromium loads a page with 200 resources over one connection`() throws {
        for index in 0..<200 { try publish("\(index).js", Array("window.count = (window.count || 0) + 1;".utf8)) }
        let scripts = (0..<200).map { "<script src=/\($0).js></script>" }.joined()
        let show =
            "<script>document.getElementById('a').textContent = window.count + ' over ' + performance.getEntriesByType('navigation')[0].nextHopProtocol</script>"
        try publish("index.html", Array("<!doctype html><title>x</title><p id=a>before\(scripts)\(show)".utf8))
        let shown = try chromium("--virtual-time-budget=20000", "https://localhost:\(everyhop.port)/index.html")
        #expect(shown.contains("200 over h2"), "\(shown.suffix(300))")
    }
}
