import ArgumentParser
import Evidence
import Platform

/// `everyhop docroot`: folders whose files are encrypted on the disk, as EFS does on Windows.
struct DocumentRootCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "docroot",
        abstract: "Encrypt a folder of files, open and lock it.",
        discussion: """
            The kernel encrypts (fscrypt) where the file system can, gocryptfs does otherwise. Applications notice
            nothing. See docs/at-rest.md.
            """,
        subcommands: [Encrypt.self, Unlock.self, Lock.self, Status.self, ChangeKey.self]
    )

    /// The folder, which all commands take.
    struct Place: ParsableArguments {
        @Argument(help: "The folder.") var path: String

        func folder() throws(FolderFailure) -> EncryptedFolder { try EncryptedFolder(path) }
    }

    struct Encrypt: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Encrypt a folder with all that is in it.",
            discussion: """
                Whatever interrupts it, run it again: it goes on, and nothing is lost. A recovery key is made, and shown
                once.

                Example:
                  everyhop docroot encrypt /srv/www/portal
                  everyhop docroot encrypt /srv/www/portal --key-file /root/portal.key --recovery-file /media/usb/portal
                """
        )

        @OptionGroup var place: Place
        @OptionGroup var input: SecretInput
        @OptionGroup var recovery: RecoveryOutput
        @Option(help: "fscrypt or gocryptfs; by default what the file system can.") var engine: DocumentRootEngine?
        @Option(help: .hidden) var stopBefore: String?

        func run() throws {
            try DocumentRootCommand.guarded { () throws(FolderFailure) in
                let folder = try place.folder()
                try DocumentRootCommand.refuse(input.files + [recovery.recoveryFile], in: folder)
                let secret = try input.secret(twice: !folder.isBegun)
                let listener = FolderMigration.Listener(
                    note: { print($0) },
                    giveRecovery: recovery.give,
                    step: { step in if step == stopBefore { ChildProcess.endSelf() } }
                )
                try FolderMigration(folder, listener).run(secret, engine: engine?.engine)
            }
        }
    }

    struct Unlock: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Open a folder that is encrypted.",
            discussion: "Example:\n  everyhop docroot unlock /srv/www/portal --key-file /run/credentials/portal.key"
        )

        @OptionGroup var place: Place
        @OptionGroup var input: SecretInput
        @Flag(help: "Open it with the recovery key.") var recovery = false

        func run() throws {
            try DocumentRootCommand.guarded { () throws(FolderFailure) in
                let folder = try place.folder()
                try folder.unlock(try recovery ? SecretInput.recovery() : input.secret())
            }
        }
    }

    struct Lock: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lock a folder: nobody reads names or contents until it is opened again.",
            discussion: "Example:\n  everyhop docroot lock /srv/www/portal"
        )

        @OptionGroup var place: Place

        func run() throws {
            try DocumentRootCommand.guarded { () throws(FolderFailure) in try place.folder().lock() }
        }
    }

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell what encrypts a folder; exit code 1 if nothing does, or something is left in plain.",
            discussion: "Example:\n  everyhop docroot status /srv/www/portal --json"
        )

        @OptionGroup var place: Place
        @Flag(help: "As JSON.") var json = false

        func run() throws {
            var isEncrypted = false
            try DocumentRootCommand.guarded { () throws(FolderFailure) in
                let status = try place.folder().status()
                print(json ? try status.json() : status.text)
                isEncrypted = status.isEncrypted
            }
            guard isEncrypted else { throw ExitCode(1) }
        }
    }

    struct ChangeKey: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change what opens a folder; its contents stay as they are.",
            discussion: """
                Example:
                  everyhop docroot change-key /srv/www/portal --recovery --new-passphrase
                  everyhop docroot change-key /srv/www/portal --new-recovery
                """
        )

        @OptionGroup var place: Place
        @OptionGroup var input: SecretInput
        @OptionGroup var output: RecoveryOutput
        @Flag(help: "Open it with the recovery key.") var recovery = false
        @Flag(help: "Ask for a new passphrase.") var newPassphrase = false
        @Option(help: "A file that holds the new passphrase.") var newPassphraseFile: String?
        @Option(help: "The new key file.") var newKeyFile: String?
        @Flag(help: "Make a new recovery key; the old one opens nothing any more.") var newRecovery = false

        func validate() throws {
            let count = [newPassphrase, newPassphraseFile != nil, newKeyFile != nil, newRecovery].filter { $0 }.count
            guard count == 1 else {
                throw ValidationError(
                    "say one of --new-passphrase, --new-passphrase-file, --new-key-file, --new-recovery"
                )
            }
        }

        func run() throws {
            try DocumentRootCommand.guarded { () throws(FolderFailure) in
                let folder = try place.folder()
                let files = [newPassphraseFile, newKeyFile, output.recoveryFile]
                try DocumentRootCommand.refuse(files, in: folder)
                let secret = try recovery ? SecretInput.recovery() : input.secret()
                if newRecovery { return try folder.renewRecovery(secret, give: output.give) }
                try folder.change(secret, to: try newSecret())
            }
        }

        private func newSecret() throws(FolderFailure) -> FolderSecret {
            if let newKeyFile { return try SecretInput.keyFile(newKeyFile) }
            if let file = newPassphraseFile { return try SecretInput.passphrase(SecretInput.line(ofFile: file)) }
            return try SecretInput.passphrase(SecretInput.ask("New passphrase: ", twice: true))
        }
    }

    /// Refuses secrets in the very folder that they open.
    static func refuse(_ files: [String?], in folder: EncryptedFolder) throws(FolderFailure) {
        for file in files.compactMap({ $0 }) where folder.contains(file) {
            throw FolderFailure("\(file) lies in the folder that it opens, and would be locked up with it")
        }
    }

    /// Nothing of what a command holds in memory reaches a core file; what is refused is a line, and exit code 1.
    static func guarded(_ body: () throws(FolderFailure) -> Void) throws {
        Privileges.forbidCoreDumps()
        _ = Privileges.raiseDescriptorLimit()
        try Refusal.explained(body)
    }
}

/// The engines by their names on the command line.
enum DocumentRootEngine: String, ExpressibleByArgument {
    case fscrypt
    case gocryptfs

    var engine: FolderEncryption.Engine { self == .fscrypt ? .fscrypt : .gocryptfs }
}
