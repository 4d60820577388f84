import Database

extension TablespaceEncryption {
    /// So many names in a sentence; the rest is counted.
    private static let mostNamed = 10

    /// Tables that are not seen to be encrypted.
    public var plainTables: [Table] { tables.filter { $0.isEncrypted != true } }

    /// What was seen.
    public var facts: [Fact] {
        [
            Fact("catalog", schema), Fact("version", version),
            Fact("key management", keyPlugins.isEmpty ? "none" : keyPlugins.joined(separator: ", ")),
            Fact("tables", "\(tables.count), of which \(tables.count - plainTables.count) are encrypted"),
        ] + settings.sorted { $0.key < $1.key }.filter { $0.key != "datadir" }.map { Fact($0.key, $0.value) }
    }

    /// Tables first, then logs and temporary files, which hold the same data.
    public var findings: [Finding] {
        var findings = [tableFinding]
        let missing = openSettings
        if !missing.isEmpty {
            findings.append(
                .fallsShort(
                    .storageEncrypted,
                    "logs or temporary files are not encrypted: \(missing.map(\.name).joined(separator: ", "))",
                    remedy: "in my.cnf: \(missing.map { "\($0.name) = \($0.wanted)" }.joined(separator: "; "))",
                    missing.map { Fact($0.name, settings[$0.name] ?? "not there") }
                )
            )
        } else {
            findings.append(.holds(.storageEncrypted, "logs and temporary files are encrypted"))
        }
        return findings
    }

    private var tableFinding: Finding {
        if tables.isEmpty { return .notChecked(.storageEncrypted, "\(schema) has no table yet", facts) }
        let plain = plainTables
        if plain.isEmpty {
            return .holds(.storageEncrypted, "all \(tables.count) tables of \(schema) are encrypted", facts)
        }
        let own = plain.filter(\.isVisible)
        let hidden = plain.count - own.count
        var statements: [String] = []
        var remedies: [String] = []
        if !own.isEmpty {
            let named = own.prefix(Self.mostNamed).map { $0.engine == "InnoDB" ? $0.name : "\($0.name) (\($0.engine))" }
            let more = own.count > named.count ? " and \(own.count - named.count) more" : ""
            let all = tables.count { $0.isVisible }
            statements.append(
                "\(own.count) of \(all) tables of \(schema) are not encrypted: \(named.joined(separator: ", "))\(more)"
            )
            remedies.append("everyhop database enable-encryption")
        }
        if hidden > 0 {
            // They hold the words of what is indexed, and ALTER TABLE does not reach them.
            let (noun, verb) = hidden == 1 ? ("table", "is") : ("tables", "are")
            statements.append(
                "\(hidden) \(noun) that InnoDB keeps for full-text indexes of \(schema) \(verb) not encrypted"
            )
            remedies.append(
                isMariaDB
                    ? "in my.cnf: innodb_encrypt_tables = FORCE; innodb_encryption_threads = 4" : "make the index anew"
            )
        }
        return .fallsShort(
            .storageEncrypted,
            statements.joined(separator: "; "),
            remedy: remedies.joined(separator: "; "),
            facts
        )
    }

    private struct Setting {
        let name: String
        let wanted: String
    }

    /// Settings by which something is written in plain beside the tables.
    private var openSettings: [Setting] {
        func isOff(_ name: String) -> Bool { !["ON", "1", "FORCE"].contains((settings[name] ?? "").uppercased()) }
        let hasBinaryLog = !isOff("log_bin")
        var names: [String]
        if isMariaDB {
            names = [
                "innodb_encrypt_log", "innodb_encrypt_temporary_tables", "encrypt_tmp_disk_tables", "encrypt_tmp_files",
            ]
            if hasBinaryLog { names.append("encrypt_binlog") }
        } else {
            names = ["innodb_redo_log_encrypt", "innodb_undo_log_encrypt"]
            if hasBinaryLog { names.append("binlog_encryption") }
        }
        return names.filter(isOff).map { Setting(name: $0, wanted: "ON") }
    }
}

/// What encrypts the tables of a schema, as far as a connection can.
public struct TablespaceEncryptionPlan: Sendable {
    /// Statements, one for each table.
    public let statements: [SQLText]
    /// Tables whose engine cannot encrypt.
    public let foreign: [TablespaceEncryption.Table]

    /// Finds out what is missing.
    ///
    /// - Throws: `DatabaseFailure` when no key management is loaded; it says what has to be put into my.cnf.
    public init(_ found: TablespaceEncryption) throws(DatabaseFailure) {
        guard !found.keyPlugins.isEmpty else {
            throw DatabaseFailure(
                "the server manages no keys, and that cannot be changed over a connection.\n\n\(Self.settings(found))"
            )
        }
        let tables = found.plainTables.filter(\.isVisible)
        let schema = MySQLText.name(found.schema)
        let option = found.isMariaDB ? "ENCRYPTED=YES" : "ENCRYPTION='Y'"
        statements = tables.filter { $0.engine.uppercased() == "INNODB" }.map {
            SQLText("ALTER TABLE \(schema).\(MySQLText.name($0.name)) \(option)")
        }
        foreign = tables.filter { $0.engine.uppercased() != "INNODB" }
    }

    /// Runs every statement.
    ///
    /// - Parameter progress: is told each before it is run.
    public func run(_ session: some SQLSession, progress: (SQLText) -> Void) throws {
        for statement in statements {
            progress(statement)
            do { _ = try session.ask(statement.sent, patience: .rebuild) } catch let error as ServerError {
                throw DatabaseFailure("\(statement.shown): \(error)")
            }
        }
    }

    /// The script that `run` runs.
    public var script: String { statements.map { $0.shown + ";\n" }.joined() }

    /// What to put into the server's configuration, with the way to make its keys.
    public static func settings(_ found: TablespaceEncryption) -> String {
        found.isMariaDB ? mariaDB : mySQL
    }

    private static let mariaDB = """
        Make a key (once; keep a copy of both files apart from the server):
          install -d -o mysql -m 700 /etc/mysql/encryption && cd /etc/mysql/encryption
          openssl rand -hex 128 > keyfile.key
          (printf '1;'; openssl rand -hex 32) | openssl enc -aes-256-cbc -md sha1 -pass file:keyfile.key -out keyfile.enc
          chown mysql keyfile.* && chmod 600 keyfile.*

        Put this into my.cnf, and restart the server:
          [mariadb]
          plugin_load_add = file_key_management
          file_key_management_filename = /etc/mysql/encryption/keyfile.enc
          file_key_management_filekey = FILE:/etc/mysql/encryption/keyfile.key
          file_key_management_encryption_algorithm = AES_CTR
          innodb_encrypt_tables = FORCE
          innodb_encryption_threads = 4
          innodb_encrypt_log = ON
          innodb_encrypt_temporary_tables = ON
          encrypt_tmp_disk_tables = ON
          encrypt_tmp_files = ON
          encrypt_binlog = ON
          aria_encrypt_tables = ON
        """

    private static let mySQL = """
        Name a keyring component in mysqld.my beside the program mysqld:
          { "components": "file://component_keyring_file" }
        and, in component_keyring_file.cnf in the folder plugin_dir, the file of its keys, on another disk than the data:
          { "path": "/var/lib/mysql-keyring/keys", "read_only": false }

        Put this into my.cnf, and restart the server:
          [mysqld]
          default_table_encryption = ON
          table_encryption_privilege_check = ON
          innodb_redo_log_encrypt = ON
          innodb_undo_log_encrypt = ON
          binlog_encryption = ON
        """
}
