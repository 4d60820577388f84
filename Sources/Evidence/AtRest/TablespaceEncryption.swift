import Database

/// How MySQL or MariaDB stores the tables of one schema.
public struct TablespaceEncryption: Equatable, Sendable {
    /// A table of the schema, or a hidden one of InnoDB's that belongs to it.
    public struct Table: Equatable, Sendable {
        /// Its name.
        public var name: String
        /// Its storage engine.
        public var engine: String
        /// Whether what is on disk is encrypted; nil where the server does not tell.
        public var isEncrypted: Bool?
        /// Whether it is one of the schema's own, which can be altered.
        public var isVisible = true
    }

    /// The schema.
    public var schema: String
    /// Such as `10.11.6-MariaDB`.
    public var version: String
    /// Whether it is MariaDB.
    public var isMariaDB: Bool
    /// The active plugins or components that manage keys.
    public var keyPlugins: [String]
    /// Settings of encryption, by name.
    public var settings: [String: String]
    /// Every table.
    public var tables: [Table]

    /// Settings that matter, of both.
    private static let names = [
        "log_bin", "innodb_file_per_table", "datadir",
        "innodb_encrypt_tables", "innodb_encrypt_log", "innodb_encrypt_temporary_tables", "encrypt_binlog",
        "encrypt_tmp_disk_tables", "encrypt_tmp_files", "aria_encrypt_tables",
        "default_table_encryption", "innodb_redo_log_encrypt", "innodb_undo_log_encrypt", "binlog_encryption",
    ]
    /// Engines that keep nothing on disk.
    private static let volatile: Set<String> = ["MEMORY", "BLACKHOLE", "PERFORMANCE_SCHEMA"]

    /// Looks.
    ///
    /// - Throws: `DatabaseFailure` when there is no such schema, or the user lacks PROCESS.
    public static func look(at schema: String, _ session: some SQLSession) throws -> TablespaceEncryption {
        do { return try lookAll(at: schema, session) } catch let error as ServerError {
            let fix = error.code == "1227" ? "; GRANT PROCESS ON *.* to the user" : ""
            throw DatabaseFailure("the server refuses: \(error)\(fix)")
        }
    }

    private static func lookAll(at schema: String, _ session: some SQLSession) throws -> TablespaceEncryption {
        let literal = MySQLText.string(schema)
        let schemata = try session.rows(
            "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = \(literal)"
        )
        guard schemata.first?.first == "1" else {
            throw DatabaseFailure(
                "the server has no database \"\(schema)\", or the user may not see it; set catalog to its name on the server"
            )
        }
        let version = try session.rows("SELECT @@version").first?.first.flatMap { $0 } ?? ""
        let list = names.map { MySQLText.string($0) }.joined(separator: ", ")
        var settings: [String: String] = [:]
        for row in try session.rows("SHOW GLOBAL VARIABLES WHERE Variable_name IN (\(list))") where row.count == 2 {
            if let name = row[0] { settings[name.lowercased()] = row[1] ?? "" }
        }
        let isMariaDB = version.contains("MariaDB")
        return TablespaceEncryption(
            schema: schema,
            version: version,
            isMariaDB: isMariaDB,
            keyPlugins: try keyPlugins(isMariaDB, session),
            settings: settings,
            tables: try tables(of: schema, isMariaDB, session)
        )
    }

    private static func keyPlugins(_ isMariaDB: Bool, _ session: some SQLSession) throws -> [String] {
        let kind = isMariaDB ? "PLUGIN_TYPE = 'ENCRYPTION'" : "PLUGIN_NAME LIKE 'keyring%'"
        var plugins = try session.rows(
            "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE \(kind) AND PLUGIN_STATUS = 'ACTIVE'"
        )
        if !isMariaDB {
            // Components are no plugins; the view is there from 8.0.24 on.
            let component =
                "SELECT STATUS_VALUE FROM performance_schema.keyring_component_status WHERE STATUS_KEY = 'Component_name' AND EXISTS (SELECT 1 FROM performance_schema.keyring_component_status WHERE STATUS_KEY = 'Component_status' AND STATUS_VALUE = 'Active')"
            do { plugins += try session.rows(component) } catch is ServerError {}
        }
        return plugins.compactMap { $0.first.flatMap { $0 } }
    }

