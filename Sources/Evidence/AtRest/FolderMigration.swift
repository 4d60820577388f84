import Glibc
import Platform
import TLS

/// Encrypts a folder that has contents, from wherever an earlier program was interrupted.
///
/// An encrypted copy is made beside it and compared until a pass finds both equal; then the two change places in one step;
/// only then is the one in plain removed. At every moment one of the two is whole, and the journal says which.
public struct FolderMigration {
    /// Who is told what.
    public struct Listener {
        let note: (String) -> Void
        let giveRecovery: ([UInt8]) throws(FolderFailure) -> Void
        let step: (String) -> Void

        /// - Parameters:
        ///   - note: gets a line about what is being done.
        ///   - giveRecovery: gets the recovery key's text, once; whether it throws or not decides whether it counts.
        ///   - step: gets the name of every step before it is done, for tests.
        public init(
            note: @escaping (String) -> Void,
            giveRecovery: @escaping ([UInt8]) throws(FolderFailure) -> Void,
            step: @escaping (String) -> Void = { _ in }
        ) {
            self.note = note
            self.giveRecovery = giveRecovery
            self.step = step
        }
    }

    private static let mostPasses = 12

    private let folder: EncryptedFolder
    private let listener: Listener
    private var state: FolderState { folder.state }

    /// The encryption of a folder, new or begun.
    public init(_ folder: EncryptedFolder, _ listener: Listener) {
        self.folder = folder
        self.listener = listener
    }

    /// Encrypts the folder, or goes on with that.
    ///
    /// What is encrypted already stays as it is.
    ///
    /// - Parameter engine: fscrypt or gocryptfs; the best that the file system has by default.
    public func run(
        _ secret: borrowing FolderSecret,
        engine wish: FolderEncryption.Engine? = nil
    ) throws(FolderFailure) {
        if try state.journal() == nil {
            if state.lostJournal != nil {
                throw FolderFailure("\(state.folder) is encrypted; its journal is lost: run `everyhop docroot unlock`")
            }
            try FolderPrecheck(state, listener.note).run()
        }
        try state.make()
        let lock = try state.lock()
        let found = try state.journal()
        if let found, let wish, wish.rawValue != found.engine {
            throw FolderFailure("\(state.folder) was begun with \(found.engine); finish that")
        }
        let key: SecretBytes
        if found == nil { key = try makeKeys(secret) } else { key = try state.keys().open(secret) }
        var journal: FolderJournal
        if let found { journal = found } else { journal = try begin(wish) }
        if !journal.hasGivenRecovery {
            listener.step("recovery")
            try folder.makeRecovery(key, listener.giveRecovery)
            journal.hasGivenRecovery = true
        }
        try advance(&journal, key)
        _ = consume lock
    }

    private func makeKeys(_ secret: borrowing FolderSecret) throws(FolderFailure) -> SecretBytes {
        try state.refuseLeftovers()
        listener.step("keys")
        var keys = FolderKeys()
        let key = try Self.randomKey()
        do { try keys.set(secret, key: key) } catch { throw FolderFailure("\(error)") }
        try state.write(keys)
        return key
    }

    private static func randomKey() throws(FolderFailure) -> SecretBytes {
        do { return try SecretBytes(random: FolderKeys.keyCount) } catch { throw FolderFailure("\(error)") }
    }

    private func begin(_ wish: FolderEncryption.Engine?) throws(FolderFailure) -> FolderJournal {
        let engine: FolderEngine
        if let wish {
            guard let known = FolderEngine(rawValue: wish.rawValue) else {
                throw FolderFailure("\(wish.rawValue) is nothing that everyhop sets up")
            }
            engine = known
        } else {
            engine = try FolderEngine.best(for: state)
        }
        listener.step("journal")
        let plain = try state.open(state.folder)
        let status = try state.explained(state.folder) { () throws(Errno) in try Folder.status(of: plain) }
        let journal = FolderJournal(engine: engine.rawValue, inode: UInt64(status.st_ino))
        try state.write(journal)
        return journal
    }

