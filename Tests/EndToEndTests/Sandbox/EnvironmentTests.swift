import Platform
import Support
import Testing

/// What children get of the master's environment.
@Suite("The environment of processes") struct EnvironmentTests {
    private static let secret = "EVERYHOP_DATABASE_PASSWORD=s3cret-Password"
    private static let others = ["NOTIFY_SOCKET=/nowhere/notify", "WATCHDOG_USEC=60000000", "SOME_TOKEN=s3cret"]

    private func variables(of process: Int32) throws -> [String] {
        try File.read("/proc/\(process)/environ").split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func `the prober alone gets the password of databases, and nobody what is the master's`() throws {
        let trust = try TestTrust()
        let folder = try TemporaryFolder()
        try trust.write(to: folder)
        let port = try freePort()
        let text = try trust.configuration(
            port: port,
            upstream: 1,
            server: "admin = \"127.0.0.1:\(try freePort())\"",
            more: "[tls]\nkey_isolation = true\n"
        )
        let everyhop = try EveryhopProcess(
            folder,
            port: port,
            configuration: text,
            prefix: ["env", "TZ=Europe/Vienna", Self.secret] + Self.others
        )
        func children() throws -> [(process: Int32, kind: String)] {
            let list = try Shell.run(["ps", "--ppid", "\(everyhop.process)", "-o", "pid=,args="]).text
            return list.split(separator: "\n").map { $0.split(separator: " ") }.compactMap { words in
                guard words.count == 3, words[1] == "everyhop" else { return nil }
                return Int32(words[0]).map { ($0, String(words[2])) }
            }
        }
        try waitUntil("all children:\n\(everyhop.log)") {
            try Set(children().map(\.kind)).isSuperset(of: ["worker", "monitor", "prober", "signer"])
        }
        let master = try variables(of: everyhop.process)
        #expect(master.contains(Self.secret) && master.contains("SOME_TOKEN=s3cret"))
        for (process, kind) in try children() {
            let variables = try variables(of: process)
            #expect(variables.contains("TZ=Europe/Vienna"), "\(kind)")
            #expect(variables.contains("SWIFT_BACKTRACE=enable=no"), "\(kind)")
            #expect(variables.contains(Self.secret) == (kind == "prober"), "\(kind)")
            for other in Self.others { #expect(!variables.contains(other), "\(kind): \(other)") }
        }
    }
}
