import Glibc
import Platform

/// Where everyhop keeps what belongs to a folder that it encrypts: beside it, never in it.
enum FolderState {
    /// `/srv/www/.portal.everyhop` for `/srv/www/portal`.
    static func place(of folder: String) -> String? {
        guard let slash = folder.lastIndex(of: "/"), folder.index(after: slash) < folder.endIndex else { return nil }
        return "\(folder[..<slash])/.\(folder[folder.index(after: slash)...]).everyhop"
    }

    /// The name of the folder of ciphertext in there.
    static let cipher = "cipher"

    /// A folder that gocryptfs is to be mounted over, and is not: encrypted as long as it is empty.
    static func lockedMountPoint(_ path: String) -> FolderEncryption? {
        guard let whole = try? File.absolutePath(path), let place = place(of: whole) else { return nil }
        let folder = "\(place)/\(cipher)"
        guard let settings = try? GocryptfsSettings.read(folder: folder), File.names(in: whole).isEmpty else {
            return nil
        }
        return FolderEncryption(
            engine: .gocryptfs,
            isUnlocked: false,
            detail: [
                Fact("mounted at", "not mounted"), Fact("cipher directory", folder),
                Fact("contents", settings.contents), Fact("names", settings.names),
            ],
            shortcomings: settings.encryptsNames ? [] : ["the names of files are in plain"]
        )
    }
}
