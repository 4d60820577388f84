import Database

/// What turns transparent data encryption on (Microsoft's "Enable TDE"), leaving out what is there already.
public struct TransparentEncryptionPlan: Sendable {
    /// The algorithms that are not deprecated.
    public enum Algorithm: String, Sendable, CaseIterable {
        /// 128 bits.
        case aes128 = "AES_128"
        /// 192 bits.
        case aes192 = "AES_192"
        /// 256 bits.
        case aes256 = "AES_256"
    }

    /// Where the certificate is backed up to, as the server sees it.
    public struct Backup: Sendable {
        let path: String
        let keyPath: String
        let password: String

        /// - Parameter path: the certificate's file on the server; the private key's has `.pvk` added.
        public init(path: String, password: String) {
            self.path = path
            keyPath = path + ".pvk"
            self.password = password
        }
    }

    /// What is wished for.
    public struct Wishes: Sendable {
        /// Of the database encryption key.
        public var algorithm = Algorithm.aes256
        /// The certificate's name.
        public var certificate: String
        /// What protects a new master key; needed only where `master` has none.
        public var masterKeyPassword: String?
        /// Where to back the certificate up; nil for not now.
        public var backup: Backup?

        /// AES-256 and a certificate of everyhop's own name.
        public init(catalog: String) { certificate = "everyhop_tde_\(catalog)".prefixOfUnits(128) }
    }

    /// One step: a title, and the batches that it takes; none when it is done already.
    public struct Step: Equatable, Sendable {
        /// What it is.
        public let title: String
        /// Each is sent on its own, as between two GO.
        public let batches: [SQLText]
        /// The error that says that it was done before, and what is to be known then; nil for none.
        var doneBefore: Before?

        /// What an earlier run may have done.
        struct Before: Equatable {
            let error: String
            let note: String
        }
    }

    /// The steps, in order.
    public let steps: [Step]
    /// Whether nothing is left but to wait until the server has encrypted all pages.
    public let isWaiting: Bool

    /// Finds out what is missing.
    ///
    /// - Throws: `DatabaseFailure` for what cannot be done.
    public init(_ found: TransparentEncryption, _ wishes: Wishes) throws(DatabaseFailure) {
        let catalog = TransactSQL.name(found.catalog)
        guard !TransparentEncryption.systemCatalogs.contains(found.catalog.lowercased()) else {
            throw DatabaseFailure("\(found.catalog) is a system database, which TDE does not encrypt")
        }
        guard found.condition == "ONLINE" else {
            throw DatabaseFailure("\(found.catalog) is \(found.condition), not ONLINE")
        }
        if found.key?.state == .decrypting {
            throw DatabaseFailure("\(found.catalog) is being decrypted; wait until that has ended")
        }
        var steps: [Step] = []
        if found.key == nil {
            steps.append(try Self.masterKey(found, wishes))
            steps.append(try Self.certificate(found, wishes))
        }
        // Before anything is encrypted with it.
        if let backup = wishes.backup {
            let name = found.key == nil ? wishes.certificate : found.certificate?.name
            guard let name else {
                throw DatabaseFailure("the key is not protected by a certificate that could be backed up")
            }
            // A file that exists is no fault where the certificate has been backed up: this is the second run.
            let before = found.certificate?.backedUp.map { time in
                Step.Before(
                    error: "15240",
                    note:
                        "NOT WRITTEN: the server cannot write \(backup.path), most likely because it is there from the "
                        + "back-up of \(time). What is there has the password of then; for one with this password, name "
                        + "another file"
                )
            }
            steps.append(
                Step(
                    title: "back-up of the certificate",
                    batches: [Self.master, Self.backup(name, backup)],
                    doneBefore: before
                )
            )
        }
        if found.key == nil {
            let text =
                "CREATE DATABASE ENCRYPTION KEY WITH ALGORITHM = \(wishes.algorithm.rawValue) ENCRYPTION BY SERVER CERTIFICATE \(TransactSQL.name(wishes.certificate));"
            steps.append(
                Step(title: "database encryption key", batches: [SQLText("USE \(catalog);"), SQLText(text)])
            )
        } else {
            steps.append(Step(title: "database encryption key", batches: []))
        }
        let state = found.key?.state ?? .absent
        isWaiting = state == .encrypting
        let isOn = state != .absent && state != .unencrypted
        steps.append(
            Step(
                title: "encryption",
                batches: isOn ? [] : [Self.master, SQLText("ALTER DATABASE \(catalog) SET ENCRYPTION ON;")]
            )
        )
        self.steps = steps
    }

