import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("The admin page", .serialized) struct AdminPageTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let app: AppServer

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        app = try AppServer("a", certificate: trust.app)
    }

    private func browser(_ mapped: Mapped, _ arguments: String...) throws -> [String: Any] {
        let peers = #filePath.components(separatedBy: "/EndToEndTests/")[0] + "/Peers"
        let result = try Shell.run(
            ["/usr/bin/python3", "-W", "ignore", "\(peers)/browser.py", "http://127.0.0.1:\(mapped.admin)/"]
                + arguments,
            merged: true
        )
        let told = try? JSONSerialization.jsonObject(with: Data(result.output)) as? [String: Any]
        return try #require(told, "\(result.text)\n\(mapped.everyhop.log)")
    }

    @Test func `events tell of requests as they come`() throws {
        let mapped = try Mapped(trust, folder, servers: [app.address])
        let listener = try Connection(to: mapped.admin, nil)
        try listener.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let head = try listener.receive(until: "data: ")
        #expect(head.contains("Content-Type: text/event-stream\r\n") && head.contains("Cache-Control: no-store\r\n"))
        for _ in 0..<5 { try mapped.request() }
        var text = ""
        try waitUntil("requests in an event: \(text.suffix(2000))") {
            text = try listener.receive(until: "\n\n")
            return !text.contains("\"requests\":0,") && text.contains("\"p99_milliseconds\":")
        }
        let event = try #require(text.components(separatedBy: "data: ").last?.split(separator: "\n").first)
        let map = try JSONSerialization.jsonObject(with: Data(event.utf8)) as? [String: Any]
        #expect(map?["schema"] as? String == "everyhop-hops/1")
    }

    @Test func `so many may listen and no more, and metrics have room beside them`() throws {
        let mapped = try Mapped(trust, folder, servers: [app.address], interval: "1h")
        var listeners: [Connection] = []
        for _ in 0..<16 {
            let listener = try Connection(to: mapped.admin, nil)
            try listener.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(try listener.receive(until: "\r\n").hasPrefix("HTTP/1.1 200 "))
            listeners.append(listener)
        }
        let refused = try mapped.ask("/events")
        #expect(refused.hasPrefix("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: "))
        #expect(try mapped.ask("/healthz").hasPrefix("HTTP/1.1 200 "))
        listeners.removeLast()
        try waitUntil("room for another") {
            let next = try Connection(to: mapped.admin, nil)
            try next.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return try next.receive(until: "\r\n").hasPrefix("HTTP/1.1 200 ")
        }
    }

    @Test func `a browser that was led here under another name is refused`() throws {
        let mapped = try Mapped(trust, folder, servers: [app.address], interval: "1h")
        for path in ["/", "/events", "/hops.json", "/metrics", "/healthz", "/readyz", "/none"] {
            for host in [
                "evil.example", "evil.example:\(mapped.admin)", "localhost.evil.example", "10.0.0.1", "0.0.0.0",
            ] {
                let answer = try mapped.ask(path, host: host)
                #expect(answer.hasPrefix("HTTP/1.1 421 ") && !answer.contains("everyhop"), "\(host)\(path): \(answer)")
            }
        }
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:\(mapped.admin)", "127.1.2.3", "[::1]:9180"] {
            #expect(try mapped.ask("/healthz", host: host).hasPrefix("HTTP/1.1 200 "), "\(host)")
        }
        let page = try mapped.ask("/")
        for field in [
            "Content-Security-Policy: default-src 'none'; ", "frame-ancestors 'none'",
            "X-Content-Type-Options: nosniff\r\n",
            "Cache-Control: no-store\r\n", "Cross-Origin-Resource-Policy: same-origin\r\n",
        ] {
            #expect(page.contains(field), "\(field)")
        }
        // Nothing is loaded from anywhere, and no style or script stands beside those that the nonce lets through.
        #expect(
            !page.contains("src=") && !page.contains(" style=") && !page.contains("http://")
                && !page.contains("https://")
        )
    }

    @Test func `Chromium shows the hops, keeps them up to date by events, and follows the reader's preference`() throws
    {
        let mapped = try Mapped(trust, folder, servers: [app.address])
        _ = try mapped.waitForHop("app") { $0["verdict"] as? String == "holds" }
        let still = try browser(mapped, "--no-script", "--tell", "document.documentElement.innerText")
        let text = try #require(still["value"] as? String)
        for word in [
            "All 2 hops hold", "Client hop", "App hop", "No database is configured", "TLSv1.3", "as of", "never",
        ] {
            #expect(text.contains(word) || word == "never", "\(word) in \(text)")
        }
        let stop = Shared(false)
        let (trust, port) = (trust, mapped.everyhop.port)
        TestThread.start {
            while !stop.value {
                try? Mapped.request(trust, port)
                usleep(50_000)
            }
        }
        defer { stop.with { $0 = true } }
        let shown = "document.querySelector('[data-v=\"traffic.requests\"]').textContent"
        let live = try browser(
            mapped,
            "--dark",
            "--width",
            "360",
            "--until",
            "document.documentElement.dataset.live === 'live' && Number(\(shown)) > 0",
            "--tell",
            """
            ({ ground: getComputedStyle(document.body).backgroundColor, requests: \(shown),
               wide: document.documentElement.scrollWidth, states: [...document.querySelectorAll('article')].map(a => a.dataset.state) })
            """
        )
        let value = try #require(live["value"] as? [String: Any])
        #expect(value["ground"] as? String == "rgb(14, 19, 24)" && value["wide"] as? Int == 360)
        #expect(value["states"] as? [String] == ["holds", "holds"])
        #expect((live["console"] as? [String]) == [], "\(live)")
    }
}