    private func advance(_ journal: inout FolderJournal, _ key: borrowing SecretBytes) throws(FolderFailure) {
        let engine = try folder.engine(journal)
        // Every turn ends in a later phase, but for one that finds changes while it removes what was in plain.
        for _ in 1...Self.mostPasses {
            switch journal.phase {
            case .copying:
                try copy(&journal, engine, key)
                try exchange(&journal, engine)
            case .verified:
                // Whether the two have changed places is seen, not remembered.
                if try place(of: journal) == .folder {
                    try copy(&journal, engine, key)
                }
                try exchange(&journal, engine)
            case .swapped:
                try engine.open(state, key: key, journal: journal)
                try settle(&journal)
            case .cleaning:
                try engine.open(state, key: key, journal: journal)
                try clean(&journal, engine)
            case .done:
                try engine.open(state, key: key, journal: journal)
                return listener.note("\(state.folder) is encrypted by \(engine.rawValue)")
            }
        }
        throw keepsChanging
    }

    private var keepsChanging: FolderFailure {
        FolderFailure("\(state.plaintext) keeps changing: stop what writes to it, then run this again to finish")
    }

    // MARK: Copying

    /// Passes over both trees until one finds nothing to do, and nothing changed since that one began.
    private func copy(
        _ journal: inout FolderJournal,
        _ engine: FolderEngine,
        _ key: borrowing SecretBytes
    ) throws(FolderFailure) {
        listener.step("begin")
        try engine.begin(state, key: key, journal: &journal)
        let source = try state.open(state.folder)
        var last: TreeCopy.Outcome?
        for pass in 1...Self.mostPasses {
            listener.step("pass \(pass)")
            let began = try state.now()
            let outcome = try onePass(engine, source)
            let isStill = outcome.newest < began || (last?.changes == 0 && last?.newest == outcome.newest)
            if outcome.changes == 0, isStill {
                listener.note("verified: \(outcome.entries) entries are equal, byte by byte")
                listener.step("verified")
                journal.scanned = began
                journal.phase = .verified
                return try state.write(journal)
            }
            listener.note(pass == 1 ? "copied \(outcome.entries) entries" : "copied again what had changed")
            last = outcome
        }
        throw FolderFailure("\(state.folder) keeps changing: stop what writes to it, then run this again to finish")
    }

    private func onePass(
        _ engine: FolderEngine,
        _ source: borrowing FileDescriptor
    ) throws(FolderFailure) -> TreeCopy.Outcome {
        let target = try state.open(engine.target(state))
        // What programs wrote to mapped memory counts as a change from now on.
        try state.explained(state.folder) { () throws(Errno) in try Folder.syncFileSystem(of: source) }
        let outcome: TreeCopy.Outcome
        do { outcome = try TreeCopy.pass(from: source, to: target) } catch {
            var text = "\(state.folder)/\(error)"
            if error.cause.code == ENOSPC || error.cause.code == EDQUOT {
                _ = try? TreeWalk.empty(target.raw)
                text += "; the copy was removed again, \(state.folder) is as it was"
            }
            throw FolderFailure(text)
        }
        try state.explained(state.place) { () throws(Errno) in try Folder.syncFileSystem(of: target) }
        return outcome
    }

    // MARK: Changing places

    private enum Place: Equatable { case folder, fresh, plaintext }

    /// Where the folder in plain is now, by its inode.
    private func place(of journal: FolderJournal) throws(FolderFailure) -> Place {
        let device = try inode(state.place)?.device
        for (path, answer) in [(state.plaintext, Place.plaintext), (state.fresh, .fresh), (state.folder, .folder)] {
            if let found = try inode(path), found.inode == journal.inode, found.device == device { return answer }
        }
        throw FolderFailure("the folder that was being encrypted is neither \(state.folder) nor in \(state.place)")
    }

