import Config
import Testing

/// What keeps everyhop running for years: supervision, upgrades, limits, ticket keys.
@Suite("Configuration of operation") struct OperationConfigTests {
    private func decode(_ text: String) throws -> Configuration.Decoded {
        Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    @Test func `what is not said is as the documentation says`() throws {
        let usual = try decode("").configuration
        #expect(usual.server.hangTimeout == 10_000 && usual.server.upgradeTimeout == 90_000)
        #expect(usual.server.workerMemory == nil && usual.server.watch)
        #expect(usual.server.drainSessions == 3_600_000 && usual.server.state == nil)
        #expect(usual.server.limits.minimumRate == 240 && usual.server.limits.handshakes == 1024)
        #expect(usual.server.limits.bufferBytes == 256 << 20)
        #expect(usual.tls.ticketRotation == 12 * 3_600_000 && usual.tls.ticketKeys == nil)
    }

    @Test func `what is said counts, at both ends of its range`() throws {
        let least = try decode(
            """
            [server]
            hang_timeout = "1s"
            upgrade_timeout = "1000ms"
            worker_memory = "16MiB"
            watch = false
            state = "state"
            drain_sessions = "2h"
            [server.limits]
            minimum_rate = "off"
            handshakes = 16
            buffers = "1MiB"
            [tls]
            tickets = { keys = "ticket.keys", rotate = "1m" }
            """
        )
        #expect(!least.diagnostics.contains { $0.position.line < 13 && $0.position.line > 1 }, "\(least.diagnostics)")
        let server = least.configuration.server
        #expect(server.hangTimeout == 1000 && server.upgradeTimeout == 1000 && server.workerMemory == 16 << 20)
        #expect(!server.watch && server.state?.value == "state" && server.drainSessions == 7_200_000)
        #expect(
            server.limits.minimumRate == 0 && server.limits.handshakes == 16 && server.limits.bufferBytes == 1 << 20
        )
        #expect(least.configuration.tls.ticketKeys?.value == "ticket.keys")
        #expect(least.configuration.tls.ticketRotation == 60_000)
        let most = try decode(
            "[server]\nhang_timeout = \"10m\"\nupgrade_timeout = \"10m\"\nworker_memory = 17179869184\n"
                + "[server.limits]\nminimum_rate = \"1KiB/s\"\nhandshakes = 1000000\n[tls]\ntickets.rotate = \"7d\"\n"
        ).configuration
        #expect(most.server.hangTimeout == 600_000 && most.server.upgradeTimeout == 600_000)
        #expect(most.server.workerMemory == 16 << 30 && most.server.limits.minimumRate == 1024)
        #expect(most.server.limits.handshakes == 1_000_000 && most.tls.ticketRotation == 7 * 86_400_000)
    }

    private static let time = "write it like \"500ms\", \"30s\", \"2m\", \"12h\" or \"30d\""
    private static let size = "write it in bytes, or like \"64KiB\", \"10MiB\" or \"2GiB\""
    private static let rate = "write it like \"240B/s\" or \"1KiB/s\", or \"off\""

