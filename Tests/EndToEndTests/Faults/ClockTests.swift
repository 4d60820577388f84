import Foundation
import Platform
import Support
import TLS
import Testing

/// A wall clock that jumps; docs/faults.md has the outcomes.
@Suite("A clock that jumps", .serialized) struct ClockTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let clock: MovedClock
    let admin: EveryhopAdmin
    private let waiting = Shared(true)
    private let isAsked = Shared(false)

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        clock = try MovedClock()
        admin = try EveryhopAdmin()
    }

    /// Answers each request, `/wait` when the test says so, `/close` at the end of its connection; `/tunnel` is an echo.
    private func start() throws -> EveryhopProcess {
        let (waiting, isAsked) = (self.waiting, self.isAsked)
        let app = try ScriptedServer(certificate: trust.app) { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard !head.isEmpty else { return }
                if head.contains("/tunnel") {
                    try connection.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
                    while let bytes = try connection.receive() { try connection.send(bytes) }
                    return
                }
                if head.contains("/wait") {
                    isAsked.with { $0 = true }
                    try waitUntil("the test", seconds: 60) { !waiting.value }
                }
                let last = head.contains("/close") ? "Connection: close\r\n" : ""
                try connection.send("HTTP/1.1 200 OK\r\n\(last)Content-Length: 2\r\n\r\nok")
                if !last.isEmpty { return connection.close() }
            }
        }
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: app.port, server: admin.setting)
        return try EveryhopProcess(folder, port: port, configuration: text, prefix: clock.prefix)
    }

    /// The processes of an everyhop, and when they were started.
    private func processes(_ everyhop: EveryhopProcess) throws -> String {
        try Shell.run(["ps", "--ppid", "\(everyhop.process)", "-o", "pid=,lstart=,args="]).text
            .split(separator: "\n").filter { !$0.contains("defunct") && !$0.contains("everyhop load") }.sorted()
            .joined(separator: "\n")
    }

    @Test(arguments: [1, -1, 400, -400] as [Int64])
    func `no session ends, no child is taken for hung, and nothing is measured by it`(_ days: Int64) throws {
        let everyhop = try start()
        let tunnel = try Connection(to: everyhop.port, try trust.client(), seconds: 60)
        try tunnel.send("GET /tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        #expect(try tunnel.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101 "))
        let asked = try Connection(to: everyhop.port, try trust.client(), seconds: 60)
        try asked.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try waitUntil("the request at the server") { isAsked.value }
        // The last of three connections to the server, which stays for it.
        let resting = try Connection(to: everyhop.port, try trust.client(), seconds: 60)
        #expect(try resting.answers(200))
        // Worker, monitor and prober.
        try waitUntil("all children") { try processes(everyhop).split(separator: "\n").count == 3 }
        let before = try processes(everyhop)

        clock.put(days: days)
        // Children are looked at once a second.
        let end = Clock.monotonicMicroseconds() + 2_500_000
        while Clock.monotonicMicroseconds() < end {
            #expect(try resting.answers(200))
            try tunnel.send("hello")
            #expect(try tunnel.receive(until: "hello") == "hello")
            usleep(50_000)
        }
        waiting.with { $0 = false }
        #expect(try asked.receivesAnswer(200))
        // A new client, over one of those connections.
        #expect(try Connection(to: everyhop.port, try trust.client(), seconds: 60).answers(200))
        clock.put(days: 0)
        #expect(try resting.answers(200))
        try tunnel.send("hello")
        #expect(try tunnel.receive(until: "hello") == "hello")

        #expect(try processes(everyhop) == before)
        #expect(!everyhop.log.contains("is ended"))
        try everyhop.waitForAccess("\"path\":\"/wait\"")
        for line in everyhop.access {
            let times = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            for (name, value) in times where name.hasSuffix("_us") || name.hasSuffix("_ms") && name != "time_ms" {
                #expect((value as? Double).map { (0..<120_000_000).contains($0) } == true, "\(name) in \(line)")
            }
        }
    }

    @Test(arguments: [(4000, "certificate has expired"), (-4000, "certificate is not yet valid")] as [(Int64, String)])
    func `certificates of servers are judged by it, from connection to connection`(_ days: Int64, _ verdict: String)
        throws
    {
        let everyhop = try start()
        let client = try Connection(to: everyhop.port, try trust.client(), seconds: 60)
        #expect(try client.answers(200))
        clock.put(days: days)
        // What stands goes on; what is made new is refused.
        #expect(try client.answers(200, "/close"))
        #expect(try client.answers(502))
        try everyhop.waitForLog(verdict)
        clock.put(days: 0)
        try waitUntil("the server to be trusted again") { try client.answers(200, "/close") }
    }

    @Test(arguments: [(-1, 0), (1, 1)])
    func `one of our own making from a day to come is made anew`(_ from: Int, _ made: Int) throws {
        let kept = try CertificateMaker.selfSigned(names: ["localhost"], validFrom: from)
        try folder.write("own.self-signed.pem", kept.certificatePEM)
        let key = try folder.write("own.self-signed.key", kept.keyPEM)
        chmod(key, 0o600)
        let port = try freePort()
        let text = try trust.configuration(port: port, upstream: try freePort())
            .replacingOccurrences(
                of: "chain = \"portal.pem\"\nkey = \"portal.key\"",
                with: "self_signed = [\"localhost\"]"
            )
            .replacingOccurrences(of: "certificate.portal", with: "certificate.own")
            .replacingOccurrences(of: "certificate = \"portal\"", with: "certificate = \"own\"")
        _ = try EveryhopProcess(folder, port: port, configuration: text)
        let now = try File.read("\(folder.path)/own.self-signed.pem")
        #expect((now == kept.certificatePEM) == (made == 0))
    }
}
