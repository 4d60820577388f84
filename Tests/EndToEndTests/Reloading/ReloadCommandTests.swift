import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("The command reload", .serialized) struct ReloadCommandTests {
    let reloaded: Reloaded
    var trust: TestTrust { reloaded.trust }
    var folder: TemporaryFolder { reloaded.folder }

    init() throws { reloaded = try Reloaded() }

    private func start(_ more: String = "", server: String = "") throws -> EveryhopProcess {
        let upstream = try reloaded.countingServer().port
        let text = try trust.configuration(port: reloaded.port, upstream: upstream, server: server, more: more)
        return try EveryhopProcess(folder, port: reloaded.port, configuration: text)
    }

    private var configuration: String {
        (try? String(decoding: File.read("\(folder.path)/everyhop.toml"), as: UTF8.self)) ?? ""
    }

    private func change(_ old: String, _ new: String) throws {
        try folder.write("everyhop.toml", configuration.replacingOccurrences(of: old, with: new))
    }

    @Test func `it waits until the new configuration serves, and ends with 0`() throws {
        let everyhop = try start()
        let before = try everyhop.workers()
        try change("drain = \"5s\"", "drain = \"6s\"")
        let result = try reloaded.reload()
        #expect(result.status == 0 && result.text.contains("generation 2 serves"), "\(result.text)")
        #expect(everyhop.log.contains("ready generation=\"2\""))
        try waitUntil("the old worker's end") { try Set(everyhop.workers()).isDisjoint(with: before) }
        #expect(try reloaded.ask().text.hasPrefix("HTTP/1.1 200"))
    }

    @Test func `a configuration that is wrong ends it with 1, and what is wrong is printed`() throws {
        let everyhop = try start()
        let workers = try everyhop.workers()
        try change("drain", "drian")
        let result = try reloaded.reload()
        #expect(result.status == 1 && result.text.contains("did you mean \"drain\"?"), "\(result.text)")
        try everyhop.waitForLog("did you mean \"drain\"?")
        File.remove("\(folder.path)/everyhop.toml")
        let missing = try reloaded.reload()
        #expect(missing.status == 1 && missing.text.contains("cannot be read: No such file"), "\(missing.text)")
        #expect(try everyhop.workers() == workers)
        #expect(try reloaded.ask().text.hasPrefix("HTTP/1.1 200"))
    }

    @Test func `a port that is taken ends it with 1, and nothing of the old configuration has changed`() throws {
        let other = try ScriptedServer(certificate: nil) { _ in }
        let everyhop = try start("[audit]\nlog = \"audit.log\"")
        try change("access = \"stdout\"", "access = \"other.jsonl\"")
        try change(
            "[[upstream]]",
            "[[site.binding]]\nip = \"127.0.0.1\"\nport = \(other.port)\ncertificate = \"portal\"\n[[upstream]]"
        )
        let result = try reloaded.reload()
        #expect(
            result.status == 1 && result.text.contains("cannot listen on 127.0.0.1:\(other.port)"),
            "\(result.text)"
        )
        kill(try everyhop.workers()[0], SIGKILL)
        try everyhop.waitForLog("died; its connections are lost")
        try waitUntil("the next worker") { (try? reloaded.ask().text.hasPrefix("HTTP/1.1 200")) ?? false }
        // The next worker writes where the old one did.
        try everyhop.waitForAccess("\"status\":200")
        let audit = String(decoding: try File.read("\(folder.path)/audit.log"), as: UTF8.self)
        #expect(audit.contains("reload-refused") && audit.contains("cannot listen"))
    }

    @Test func `a second everyhop does not share the clients of one that runs`() throws {
        let everyhop = try start()
        let other = try folder.write("other.toml", configuration)
        let second = try Shell.run([EveryhopProcess.program, "run", "--config", other], merged: true)
        #expect(second.status == 1 && second.text.contains("another program listens there"), "\(second.text)")
        #expect(try reloaded.ask().text.hasPrefix("HTTP/1.1 200"))
        // The one that runs has its place at a reload, and another one when it has ended.
        try change("drain = \"5s\"", "drain = \"6s\"")
        #expect(try reloaded.reload().status == 0)
        everyhop.signal(SIGTERM)
        #expect(try everyhop.waitForEnd() == 0)
        let next = try EveryhopProcess(folder, port: reloaded.port, configuration: configuration)
        try waitUntil("the next one: \(next.log)") { (try? reloaded.ask().text.hasPrefix("HTTP/1.1 200")) ?? false }
    }

    @Test func `an admin address that is taken is found out before anything changes`() throws {
        let other = try ScriptedServer(certificate: nil) { _ in }
        let everyhop = try start(server: "admin = \"127.0.0.1:\(try freePort())\"")
        let workers = try everyhop.workers()
        let line = try #require(configuration.split(separator: "\n").first { $0.hasPrefix("admin") })
        try change(String(line), "admin = \"127.0.0.1:\(other.port)\"")
        let result = try reloaded.reload()
        #expect(result.status == 1 && result.text.contains("cannot listen"), "\(result.text)")
        #expect(try everyhop.workers() == workers)
    }

    @Test func `workers that cannot serve end it with 1, and clients go on to be served`() throws {
        let everyhop = try start()
        // More workers, whose sockets get clients at once, that never come to serve.
        let old = configuration
        try folder.write("everyhop.toml", old.replacingOccurrences(of: "workers = 1", with: "workers = 3"))
        let killer = Shared(true)
        let master = everyhop.process
        let present = Set(try everyhop.workers())
        TestThread.start {
            while killer.value {
                let children = (try? Shell.run(["pgrep", "-P", "\(master)", "-f", "everyhop worker"]).text) ?? ""
                for child in children.split(separator: "\n").compactMap({ Int32($0) }) where !present.contains(child) {
                    kill(child, SIGKILL)
                }
                usleep(1000)
            }
        }
        let result = try reloaded.reload()
        killer.with { $0 = false }
        // Some of them may have been faster than their death.
        guard result.status != 0 else { return }
        #expect(result.status == 1 && result.text.contains("cannot be served"), "\(result.text)")
        for _ in 0..<24 { #expect(try reloaded.ask().text.hasPrefix("HTTP/1.1 200")) }
        #expect(try !present.isDisjoint(with: everyhop.workers()))
    }

    @Test func `where no master runs, and on a wrong command line, it ends with 2`() throws {
        try folder.write("everyhop.toml", "")
        let nobody = try reloaded.reload()
        #expect(nobody.status == 2 && nobody.text.contains("no everyhop runs with the configuration"), "\(nobody.text)")
        #expect(try reloaded.reload("\(folder.path)/missing/everyhop.toml").status == 2)
        #expect(try Shell.run([EveryhopProcess.program, "reload"], merged: true).status == 2)
    }

    @Test func `another user's command is told that it is not permitted, and many are one line in the log`() throws {
        let everyhop = try start()
        chmod(folder.path, 0o755)
        let file = "\(folder.path)/everyhop.toml"
        let stranger = try Shell.run(
            ["setpriv", "--reuid=12345", "--clear-groups", EveryhopProcess.program, "reload", "--config", file],
            merged: true
        )
        #expect(stranger.status == 1 && stranger.text.contains("user 12345 may not command"), "\(stranger.text)")
        let begin = Clock.monotonicMicroseconds()
        let flood = try Shell.run(
            [
                "python3", "-c",
                """
                import hashlib, os, socket
                name = hashlib.sha256(os.path.realpath("\(file)").encode()).hexdigest()
                os.setuid(12345)
                for _ in range(500):
                    knock = socket.socket(socket.AF_UNIX)
                    knock.connect("\\0everyhop/" + name)
                    knock.recv(1)
                """,
            ],
            merged: true
        )
        #expect(flood.status == 0, "\(flood.text)")
        let lines = everyhop.log.components(separatedBy: "a command of another user was not heard").count - 1
        #expect(lines >= 1 && lines <= 2 + Int((Clock.monotonicMicroseconds() - begin) / 9_000_000), "\(everyhop.log)")
        #expect(everyhop.log.contains("not heard user=\"12345\""))
        #expect(try reloaded.reload().status == 0)
    }

    @Test func `who has taken its name is told, and a signal does what it cannot`() throws {
        let script = """
            import hashlib, os, socket, sys, time
            name = hashlib.sha256(sys.argv[1].encode()).hexdigest()
            os.setuid(12345)
            holder = socket.socket(socket.AF_UNIX)
            holder.bind("\\0everyhop/" + name)
            holder.listen()
            time.sleep(600)
            """
        try folder.write("everyhop.toml", "")
        let holder = try ChildProcess.spawn(
            "/usr/bin/python3",
            arguments: ["python3", "-c", script, "\(folder.path)/everyhop.toml"],
            environment: [],
            descriptors: []
        )
        defer {
            ChildProcess.end(holder)
            _ = ChildProcess.wait(for: holder)
        }
        try waitUntil("somebody else at the name") { try reloaded.reload().text.contains("held by user 12345") }
        let everyhop = try start()
        let result = try reloaded.reload()
        #expect(result.status == 1 && result.text.contains("SIGHUP for a reload"), "\(result.text)")
        everyhop.signal(SIGHUP)
        try everyhop.waitForLog("ready", count: 2)
    }

    @Test func `each of many gets the outcome of a reload that began after it asked`() throws {
        let everyhop = try start()
        let results = Shared<[Int]>([])
        for _ in 0..<6 {
            let reloaded = self.reloaded
            TestThread.start {
                let status = (try? reloaded.reload().status) ?? -1
                results.with { $0.append(status) }
            }
        }
        try waitUntil("six outcomes", seconds: 60) { results.value.count == 6 }
        #expect(results.value == [0, 0, 0, 0, 0, 0])
        // Those that came meanwhile have shared one.
        #expect(!everyhop.log.contains("generation=\"8\""))
        try change("drain", "drian")
        #expect(try reloaded.reload().status == 1)
    }

    @Test func `another way to name the folder leads to the same master`() throws {
        let everyhop = try start()
        let link = "\(folder.path)/link"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: ".")
        #expect(try reloaded.reload("\(link)/everyhop.toml").status == 0)
        try everyhop.waitForLog("ready", count: 2)
    }
}