    private func inode(_ path: String) throws(FolderFailure) -> (inode: UInt64, device: UInt)? {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return nil }
            throw FolderFailure("\(path): \(Errno(in: "lstat"))")
        }
        return (UInt64(status.st_ino), status.st_dev)
    }

    private func exchange(_ journal: inout FolderJournal, _ engine: FolderEngine) throws(FolderFailure) {
        let replaced = try state.journalTime()
        if try place(of: journal) == .folder {
            listener.step("prepare")
            try engine.prepareExchange(state)
            listener.step("exchange")
            try state.explained(state.folder) { () throws(Errno) in
                try Folder.exchange(state.folder, state.fresh)
                try Folder.sync(state.parent)
                try Folder.sync(state.place)
            }
        }
        if try place(of: journal) == .fresh {
            listener.step("rename")
            try state.explained(state.plaintext) { () throws(Errno) in
                try File.rename(state.fresh, to: state.plaintext)
                try Folder.sync(state.place)
            }
        }
        listener.step("swapped")
        journal.replaced = replaced
        journal.phase = .swapped
        try state.write(journal)
    }

    // MARK: After that

    /// Takes over what changed late, until nobody can write to what is in plain any more.
    private func settle(_ journal: inout FolderJournal) throws(FolderFailure) {
        listener.step("settle")
        let old = try state.open(state.plaintext)
        let new = try state.open(state.folder)
        for _ in 1...Self.mostPasses {
            let began = try state.now()
            let writers = OpenFiles.below(state.plaintext).filter(\.isWriting)
            guard writers.isEmpty else {
                let list = writers.map(\.description).joined(separator: ", ")
                throw FolderFailure(
                    "\(state.folder) is encrypted, but \(list) still writes to files of \(state.plaintext): "
                        + "restart that, then run this again to finish"
                )
            }
            try state.explained(state.plaintext) { () throws(Errno) in try Folder.syncFileSystem(of: old) }
            let (since, replaced) = (journal.scanned ?? 0, journal.replaced ?? 0)
            let late = try state.explainedTree(state.plaintext) { () throws(TreeFailure) in
                try TreeCopy.late(from: old, to: new, since: since, replaced: replaced)
            }
            // A later look begins later, and would not see these again.
            journal.conflicts += late.conflicts.filter { !journal.conflicts.contains($0) }
            for path in late.taken { listener.note("\(path) changed late, and was taken over") }
            if late.taken.isEmpty {
                listener.step("cleaning")
                journal.scanned = began
                journal.phase = .cleaning
                return try state.write(journal)
            }
            try state.explained(state.folder) { () throws(Errno) in try Folder.syncFileSystem(of: new) }
            journal.scanned = began
            try state.write(journal)
        }
        throw keepsChanging
    }

    private func clean(_ journal: inout FolderJournal, _ engine: FolderEngine) throws(FolderFailure) {
        let seen = try state.explained(state.folder) { () throws(Errno) in
            try FolderEncryption.inspect(state.folder)
        }
        guard seen.engine.rawValue == engine.rawValue, seen.isUnlocked else {
            throw FolderFailure("\(state.folder) is not what was encrypted; \(state.plaintext) is kept")
        }
        listener.step("clean")
        if try inode(state.plaintext) != nil {
            let removal: TreeRemoval
            do {
                let old = try state.open(state.plaintext)
                removal = try state.explainedTree(state.plaintext) { () throws(TreeFailure) in
                    try TreeRemoval(old.raw, keep: Set(journal.conflicts), since: journal.scanned ?? 0)
                }
            }
            // Written since by a program that works in there: taken over before it is removed.
            guard removal.late.isEmpty else {
                journal.phase = .swapped
                return try state.write(journal)
            }
            guard removal.left == 0 else {
                throw FolderFailure(
                    "\(state.folder) is encrypted; these changed in both, and stay in plain in \(state.plaintext): "
                        + journal.conflicts.joined(separator: ", ")
                        + "; take over what you need, remove them, then run this again to finish"
                )
            }
            guard rmdir(state.plaintext) == 0 else {
                throw FolderFailure("\(state.plaintext): \(Errno(in: "rmdir"))")
            }
        }
        discard()
        listener.step("done")
        _ = rmdir(state.view)
        journal.conflicts = []
        journal.phase = .done
        try state.write(journal)
    }

    /// What was deleted is still on the disk until its place is used again; a device that is told may forget it.
    private func discard() {
        guard let place = try? state.open(state.place) else { return }
        try? Folder.syncFileSystem(of: place)
        let words =
            Folder.discardFree(at: place)
            ? "the device was told to discard it" : "the device cannot be told to discard it: see docs/at-rest.md"
        listener.note("what was in plain is deleted, and \(words)")
    }
}
