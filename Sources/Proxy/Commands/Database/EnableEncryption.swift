import ArgumentParser
import Bytes
import Config
import Evidence
import Glibc
import Platform

/// `everyhop database enable-encryption`.
struct EnableEncryption: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "enable-encryption",
        abstract: "Have a database's server encrypt what it stores.",
        discussion: """
            SQL Server: transparent data encryption, from master key to the last page; what is there already is kept.
            MySQL, MariaDB: every table of the database, once the server manages keys; if it does not, what to put into
            its configuration. PostgreSQL does not encrypt by itself: how to encrypt the folder that its files are in.

            With --dry-run the server is only looked at, and the statements are printed that would be run. Without a
            user, SQL Server's are printed as for a server that has none of it yet.

            Example:
              everyhop database enable-encryption ehr --config everyhop.toml --user sa --password-file sa.pass \\
                --master-key-password-file dmk.pass --backup-certificate /secure/ehr.cer \\
                --backup-password-file backup.pass
            """
    )

    @OptionGroup var choice: DatabaseChoice

    @Flag(help: "Print what would be run, and change nothing.")
    var dryRun = false

    @Option(help: "SQL Server: AES_128, AES_192 or AES_256.")
    var algorithm = TransparentEncryptionPlan.Algorithm.aes256.rawValue

    @Option(help: "SQL Server: the name of the certificate; everyhop_tde_ and the database's name by default.")
    var certificate: String?

    @Option(help: "SQL Server: a file with a password for the master key, where there is none yet.")
    var masterKeyPasswordFile: String?

    @Option(help: "SQL Server: back the certificate up to this file of the server; its key goes beside it, as .pvk.")
    var backupCertificate: String?

    @Option(help: "SQL Server: a file with the password that protects the key's back-up.")
    var backupPasswordFile: String?

    @Flag(help: "SQL Server: do not wait until all pages are encrypted.")
    var noWait = false

    func validate() throws {
        guard (backupCertificate == nil) == (backupPasswordFile == nil) else {
            throw ValidationError("--backup-certificate and --backup-password-file go together")
        }
        guard TransparentEncryptionPlan.Algorithm(rawValue: algorithm) != nil else {
            let names = TransparentEncryptionPlan.Algorithm.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--algorithm \(algorithm) is not known; use one of \(names)")
        }
        guard certificate.map({ (1...128).contains($0.utf16.count) }) ?? true else {
            throw ValidationError("--certificate has 1 to 128 characters")
        }
    }

    func run() throws {
        let (access, credentials) = try choice.resolve()
        let catalog = access.database.catalog?.value ?? access.database.name
        let isDone = try Refusal.explained {
            switch access.database.kind {
            case .tds:
                try encrypt(catalog, access, credentials)
                return true
            case .mysql: return try encryptTables(of: catalog, access, credentials)
            case .postgres:
                try explain(access, credentials, catalog)
                return dryRun
            }
        }
        if !isDone { throw ExitCode(1) }
    }

    private func session(_ access: DatabaseAccess, _ credentials: DatabaseCredentials?) throws -> DatabaseLink {
        guard let credentials else {
            throw ValidationError(
                "no user or no password: use --user with --password-file or \(DatabaseChoice.variable), or credentials in the configuration"
            )
        }
        return try DatabaseLink.open(access, credentials, database: nil)
    }

    private func show(_ script: String) {
        for line in script.split(separator: "\n") { print(Visible.text(String(line))) }
    }

    // MARK: SQL Server

    private func encrypt(_ catalog: String, _ access: DatabaseAccess, _ credentials: DatabaseCredentials?) throws {
        let wishes = try wishes(catalog)
        if dryRun, credentials == nil {
            let unknown = TransparentEncryption(unknown: catalog)
            print("-- As for a server that has none of it yet: nobody was named to look.")
            show(try TransparentEncryptionPlan(unknown, wishes).script)
            return
        }
        let session = try session(access, credentials)
        let found = try TransparentEncryption.look(at: catalog, certificate: wishes.certificate, session)
        let plan = try TransparentEncryptionPlan(found, wishes)
        if dryRun {
            show(plan.script)
            return
        }
        try plan.run(
            session,
            progress: { step in
                print("\(step.title): \(step.batches.isEmpty ? "there already" : "...")")
                for batch in step.batches { print("  \(Visible.text(batch.shown))") }
            },
            note: { print(Visible.text($0)) }
        )
        if noWait {
            print("the server encrypts all pages now; `everyhop database status` tells how far it is")
        } else {
            try wait(for: catalog, session)
        }
        let after = try TransparentEncryption.look(at: catalog, certificate: wishes.certificate, session)
        if let reminder = after.reminder { print("REMEMBER: \(Visible.text(reminder))") }
    }

    private func wishes(_ catalog: String) throws -> TransparentEncryptionPlan.Wishes {
        var wishes = TransparentEncryptionPlan.Wishes(catalog: catalog)
        wishes.algorithm = TransparentEncryptionPlan.Algorithm(rawValue: algorithm) ?? .aes256
        wishes.certificate = certificate ?? wishes.certificate
        // A script shows no password, so that none is needed for one.
        wishes.masterKeyPassword = try masterKeyPasswordFile.map { try password($0) } ?? (dryRun ? "" : nil)
        if let backupCertificate, let backupPasswordFile {
            wishes.backup = .init(path: backupCertificate, password: try password(backupPasswordFile))
        }
        return wishes
    }

    private func password(_ path: String) throws -> String {
        let bytes = try SecretFile.readPassword(path)
        guard !bytes.isEmpty else { throw ValidationError("\(path) is empty") }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Ends when every page is encrypted; interrupting it ends the waiting only.
    private func wait(for catalog: String, _ session: DatabaseLink) throws {
        var pause: UInt32 = 100_000
        var shown = ""
        var turns = 0
        while true {
            let key = try TransparentEncryption.progress(of: catalog, session)
            turns += 1
            switch key?.state {
            case .encrypted:
                print("encrypted")
                return
            case .encrypting, .changingKey, .changingProtection:
                let text = "\(key?.percent ?? "0") percent"
                if text != shown { print(text) }
                shown = text
            // The scan may begin a moment after the statement has ended.
            case .unencrypted where turns < 20: break
            case .unencrypted, .decrypting, .absent, nil:
                throw ValidationError("the server does not encrypt: \((key?.state ?? .absent).text); see its error log")
            }
            usleep(pause)
            pause = min(pause * 3 / 2, 5_000_000)
        }
    }

    // MARK: MySQL, MariaDB

    /// - Returns: whether all tables are encrypted, or would be.
    private func encryptTables(
        of catalog: String,
        _ access: DatabaseAccess,
        _ credentials: DatabaseCredentials?
    ) throws -> Bool {
        let session = try session(access, credentials)
        let found = try TablespaceEncryption.look(at: catalog, session)
        let plan = try TablespaceEncryptionPlan(found)
        for table in plan.foreign {
            Complaint.write(
                Visible.text(
                    "everyhop: \(table.name) is of engine \(table.engine), which cannot encrypt it: move it to InnoDB"
                )
            )
        }
        if dryRun {
            show(plan.script)
            return true
        }
        try plan.run(session) { print(Visible.text($0.shown)) }
        let after = try TablespaceEncryption.look(at: catalog, session)
        for finding in after.findings where finding.verdict == .fallsShort {
            print(Visible.text(finding.statement))
            print("  mend it: \(finding.remedy ?? "")")
        }
        return after.plainTables.isEmpty
    }

    // MARK: PostgreSQL

    /// Nothing is encrypted by it.
    private func explain(
        _ access: DatabaseAccess,
        _ credentials: DatabaseCredentials?,
        _ catalog: String
    ) throws {
        var path = access.database.dataDirectory?.value
        if path == nil, let credentials {
            let session = try DatabaseLink.open(access, credentials, database: catalog)
            path = try DataDirectory.look(configured: nil, session).folders.first?.path
        }
        print(DataDirectory.instructions(Visible.text(path ?? "DATA_DIRECTORY")))
    }
}
