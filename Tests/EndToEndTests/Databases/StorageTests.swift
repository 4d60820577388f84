import Foundation
import Platform
import Support
import TLS
import Testing

/// `everyhop database` against real servers.
@Suite("Encryption at rest of MariaDB and PostgreSQL", .serialized) struct StorageTests {
    /// What a test writes into a table, and looks for on the disk.
    private static let secret = "Zebra-Diagnosis-4711"

    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
        try folder.write("mysql.pass", "s3cret-Password\n")
        try folder.write("postgres.pass", "secret\n")
    }

    private func run(_ arguments: [String], _ database: String) throws -> ProgramResult {
        try folder.write(
            "everyhop.toml",
            """
            [[database]]
            name = "ehr"
            server_name = "app.internal"
            trust = { ca = "authority.pem", pins = ["\(try trust.pin())"] }
            \(database)
            [[database.binding]]
            port = \(try freePort())
            """
        )
        return try Shell.run(
            [EveryhopProcess.program, "database"] + arguments + ["--config", "\(folder.path)/everyhop.toml"],
            merged: true
        )
    }

    // MARK: MariaDB

    private func mariaDB(_ server: MariaDBServer, _ arguments: String..., user: String = "bob") throws -> ProgramResult
    {
        try run(
            arguments,
            """
            protocol = "mysql"
            server = "127.0.0.1:\(server.port)"
            catalog = "cl-inic"
            credentials = { user = "\(user)", password_file = "mysql.pass" }
            """
        )
    }

    private static let tables = """
        CREATE DATABASE `cl-inic`;
        USE `cl-inic`;
        CREATE TABLE `visits ``x` (id INT PRIMARY KEY, t TEXT) ENGINE=InnoDB;
        INSERT INTO `visits ``x` VALUES (1, '\(secret)');
        CREATE TABLE parts (id INT) ENGINE=InnoDB PARTITION BY HASH(id) PARTITIONS 2;
        CREATE TABLE fleeting (id INT) ENGINE=MEMORY;
        CREATE VIEW seen AS SELECT id FROM parts;
        CREATE USER poor@'127.0.0.1' IDENTIFIED BY 's3cret-Password';
        GRANT SELECT ON `cl-inic`.* TO poor@'127.0.0.1';
        """

    /// Whether the secret is in the table's file, once the server has written all of it.
    private func isInFile(_ server: MariaDBServer) throws -> Bool {
        try server.run("FLUSH TABLES `cl-inic`.`visits ``x` FOR EXPORT; UNLOCK TABLES;")
        let path = "\(server.folder.path)/data/cl@002dinic/visits@0020@0060x.ibd"
        return try Shell.run(["grep", "-c", "-a", Self.secret, path]).status == 0
    }

    /// A key, and the settings that manage it, without what encrypts tables unasked.
    private static let makeKey =
        "openssl rand -hex 32 | sed 's/^/1;/' > $0/keys; [ \"$(id -u)\" != 0 ] || chown mysql $0/keys; chmod 600 $0/keys"
    private static let keySettings = """
        [mariadb]
        plugin_load_add = file_key_management
        file_key_management_filename = FOLDER/keys
        innodb_encrypt_log = ON
        innodb_encrypt_temporary_tables = ON
        encrypt_tmp_disk_tables = ON
        encrypt_tmp_files = ON
        """

    @Test func `without keys, the server's configuration is printed, and it works as printed`() throws {
        let server = try MariaDBServer(trust)
        try server.run(Self.tables)
        let status = try mariaDB(server, "status", "ehr")
        #expect(status.status == 1)
        #expect(status.text.contains("2 of 2 tables of cl-inic are not encrypted: parts, visits `x"))
        #expect(status.text.contains("logs or temporary files are not encrypted: innodb_encrypt_log, "))
        #expect(try isInFile(server))
        let told = try mariaDB(server, "enable-encryption", "ehr")
        #expect(told.status == 1)
        let text = told.text.replacingOccurrences(of: "/etc/mysql/encryption", with: "FOLDER/encryption")
        let lines = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        var commands = lines.filter { $0.hasPrefix("install ") || $0.contains("openssl ") || $0.hasPrefix("chown ") }
        #expect(commands.count == 4)
        if geteuid() != 0 {
            commands = commands.map {
                $0.replacingOccurrences(of: "-o mysql ", with: "").replacingOccurrences(of: "chown mysql", with: "true")
            }
        }
        let start = try #require(lines.firstIndex(of: "[mariadb]"))
        let second = try MariaDBServer(
            trust,
            prepare: commands.joined(separator: "\n").replacingOccurrences(of: "FOLDER", with: "$0"),
            settings: lines[start...].joined(separator: "\n") + "\nlog_bin = binary"
        )
        try second.run(Self.tables + "\nALTER TABLE `visits ``x` ADD FULLTEXT (t);")
        try waitUntil("all tables encrypted", seconds: 60) { try mariaDB(second, "status", "ehr").status == 0 }
        let after = try mariaDB(second, "status", "ehr").text
        #expect(after.contains("tables of cl-inic are encrypted") && after.contains("encrypt_binlog: ON"))
        #expect(try !isInFile(second))
    }

    @Test func `with keys, every table is encrypted, and the disk shows it`() throws {
        let server = try MariaDBServer(trust, prepare: Self.makeKey, settings: Self.keySettings)
        try server.run(Self.tables)
        #expect(try isInFile(server))
        let script = try mariaDB(server, "enable-encryption", "ehr", "--dry-run")
        #expect(script.status == 0)
        #expect(
            script.text
                == "ALTER TABLE `cl-inic`.`parts` ENCRYPTED=YES;\nALTER TABLE `cl-inic`.`visits ``x` ENCRYPTED=YES;\n"
        )
        #expect(try mariaDB(server, "status", "ehr").text.contains("2 of 2 tables"))
        let done = try mariaDB(server, "enable-encryption", "ehr")
        #expect(done.status == 0, "\(done.text)")
        let after = try mariaDB(server, "status", "ehr")
        #expect(after.status == 0)
        #expect(after.text.contains("holds: all 2 tables of cl-inic are encrypted"))
        #expect(after.text.contains("holds: logs and temporary files are encrypted"))
        #expect(try !isInFile(server))
        #expect(try mariaDB(server, "enable-encryption", "ehr", "--dry-run").text == "")
    }

    @Test func `tables that ALTER TABLE does not reach, and other engines, are found`() throws {
        let server = try MariaDBServer(trust, prepare: Self.makeKey, settings: Self.keySettings)
        try server.run(
            Self.tables + "\nALTER TABLE `visits ``x` ADD FULLTEXT (t);\nCREATE TABLE old (id INT) ENGINE=MyISAM;"
        )
        let done = try mariaDB(server, "enable-encryption", "ehr")
        #expect(done.status == 1)
        #expect(done.text.contains("old is of engine MyISAM, which cannot encrypt it: move it to InnoDB"))
        let after = try mariaDB(server, "status", "ehr").text
        #expect(after.contains("1 of 3 tables of cl-inic are not encrypted: old (MyISAM); "))
        #expect(after.contains("tables that InnoDB keeps for full-text indexes of cl-inic are not encrypted"))
        #expect(after.contains("in my.cnf: innodb_encrypt_tables = FORCE; innodb_encryption_threads = 4"))
    }

    @Test func `who may not see it, or logs in otherwise, is told so`() throws {
        let server = try MariaDBServer(trust)
        try server.run(Self.tables)
        #expect(try mariaDB(server, "status", "ehr", user: "poor").text.contains("GRANT PROCESS ON *.* to the user"))
        #expect(try mariaDB(server, "status", "ehr", user: "ed").text.contains("logs in by client_ed25519"))
        let nobody = try mariaDB(server, "status", "ehr", user: "nobody").text
        #expect(nobody.contains("the server refuses the login: Access denied"))
        #expect(!server.output.contains("Got an error reading communication packets"))
    }

    @Test func `MySQL 8 is asked inside TLS with its own login, and its views`() throws {
        for arguments in [[], ["--switch"]] {
            let server = try PeerServer(trust, script: "mysql_server.py", arguments: arguments)
            let status = try run(
                ["status", "ehr"],
                """
                protocol = "mysql"
                server = "127.0.0.1:\(server.port)"
                credentials = { user = "bob", password_file = "mysql.pass" }
                """
            )
            // It answers each question with one row of one column, which is no count of schemata.
            #expect(status.text.contains("the server has no database \"ehr\""))
            #expect(server.log.contains("\"password\": \"s3cret-Password\\u0000\", \"tls\": \"TLSv1.3\""))
        }
    }

    // MARK: PostgreSQL

    private func postgres(_ server: PostgresServer, _ arguments: String..., more: String = "") throws -> ProgramResult {
        try run(
            arguments,
            """
            protocol = "postgres"
            server = "127.0.0.1:\(server.port)"
            catalog = "postgres"
            credentials = { user = "alice", password_file = "postgres.pass" }
            \(more)
            """
        )
    }

    private func psql(_ server: PostgresServer, _ statement: String) throws -> String {
        try Shell.run(
            [
                "psql", "host=127.0.0.1 port=\(server.port) user=alice password=secret dbname=postgres", "-Atc",
                statement,
            ],
            merged: true
        ).text
    }

    @Test func `PostgreSQL's folders are looked at on this host, and no other server's`() throws {
        let server = try PostgresServer(trust)
        let tablespace = "\(server.folder.path)/space"
        try File.makeFolder(tablespace)
        if geteuid() == 0 { _ = try Shell.run(["chown", "postgres", tablespace]) }
        _ = try psql(server, "CREATE TABLESPACE extra LOCATION '\(tablespace)'")
        let data = "\(server.folder.path)/data"
        let status = try postgres(server, "status", "ehr")
        // Whether the disk of this host is encrypted is not the test's to say, but one of both is said of each folder.
        for role in ["data directory \(data)", "tablespace extra \(tablespace)"] {
            let isSaid =
                status.text.contains("the \(role) is not encrypted")
                || status.text.contains("the \(role) is encrypted by")
            #expect(isSaid, "\(status.text)")
        }
        let told = try postgres(server, "enable-encryption", "ehr")
        #expect(told.status == 1)
        #expect(told.text.contains("everyhop docroot encrypt \(data)"))
        let second = try PostgresServer(trust)
        let others = try postgres(server, "status", "ehr", more: "data_directory = \"\(second.folder.path)/data\"")
        #expect(others.text.contains("not checked: \(second.folder.path)/data on this host belongs to another server"))
        let nowhere = try postgres(server, "status", "ehr", more: "data_directory = \"/nowhere\"")
        #expect(nowhere.text.contains("not checked: /nowhere is no data directory of PostgreSQL on this host"))
    }

    @Test func `logins by SCRAM, bound to the channel, and by MD5; and who may not ask`() throws {
        let server = try PostgresServer(trust)
        let setUp = """
            CREATE ROLE poor LOGIN PASSWORD 'secret'; SET password_encryption = 'md5';
            CREATE ROLE old LOGIN PASSWORD 'secret' IN ROLE pg_read_all_settings;
            """
        _ = try psql(server, setUp)
        let bound = "hostssl all all 127.0.0.1/32"
        let rules = "\(bound.replacingOccurrences(of: "all all", with: "all old")) md5\n\(bound) scram-sha-256\n"
        try Data(rules.utf8).write(to: URL(fileURLWithPath: "\(server.folder.path)/data/pg_hba.conf"))
        #expect(try psql(server, "SELECT pg_reload_conf()").contains("t"))
        let other = { (user: String) throws -> String in
            try run(
                ["status", "ehr", "--user", user, "--password-file", "\(folder.path)/postgres.pass"],
                "protocol = \"postgres\"\nserver = \"127.0.0.1:\(server.port)\"\ncatalog = \"postgres\""
            ).text
        }
        #expect(try other("alice").contains("the data directory \(server.folder.path)/data is"))
        try waitUntil("MD5") { try other("old").contains("the data directory \(server.folder.path)/data is") }
        #expect(try other("poor").contains("GRANT pg_read_all_settings to the user, or set data_directory"))
        #expect(try other("nobody").contains("the server refuses the login: password authentication failed"))
        #expect(!server.output.contains("could not receive data from client"))
    }
}
