public import Platform
public import TLS

/// Where certificates of authorities are kept: one folder each, and the accounts beside them, all for their owner alone.
///
/// A certificate with its key is one file, which is replaced as a whole; whoever is stopped at any moment leaves the old
/// one or the new one.
public struct CertificateFolder: Sendable {
    /// What is kept.
    public enum Part: Int, Sendable {
        /// A certificate with its key, by the certificate's name.
        case certificate
        /// What is remembered of it.
        case record
        /// The key of an account, by `accountName`.
        case account
    }

    /// Larger files are none of ours.
    private static let limit = 1 << 20
    private let path: String

    /// - Parameter state: the folder of the server's state.
    public init(state: String) { path = "\(state)/acme" }

    /// The file of a part.
    public func path(_ part: Part, _ name: String) -> String {
        switch part {
        case .certificate: "\(path)/certificates/\(name)/certificate.pem"
        case .record: "\(path)/certificates/\(name)/record.json"
        case .account: "\(path)/accounts/\(name).key"
        }
    }

    /// What an account's key is called: an account belongs to its directory, and to the one elsewhere that it is tied to.
    public static func accountName(directory: String, external: String?) -> String {
        String(SHA256.hexadecimal(Array("\(directory) \(external ?? "")".utf8)).prefix(32))
    }

    /// What is kept; nil when there is nothing, or only a link to something.
    public func read(_ part: Part, _ name: String) -> [UInt8]? {
        guard let descriptor = try? File.openForReading(path(part, name)) else { return nil }
        return try? File.readAll(descriptor, limit: Self.limit)
    }

    /// The present certificate; nil when there is none, or none that can be used.
    public func certificate(_ name: String) -> (file: CertificateFile, facts: CertificateFacts)? {
        guard let bytes = read(.certificate, name) else { return nil }
        let file = CertificateFile(bytes)
        guard let identity = try? ServerIdentity(chainPEM: file.chainPEM, keyPEM: file.keyPEM) else { return nil }
        return (file, identity.facts)
    }

    /// Puts something in the place of what was kept.
    public func write(_ part: Part, _ name: String, _ bytes: [UInt8]) throws(Errno) {
        let file = path(part, name)
        var folders = [path]
        switch part {
        case .certificate, .record: folders += ["\(path)/certificates", "\(path)/certificates/\(name)"]
        case .account: folders += ["\(path)/accounts"]
        }
        for folder in folders { try File.makeFolder(folder) }
        try File.write(bytes, to: file, mode: 0o600)
        if let folder = folders.last { try Folder.sync(folder) }
    }

    /// Keeps others from issuing at the same time, as long as what is returned lasts; nil while another process does.
    public func lock() throws(Errno) -> FolderLock? {
        try File.makeFolder(path)
        return try FolderLock(path)
    }
}
