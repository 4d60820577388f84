import CLinux
import Glibc

/// Encryption of folders by the kernel's file systems (fscrypt): what a folder's policy is, and the keys in the kernel.
public enum KernelEncryption {
    /// How a folder's files are encrypted: the numbers of linux/fscrypt.h.
    public struct Policy: Equatable, Sendable {
        /// 1, or 2: keys are derived by HKDF and verified by the kernel.
        public let version: Int
        /// The mode for contents; 1 is AES-256-XTS.
        public let contents: Int
        /// The mode for names; 4 is AES-256-CTS.
        public let names: Int
        /// The kernel's name for the key: 16 bytes, 8 in version 1.
        public let key: [UInt8]
    }

    /// Whether the kernel has a key.
    public enum KeyState: Equatable, Sendable {
        /// Names and contents cannot be read.
        case absent
        /// They can.
        case present
        /// It was taken away, but files in use keep theirs.
        case inRemoval
    }

    /// What became of a key that was taken away.
    public enum Removal: Equatable, Sendable {
        /// It is gone.
        case complete
        /// Files in use keep theirs.
        case filesInUse
        /// Another user has given it to the kernel, too.
        case heldByOthers
    }

    /// The policy of an open folder; nil when it is in plain, or the file system has no encryption.
    public static func policy(of folder: borrowing FileDescriptor) throws(Errno) -> Policy? {
        var raw = everyhop_policy()
        guard everyhop_folder_policy(folder.raw, &raw) == 0 else {
            switch errno {
            case ENODATA, ENOTTY, EOPNOTSUPP, ENOSYS, EINVAL: return nil
            default: throw Errno(in: "ioctl")
            }
        }
        let key = withUnsafeBytes(of: raw.key) { Array($0) }
        return Policy(
            version: Int(raw.version),
            contents: Int(raw.contents),
            names: Int(raw.names),
            key: raw.version == 1 ? Array(key.prefix(8)) : key
        )
    }

    /// The nearest folder above that is in plain, or the folder itself when it is.
    ///
    /// Who restricts a process by an encrypted folder keeps that folder's inode, and with it the key in the kernel.
    public static func plainFolder(above folder: CInt) throws(Errno) -> FileDescriptor {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK
        var raw = openat(folder, ".", flags)
        guard raw >= 0 else { throw Errno(in: "openat") }
        var found = FileDescriptor(owning: raw)
        while try policy(of: found) != nil {
            raw = openat(found.raw, "..", flags)
            guard raw >= 0 else { throw Errno(in: "openat") }
            found = FileDescriptor(owning: raw)
        }
        return found
    }

    /// Whether the file system of an open folder can encrypt: it knows the question, and its answer.
    public static func isSupported(at folder: borrowing FileDescriptor) -> Bool {
        var raw = everyhop_policy()
        return everyhop_folder_policy(folder.raw, &raw) == 0 || errno == ENODATA
    }

    /// Whether the kernel has the key of `policy`.
    public static func keyState(of policy: Policy, at folder: borrowing FileDescriptor) throws(Errno) -> KeyState {
        var raw = everyhop_policy()
        raw.version = CInt(truncatingIfNeeded: policy.version)
        withUnsafeMutableBytes(of: &raw.key) { $0.copyBytes(from: policy.key.prefix(16)) }
        switch everyhop_folder_key_status(folder.raw, &raw) {
        case 1: return .absent
        case 2: return .present
        case 3: return .inRemoval
        default: throw Errno(in: "ioctl")
        }
    }

    /// Has everything that is made in an empty folder from now on encrypted: AES-256-XTS, names AES-256-CTS.
    ///
    /// - Parameter key: the kernel's name of a key that it has.
    public static func encrypt(_ folder: borrowing FileDescriptor, key: [UInt8]) throws(Errno) {
        guard key.count == 16 else { throw Errno(EINVAL, in: "ioctl") }
        let result = key.withUnsafeBufferPointer { everyhop_folder_encrypt(folder.raw, $0.baseAddress) }
        guard result == 0 else { throw Errno(in: "ioctl") }
    }

    /// Gives a key to the kernel, for the file system of `folder`.
    ///
    /// - Returns: the kernel's name for it, which follows from the key.
    public static func add(key: UnsafeRawBufferPointer, at folder: borrowing FileDescriptor) throws(Errno) -> [UInt8] {
        var name: [UInt8] = Array(repeating: 0, count: 16)
        let result = name.withUnsafeMutableBufferPointer {
            everyhop_folder_add_key(folder.raw, key.baseAddress, key.count, $0.baseAddress)
        }
        guard result == 0 else { throw Errno(in: "ioctl") }
        return name
    }

    /// Takes a key away from the kernel.
    public static func remove(key: [UInt8], at folder: borrowing FileDescriptor) throws(Errno) -> Removal {
        guard key.count == 16 else { throw Errno(EINVAL, in: "ioctl") }
        switch key.withUnsafeBufferPointer({ everyhop_folder_remove_key(folder.raw, $0.baseAddress) }) {
        case 0: return .complete
        case 1: return .filesInUse
        case 2: return .heldByOthers
        default: throw Errno(in: "ioctl")
        }
    }
}
