import Platform

/// What an audit says about a document root.
public enum FolderAudit {
    /// Looks at a folder.
    ///
    /// - Parameters:
    ///   - site: what the configuration calls it.
    ///   - allowsPlaintext: whether the configuration says that it may be in plain, which is reported as what it is.
    public static func report(site: String, path: String, allowsPlaintext: Bool = false) -> HopReport {
        let encryption: FolderEncryption
        do { encryption = try FolderEncryption.inspect(path) } catch {
            let reason = "\(path) cannot be looked at: \(error)"
            return HopReport(
                kind: .documentRoot,
                name: site,
                place: path,
                facts: [],
                findings: [
                    .notChecked(.documentRootEncrypted, reason), .notChecked(.documentRootRecovery, reason),
                ]
            )
        }
        let folder = EncryptedFolder.nearest(path)
        let status = try? folder?.status()
        let engine = Fact("engine", encryption.engine.rawValue)
        let state = Fact("state", encryption.isUnlocked ? "unlocked" : "locked")
        return HopReport(
            kind: .documentRoot,
            name: site,
            place: path,
            facts: [engine] + (encryption.isEncrypted ? [state] : []) + encryption.detail,
            findings: [
                encrypted(path, encryption, status, allowsPlaintext),
                recovery(encryption, status, isKnown: folder != nil),
            ]
        )
    }

    private static func encrypted(
        _ path: String,
        _ encryption: FolderEncryption,
        _ status: FolderStatus?,
        _ allowsPlaintext: Bool
    ) -> Finding {
        let how = "everyhop docroot encrypt \(path)"
        guard encryption.isEncrypted else {
            let allowed = allowsPlaintext ? "; the configuration allows that by plaintext_root" : ""
            return .fallsShort(
                .documentRootEncrypted,
                "\(path) is in plain: \(encryption.shortcomings.joined(separator: ", "))\(allowed)",
                remedy: how,
                encryption.detail
            )
        }
        if let plaintext = status?.plaintext {
            return .fallsShort(
                .documentRootEncrypted,
                "the encryption was not finished: contents are still in plain in \(plaintext)",
                remedy: "run `\(how)` again",
                encryption.detail
            )
        }
        guard encryption.shortcomings.isEmpty else {
            return .fallsShort(
                .documentRootEncrypted,
                encryption.shortcomings.joined(separator: ", "),
                remedy: "copy it into a folder that everyhop encrypts",
                encryption.detail
            )
        }
        let inside = plainMounts(below: path)
        guard inside.isEmpty else {
            return .fallsShort(
                .documentRootEncrypted,
                "mounted inside of it, and in plain: \(inside.joined(separator: ", "))",
                remedy: "encrypt what is mounted there, or move it elsewhere",
                encryption.detail
            )
        }
        let words = encryption.isUnlocked ? "" : ", and locked now"
        return .holds(
            .documentRootEncrypted,
            "encrypted by \(encryption.engine.rawValue)\(words)",
            encryption.detail
        )
    }

    private static func plainMounts(below path: String) -> [String] {
        guard let whole = try? File.absolutePath(path), let table = try? MountTable.current() else { return [] }
        return table.below(whole).map(\.path).filter { mount in
            guard let found = try? FolderEncryption.inspect(mount) else { return true }
            return !found.isEncrypted
        }
    }

    private static func recovery(_ encryption: FolderEncryption, _ status: FolderStatus?, isKnown: Bool) -> Finding {
        guard encryption.isEncrypted else {
            return .notChecked(.documentRootRecovery, "what is not encrypted needs no recovery key")
        }
        guard isKnown else {
            return .notChecked(
                .documentRootRecovery,
                "everyhop did not set this encryption up: whoever did knows how its key is recovered"
            )
        }
        guard let status else {
            return .fallsShort(
                .documentRootRecovery,
                "what is stored of the keys cannot be read",
                remedy: "bring keys.json back from a backup"
            )
        }
        let slots = Fact("opened by", status.secrets.map(\.words).joined(separator: ", "))
        guard status.hasRecovery else {
            return .fallsShort(
                .documentRootRecovery,
                "there is no recovery key: who forgets the passphrase or loses the key file loses the contents",
                remedy: "everyhop docroot change-key \(status.path) --new-recovery",
                [slots]
            )
        }
        return .holds(.documentRootRecovery, "a recovery key was made, and is not stored here", [slots])
    }
}
