import Database
import Support
import Testing

@testable import Evidence

/// A server that answers a statement by the first of its texts that is in it.
private final class ScriptedSession: SQLSession {
    private let answers: [(part: String, rows: [[String?]])]
    private let errors: [(part: String, error: ServerError)]
    private(set) var asked: [String] = []

    init(_ answers: [(String, [[String?]])], errors: [(String, ServerError)] = []) {
        self.answers = answers.map { (part: $0.0, rows: $0.1) }
        self.errors = errors.map { (part: $0.0, error: $0.1) }
    }

    func ask(_ statement: String, patience: Patience) throws -> [SQLResult] {
        asked.append(statement)
        if let error = errors.first(where: { statement.contains($0.part) }) { throw error.error }
        return [SQLResult(rows: answers.first { statement.contains($0.part) }?.rows ?? [])]
    }
}

@Suite("Transparent data encryption") struct TransparentEncryptionUnitTests {
    private func look(
        state: String?,
        algorithm: String = "AES",
        length: String = "256",
        isEncrypted: String = "1",
        certificate: [String?] = ["own", "MK", nil]
    ) throws -> TransparentEncryption {
        let session = ScriptedSession([
            ("sys.databases", [["ONLINE", isEncrypted]]),
            ("SELECT k.encryption_state", state.map { [[$0, "12.5", algorithm, length, "CERTIFICATE"]] } ?? []),
            ("symmetric_keys", [["1"]]), ("master.sys.certificates", [certificate]),
        ])
        return try TransparentEncryption.look(at: "ehr", certificate: "c", session)
    }

    @Test func `each state is what Microsoft says it is`() throws {
        let verdicts: [(String?, Verdict)] = [
            (nil, .fallsShort), ("0", .fallsShort), ("1", .fallsShort), ("2", .fallsShort), ("3", .holds),
            ("4", .holds),
            ("5", .fallsShort), ("6", .holds),
        ]
        for (state, verdict) in verdicts {
            #expect(try look(state: state).finding.verdict == verdict, "\(state ?? "none")")
        }
        #expect(try look(state: "3", isEncrypted: "0").finding.verdict == .fallsShort)
        #expect(try look(state: "3", algorithm: "TRIPLE_DES_3KEY", length: "192").finding.verdict == .fallsShort)
        #expect(try look(state: "3", length: "oops").finding.verdict == .fallsShort)
        #expect(throws: DatabaseFailure.self) { try look(state: "7") }
        #expect(throws: DatabaseFailure.self) { try look(state: "+3") }
        #expect(try look(state: "2").finding.remedy?.contains("12.5 percent") == true)
    }

