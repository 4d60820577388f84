import Foundation
import Platform
import Support
import TLS
import Testing

/// `everyhop database` against a server that knows the views and statements of transparent data encryption, and no others.
@Suite("Encryption at rest of SQL Server", .serialized) struct TransparentEncryptionTests {
    /// Marks of both kinds that names and texts are quoted with.
    private static let catalog = "e]h'r"

    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        try folder.write("sa.pass", "s3cret-Password\n")
        try folder.write("master.pass", "Mas'ter-Key-1\n")
        try folder.write("backup.pass", "Back'up-Key-1\n")
    }

    private func server(_ more: [String] = []) throws -> PeerServer {
        try PeerServer(trust, script: "tds_tde_server.py", arguments: ["--database", "e]h'\\''r"] + more)
    }

    private func configure(_ port: UInt16, _ more: String = "", pin: String? = nil) throws {
        try folder.write(
            "everyhop.toml",
            """
            [[database]]
            name = "ehr"
            catalog = "\(Self.catalog)"
            protocol = "tds"
            server = "127.0.0.1:\(port)"
            server_name = "app.internal"
            trust = { ca = "authority.pem", pins = ["\(try pin ?? trust.pin())"] }
            credentials = { user = "sa", password_file = "sa.pass" }
            \(more)
            [[database.binding]]
            port = \(try freePort())
            """
        )
    }

    private func run(_ arguments: String...) throws -> ProgramResult {
        try Shell.run(
            [EveryhopProcess.program, "database"] + arguments + ["--config", "\(folder.path)/everyhop.toml"],
            merged: true
        )
    }

    private func enable(_ arguments: String...) throws -> ProgramResult {
        try Shell.run(
            [EveryhopProcess.program, "database", "enable-encryption", "ehr"] + arguments
                + ["--config", "\(folder.path)/everyhop.toml"],
            merged: true
        )
    }

    /// The batches that changed something, as the server saw them.
    private static func batches(_ log: String) -> [String] {
        log.split(separator: "\n").compactMap { line in
            guard let start = line.range(of: "{\"batch\": \""), let end = line.range(of: "\", \"tls\"") else {
                return nil
            }
            let batch = String(line[start.upperBound..<end.lowerBound])
            return batch.hasPrefix("SELECT") ? nil : batch
        }
    }

    @Test func `from nothing to all pages encrypted, then nothing is left to do`() throws {
        let server = try server()
        let tap = try Tap(to: server.port)
        try configure(tap.port)
        let before = try run("status", "ehr")
        #expect(before.status == 1)
        #expect(
            before.text.contains("falls short: the files of e]h'r are not encrypted: it has no database encryption key")
        )

        let backup = [
            "--backup-certificate", "/secure/it's.cer", "--backup-password-file", "\(folder.path)/backup.pass",
        ]
        let master = "--master-key-password-file=\(folder.path)/master.pass"
        let script = try enable("--dry-run", backup[0], backup[1], backup[2], backup[3])
        #expect(
            script.text == """
                -- master key
                USE [master];
                GO
                CREATE MASTER KEY ENCRYPTION BY PASSWORD = N'<master key password>';
                GO
                -- certificate
                USE [master];
                GO
                CREATE CERTIFICATE [everyhop_tde_e]]h'r] WITH SUBJECT = N'TDE of e]h''r';
                GO
                -- back-up of the certificate
                USE [master];
                GO
                BACKUP CERTIFICATE [everyhop_tde_e]]h'r] TO FILE = N'/secure/it''s.cer' WITH PRIVATE KEY (FILE = N'/secure/it''s.cer.pvk', ENCRYPTION BY PASSWORD = N'<back-up password>');
                GO
                -- database encryption key
                USE [e]]h'r];
                GO
                CREATE DATABASE ENCRYPTION KEY WITH ALGORITHM = AES_256 ENCRYPTION BY SERVER CERTIFICATE [everyhop_tde_e]]h'r];
                GO
                -- encryption
                USE [master];
                GO
                ALTER DATABASE [e]]h'r] SET ENCRYPTION ON;
                GO

                """
        )
        #expect(Self.batches(server.log).isEmpty)

        let done = try enable(master, backup[0], backup[1], backup[2], backup[3])
        #expect(done.status == 0, "\(done.text)")
        for text in ["37.5 percent", "75.0 percent", "\nencrypted\n"] { #expect(done.text.contains(text)) }
        #expect(!done.text.contains("REMEMBER"))
        // What was run is what was printed, but for the passwords.
        let printed = script.text.split(separator: "\n").filter { !$0.hasPrefix("--") && $0 != "GO" }
        let hidden = printed.map {
            $0.replacingOccurrences(of: "N'<master key password>'", with: "N'...'")
                .replacingOccurrences(of: "N'<back-up password>'", with: "N'...'")
        }
        #expect(Self.batches(server.log) == hidden)
        // SHA-256 of Mas'ter-Key-1: the quote arrived as one.
        #expect(server.log.contains("5e214448456c660cc316ac6b6a47e17e95e0776c9aa915470dc491a74b108adf"))
        for output in [script.text, done.text, before.text] {
            for secret in ["s3cret", "ter-Key", "up-Key"] { #expect(!output.contains(secret)) }
        }

        let after = try run("status", "ehr")
        #expect(after.status == 0)
        #expect(after.text.contains("holds: the data and log files of e]h'r are encrypted, with AES 256"))
        #expect(after.text.contains("private key backed up: 2026-11-25T12:00:00"))
        let again = try enable(master, backup[0], backup[1], backup[2], backup[3])
        #expect(again.status == 0, "\(again.text)")
        // What was not written is not said to be: it may have another password.
        #expect(again.text.contains("NOT WRITTEN: the server cannot write /secure/it's.cer"), "\(again.text)")
        #expect(again.text.contains("database encryption key: there already\nencryption: there already\nencrypted\n"))
        #expect(!server.log.contains("\"tls\": null"))
        for sent in tap.connections where !sent.isEmpty { #expect(SQLServerTests.isEncrypted(sent)) }
    }

    @Test func `what is there already is kept, and without a back-up there is a reminder`() throws {
        let server = try server(["--master-key", "--old"])
        try configure(server.port)
        let done = try enable("--algorithm", "AES_128", "--certificate", "Own cert")
        #expect(done.status == 0, "\(done.text)")
        #expect(done.text.contains("master key: there already"))
        #expect(done.text.contains("REMEMBER: the private key of certificate Own cert has never been backed up"))
        #expect(
            Self.batches(server.log) == [
                "USE [master];", "CREATE CERTIFICATE [Own cert] WITH SUBJECT = N'TDE of e]h''r';", "USE [e]]h'r];",
                "CREATE DATABASE ENCRYPTION KEY WITH ALGORITHM = AES_128 ENCRYPTION BY SERVER CERTIFICATE [Own cert];",
                "USE [master];", "ALTER DATABASE [e]]h'r] SET ENCRYPTION ON;",
            ]
        )
        #expect(try run("status", "ehr").text.contains("key: AES 128"))
    }

    @Test func `encryption in progress is not yet encryption`() throws {
        let server = try server(["--master-key", "--stalled"])
        try configure(server.port)
        let begun = try enable("--no-wait")
        #expect(begun.status == 0)
        let status = try run("status", "ehr")
        #expect(status.status == 1)
        #expect(status.text.contains("are not encrypted throughout: encryption in progress"))
        #expect(status.text.contains("wait until all is encrypted (0.0 percent now)"))
    }

    /// How the server is, what is asked for, and what is said.
    private static let refusals: [(server: [String], arguments: [String], text: String)] = [
        ([], [], "name a file that holds one with --master-key-password-file"),
        ([], ["--master-key-password-file=WEAK"], "choose a longer password of letters, digits and signs"),
        (
            ["--master-key", "--edition", "express"], [],
            "TDE needs the Enterprise edition, or Standard from SQL Server 2019"
        ),
        (["--master-key", "--read-only"], [], "make the database and its filegroups writable"),
        (["--master-key", "--deny"], [], "GRANT VIEW SERVER STATE"),
        (
            ["--master-key", "--password-certificate", "own"], ["--certificate", "own"],
            "is not protected by the master key; name another with --certificate"
        ),
        (["--master-key"], ["--algorithm", "TRIPLE_DES_3KEY"], "--algorithm TRIPLE_DES_3KEY is not known"),
        (["--master-key"], ["--backup-certificate", "/x"], "go together"),
        (["--master-key"], ["--user", "sa", "--password-file", "WEAK"], "the server refuses the login: Login failed"),
    ]

    @Test(arguments: 0..<Self.refusals.count)
    func `what cannot be done is said, with what to do`(_ index: Int) throws {
        let refusal = Self.refusals[index]
        let server = try server(refusal.server)
        try configure(server.port)
        let weak = try folder.write("weak.pass", "weak")
        let arguments = refusal.arguments.map { $0.replacingOccurrences(of: "WEAK", with: weak) }
        let result = try Shell.run(
            [
                EveryhopProcess.program, "database", "enable-encryption", "ehr", "--config",
                "\(folder.path)/everyhop.toml",
            ]
                + arguments,
            merged: true
        )
        #expect(result.status != 0)
        #expect(result.text.contains(refusal.text), "\(result.text)")
        #expect(!result.text.contains("'weak'"))
    }

    @Test func `a database that is not there, a system database, a password that others can read`() throws {
        let server = try server()
        try configure(server.port)
        #expect(try run("status", "other").text.contains("there is no database \"other\"; there is ehr"))
        let text = try String(contentsOfFile: "\(folder.path)/everyhop.toml", encoding: .utf8)
        let catalogs = [
            ("gone", "the server has no database"), ("MASTER", "has no database"), ("master", "system database"),
        ]
        for (catalog, said) in catalogs {
            try folder.write("everyhop.toml", text.replacingOccurrences(of: Self.catalog, with: catalog))
            #expect(try enable().text.contains(said))
        }
        try configure(server.port)
        chmod("\(folder.path)/sa.pass", 0o640)
        let exposed = try run("status", "ehr")
        #expect(exposed.status == 2)
        #expect(exposed.text.contains("can be read by others than its owner (mode 0640)"))
        #expect(exposed.text.contains("chmod 0600"))
        let file = try folder.write("other.pass", "x")
        chmod(file, 0o604)
        chmod("\(folder.path)/sa.pass", 0o600)
        let given = try run("status", "ehr", "--password-file", file)
        #expect(given.status == 1)
        #expect(given.text.contains("(mode 0604); chmod 0600 \(file)"))
    }

    @Test func `nobody logs in where the key is not the pinned one`() throws {
        let server = try server()
        let other = try TestTrust()
        try configure(server.port, pin: other.pin())
        let status = try run("status", "ehr")
        #expect(status.status == 1)
        #expect(status.text.contains("not checked") && status.text.contains("pin mismatch"))
        #expect(!server.log.contains("login"))
    }

    @Test func `the password may come from the environment, and without one nothing is claimed`() throws {
        let server = try server()
        try configure(server.port)
        let text = try String(contentsOfFile: "\(folder.path)/everyhop.toml", encoding: .utf8)
        try folder.write(
            "everyhop.toml",
            text.split(separator: "\n").filter { !$0.hasPrefix("cred") }.joined(separator: "\n")
        )
        let nobody = try run("status", "ehr")
        #expect(nobody.status == 1)
        #expect(nobody.text.contains("not checked: nobody is named to ask the server"))
        let blind = try enable("--dry-run")
        #expect(blind.status == 0)
        #expect(blind.text.hasPrefix("-- As for a server that has none of it yet"))
        #expect(blind.text.contains("ALTER DATABASE [e]]h'r] SET ENCRYPTION ON;"))
        let asked = try Shell.run(
            [
                "env", "EVERYHOP_DATABASE_PASSWORD=s3cret-Password", EveryhopProcess.program, "database", "status",
                "ehr",
                "--user", "sa", "--config", "\(folder.path)/everyhop.toml",
            ],
            merged: true
        )
        #expect(asked.text.contains("falls short"))
    }

    @Test func `TDS 8.0 is asked, too, and a redirect is not followed`() throws {
        let strict = try server(["--encryption", "strict", "--tls", "1.3"])
        try configure(strict.port, "tds = \"strict\"")
        #expect(try run("status", "ehr").text.contains("falls short"))
        let redirecting = try server(["--redirect", "elsewhere:1433"])
        try configure(redirecting.port)
        let led = try run("status", "ehr")
        #expect(led.text.contains("not checked: the server redirects to elsewhere:1433"))
    }

    @Test func `no worker is told the password`() throws {
        let server = try server()
        try configure(server.port)
        let text = try String(contentsOfFile: "\(folder.path)/everyhop.toml", encoding: .utf8)
        let loaded = try Shell.run([EveryhopProcess.program, "load", "\(folder.path)/everyhop.toml"])
        #expect(loaded.status == 0 && loaded.text.contains("sa.pass"))
        #expect(!loaded.text.contains("s3cret"))
        #expect(!text.contains("s3cret"))
    }
}
