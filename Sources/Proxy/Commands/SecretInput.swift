import ArgumentParser
import Evidence
import Platform
import TLS

/// Where a secret that opens a folder comes from: never from the command line itself, nor from the environment.
struct SecretInput: ParsableArguments {
    @Option(help: "A file that holds the passphrase; without any option it is asked for, or read from standard input.")
    var passphraseFile: String?

    @Option(help: "A file of random bytes, 32 or more: `head -c 64 /dev/urandom > FILE` makes one.")
    var keyFile: String?

    func validate() throws {
        guard passphraseFile == nil || keyFile == nil else {
            throw ValidationError("--passphrase-file and --key-file exclude each other")
        }
    }

    /// The files that are read.
    var files: [String] { [passphraseFile, keyFile].compactMap { $0 } }

    /// Reads or asks; `twice` to find what was mistyped.
    func secret(twice: Bool = false) throws(FolderFailure) -> FolderSecret {
        if let keyFile { return try Self.keyFile(keyFile) }
        if let passphraseFile { return try Self.passphrase(Self.line(ofFile: passphraseFile)) }
        return try Self.passphrase(Self.ask("Passphrase: ", twice: twice))
    }

    /// Reads or asks for a recovery key.
    static func recovery() throws(FolderFailure) -> FolderSecret {
        var text = try ask("Recovery key: ", twice: false)
        defer { RecoveryKey.clear(&text) }
        do {
            if let secret = FolderSecret(.recovery, try RecoveryKey.read(text)) { return secret }
        } catch { throw FolderFailure("\(error)") }
        throw FolderFailure("this is no recovery key")
    }

    static func keyFile(_ path: String) throws(FolderFailure) -> FolderSecret {
        var bytes = try contents(of: path)
        guard let secret = FolderSecret(.keyFile, SecretBytes(taking: &bytes)) else {
            throw FolderFailure("\(path) has fewer than \(FolderSecret.leastKeyFile) bytes, which is no key")
        }
        return secret
    }

    static func passphrase(_ text: consuming [UInt8]) throws(FolderFailure) -> FolderSecret {
        guard let secret = FolderSecret(.passphrase, SecretBytes(taking: &text)) else {
            throw FolderFailure("a passphrase has at least \(FolderSecret.leastPassphrase) characters")
        }
        return secret
    }

    static func line(ofFile path: String) throws(FolderFailure) -> [UInt8] {
        var bytes = try contents(of: path)
        defer { RecoveryKey.clear(&bytes) }
        return Array(bytes.prefix { $0 != 0x0A && $0 != 0x0D })
    }

    static func ask(_ question: String, twice: Bool) throws(FolderFailure) -> [UInt8] {
        do {
            guard isTerminal, var first = try Terminal.askSecretly(question) else {
                return try Terminal.readLine(try File.duplicate(0))
            }
            guard twice else { return first }
            var second = try Terminal.askSecretly("Once more: ") ?? []
            defer { RecoveryKey.clear(&second) }
            if first == second { return first }
            RecoveryKey.clear(&first)
        } catch { throw FolderFailure("no secret was read: \(error)") }
        throw FolderFailure("the two are different")
    }

    private static var isTerminal: Bool { Terminal.isTerminal(0) }

    private static func contents(of path: String) throws(FolderFailure) -> [UInt8] {
        do {
            if try File.mode(of: path) & 0o077 != 0 {
                Complaint.write("everyhop: \(path) can be read by others than its owner: chmod 600 it")
            }
            return try File.readSecret(path, limit: 65_536)
        } catch { throw FolderFailure("\(path): \(error)") }
    }
}

/// Where a recovery key goes to.
struct RecoveryOutput: ParsableArguments {
    @Option(help: "A new file for the recovery key, to be moved off this machine; without it the key is printed.")
    var recoveryFile: String?

    /// Gives a recovery key to the user.
    func give(_ text: [UInt8]) throws(FolderFailure) {
        var line = text + [0x0A]
        defer { RecoveryKey.clear(&line) }
        do {
            if let recoveryFile {
                try File.writeNew(line, to: recoveryFile, mode: 0o600)
                print("The recovery key is in \(recoveryFile): move it off this machine.")
            } else {
                print("Recovery key: write it down, and keep it away from this machine. It is not shown again.\n")
                try File.writeAll(Array("    ".utf8) + line + [0x0A], to: 1)
            }
        } catch { throw FolderFailure("the recovery key could not be given away: \(error)") }
    }
}