    @Test func `a plan for each state, and none where it cannot be`() throws {
        let wishes = TransparentEncryptionPlan.Wishes(catalog: "ehr")
        for (state, count) in [("1", 2), ("2", 0), ("3", 0), ("4", 0), ("6", 0)] {
            let plan = try TransparentEncryptionPlan(try look(state: state), wishes)
            #expect(plan.steps.flatMap(\.batches).count == count, "\(state)")
            #expect(plan.steps.map(\.title) == ["database encryption key", "encryption"])
        }
        #expect(throws: DatabaseFailure.self) { try TransparentEncryptionPlan(try look(state: "5"), wishes) }
        var found = try look(state: nil, certificate: ["own", "PW", nil])
        #expect(throws: DatabaseFailure.self) { try TransparentEncryptionPlan(found, wishes) }
        found = try look(state: nil, certificate: ["own", "MK", nil])
        #expect(try TransparentEncryptionPlan(found, wishes).steps[1].batches.isEmpty)
        found.condition = "RESTORING"
        #expect(throws: DatabaseFailure.self) { try TransparentEncryptionPlan(found, wishes) }
        for name in ["master", "MSDB", "tempdb", "model"] {
            #expect(throws: DatabaseFailure.self) {
                try TransparentEncryptionPlan(TransparentEncryption(unknown: name), wishes)
            }
        }
    }

    @Test func `a step that fails is named, and what follows is not run`() throws {
        var wishes = TransparentEncryptionPlan.Wishes(catalog: "ehr")
        wishes.masterKeyPassword = "s3cret"
        let plan = try TransparentEncryptionPlan(TransparentEncryption(unknown: "ehr"), wishes)
        let error = ServerError(code: "33117", message: "Not in this edition.")
        let session = ScriptedSession([], errors: [("DATABASE ENCRYPTION KEY", error)])
        var steps: [String] = []
        #expect {
            try plan.run(session, progress: { steps.append($0.title) }, note: { _ in })
        } throws: {
            "\($0)".hasPrefix("database encryption key: the server refuses: Not in this edition. (33117); TDE")
        }
        #expect(steps == ["master key", "certificate", "database encryption key"])
        #expect(session.asked.last?.hasPrefix("CREATE DATABASE ENCRYPTION KEY") == true)
        #expect(session.asked.contains("CREATE MASTER KEY ENCRYPTION BY PASSWORD = N's3cret';"))
        #expect(!plan.script.contains("s3cret"))
    }

    @Test func `names and texts cannot end early`() {
        #expect(TransactSQL.name("a]b]]c") == "[a]]b]]]]c]")
        #expect(TransactSQL.string("a'b''c") == "N'a''b''''c'")
        // A quote with a combining mark is one Character, and a quote all the same.
        #expect(TransactSQL.string("a'\u{301}") == "N'a''\u{301}'")
        #expect(TransactSQL.name("a]\u{301}") == "[a]]\u{301}]")
        #expect(MySQLText.name("a`b\u{60}\u{301}") == "`a``b``\u{301}`")
        #expect(MySQLText.string("a'\\") == "'a''\\\\'")
        let secret = SQLText("X = ").adding(secret: "p'w", called: "password")
        #expect(secret.sent == "X = N'p''w'" && secret.shown == "X = N'<password>'")
        let wishes = TransparentEncryptionPlan.Wishes(catalog: String(repeating: "é", count: 128))
        #expect(wishes.certificate.utf16.count == 128)
    }
}

@Suite("Tablespace encryption") struct TablespaceEncryptionUnitTests {
    private static let tables: [[String?]] = [
        ["a b", "InnoDB"], ["m", "MEMORY"], ["old", "MyISAM"], ["visits", "InnoDB"],
    ]

    private func look(
        version: String,
        innodb: [[String?]],
        settings: [[String?]] = [],
        plugins: [[String?]] = [["keyring_file"]]
    ) throws -> TablespaceEncryption {
        let session = ScriptedSession([
            ("SCHEMATA", [["1"]]), ("@@version", [[version]]), ("SHOW GLOBAL VARIABLES", settings),
            ("information_schema.PLUGINS", plugins), ("information_schema.TABLES AS", []),
            ("information_schema.TABLES", Self.tables), ("INNODB_", innodb),
        ])
        return try TablespaceEncryption.look(at: "c", session)
    }

