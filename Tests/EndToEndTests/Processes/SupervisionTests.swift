import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Supervision") struct SupervisionTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let admin: UInt16

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        admin = try freePort()
    }

    private func start(server: String = "", upstream: UInt16 = 1, workers: Int = 1) throws -> EveryhopProcess {
        let port = try freePort()
        let text = try trust.configuration(
            port: port,
            upstream: upstream,
            server: "admin = \"127.0.0.1:\(admin)\"\n\(server)"
        )
        return try EveryhopProcess(
            folder,
            port: port,
            configuration: text.replacingOccurrences(of: "workers = 1", with: "workers = \(workers)")
        )
    }

    private func server() throws -> ScriptedServer {
        try ScriptedServer(certificate: trust.app) { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
    }

    private func isServed(_ everyhop: EveryhopProcess) -> Bool {
        guard let connection = try? Connection(to: everyhop.port, trust.client(), seconds: 5),
            (try? connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")) != nil
        else { return false }
        return connection.receiveAll().hasPrefix("HTTP/1.1 200")
    }

    private func waitForMetric(_ line: String) throws {
        var text = ""
        do {
            try waitUntil("\(line)") {
                text = try Shell.run(["curl", "-sS", "-m", "5", "http://127.0.0.1:\(admin)/metrics"]).text
                return text.contains("\n\(line)\n")
            }
        } catch {
            let log = (try? String(decoding: File.read("\(folder.path)/log"), as: UTF8.self)) ?? ""
            throw DeadlinePassed(description: "\(error) in:\n\(text)\n\(log)")
        }
    }

    private static let memory = "worker_memory = \"16MiB\"\n[server.limits]\nhead = \"1MiB\""

    /// A client whose head does not end, and has to be kept.
    private func weight(_ everyhop: EveryhopProcess, _ context: ClientContext) throws -> Connection {
        let connection = try Connection(to: everyhop.port, context)
        let line = "X-Weight: \(String(repeating: "w", count: 8000))\r\n"
        try connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n" + String(repeating: line, count: 80))
        return connection
    }

    /// Children of a kind.
    private func children(_ everyhop: EveryhopProcess, _ kind: String) throws -> [Int32] {
        try Shell.run(["ps", "--ppid", "\(everyhop.process)", "-o", "pid=,args="]).text.split(separator: "\n")
            .filter { $0.hasSuffix("everyhop \(kind)") }.compactMap { Int32($0.split(separator: " ")[0]) }
    }

    @Test func `a stopped worker is ended, with what it was doing, and replaced`() throws {
        let everyhop = try start(server: "hang_timeout = \"1s\"", upstream: try server().port)
        let worker = try #require(try everyhop.workers().first)
        kill(worker, SIGSTOP)
        try everyhop.waitForLog("worker 0 is ended: it has not answered for")
        #expect(everyhop.log.contains("reason=\"hang\"") && everyhop.log.contains("state=\"stopped"))
        try everyhop.waitForLog("worker 0 serves", count: 2)
        #expect(isServed(everyhop))
        #expect(try everyhop.workers() != [worker])
        try waitForMetric("everyhop_worker_replacements_total{reason=\"hang\"} 1")
    }

    @Test func `a master that did not run for a while ends nobody for it`() throws {
        let everyhop = try start(server: "hang_timeout = \"1s\"", upstream: try server().port, workers: 2)
        let before = try everyhop.workers()
        for _ in 0..<2 {
            everyhop.signal(SIGSTOP)
            let end = Clock.monotonicMicroseconds() + 2_500_000
            try waitUntil("some time") { Clock.monotonicMicroseconds() > end }
            everyhop.signal(SIGCONT)
            let rounds = Clock.monotonicMicroseconds() + 700_000
            try waitUntil("some rounds") { Clock.monotonicMicroseconds() > rounds }
        }
        #expect(isServed(everyhop))
        #expect(try everyhop.workers() == before)
        #expect(!everyhop.log.contains("is ended"))
    }

    @Test func `a worker with too much memory is replaced by one that serves before it drains`() throws {
        let everyhop = try start(server: Self.memory, upstream: try server().port)
        let worker = try #require(try everyhop.workers().first)
        var held: [Connection] = []
        let context = try trust.client()
        try waitUntil("the ceiling", seconds: 60) {
            // Not so much at once that it would be ended before anybody has looked.
            if (ProcessState.memory(of: worker) ?? .max) < 17 << 20 { held.append(try weight(everyhop, context)) }
            return everyhop.log.contains("too much memory")
        }
        try everyhop.waitForLog("worker 0 serves", count: 2)
        #expect(isServed(everyhop))
        try waitForMetric("everyhop_worker_replacements_total{reason=\"memory\"} 1")
        try waitForMetric("everyhop_worker_deaths_total 0")
        try waitUntil("the end of the old worker") { try !everyhop.workers().contains(worker) }
        #expect(everyhop.log.components(separatedBy: " ready ").count == 2)
    }

    @Test func `a worker with far too much memory is ended`() throws {
        let everyhop = try start(server: Self.memory, upstream: try server().port)
        let worker = try #require(try everyhop.workers().first)
        // It would be replaced on the way there otherwise.
        everyhop.signal(SIGSTOP)
        var held: [Connection] = []
        let context = try trust.client()
        try waitUntil("a large worker", seconds: 60) {
            held.append(try weight(everyhop, context))
            return (ProcessState.memory(of: worker) ?? 0) > 25 << 20
        }
        everyhop.signal(SIGCONT)
        try everyhop.waitForLog("far more than 16 MiB")
        try everyhop.waitForLog("worker 0 serves", count: 2)
        try waitForMetric("everyhop_worker_replacements_total{reason=\"memory\"} 1")
    }

    @Test func `while a worker dies again and again, the others serve all clients`() throws {
        let everyhop = try start(upstream: try server().port, workers: 2)
        var deaths = 0
        try waitUntil("five deaths in one slot", seconds: 90) {
            let lines = everyhop.log.split(separator: "\n").filter { $0.contains("worker 0 serves") }
            if lines.count > deaths, let text = lines.last?.split(separator: "pid=\"").last,
                let worker = Int32(text.prefix { $0.isNumber })
            {
                kill(worker, SIGKILL)
                try everyhop.waitForLog("worker 0 died", count: deaths + 1)
                deaths += 1
            }
            return deaths == 5
        }
        try everyhop.waitForLog("worker 0 is started again after a pause of 8000 ms")
        // The kernel goes on to give half of these to the socket of the dead one.
        for _ in 0..<16 { #expect(isServed(everyhop)) }
        try waitForMetric("everyhop_worker_replacements_total{reason=\"crash\"} 5")
        try everyhop.waitForLog("worker 0 serves", count: 6)
        for _ in 0..<8 { #expect(isServed(everyhop)) }
    }

    @Test func `a monitor that dies or stops is replaced, and its address refuses nobody`() throws {
        let everyhop = try start(server: "hang_timeout = \"1s\"", upstream: try server().port)
        let first = try #require(try children(everyhop, "monitor").first)
        kill(first, SIGKILL)
        try everyhop.waitForLog("the monitor died")
        let answer = try Shell.run(["curl", "-sS", "-m", "10", "http://127.0.0.1:\(admin)/healthz"], merged: true)
        #expect(answer.text == "ok\n")
        let second = try #require(try children(everyhop, "monitor").first)
        kill(second, SIGSTOP)
        try everyhop.waitForLog("the monitor is ended: it has not answered")
        try waitForMetric("everyhop_helper_replacements_total{reason=\"hang\"} 1")
        try waitForMetric("everyhop_helper_replacements_total{reason=\"crash\"} 1")
        #expect(isServed(everyhop))
    }

    @Test(arguments: ["worker", "monitor"])
    func `a child that says nonsense is replaced, and the master goes on`(_ kind: String) throws {
        let everyhop = try start(upstream: try server().port)
        let child = try #require(try children(everyhop, kind).first)
        // Kind 255 with a payload larger than a child may send, over its own channel.
        let said = try Shell.run(
            [
                "python3", "-c",
                """
                import ctypes, os
                channel = ctypes.CDLL(None, use_errno=True).syscall(438, os.pidfd_open(\(child)), 3, 0)
                assert channel >= 0, os.strerror(ctypes.get_errno())
                os.write(channel, b'\\xff' * 64)
                """,
            ],
            merged: true
        )
        #expect(said.status == 0, "\(said.text)")
        try everyhop.waitForLog("it said something that makes no sense")
        try waitUntil("another one") { try children(everyhop, kind).first.map { $0 != child } ?? false }
        try waitUntil("an answer") { isServed(everyhop) }
        let who = kind == "worker" ? "worker" : "helper"
        try waitForMetric("everyhop_\(who)_replacements_total{reason=\"message\"} 1")
    }

    @Test func `all children die with the master, whoever they have become`() throws {
        let everyhop = try start(server: "user = \"nobody\"", upstream: try server().port, workers: 2)
        try waitUntil("the monitor") { try children(everyhop, "monitor").count == 1 }
        let all = try everyhop.workers() + children(everyhop, "monitor")
        #expect(all.count == 3)
        for child in all {
            let status = try #require(ProcessFacts(child)?.status["Uid"])
            #expect(geteuid() != 0 || !status.hasPrefix("0"))
        }
        // Stopped ones cannot notice that their channel is closed: only the kernel ends these.
        for child in all { kill(child, SIGSTOP) }
        everyhop.signal(SIGKILL)
        try waitUntil("the end of \(all)") {
            all.allSatisfy { ["Z", nil].contains(ProcessFacts($0)?.status["State"]?.prefix(1)) }
        }
    }
}