    /// Runs every step.
    ///
    /// - Parameters:
    ///   - progress: is told each step before it is taken.
    ///   - note: is told what was left as it was, against what was asked for.
    /// - Throws: `DatabaseFailure` that names the step; what was done before it stays, and is found the next time.
    public func run(_ session: some SQLSession, progress: (Step) -> Void, note: (String) -> Void) throws {
        for step in steps {
            progress(step)
            for batch in step.batches {
                do { _ = try session.ask(batch.sent, patience: .question) } catch let error as ServerError {
                    if let before = step.doneBefore, before.error == error.code {
                        note(before.note)
                        continue
                    }
                    throw DatabaseFailure("\(step.title): \(TransparentEncryption.explained(error))")
                }
            }
        }
    }

    /// The script that `run` runs, as sqlcmd and Management Studio take it.
    public var script: String {
        var lines: [String] = []
        for step in steps {
            lines.append("-- \(step.title)\(step.batches.isEmpty ? ": there already" : "")")
            for batch in step.batches { lines += [batch.shown, "GO"] }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    // MARK: statements

    private static let master = SQLText("USE [master];")

    private static func masterKey(
        _ found: TransparentEncryption,
        _ wishes: Wishes
    ) throws(DatabaseFailure) -> Step {
        if found.hasMasterKey { return Step(title: "master key", batches: []) }
        guard let password = wishes.masterKeyPassword else {
            throw DatabaseFailure(
                "master has no master key yet, and a new one needs a password; name a file that holds one with --master-key-password-file"
            )
        }
        let text = SQLText("CREATE MASTER KEY ENCRYPTION BY PASSWORD = ")
            .adding(secret: password, called: "master key password").adding(";")
        return Step(title: "master key", batches: [master, text])
    }

    private static func certificate(
        _ found: TransparentEncryption,
        _ wishes: Wishes
    ) throws(DatabaseFailure) -> Step {
        if let certificate = found.certificate {
            guard certificate.isUnderMasterKey else {
                throw DatabaseFailure(
                    "the private key of certificate \(certificate.name) is not protected by the master key; name another with --certificate"
                )
            }
            return Step(title: "certificate", batches: [])
        }
        // At most 64 characters on Linux.
        let subject = TransactSQL.string("TDE of \(found.catalog)".prefixOfUnits(64))
        let text = SQLText("CREATE CERTIFICATE \(TransactSQL.name(wishes.certificate)) WITH SUBJECT = \(subject);")
        return Step(title: "certificate", batches: [master, text])
    }

    private static func backup(_ name: String, _ backup: Backup) -> SQLText {
        SQLText(
            "BACKUP CERTIFICATE \(TransactSQL.name(name)) TO FILE = \(TransactSQL.string(backup.path)) WITH PRIVATE KEY (FILE = \(TransactSQL.string(backup.keyPath)), ENCRYPTION BY PASSWORD = "
        )
        .adding(secret: backup.password, called: "back-up password").adding(");")
    }
}

extension String {
    /// As many whole characters as fit into so many UTF-16 units, which is how SQL Server counts.
    fileprivate func prefixOfUnits(_ most: Int) -> String {
        var count = 0
        return String(
            prefix { character in
                count += character.utf16.count
                return count <= most
            }
        )
    }
}