    @Test func `MySQL 8 tells by tablespace; partitions count together, hidden tables apart`() throws {
        let found = try look(
            version: "8.0.36",
            innodb: [
                ["c/a@0020b", "1"], ["c/visits#p#p0", "1"], ["c/visits#p#p1", "0"], ["c/fts_01_config", nil],
                ["other/x", "0"],
            ],
            settings: [
                ["log_bin", "ON"], ["innodb_redo_log_encrypt", "ON"], ["innodb_undo_log_encrypt", "OFF"],
                ["binlog_encryption", "ON"],
            ]
        )
        #expect(!found.isMariaDB)
        #expect(found.plainTables.map(\.name) == ["old", "visits", "fts_01_config"])
        let plan = try TablespaceEncryptionPlan(found)
        #expect(plan.script == "ALTER TABLE `c`.`visits` ENCRYPTION='Y';\n")
        #expect(plan.foreign.map(\.name) == ["old"])
        #expect(found.findings.map(\.verdict) == [.fallsShort, .fallsShort])
        #expect(
            found.findings[0].statement.contains(
                "2 of 3 tables of c are not encrypted: old (MyISAM), visits; 1 table that InnoDB"
            )
        )
        #expect(found.findings[1].statement.hasSuffix(": innodb_undo_log_encrypt"))
    }

    @Test func `what the server does not tell is not taken for encrypted`() throws {
        let found = try look(version: "10.11.6-MariaDB", innodb: [], plugins: [["file_key_management"]])
        #expect(found.isMariaDB)
        #expect(found.plainTables.count == 3)
        #expect(found.findings[1].verdict == .fallsShort)
        #expect(throws: DatabaseFailure.self) {
            try TablespaceEncryptionPlan(try look(version: "8.0.36", innodb: [], plugins: []))
        }
    }

    @Test func `file names of InnoDB`() {
        #expect(InnoDBName.encode("cl-inic_1") == "cl@002dinic_1")
        #expect(InnoDBName.encode("é") == "@00e9")
        #expect(InnoDBName.table("a@0020b@0060c#P#p0#SP#s0") == "a b`c")
        #expect(InnoDBName.table("a@zzzz@00") == "a@zzzz@00")
        #expect(InnoDBName.table("@d800") == "@d800")
    }
}

@Suite("Data directory of PostgreSQL") struct DataDirectoryUnitTests {
    private func findings(_ found: DataDirectory, _ inspected: FolderEncryption) -> [Finding] {
        found.findings { _ in inspected }
    }

    @Test func `only the folder of the very server that was asked counts, and weak encryption falls short`() throws {
        let folder = try TemporaryFolder()
        var found = DataDirectory(folders: [.init(role: "data directory", path: folder.path)], system: "513")
        let good = FolderEncryption(engine: .fscrypt, isUnlocked: true, detail: [], shortcomings: [])
        #expect(findings(found, good).map(\.verdict) == [.notChecked])
        _ = try #require(try? Support.Shell.run(["mkdir", "\(folder.path)/global"]))
        try folder.write("global/pg_control", [1, 2, 0, 0, 0, 0, 0, 0])
        #expect(findings(found, good).map(\.verdict) == [.holds])
        let weak = FolderEncryption(engine: .dmCrypt, isUnlocked: true, detail: [], shortcomings: ["old cipher"])
        #expect(
            findings(found, weak).map(\.statement).first?.hasSuffix("is encrypted by dm-crypt, but old cipher") == true
        )
        let plain = FolderEncryption(
            engine: .none,
            isUnlocked: true,
            detail: [],
            shortcomings: ["nothing encrypts vda"]
        )
        #expect(findings(found, plain).map(\.verdict) == [.fallsShort])
        found.system = "514"
        #expect(findings(found, good).map(\.verdict) == [.notChecked])
        // Who does not tell may be at the other end of a tunnel, whatever its path is.
        found.system = nil
        #expect(findings(found, good).map(\.verdict) == [.notChecked])
        try folder.write("global/pg_control", [1])
        found.system = "513"
        #expect(findings(found, good).map(\.verdict) == [.notChecked])
    }

    @Test func `a server that may not be asked names the way out`() throws {
        let error = ServerError(code: "42501", message: "must be a member")
        let session = ScriptedSession([], errors: [("SHOW", error)])
        #expect { try DataDirectory.look(configured: nil, session) } throws: {
            "\($0)".contains("GRANT pg_read_all_settings to the user, or set data_directory")
        }
        #expect(throws: DatabaseFailure.self) {
            try DataDirectory.look(configured: nil, ScriptedSession([("SHOW", [["relative"]])]))
        }
        let found = try DataDirectory.look(
            configured: nil,
            ScriptedSession([("SHOW", [["/data"]]), ("pg_tablespace", [["x", "/t"], ["y", "r"], [nil, nil]])])
        )
        #expect(found.folders.map(\.path) == ["/data", "/t"])
    }
}
