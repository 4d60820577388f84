internal import FoundationEssentials

extension FolderStatus {
    private struct Form: Encodable {
        let path: String
        let encrypted: Bool
        let engine: String
        let unlocked: Bool
        let phase: String?
        let openedBy: [String]
        let recovery: Bool
        let plaintext: String?
        let shortcomings: [String]
        let detail: [Fact]
    }

    /// For programs (docs/at-rest.md).
    public func json() throws(FolderFailure) -> String {
        let form = Form(
            path: path,
            encrypted: isEncrypted,
            engine: encryption.engine.rawValue,
            unlocked: encryption.isUnlocked,
            phase: phase,
            openedBy: secrets.map(\.rawValue),
            recovery: hasRecovery,
            plaintext: plaintext,
            shortcomings: encryption.shortcomings,
            detail: encryption.detail
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        do { return String(decoding: try encoder.encode(form), as: UTF8.self) } catch {
            throw FolderFailure("\(error)")
        }
    }

    /// For people.
    public var text: String {
        var lines = [("folder", path)]
        lines.append(("encrypted by", encryption.isEncrypted ? encryption.engine.rawValue : "nothing"))
        if encryption.isEncrypted { lines.append(("state", encryption.isUnlocked ? "unlocked" : "locked")) }
        lines += encryption.detail.map { ($0.name, $0.value) }
        if phase != nil {
            lines.append(("opened by", secrets.map(\.words).joined(separator: ", ")))
            if !hasRecovery { lines.append(("falls short", "there is no recovery key")) }
        }
        if let plaintext { lines.append(("in plain", "\(plaintext): run `everyhop docroot encrypt` again")) }
        lines += encryption.shortcomings.map { ("falls short", $0) }
        return lines.map { name, value in
            name + String(repeating: " ", count: max(1, 18 - name.utf8.count)) + value
        }.joined(separator: "\n")
    }
}
