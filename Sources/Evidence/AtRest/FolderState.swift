import Glibc
import Platform

/// Where everyhop keeps what belongs to a folder that it encrypts: beside it, on the same file system, never in it.
struct FolderState {
    /// The folder, from the root, without links.
    let folder: String
    /// `/srv/www/.portal.everyhop` for `/srv/www/portal`.
    let place: String

    /// The encrypted copy until it takes the folder's place.
    var fresh: String { "\(place)/new" }
    /// What was in plain, after that.
    var plaintext: String { "\(place)/plaintext" }
    /// gocryptfs: the ciphertext.
    var cipher: String { "\(place)/cipher" }
    /// gocryptfs: where the copy is seen until it takes the folder's place.
    var view: String { "\(place)/view" }
    /// The folder that both are in.
    let parent: String

    private var journalFile: String { "\(place)/journal.json" }
    private var keysFile: String { "\(place)/keys.json" }

    /// Finds the place for a folder that exists.
    init(_ path: String) throws(FolderFailure) {
        let whole: String
        do { whole = try File.absolutePath(path) } catch { throw FolderFailure("\(path): \(error)") }
        var status = stat()
        // A mount whose gocryptfs has ended answers nothing, and is to be unlocked or locked nevertheless.
        guard stat(whole, &status) == 0 ? status.st_mode & S_IFMT == S_IFDIR : errno == ENOTCONN else {
            throw FolderFailure("\(path) is no folder")
        }
        guard let slash = whole.lastIndex(of: "/"), whole.index(after: slash) < whole.endIndex else {
            throw FolderFailure("/ cannot be encrypted as a folder")
        }
        let name = whole[whole.index(after: slash)...]
        guard name.utf8.count <= 240 else { throw FolderFailure("\(name) is too long a name") }
        folder = whole
        parent = slash == whole.startIndex ? "/" : String(whole[..<slash])
        place = "\(whole[..<slash])/.\(name).everyhop"
    }

    /// Whether everyhop has begun to encrypt the folder.
    var isKnown: Bool { (try? File.read(journalFile, limit: 1 << 20)) != nil || lostJournal != nil }

    /// The journal of an encrypted folder that has lost it, as a backup may have, but has its keys.
    ///
    /// What is there tells what was in it. Nil for every other folder.
    var lostJournal: FolderJournal? {
        guard !File.exists(journalFile), File.exists(keysFile), !File.exists(fresh), !File.exists(plaintext) else {
            return nil
        }
        if let opened = try? Folder.opened(folder), let policy = (try? KernelEncryption.policy(of: opened)) ?? nil {
            return FolderJournal(restored: "fscrypt", key: FolderEncryption.hexadecimal(policy.key))
        }
        // A folder that has contents and is no mount is in plain: its encryption had not come to an end.
        let isMounted = (try? Gocryptfs.isMounted(folder)) ?? false
        guard isMounted || File.names(in: folder).isEmpty, (try? GocryptfsSettings.read(folder: cipher)) != nil else {
            return nil
        }
        return FolderJournal(restored: "gocryptfs", key: nil)
    }

    /// Makes sure that new keys take nobody's place: what is here may be opened by those that are there.
    func refuseLeftovers() throws(FolderFailure) {
        for path in [cipher, fresh, plaintext] where File.exists(path) {
            throw FolderFailure(
                "\(path) is there, but no \(journalFile) that tells what it is: it may be all that there is of "
                    + "\(folder), under keys that would be replaced. Bring journal.json back from a backup; if all your "
                    + "files are in \(folder), move \(place) away"
            )
        }
    }

    /// Makes the place, for its owner only, or makes sure that it is nobody else's.
    func make() throws(FolderFailure) {
        do {
            try File.makeFolder(place)
            try Folder.sync(parent)
        } catch { throw FolderFailure("\(place): \(error)") }
        try verify()
    }

    /// Makes sure that nobody else can have put anything here.
    func verify() throws(FolderFailure) {
        var status = stat()
        guard lstat(place, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw FolderFailure("\(place) is not there: everyhop has not encrypted \(folder), or it was moved")
        }
        // Whoever owns the folder that both are in can replace all of it anyway.
        var above = stat()
        let owners = stat(parent, &above) == 0 ? [0, geteuid(), above.st_uid] : [0, geteuid()]
        guard owners.contains(status.st_uid), status.st_mode & 0o077 == 0 else {
            throw FolderFailure("\(place) is not its owner's alone: if all in it is yours, chown and chmod 700 it")
        }
    }

