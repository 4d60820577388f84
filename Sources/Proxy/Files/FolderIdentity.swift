import Config
import Evidence
import Platform

/// Which folder the loader has verified: what is served is that one and no other.
struct FolderIdentity: Equatable {
    /// From the root, or from where the master was started.
    var path: String
    var device: UInt64
    var inode: UInt64

    /// What a bundle calls the identity of a folder, by its place in `Configuration.folders`.
    static func name(_ index: Int) -> String { "folder.\(index)" }

    /// Of what the path leads to now.
    init(path: String) throws(Errno) {
        let status = try FileStatus(path: path)
        guard status.kind == .folder else { throw Errno.notFolder(in: "stat") }
        self.path = path
        device = status.device
        inode = status.inode
    }

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(path)
        writer.put(device)
        writer.put(inode)
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        path = try reader.text()
        device = try reader.number()
        inode = try reader.number()
    }

    /// Opens it; nothing else that has taken its path meanwhile.
    func open() throws(Errno) -> FileDescriptor {
        let descriptor = try File.openFolder(path)
        let status = try FileStatus(descriptor)
        guard status.device == device, status.inode == inode else { throw Errno.replaced(in: "open") }
        return descriptor
    }

    /// Why its files must not be served; nil when all is well.
    func complaint(allowsPlaintext: Bool) -> String? {
        do {
            guard try FolderIdentity(path: path) == self else { return "another folder has taken its place" }
            return allowsPlaintext ? nil : EncryptionState(path).complaint
        } catch { return error.message }
    }
}

/// Whether a folder's files lie encrypted on the disk.
enum EncryptionState {
    case unlocked
    case locked
    case none(String)
    case unknown(String)

    init(_ path: String) {
        do {
            let found = try FolderEncryption.inspect(path)
            self =
                switch found.engine {
                case .none: .none(found.shortcomings.first ?? "nothing is known that encrypts it")
                case .fscrypt, .gocryptfs, .dmCrypt: found.isUnlocked ? .unlocked : .locked
                }
        } catch { self = .unknown("\(error)") }
    }

    var complaint: String? {
        switch self {
        case .unlocked: nil
        case .locked: "it is encrypted and locked"
        case .none(let reason): "it is not encrypted: \(reason)"
        case .unknown(let reason): "it cannot be told whether it is encrypted: \(reason)"
        }
    }
}