    private static func tables(
        of schema: String,
        _ isMariaDB: Bool,
        _ session: some SQLSession
    ) throws -> [Table] {
        let visible = try session.rows(
            "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = \(MySQLText.string(schema)) AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW') ORDER BY TABLE_NAME"
        )
        var states = try innodb(schema, isMariaDB, session)
        var tables: [Table] = []
        for row in visible {
            guard row.count == 2, let name = row[0] else { continue }
            let engine = row[1] ?? "unknown"
            if volatile.contains(engine.uppercased()) { continue }
            let isInnoDB = engine.uppercased() == "INNODB"
            let state = states.removeValue(forKey: name)
            tables.append(Table(name: name, engine: engine, isEncrypted: isInnoDB ? state.flatMap { $0 } : false))
        }
        // What InnoDB keeps beside: full-text indexes have the words of the patients, too.
        for (name, state) in states.sorted(by: { $0.key < $1.key }) {
            tables.append(Table(name: name, engine: "InnoDB", isEncrypted: state, isVisible: false))
        }
        return tables
    }

    /// InnoDB's tables of a schema by name; one of several files is encrypted when all of them are.
    private static func innodb(
        _ schema: String,
        _ isMariaDB: Bool,
        _ session: some SQLSession
    ) throws -> [String: Bool?] {
        let folder = InnoDBName.encode(schema) + "/"
        let place = "LEFT(t.NAME, \(folder.utf8.count)) = \(MySQLText.string(folder))"
        // Encrypted with a key whose version is 0 are no pages: that is how MariaDB tells of tables in mid-change.
        let question =
            isMariaDB
            ? "SELECT t.NAME, e.ENCRYPTION_SCHEME <> 0 AND e.MIN_KEY_VERSION <> 0 AND e.CURRENT_KEY_VERSION <> 0 FROM information_schema.INNODB_SYS_TABLES AS t LEFT JOIN information_schema.INNODB_TABLESPACES_ENCRYPTION AS e ON e.SPACE = t.SPACE WHERE \(place)"
            : "SELECT t.NAME, e.ENCRYPTION = 'Y' FROM information_schema.INNODB_TABLES AS t LEFT JOIN information_schema.INNODB_TABLESPACES AS e ON e.SPACE = t.SPACE WHERE \(place)"
        var states: [String: Bool?] = [:]
        for row in try session.rows(question) {
            guard row.count == 2, let path = row[0], path.hasPrefix(folder) else { continue }
            let name = InnoDBName.table(path.dropFirst(folder.count))
            // Without a row of its own it lies in the system tablespace, which is told apart, or is not encrypted.
            let isEncrypted = row[1] == "1"
            states[name] = states[name].map { ($0 ?? false) && isEncrypted } ?? isEncrypted
        }
        return states
    }
}

/// Names as InnoDB writes them: those of files, with other signs as `@` and four hexadecimal digits.
enum InnoDBName {
    static func encode(_ name: String) -> String {
        var text = ""
        for scalar in name.unicodeScalars {
            let isPlain =
                (0x30...0x39).contains(scalar.value) || (0x41...0x5A).contains(scalar.value)
                || (0x61...0x7A).contains(scalar.value) || scalar == "_"
            if isPlain {
                text.unicodeScalars.append(scalar)
            } else {
                let digits = String(scalar.value, radix: 16)
                text += "@" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
            }
        }
        return text
    }

    /// The table of a file: without its partition, decoded as far as the digits go.
    static func table(_ file: Substring) -> String {
        var name = file
        if let part = ["#P#", "#p#"].compactMap({ file.firstRange(of: $0)?.lowerBound }).min() { name = file[..<part] }
        var text = String.UnicodeScalarView()
        var rest = name.unicodeScalars[...]
        while let scalar = rest.first {
            rest.removeFirst()
            let digits = rest.prefix(4)
            if scalar == "@", digits.count == 4, digits.allSatisfy(\.properties.isASCIIHexDigit),
                let value = UInt32(String(String.UnicodeScalarView(digits)), radix: 16),
                let decoded = Unicode.Scalar(value)
            {
                text.append(decoded)
                rest.removeFirst(4)
            } else {
                text.append(scalar)
            }
        }
        return String(text)
    }
}
