import Database

/// Transparent data encryption of one database of a SQL Server, as its catalog views tell it.
public struct TransparentEncryption: Equatable, Sendable {
    /// The state of a database encryption key (sys.dm_database_encryption_keys).
    public enum State: Int, Sendable, CaseIterable {
        /// No key.
        case absent = 0
        /// A key, and nothing encrypted.
        case unencrypted = 1
        /// Pages are being encrypted.
        case encrypting = 2
        /// All is encrypted.
        case encrypted = 3
        /// Pages go over to a new key.
        case changingKey = 4
        /// Pages are being decrypted.
        case decrypting = 5
        /// The certificate changes.
        case changingProtection = 6

        /// In words.
        public var text: String {
            switch self {
            case .absent: "no database encryption key"
            case .unencrypted: "a database encryption key, but encryption is off"
            case .encrypting: "encryption in progress"
            case .encrypted: "encrypted"
            case .changingKey: "encrypted, key change in progress"
            case .decrypting: "decryption in progress"
            case .changingProtection: "encrypted, protection change in progress"
            }
        }
    }

    /// The database encryption key.
    public struct Key: Equatable, Sendable {
        /// What it does.
        public var state: State
        /// How much of a change of state is done, in percent.
        public var percent: String
        /// Such as `AES`.
        public var algorithm: String
        /// Bits.
        public var length: Int
        /// `CERTIFICATE` or `ASYMMETRIC KEY`; empty where the server does not tell.
        public var encryptor: String
    }

    /// A certificate of `master`.
    public struct Certificate: Equatable, Sendable {
        /// Its name.
        public var name: String
        /// Whether the database master key protects its private key, as TDE needs it.
        public var isUnderMasterKey: Bool
        /// When its private key was last backed up; nil for never.
        public var backedUp: String?
    }

    /// Its name on the server.
    public var catalog: String
    /// `ONLINE`, or why it is not.
    public var condition: String
    /// Whether sys.databases says that it is encrypted.
    public var isEncrypted: Bool
    /// Its encryption key; nil without one.
    public var key: Key?
    /// Whether `master` has a master key.
    public var hasMasterKey = false
    /// The certificate that protects the key, or, without a key, the one that is to.
    public var certificate: Certificate?

    init(catalog: String, condition: String, isEncrypted: Bool) {
        self.catalog = catalog
        self.condition = condition
        self.isEncrypted = isEncrypted
    }

    /// A database of a server that nobody has looked at: as if there were nothing yet.
    public init(unknown catalog: String) { self.init(catalog: catalog, condition: "ONLINE", isEncrypted: false) }

    /// Databases that TDE cannot encrypt (error 33102).
    static let systemCatalogs: Set<String> = ["master", "model", "msdb", "tempdb", "resource"]

    /// Looks.
    ///
    /// - Parameter certificate: the name of the certificate to look for when there is no key.
    /// - Throws: `DatabaseFailure` when there is no such database, or the user may not see it.
    public static func look(
        at catalog: String,
        certificate name: String,
        _ session: some SQLSession
    ) throws -> TransparentEncryption {
        do { return try lookAll(at: catalog, name, session) } catch let error as ServerError { throw explained(error) }
    }

    private static func lookAll(
        at catalog: String,
        _ name: String,
        _ session: some SQLSession
    ) throws -> TransparentEncryption {
        let literal = TransactSQL.string(catalog)
        let databases = try session.rows(
            "SELECT d.state_desc, CONVERT(int, d.is_encrypted) FROM sys.databases AS d WHERE d.name = \(literal);"
        )
        guard let row = databases.first, row.count == 2 else {
            throw DatabaseFailure(
                "the server has no database \"\(catalog)\", or the user may not see it; set catalog to its name on the server"
            )
        }
        var found = TransparentEncryption(catalog: catalog, condition: row[0] ?? "", isEncrypted: row[1] == "1")
        found.key = try key(literal, session)
        let masterKeys = try session.rows(
            "SELECT COUNT(*) FROM master.sys.symmetric_keys AS k WHERE k.name = N'##MS_DatabaseMasterKey##';"
        )
        found.hasMasterKey = masterKeys.first?.first != "0" && !masterKeys.isEmpty
        let condition =
            found.key == nil
            ? "c.name = \(TransactSQL.string(name))"
            : "c.thumbprint = (SELECT k.encryptor_thumbprint FROM sys.dm_database_encryption_keys AS k WHERE k.database_id = DB_ID(\(literal)))"
        let certificates = try session.rows(
            "SELECT c.name, c.pvt_key_encryption_type, CONVERT(nvarchar(30), c.pvt_key_last_backup_date, 126) FROM master.sys.certificates AS c WHERE \(condition);"
        )
        if let row = certificates.first, row.count == 3 {
            found.certificate = Certificate(name: row[0] ?? "", isUnderMasterKey: row[1] == "MK", backedUp: row[2])
        }
        return found
    }

    /// How far the key is: cheaper than looking at all.
    public static func progress(of catalog: String, _ session: some SQLSession) throws -> Key? {
        do { return try key(TransactSQL.string(catalog), session) } catch let error as ServerError {
            throw explained(error)
        }
    }

