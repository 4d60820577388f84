import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Upgrades of the program", .serialized) struct UpgradeTests {
    let trust: TestTrust
    let folder: TemporaryFolder
    let admin: UInt16
    let port: UInt16

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        admin = try freePort()
        port = try freePort()
    }

    private func start(server: String = "", upstream: UInt16, workers: Int = 2) throws -> InstalledProgram {
        try configure(server: server, upstream: upstream, workers: workers)
        return try InstalledProgram(folder)
    }

    private func configure(server: String = "", upstream: UInt16, workers: Int) throws {
        let text = try trust.configuration(
            port: port,
            upstream: upstream,
            server: "admin = \"127.0.0.1:\(admin)\"\n\(server)"
        )
        try folder.write(
            "everyhop.toml",
            text.replacingOccurrences(of: "workers = 1", with: "workers = \(workers)")
        )
    }

    private func server() throws -> ScriptedServer {
        try ScriptedServer(certificate: trust.app) { connection in
            while try !connection.receive(until: "\r\n\r\n").isEmpty {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
    }

    private func isServed() -> Bool {
        guard let connection = try? Connection(to: port, trust.client(), seconds: 10),
            (try? connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")) != nil
        else { return false }
        return connection.receiveAll().hasPrefix("HTTP/1.1 200")
    }

    private func metrics() throws -> String {
        try Shell.run(["curl", "-sS", "-m", "10", "http://127.0.0.1:\(admin)/metrics"]).text
    }

    /// What clients that keep their connections meet, until `isOver`.
    private func clients(_ isOver: Shared<Bool>, _ failures: Shared<[String]>, _ served: Shared<Int>) throws -> Thread {
        let (trust, port, admin) = (trust, port, admin)
        let thread = Thread {
            var connection: Connection?
            let context = try? trust.client()
            while !isOver.value {
                do {
                    let current = try connection ?? Connection(to: port, context)
                    try current.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    let answer = try current.receive(until: "\r\n\r\nok")
                    if !answer.hasSuffix("ok") { failures.with { $0.append("answer: \(answer)") } }
                    connection = answer.contains("Connection: close") ? nil : current
                    served.with { $0 += 1 }
                    let health = try Connection(to: admin, nil)
                    try health.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    let healthy = health.receiveAll()
                    if !healthy.hasSuffix("ok\n") { failures.with { $0.append("health: \(healthy)") } }
                } catch { failures.with { $0.append("\(error)") } }
            }
        }
        thread.start()
        return thread
    }

    @Test func `three upgrades in a row fail no request of clients that stay, and counts survive`() throws {
        let everyhop = try start(server: "drain_sessions = \"5s\"", upstream: try server().port)
        let (isOver, failures, served) = (Shared(false), Shared<[String]>([]), Shared(0))
        let threads = try (0..<3).map { _ in try clients(isOver, failures, served) }
        defer { isOver.with { $0 = true } }
        for round in 1...3 {
            let before = served.value
            try waitUntil("some requests: \(failures.value)", seconds: 60) { served.value > before + 20 }
            try everyhop.upgrade()
            try everyhop.waitForLog("the new program serves: this one finishes what it has", count: round)
        }
        let before = served.value
        try waitUntil("some requests: \(failures.value)", seconds: 60) { served.value > before + 20 }
        try everyhop.waitForLog("all is handed over, and finished", count: 3)
        isOver.with { $0 = true }
        try waitUntil("the clients' end") { threads.allSatisfy(\.isFinished) }
        #expect(failures.value == [])
        #expect(ChildProcess.wait(for: everyhop.first) == 0)
        try waitUntil("\(served.value) requests in \(try metrics())") {
            try metrics().contains("\neveryhop_requests_total \(served.value)\n")
        }
        try waitUntil("no client in \(try metrics())") { try metrics().contains("\neveryhop_client_connections 0\n") }
        #expect(everyhop.log.contains("generation=\"4\""))
        kill(everyhop.process, SIGTERM)
        try waitUntil("the end, and the pid file's") { everyhop.process == 0 }
    }

    @Test(arguments: [
        ("#!/bin/sh\nexit 3\n", "it ended with status 3"), ("#!/bin/sh\nexec sleep 100\n", "it does not serve after"),
        ("no program\n", "cannot be started"), ("#!/bin/sh\necho nonsense >&3; exec sleep 100\n", "it says what makes"),
    ])
    func `a program that is none does not take over, and the present one says why`(
        _ script: String,
        _ reason: String
    ) throws {
        let everyhop = try start(server: "upgrade_timeout = \"2s\"", upstream: try server().port, workers: 1)
        let before = everyhop.process
        try everyhop.install(script: script)
        kill(before, SIGUSR2)
        try everyhop.waitForLog("upgrade failed, this program goes on")
        #expect(everyhop.log.contains(reason), "\(everyhop.log)")
        #expect(everyhop.process == before && isServed())
        // The next one may be good.
        try everyhop.install(EveryhopProcess.program)
        try configure(server: "upgrade_timeout = \"60s\"", upstream: 1, workers: 1)
        kill(before, SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
        try everyhop.upgrade()
    }

    @Test func `a program that cannot use the configuration does not take over`() throws {
        let everyhop = try start(upstream: try server().port, workers: 1)
        let before = everyhop.process
        try folder.write("everyhop.toml", "[server]\nworkerz = 1\n")
        kill(before, SIGUSR2)
        try everyhop.waitForLog("upgrade failed, this program goes on")
        #expect(everyhop.log.contains("unknown key \"workerz\""))
        #expect(everyhop.process == before && isServed())
        let command = [EveryhopProcess.program, "upgrade", "--config", "\(folder.path)/everyhop.toml"]
        let refused = try Shell.run(command, merged: true)
        #expect(refused.status == 1 && refused.text.contains("unknown key \"workerz\""), "\(refused.text)")
        try configure(upstream: 1, workers: 1)
        let done = try Shell.run(command, merged: true)
        #expect(done.status == 0 && done.text.contains(" serves"), "\(done.text)")
        // Whoever has asked finds the new one in the pid file at once.
        #expect(everyhop.process != before && everyhop.process != 0)
    }

    @Test func `a reload that is asked for meanwhile is the new program's, and so is its outcome`() throws {
        let everyhop = try start(upstream: try server().port, workers: 1)
        try everyhop.install(
            script: """
                #!/bin/sh
                while [ ! -e "\(folder.path)/go" ]; do sleep 0.1; done
                exec "\(EveryhopProcess.program)" "$@"
                """
        )
        kill(everyhop.process, SIGUSR2)
        try everyhop.waitForLog("upgrade: the program's file is started")
        let outcome = Shared<ProgramResult?>(nil)
        let command = [EveryhopProcess.program, "reload", "--config", "\(folder.path)/everyhop.toml"]
        TestThread.start {
            let result = try? Shell.run(command, merged: true)
            outcome.with { $0 = result }
        }
        try everyhop.waitForLog("an upgrade is under way: the next one follows it")
        try folder.write("go", "")
        try waitUntil("the outcome:\n\(everyhop.log)", seconds: 60) { outcome.value != nil }
        let result = try #require(outcome.value)
        #expect(result.status == 0 && result.text.contains(" serves"), "\(result.text)\n\(everyhop.log)")
    }

    @Test(arguments: [(1, 3), (3, 1)])
    func `another number of workers leaves no socket without one`(_ before: Int, _ after: Int) throws {
        let upstream = try server()
        let everyhop = try start(upstream: upstream.port, workers: before)
        try configure(upstream: upstream.port, workers: after)
        try everyhop.upgrade()
        try everyhop.waitForLog("all is handed over, and finished")
        for _ in 0..<24 { #expect(isServed()) }
    }

    @Test func `stopping the new program stops what is left of the old one`() throws {
        let isOver = Shared(false)
        let slow = try ScriptedServer(certificate: trust.app) { connection in
            let request = try connection.receive(until: "\r\n\r\n")
            if request.contains("/slow") { try waitUntil("the test's end", seconds: 60) { isOver.value } }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        defer { isOver.with { $0 = true } }
        let everyhop = try start(upstream: slow.port, workers: 1)
        let waiting = try Connection(to: port, try trust.client())
        try waiting.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(isServed())
        try everyhop.upgrade()
        // Its request goes on; another upgrade and a reload go by the new program.
        kill(everyhop.first, SIGUSR2)
        try everyhop.waitForLog("this program has handed over already")
        kill(everyhop.process, SIGTERM)
        try everyhop.waitForLog("stopping", count: 2)
        isOver.with { $0 = true }
        #expect(try waiting.receive(until: "ok").hasSuffix("ok"))
        try waitUntil("the end") { everyhop.process == 0 }
        #expect(ChildProcess.wait(for: everyhop.first) == 0)
    }
}
