import Glibc
import Platform
import TLS

/// What encrypts a folder for everyhop: the same key and the same steps, done by the kernel or by gocryptfs.
enum FolderEngine: String {
    case fscrypt
    case gocryptfs

    /// The engine that a place can have: the kernel's where the file system has it.
    static func best(for state: FolderState) throws(FolderFailure) -> FolderEngine {
        let parent = try state.open(state.parent)
        return KernelEncryption.isSupported(at: parent) ? .fscrypt : .gocryptfs
    }

    /// Makes the empty encrypted folder that the copy goes to, or finds the one that was begun, and opens it.
    func begin(_ state: FolderState, key: borrowing SecretBytes, journal: inout FolderJournal) throws(FolderFailure) {
        switch self {
        case .fscrypt:
            let name = try Self.add(key, state)
            journal.key = FolderEncryption.hexadecimal(name)
            try state.write(journal)
            try state.explained(state.fresh) { () throws(Errno) in
                try File.makeFolder(state.fresh)
                let folder = try Folder.opened(state.fresh)
                if let policy = try KernelEncryption.policy(of: folder) {
                    guard policy.key == name else { throw Errno(EEXIST, in: "ioctl") }
                } else {
                    try KernelEncryption.encrypt(folder, key: name)
                }
            }
        case .gocryptfs:
            try Gocryptfs.waitForOthers(state)
            if Gocryptfs.isDead(state.view) { try Gocryptfs.unmountAll(state.view) }
            try state.explained(state.view) { () throws(Errno) in
                for path in [state.cipher, state.view] { try File.makeFolder(path) }
            }
            if try !Gocryptfs.isMounted(state.view) {
                try Gocryptfs.initialise(state, key)
                try Gocryptfs.mount(state, at: state.view, key)
            }
        }
    }

    /// Where the copy is written to.
    func target(_ state: FolderState) -> String {
        switch self {
        case .fscrypt: state.fresh
        case .gocryptfs: state.view
        }
    }

    /// Leaves a folder at `fresh` that can take the plaintext's place.
    func prepareExchange(_ state: FolderState) throws(FolderFailure) {
        switch self {
        case .fscrypt: break
        case .gocryptfs:
            try Gocryptfs.unmountAll(state.view)
            try state.explained(state.fresh) { () throws(Errno) in
                try File.makeFolder(state.fresh)
                try File.setMode(0o555, of: state.fresh)
            }
        }
    }

    /// Opens the folder, or finds it open.
    func open(_ state: FolderState, key: borrowing SecretBytes, journal: FolderJournal) throws(FolderFailure) {
        switch self {
        case .fscrypt:
            let name = FolderEncryption.hexadecimal(try Self.add(key, state))
            guard name == journal.key else {
                throw FolderFailure("the key is not the one that \(state.folder) is encrypted with")
            }
        case .gocryptfs:
            try Gocryptfs.waitForOthers(state)
            if Gocryptfs.isDead(state.folder) { try Gocryptfs.unmountAll(state.folder) }
            if try Gocryptfs.isMounted(state.folder) { return }
            // While it is locked nobody is to write here in plain, root included.
            Folder.setImmutable(true, state.folder)
            try Gocryptfs.mount(state, at: state.folder, key)
        }
    }

    /// Locks the folder; files in use may keep it from being so.
    func close(_ state: FolderState) throws(FolderFailure) {
        switch self {
        case .fscrypt:
            let place = try state.open(state.place)
            let policy = try state.explained(state.folder) { () throws(Errno) in
                try KernelEncryption.policy(of: Folder.opened(state.folder))
            }
            guard let policy else { throw FolderFailure("\(state.folder) has no policy of encryption") }
            let removal: KernelEncryption.Removal
            do { removal = try KernelEncryption.remove(key: policy.key, at: place) } catch {
                if error.code == ENOKEY { return }
                throw FolderFailure("\(state.folder): \(error)")
            }
            switch removal {
            case .complete: return
            case .heldByOthers: throw FolderFailure("another user has unlocked \(state.folder), too: lock it as root")
            case .filesInUse: throw FolderFailure(Self.inUse(state.folder))
            }
        case .gocryptfs:
            try Gocryptfs.unmountAll(state.folder)
        }
    }

    /// Who keeps a folder from being locked.
    static func inUse(_ path: String) -> String {
        let users = OpenFiles.below(path).map(\.description).joined(separator: ", ")
        return "files of \(path) are in use\(users.isEmpty ? "" : " by \(users)"): end that, then lock it again"
    }

    private static func add(_ key: borrowing SecretBytes, _ state: FolderState) throws(FolderFailure) -> [UInt8] {
        let place = try state.open(state.place)
        do {
            return try key.withBytes { (bytes) throws(Errno) in try KernelEncryption.add(key: bytes, at: place) }
        } catch {
            let hint =
                error.code == EOPNOTSUPP || error.code == ENOTTY
                ? "; on ext4, `tune2fs -O encrypt DEVICE` turns it on, or use --engine gocryptfs" : ""
            throw FolderFailure("the file system of \(state.folder) takes no key: \(error.message)\(hint)")
        }
    }
}

/// The program gocryptfs, which does the work for file systems that cannot encrypt.
enum Gocryptfs {
    /// Whether it is mounted somewhere.
    static func isMounted(_ path: String) throws(FolderFailure) -> Bool {
        do { return try MountTable.current().mounts.contains { $0.path == path && $0.type == "fuse.gocryptfs" } } catch
        {
            throw FolderFailure("\(error)")
        }
    }