    private static func key(_ literal: String, _ session: some SQLSession) throws -> Key? {
        func ask(_ encryptor: String) throws -> [[String?]] {
            try session.rows(
                "SELECT k.encryption_state, k.percent_complete, k.key_algorithm, k.key_length, \(encryptor) FROM sys.dm_database_encryption_keys AS k WHERE k.database_id = DB_ID(\(literal));"
            )
        }
        let rows: [[String?]]
        do { rows = try ask("k.encryptor_type") } catch let error as ServerError {
            // No such column: before SQL Server 2012.
            guard error.code == "207" else { throw error }
            rows = try ask("N''")
        }
        guard let row = rows.first, row.count == 5 else { return nil }
        guard let state = number(row[0]).flatMap({ State(rawValue: $0) }) else {
            throw DatabaseFailure("the server tells a state of encryption that is not known: \(row[0] ?? "none")")
        }
        if state == .absent { return nil }
        return Key(
            state: state,
            percent: row[1] ?? "0",
            algorithm: row[2] ?? "",
            length: number(row[3]) ?? 0,
            encryptor: row[4] ?? ""
        )
    }

    /// Digits and nothing else.
    static func number(_ text: String?) -> Int? {
        guard let text, (1...9).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return text.utf8.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }

    /// What is to be done about errors of SQL Server that TDE knows.
    static func explained(_ error: ServerError) -> DatabaseFailure {
        let fixes = [
            "229": "grant the user what it lacks",
            "262": "grant the user what it lacks",
            "297": "GRANT VIEW SERVER STATE to the user (from 2022 on: VIEW SERVER SECURITY STATE)",
            "300": "GRANT VIEW SERVER STATE to the user (from 2022 on: VIEW SERVER SECURITY STATE)",
            "15118": "choose a longer password of letters, digits and signs",
            "15240": "name files that do not exist yet, in a folder that the server's own account can write to",
            "15247": "use a user with CONTROL SERVER",
            "15581":
                "the master key of master is not opened by the server itself: OPEN MASTER KEY, then ALTER MASTER KEY ADD ENCRYPTION BY SERVICE MASTER KEY",
            "33101":
                "the certificate's private key has to be protected by the master key: name another with --certificate",
            "33109": "wait until the scan has ended",
            "33117": "TDE needs the Enterprise edition, or Standard from SQL Server 2019 on",
            "33118": "make the database and its filegroups writable",
            "33122": "take a log back-up, then run this again",
        ]
        let fix = fixes[error.code].map { "; \($0)" } ?? ""
        return DatabaseFailure("the server refuses: \(error)\(fix)")
    }
}

// MARK: - What it comes to

extension TransparentEncryption {
    /// What was seen.
    public var facts: [Fact] {
        var facts = [
            Fact("catalog", catalog), Fact("sys.databases.is_encrypted", isEncrypted ? "1" : "0"),
            Fact("encryption_state", "\(key?.state.rawValue ?? 0) (\((key?.state ?? .absent).text))"),
        ]
        guard let key else { return facts }
        if key.state != .encrypted, key.state != .unencrypted { facts.append(Fact("percent_complete", key.percent)) }
        facts.append(Fact("key", "\(key.algorithm) \(key.length)"))
        if !key.encryptor.isEmpty { facts.append(Fact("encryptor_type", key.encryptor)) }
        if let certificate {
            facts.append(Fact("certificate", certificate.name))
            facts.append(Fact("private key backed up", certificate.backedUp ?? "never"))
        }
        return facts
    }

    /// Whether the data is encrypted, under a key that counts.
    public var finding: Finding {
        guard let key else {
            return .fallsShort(
                .storageEncrypted,
                "the files of \(catalog) are not encrypted: it has no database encryption key",
                remedy: "everyhop database enable-encryption",
                facts
            )
        }
        let isDone = key.state == .encrypted || key.state == .changingKey || key.state == .changingProtection
        guard isEncrypted, isDone else {
            return .fallsShort(
                .storageEncrypted,
                "the files of \(catalog) are not encrypted throughout: \(key.state.text)",
                remedy: key.state == .encrypting
                    ? "wait until all is encrypted (\(key.percent) percent now)"
                    : "everyhop database enable-encryption",
                facts
            )
        }
        guard key.algorithm == "AES", key.length >= 128 else {
            return .fallsShort(
                .storageEncrypted,
                "the files of \(catalog) are encrypted with \(key.algorithm) \(key.length), which is no approved algorithm",
                remedy: "ALTER DATABASE ENCRYPTION KEY REGENERATE WITH ALGORITHM = AES_256",
                facts
            )
        }
        return .holds(
            .storageEncrypted,
            "the data and log files of \(catalog) are \(key.state.text), with \(key.algorithm) \(key.length)",
            facts
        )
    }

    /// What an administrator has to be told whenever a key is in use whose certificate is nowhere else.
    public var reminder: String? {
        guard let certificate, certificate.backedUp == nil else { return nil }
        return
            "the private key of certificate \(certificate.name) has never been backed up: without it, neither the database nor its back-ups can be opened on another server. Run this with --backup-certificate, and keep both files and their password apart from the database."
    }
}