    /// Holds the place for one program at a time, for as long as the descriptor lives.
    func lock() throws(FolderFailure) -> FileDescriptor {
        let descriptor: FileDescriptor
        do { descriptor = try Folder.opened(place) } catch { throw FolderFailure("\(place): \(error)") }
        guard flock(descriptor.raw, LOCK_EX | LOCK_NB) == 0 else {
            throw FolderFailure("another everyhop is at work on \(folder)")
        }
        return descriptor
    }

    /// The journal; nil when nothing was begun.
    func journal() throws(FolderFailure) -> FolderJournal? {
        let bytes: [UInt8]
        do { bytes = try File.read(journalFile, limit: 16 << 20) } catch {
            if error.code == ENOENT || error.code == ENOTDIR { return nil }
            throw FolderFailure("\(journalFile): \(error)")
        }
        do { return try FolderJournal(json: bytes) } catch { throw FolderFailure("\(journalFile): \(error)") }
    }

    /// Writes the journal, and makes that last.
    func write(_ journal: FolderJournal) throws(FolderFailure) {
        let bytes = try journal.json()
        try explained(journalFile) { () throws(Errno) in
            try File.write(bytes, to: journalFile, mode: 0o600)
            try Folder.sync(place)
        }
    }

    /// The keys.
    func keys() throws(FolderFailure) -> FolderKeys {
        let bytes = try explained(keysFile) { () throws(Errno) in try File.read(keysFile, limit: 1 << 20) }
        do { return try FolderKeys(json: bytes) } catch { throw FolderFailure("\(keysFile): \(error)") }
    }

    /// Writes the keys, and makes that last.
    func write(_ keys: FolderKeys) throws(FolderFailure) {
        let bytes: [UInt8]
        do { bytes = try keys.json() } catch { throw FolderFailure("\(error)") }
        try explained(keysFile) { () throws(Errno) in
            try File.write(bytes, to: keysFile, mode: 0o600)
            try Folder.sync(place)
        }
    }

    /// The time that the file system gives to what changes now, in nanoseconds.
    func now() throws(FolderFailure) -> Int64 {
        let marker = "\(place)/clock"
        return try explained(marker) { () throws(Errno) in
            try File.write([], to: marker, mode: 0o600)
            defer { File.remove(marker) }
            var status = stat()
            guard stat(marker, &status) == 0 else { throw Errno(in: "stat") }
            return TreeCopy.nanoseconds(status.st_ctim)
        }
    }

    /// When the journal was last written, in the same clock.
    func journalTime() throws(FolderFailure) -> Int64 {
        var status = stat()
        guard stat(journalFile, &status) == 0 else { throw FolderFailure("\(journalFile): \(Errno(in: "stat"))") }
        return TreeCopy.nanoseconds(status.st_ctim)
    }

    /// A system call's failure at a path, for people.
    func explained<R>(_ path: String, _ body: () throws(Errno) -> R) throws(FolderFailure) -> R {
        do { return try body() } catch { throw FolderFailure("\(path): \(error)") }
    }

    /// A failure in a tree of files, for people.
    func explainedTree<R>(_ path: String, _ body: () throws(TreeFailure) -> R) throws(FolderFailure) -> R {
        do { return try body() } catch {
            let place = error.path.isEmpty ? path : "\(path)/\(error.path)"
            throw FolderFailure("\(place): \(error.cause)")
        }
    }

    /// Opens a folder of this place.
    func open(_ path: String) throws(FolderFailure) -> FileDescriptor {
        do { return try Folder.opened(path) } catch { throw FolderFailure("\(path): \(error)") }
    }
}

extension FolderState {
    /// A folder that gocryptfs is to be mounted over, and is not: encrypted as long as it is empty.
    static func lockedMountPoint(_ path: String) -> FolderEncryption? {
        guard let state = try? FolderState(path), (try? state.verify()) != nil,
            let journal = (try? state.journal()) ?? state.lostJournal, journal.engine == "gocryptfs",
            [.swapped, .cleaning, .done].contains(journal.phase),
            let settings = try? GocryptfsSettings.read(folder: state.cipher), File.names(in: state.folder).isEmpty
        else { return nil }
        return FolderEncryption(
            engine: .gocryptfs,
            isUnlocked: false,
            detail: [
                Fact("mounted at", "not mounted"), Fact("cipher directory", state.cipher),
                Fact("contents", settings.contents), Fact("names", settings.names),
            ],
            shortcomings: settings.encryptsNames ? [] : ["the names of files are in plain"]
        )
    }
}
