import Config
import Database
import Platform

/// Asks a database how it stores its data.
public struct DatabaseStorageAudit {
    private let access: DatabaseAccess
    private let credentials: DatabaseCredentials?

    /// - Parameter credentials: nil when there are none; then the report says how to give them.
    public init(_ access: DatabaseAccess, credentials: DatabaseCredentials?) {
        self.access = access
        self.credentials = credentials
    }

    /// The database's name on its server.
    private var catalog: String { access.database.catalog?.value ?? access.database.name }

    /// What is found; a server that cannot be asked is a check that was not made.
    public func report() -> HopReport {
        var facts = [Fact("protocol", access.database.kind.rawValue), Fact("catalog", catalog)]
        if let credentials { facts.append(Fact("asked as", credentials.user)) }
        let findings: [Finding]
        if let credentials {
            do { findings = try ask(credentials) } catch { findings = [.notChecked(.storageEncrypted, "\(error)")] }
        } else {
            findings = [
                .notChecked(
                    .storageEncrypted,
                    "nobody is named to ask the server: add credentials = { user = \"...\", password_file = \"...\" } to the [[database]], or set EVERYHOP_DATABASE_PASSWORD"
                )
            ]
        }
        return HopReport(
            kind: .storage,
            name: access.database.name,
            place: access.database.server.value.description,
            facts: facts,
            findings: findings
        )
    }

    private func ask(_ credentials: DatabaseCredentials) throws -> [Finding] {
        // SQL Server and MySQL are asked by full names, so that a database that is not there is told apart.
        let database = access.database.kind == .postgres ? catalog : nil
        let session = try DatabaseLink.open(access, credentials, database: database)
        switch access.database.kind {
        case .tds:
            let name = TransparentEncryptionPlan.Wishes(catalog: catalog).certificate
            return [try TransparentEncryption.look(at: catalog, certificate: name, session).finding]
        case .mysql: return try TablespaceEncryption.look(at: catalog, session).findings
        case .postgres:
            let configured = access.database.dataDirectory?.value
            let found = try DataDirectory.look(configured: configured, session)
            guard access.isLocal || configured != nil else {
                return [
                    .notChecked(
                        .storageEncrypted,
                        "PostgreSQL does not encrypt by itself, and \(found.folders.first?.path ?? "its folder") is on another host: run everyhop docroot status there"
                    )
                ]
            }
            return found.findings { path in try FolderEncryption.inspect(path) }
        }
    }
}

extension DatabaseAccess {
    /// Whether the server is dialled on this host; a tunnel may lead elsewhere.
    var isLocal: Bool { !addresses.isEmpty && addresses.allSatisfy(\.isLocal) }
}
