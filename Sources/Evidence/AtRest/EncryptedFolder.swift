import Glibc
import Platform
import TLS

/// A folder that everyhop encrypts, opens and locks.
///
/// The master key is random; it is stored only under secrets (`FolderKeys`), beside the folder. Whoever has one of them,
/// the recovery key included, opens the folder; none of them is stored.
public struct EncryptedFolder {
    let state: FolderState

    /// A folder that exists; a link leads to what it points at.
    public init(_ path: String) throws(FolderFailure) { state = try FolderState(path) }

    /// The folder's path, without links.
    public var path: String { state.folder }

    /// Whether everyhop has begun to encrypt it.
    public var isBegun: Bool { state.isKnown }

    /// The folder that everyhop encrypts, or has begun to, at a path or above it.
    public static func nearest(_ path: String) -> EncryptedFolder? {
        guard var place = try? File.absolutePath(path) else { return nil }
        while true {
            if let folder = try? EncryptedFolder(place), folder.isBegun, (try? folder.state.verify()) != nil {
                return folder
            }
            guard let slash = place.lastIndex(of: "/"), slash > place.startIndex else { return nil }
            place = String(place[..<slash])
        }
    }

    /// Whether a path lies in the folder, or in what belongs to it; the file itself need not be there yet.
    public func contains(_ other: String) -> Bool {
        let end = other.lastIndex(of: "/")
        let parent = end.map { $0 == other.startIndex ? "/" : String(other[..<$0]) } ?? "."
        guard let whole = (try? File.absolutePath(other)) ?? (try? File.absolutePath(parent) + "/") else {
            return false
        }
        return whole.hasPrefix("\(path)/") || whole.hasPrefix("\(state.place)/")
    }

    /// Opens the folder; one that is open stays so.
    public func unlock(_ secret: borrowing FolderSecret) throws(FolderFailure) {
        let (journal, _) = try known()
        let lock = try state.lock()
        let key = try state.keys().open(secret)
        try engine(journal).open(state, key: key, journal: journal)
        if try state.journal() == nil { try state.write(journal) }
        _ = consume lock
    }

    /// Locks the folder: names and contents can be read by nobody until it is opened again.
    public func lock() throws(FolderFailure) {
        let (journal, _) = try known()
        let lock = try state.lock()
        let folder = try state.open(state.parent)
        try state.explained(state.folder) { () throws(Errno) in try Folder.syncFileSystem(of: folder) }
        try engine(journal).close(state)
        _ = consume lock
    }

    /// Opens the folder's keys with one secret, and puts them under another, in place of those of its kind.
    public func change(_ secret: borrowing FolderSecret, to other: borrowing FolderSecret) throws(FolderFailure) {
        _ = try known()
        let lock = try state.lock()
        var keys = try state.keys()
        let key = try keys.open(secret)
        do { try keys.set(other, key: key) } catch { throw FolderFailure("\(error)") }
        try state.write(keys)
        _ = consume lock
    }

    /// Makes a new recovery key; the old one opens nothing any more.
    ///
    /// - Parameter give: gets the text of it, once.
    public func renewRecovery(
        _ secret: borrowing FolderSecret,
        give: ([UInt8]) throws(FolderFailure) -> Void
    ) throws(FolderFailure) {
        _ = try known()
        let lock = try state.lock()
        let key = try state.keys().open(secret)
        try makeRecovery(key, give)
        _ = consume lock
    }

    /// What is known about the folder now.
    public func status() throws(FolderFailure) -> FolderStatus {
        let encryption: FolderEncryption
        do { encryption = try FolderEncryption.inspect(state.folder) } catch {
            if error.code == ENOTCONN {
                throw FolderFailure("the gocryptfs behind \(state.folder) has ended: unlock it again")
            }
            throw FolderFailure("\(state.folder): \(error)")
        }
        let journal = try state.journal() ?? state.lostJournal
        var secrets: [FolderSecret.Kind] = []
        if journal != nil { secrets = try state.keys().slots.map(\.kind) }
        return FolderStatus(
            path: state.folder,
            encryption: encryption,
            phase: journal?.phase.rawValue,
            secrets: secrets,
            hasRecovery: journal?.hasGivenRecovery == true && secrets.contains(.recovery),
            plaintext: plaintext(journal)
        )
    }

    /// The keys under a new recovery key; the old one opens them until the new one was given away.
    func makeRecovery(
        _ key: borrowing SecretBytes,
        _ give: ([UInt8]) throws(FolderFailure) -> Void
    ) throws(FolderFailure) {
        let before = try state.keys()
        var keys = before
        let recovery: SecretBytes
        do { recovery = try RecoveryKey.make() } catch { throw FolderFailure("\(error)") }
        var text = RecoveryKey.text(recovery)
        defer { RecoveryKey.clear(&text) }
        guard let secret = FolderSecret(.recovery, recovery) else { throw FolderFailure("no recovery key was made") }
        do { try keys.set(secret, key: key, beside: true) } catch { throw FolderFailure("\(error)") }
        try state.write(keys)
        do { try give(text) } catch {
            try state.write(before)
            throw error
        }
        keys.keepLast(.recovery)
        try state.write(keys)
        if var journal = try state.journal() {
            journal.hasGivenRecovery = true
            try state.write(journal)
        }
    }

    func engine(_ journal: FolderJournal) throws(FolderFailure) -> FolderEngine {
        guard let engine = FolderEngine(rawValue: journal.engine) else {
            throw FolderFailure("\(journal.engine) is not everyhop's to open")
        }
        return engine
    }

    private func known() throws(FolderFailure) -> (FolderJournal, FolderState) {
        guard let journal = try state.journal() ?? state.lostJournal else {
            let missing = File.exists(state.place) ? "journal.json in \(state.place)" : state.place
            throw FolderFailure("everyhop has not encrypted \(state.folder): there is no \(missing)")
        }
        try state.verify()
        switch journal.phase {
        case .copying, .verified:
            throw FolderFailure("\(state.folder) is not encrypted yet: run `everyhop docroot encrypt` again to finish")
        case .swapped, .cleaning, .done: return (journal, state)
        }
    }

    private func plaintext(_ journal: FolderJournal?) -> String? {
        switch journal?.phase {
        case nil, .done: nil
        case .copying, .verified: state.folder
        case .swapped, .cleaning: state.plaintext
        }
    }
}

/// What is known about a folder.
public struct FolderStatus: Equatable, Sendable {
    /// The folder.
    public let path: String
    /// What encrypts it.
    public let encryption: FolderEncryption
    /// How far everyhop has come with it; nil when it has not begun.
    public let phase: String?
    /// What opens it.
    public let secrets: [FolderSecret.Kind]
    /// Whether a recovery key was made and given away.
    public let hasRecovery: Bool
    /// Where contents are still in plain, if anywhere.
    public let plaintext: String?

    /// Whether it is encrypted, and nothing of it is left in plain.
    public var isEncrypted: Bool { encryption.isEncrypted && plaintext == nil }
}
