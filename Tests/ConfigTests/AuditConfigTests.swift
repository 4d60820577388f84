import Config
import Testing

@Suite("Configuration of audits") struct AuditConfigTests {
    private func decode(_ text: String) throws -> Configuration.Decoded {
        Configuration.decode(try TOMLDocument.parse(Array(text.utf8)))
    }

    @Test func `reports, key and answers are read`() throws {
        let decoded = try decode(
            """
            [audit]
            reports = "reports"
            key = "site.key"
            [provider]
            data_centre = { answer = "Frankfurt", by = "J. Weber", on = 2026-03-01 }
            [provider.disposal]
            answer = "shredded"
            by = "Provider"
            on = "2024-02-29"

            """
        )
        #expect(decoded.diagnostics.map(\.message) == ["there is no site and no database"])
        #expect(decoded.configuration.audit.reports?.value == "reports")
        #expect(decoded.configuration.audit.key?.value == "site.key")
        let answers = decoded.configuration.provider.answers
        #expect(answers.count == 2)
        #expect(answers[.dataCentre]?.by == "J. Weber" && answers[.dataCentre]?.on.value.description == "2026-03-01")
        #expect(answers[.disposal]?.answer == "shredded" && answers[.disposal]?.on.value == CalendarDay("2024-02-29"))
    }

    @Test func `what an audit measures by is read`() throws {
        let audit = try decode(
            """
            [audit]
            log = "audit.log"
            clients_trust = "company.pem"
            client_certificate = "auditor"
            plain_ports = [81, 8081]

            """
        ).configuration.audit
        #expect(audit.log?.value == "audit.log" && audit.clientsTrust?.value == "company.pem")
        #expect(audit.clientCertificate?.value == "auditor")
        #expect(audit.plainPorts == [81, 8081] && audit.namesPlainPorts)
    }

    @Test func `hops are looked at every minute, or as often as is said, or never`() throws {
        let interval = { try self.decode($0).configuration.audit.probeInterval }
        #expect(try interval("") == 60_000)
        #expect(try interval("[audit]\nprobe_interval = \"5m\"\n") == 300_000)
        #expect(try interval("[audit]\nprobe_interval = \"off\"\n") == nil)
    }

    @Test func `nothing of it is needed`() throws {
        let decoded = try decode("")
        #expect(decoded.configuration.audit.reports == nil && decoded.configuration.provider.answers.isEmpty)
    }

    @Test(arguments: [
        ("[audit]\nkey = \"k\"\n", "2:7", "key signs reports, but none are kept"),
        ("[audit]\nprobe_interval = \"often\"\n", "2:18", "probe_interval \"often\" is not a time"),
        ("[audit]\nreports = 1\n", "2:11", "reports has to be a string"),
        ("[audit]\nplain_ports = [80, \"81\"]\n", "2:15", "plain_ports is no list of ports"),
        ("[audit]\nplain_ports = 80\n", "2:15", "plain_ports is no list of ports"),
        ("[audit]\nplain_ports = [70000]\n", "2:15", "plain_ports is no list of ports"),
        ("[audit]\nreport = \"r\"\n", "2:1", "unknown key \"report\" in [audit]"),
        ("[provider]\nbackups = {}\n", "2:1", "unknown key \"backups\" in [provider]"),
        ("[provider]\nbackup = \"daily\"\n", "2:10", "[provider] backup has to be a table"),
        ("[provider]\nbackup = { answer = \"a\", by = \"b\" }\n", "2:10", "[provider] backup has no on"),
        ("[provider]\nbackup = { answer = \" \", by = \"b\", on = 2026-01-01 }\n", "2:21", "answer is empty"),
        ("[provider]\nbackup = { answer = \"a\", by = \"b\", on = \"1.3.2026\" }\n", "2:41", "on is not a day"),
        ("[provider]\nbackup = { answer = \"a\", by = \"b\", on = \"2026-02-29\" }\n", "2:41", "on is not a day"),
        ("[provider]\nbackup = { answer = \"a\", by = \"b\", on = 2026-01-01T00:00:00Z }\n", "2:41", "on is not a day"),
        ("[provider]\nbackup = { answer = \"a\", by = \"b\", on = 20260101 }\n", "2:41", "on is not a day"),
        ("[server]\nworkers = 2026-01-01\n", "2:11", "workers is not a number"),
        ("[log]\nlevel = 2026-01-01\n", "2:9", "level has to be a string, not a date"),
    ])
    func `a mistake is told with its place`(text: String, place: String, message: String) throws {
        let found = try decode(text).diagnostics
        #expect(
            found.contains { "\($0.position.line):\($0.position.column)" == place && $0.message.contains(message) },
            "\(found)"
        )
    }

    @Test func `a day that has not come yet is an error`() throws {
        let text = "[provider]\naccess = { answer = \"a\", by = \"b\", on = 2026-11-26 }\n"
        let provider = try decode(text).configuration.provider
        let today = try #require(CalendarDay("2026-11-25"))
        #expect(provider.diagnostics(today: try #require(CalendarDay("2026-11-26"))).isEmpty)
        let found = provider.diagnostics(today: today)
        #expect(found.map(\.message) == ["access is answered on 2026-11-26, which is in the future"])
        #expect(found.first?.position == Position(line: 2, column: 41))
    }

    @Test func `dates outlast the way to another process`() throws {
        let document = try TOMLDocument.parse(Array("a = 2024-02-29\nb = 07:32:00\nc = 0000-01-01".utf8))
        #expect(try TOMLDocument(decoding: document.encoded()) == document)
    }

    @Test(arguments: [
        (Int64(0), "1970-01-01"), (-1, "1969-12-31"), (951_782_400, "2000-02-29"), (951_868_800, "2000-03-01"),
        (1_709_164_800, "2024-02-29"), (4_107_542_400, "2100-03-01"), (4_107_542_399, "2100-02-28"),
        (-62_135_596_800, "0001-01-01"), (Int64.min, "0001-01-01"), (Int64.max, "9999-12-31"),
    ])
    func `a moment is of a day`(seconds: Int64, day: String) {
        #expect(CalendarDay(unixSeconds: seconds).description == day)
    }

    @Test func `a year is over the day after its anniversary`() throws {
        let days = try ["2024-02-29", "2025-02-28", "2025-03-01", "2025-03-02"].map { try #require(CalendarDay($0)) }
        #expect(!days[0].isOverAYear(before: days[1]))
        #expect(days[0].isOverAYear(before: days[2]))
        #expect(!days[0].isOverAYear(before: days[0]) && days[0] < days[1])
    }

    @Test(arguments: [
        "2026-13-01", "2026-00-01", "2026-04-31", "2026-1-01", "+026-01-01", "2026/01/01", "2026-01-01 ", "",
    ])
    func `what is no day is refused`(text: String) {
        #expect(CalendarDay(text) == nil)
    }
}