    @Test(arguments: [
        ("server", "hang_timeout", "\"999ms\"", "is out of range", "use a time from 1s to 10m"),
        ("server", "hang_timeout", "\"601s\"", "is out of range", "use a time from 1s to 10m"),
        ("server", "hang_timeout", "\"10\"", "\"10\" is not a time", time),
        ("server", "hang_timeout", "\"0s\"", "\"0s\" is not a time", time),
        ("server", "hang_timeout", "\"-1s\"", "\"-1s\" is not a time", time),
        ("server", "hang_timeout", "\"1.5s\"", "\"1.5s\" is not a time", time),
        ("server", "hang_timeout", "10", "has to be a string, not an integer", ""),
        ("server", "hang_timeout", "07:32:00", "has to be a string, not a time", ""),
        ("server", "upgrade_timeout", "\"999ms\"", "is out of range", "use a time from 1s to 10m"),
        ("server", "upgrade_timeout", "\"11m\"", "is out of range", "use a time from 1s to 10m"),
        ("server", "upgrade_timeout", "\"1 m\"", "\"1 m\" is not a time", time),
        ("server", "upgrade_timeout", "true", "has to be a string, not a boolean", ""),
        ("server", "worker_memory", "\"15MiB\"", "is less than a worker needs for itself", "use 16MiB or more"),
        ("server", "worker_memory", "1048576", "is less than a worker needs for itself", "use 16MiB or more"),
        ("server", "worker_memory", "\"512MB\"", "is not a size", size),
        ("server", "worker_memory", "\"\"", "is not a size", size),
        ("server", "worker_memory", "0", "is not a size", size),
        ("server", "worker_memory", "-1", "is not a size", size),
        ("server", "worker_memory", "1.5", "is not a size", size),
        ("server", "worker_memory", "[\"64MiB\"]", "is not a size", size),
        ("server", "watch", "\"yes\"", "has to be true or false, not a string", ""),
        ("server", "watch", "0", "has to be true or false, not an integer", ""),
        ("server", "sandbox", "\"none\"", "\"none\" is not known", "use \"best-effort\" or \"required\""),
        ("server", "sandbox", "true", "has to be a string, not a boolean", ""),
        ("server", "state", "1", "has to be a string, not an integer", ""),
        ("server", "state", "\"\"", "has to be the path of a file", ""),
        ("server", "drain_sessions", "\"367d\"", "\"367d\" is not a time", time),
        ("server", "drain_sessions", "3600", "has to be a string, not an integer", ""),
        ("server.limits", "minimum_rate", "\"0B/s\"", "\"0B/s\" is not a rate", rate),
        ("server.limits", "minimum_rate", "\"240\"", "\"240\" is not a rate", rate),
        ("server.limits", "minimum_rate", "\"240B/m\"", "\"240B/m\" is not a rate", rate),
        ("server.limits", "minimum_rate", "240", "has to be a string, not an integer", ""),
        ("server.limits", "handshakes", "15", "15 is out of range", "use a number from 16 to 1000000"),
        ("server.limits", "handshakes", "1000001", "1000001 is out of range", "use a number from 16 to 1000000"),
        ("server.limits", "handshakes", "\"64\"", "has to be an integer, not a string", ""),
        ("server.limits", "buffers", "\"1023KiB\"", "is too small to serve anybody", "use 1MiB or more"),
        ("server.limits", "buffers", "\"1 MiB\"", "is not a size", size),
        ("server.limits", "buffers", "true", "is not a size", size),
        ("tls", "handshakes", "\"nss\"", "\"nss\" is not known", "use \"own\" or \"openssl\""),
        ("tls", "handshakes", "false", "has to be a string, not a boolean", ""),
        ("tls", "key_isolation", "\"true\"", "has to be true or false, not a string", ""),
        ("tls", "fips", "1", "has to be true or false, not an integer", ""),
        ("tls", "ocsp", "true", "has to be a string, not a boolean", ""),
        ("tls", "ocsp", "\"on\"", "\"on\" is not known", "use \"auto\" or \"off\""),
    ])
    func `what is wrong is said where it is, with what would be right`(
        _ table: String,
        _ key: String,
        _ value: String,
        _ message: String,
        _ fix: String
    ) throws {
        let found = try decode("[\(table)]\n  \(key) = \(value)\n").diagnostics.filter { $0.position.line == 2 }
        #expect(found.map(\.message) == ["\(key) \(message)"])
        #expect(found.map(\.fix) == [fix])
        #expect(found.map(\.position.column) == [key.count + 6])
    }

    @Test(arguments: [
        ("rotate = \"59s\"", "rotate is out of range", 22), ("rotate = \"8d\"", "rotate is out of range", 22),
        ("rotate = 12", "rotate has to be a string, not an integer", 22),
        ("keys = \"\"", "keys has to be the path of a file", 20), ("key = \"a\"", "unknown key \"key\" in tickets", 13),
    ])
    func `ticket keys are read as strictly`(_ inner: String, _ message: String, _ column: Int) throws {
        let found = try decode("[tls]\ntickets = { \(inner) }\n").diagnostics.filter { $0.position.line == 2 }
        #expect(found.map(\.message) == [message])
        #expect(found.map(\.position.column) == [column])
    }

    @Test func `a key that is nearly right is recognised`() throws {
        for (wrong, right) in [
            ("hang_timout", "hang_timeout"), ("worker_memmory", "worker_memory"),
            ("upgrade_timeouts", "upgrade_timeout"),
        ] {
            let found = try decode("[server]\n\(wrong) = \"30s\"\n").diagnostics.filter { $0.position.line == 2 }
            #expect(found.map(\.message) == ["unknown key \"\(wrong)\" in [server]"])
            #expect(found.map(\.fix) == ["did you mean \"\(right)\"?"])
            #expect(found.map(\.position.column) == [1])
        }
    }
}