    /// Waits for a gocryptfs that outlived the everyhop that started it: it ends, or has mounted the ciphertext.
    static func waitForOthers(_ state: FolderState) throws(FolderFailure) {
        let end = Clock.monotonicMicroseconds() + 30_000_000
        while Clock.monotonicMicroseconds() < end {
            if OpenFiles.processes(withArgument: state.cipher).isEmpty { return }
            if try isMounted(state.view) { return }
            if try isMounted(state.folder) { return }
            usleep(20_000)
        }
        throw FolderFailure("another gocryptfs is at work on \(state.cipher), and does not end")
    }

    /// Whether the process behind a mount has ended, as when memory ran out, and left it.
    static func isDead(_ path: String) -> Bool {
        // Opened, not looked at: the kernel remembers for a while what a process had told of its root.
        do { _ = try Folder.opened(path) } catch { return error.code == ENOTCONN }
        return false
    }

    /// Takes away whatever is mounted at a place, one over the other included.
    static func unmountAll(_ path: String) throws(FolderFailure) {
        while try isMounted(path) { try unmount(path) }
    }

    /// Makes the folder of ciphertext ready, unless it is.
    static func initialise(_ state: FolderState, _ key: borrowing SecretBytes) throws(FolderFailure) {
        let names = File.names(in: state.cipher)
        if names.contains("gocryptfs.conf"), names.contains("gocryptfs.diriv") { return }
        // It was interrupted before anything was written to it.
        let folder = try state.open(state.cipher)
        _ = try state.explainedTree(state.cipher) { () throws(TreeFailure) in try TreeWalk.empty(folder.raw) }
        try run(["-init", "-q", "--", state.cipher], key)
        let cipher = try state.open(state.cipher)
        try state.explained(state.cipher) { () throws(Errno) in try Folder.syncFileSystem(of: cipher) }
    }

    /// Mounts the ciphertext; as root for everybody, each with the rights that the files give.
    static func mount(_ state: FolderState, at path: String, _ key: borrowing SecretBytes) throws(FolderFailure) {
        let others = Privileges.isRoot ? ["-allow_other"] : []
        try run(["-q", "-acl"] + others + ["--", state.cipher, path], key)
        guard try isMounted(path) else { throw FolderFailure("gocryptfs did not mount \(path)") }
    }

    private static func unmount(_ path: String) throws(FolderFailure) {
        if Privileges.isRoot {
            do { try Folder.unmount(path) } catch {
                throw FolderFailure(error.code == EBUSY ? FolderEngine.inUse(path) : "\(path): \(error)")
            }
        } else {
            try run(program: "fusermount3", ["-u", "--", path], input: [])
        }
    }

    /// The password is made of the key, and goes through a pipe: it is on no command line and in no environment.
    private static func run(_ arguments: [String], _ key: borrowing SecretBytes) throws(FolderFailure) {
        let password: SecretBytes
        do {
            password = try KeyWrap.key(random: key, salt: [], purpose: "everyhop docroot gocryptfs password")
        } catch { throw FolderFailure("\(error)") }
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(password.count * 2 + 1)
        password.withBytes { bytes in
            for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        }
        text.append(0x0A)
        defer { RecoveryKey.clear(&text) }
        try run(program: "gocryptfs", arguments, input: text)
    }

    private static func run(program: String, _ arguments: [String], input: [UInt8]) throws(FolderFailure) {
        guard let path = find(program) else {
            throw FolderFailure("\(program) is not installed: apt-get install gocryptfs fuse3")
        }
        let (status, text): (Int, [UInt8])
        do { (status, text) = try finish(path, arguments, input) } catch { throw FolderFailure("\(program): \(error)") }
        guard status != 0 else { return }
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n").filter { !$0.contains("yslog") }
        throw FolderFailure("\(program) ended with \(status): \(lines.joined(separator: "; "))")
    }

    private static func find(_ program: String) -> String? {
        for folder in ["/usr/bin", "/usr/local/bin", "/bin"] where access("\(folder)/\(program)", X_OK) == 0 {
            return "\(folder)/\(program)"
        }
        return nil
    }

    /// Runs a program to its end: its status, and what it said.
    private static func finish(
        _ path: String,
        _ arguments: [String],
        _ input: [UInt8]
    ) throws(Errno) -> (Int, [UInt8]) {
        let complaints = try File.sharedMemory("complaints", size: 0)
        let child = try start(path, arguments, input, complaints)
        let status = ChildProcess.wait(for: child)
        _ = lseek(complaints.raw, 0, SEEK_SET)
        return (status, try File.readAll(complaints, limit: 65_536))
    }

    private static func start(
        _ path: String,
        _ arguments: [String],
        _ input: [UInt8],
        _ complaints: borrowing FileDescriptor
    ) throws(Errno) -> Int32 {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        do {
            let writing = pipe.takeSecond()
            // A pipe has room for more than that.
            try File.writeAll(input, to: writing.raw)
        }
        return try ChildProcess.spawn(
            path,
            arguments: [path] + arguments,
            environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            descriptors: [],
            standardInput: reading.raw,
            standardOutput: complaints.raw,
            standardError: complaints.raw
        )
    }
}
