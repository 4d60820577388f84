import Config
import Evidence
import Platform

/// The folders of sites: verified as encrypted, or said to be in plain.
extension Loader {
    mutating func checkFolders(_ configuration: Configuration) {
        for (index, served) in configuration.folders.enumerated() { check(served.folder, index) }
    }

    private mutating func check(_ folder: FileRoot, _ index: Int) {
        let path = resolved(folder.path.value)
        let position = folder.path.position
        do {
            resources[FolderIdentity.name(index)] = try FolderIdentity(path: path).encoded()
        } catch {
            complain(
                at: position,
                "root \"\(folder.path.value)\" cannot be used: \(error.message)",
                fix: folder.path.value.hasPrefix("/")
                    ? "name a folder" : "the path is relative to the configuration file: \(path)"
            )
            return
        }
        if folder.allowsPlaintext {
            complain(
                .warning,
                at: position,
                "root \"\(folder.path.value)\" may lie on the disk in plain: plaintext_root says so",
                fix: "encrypt it: everyhop docroot encrypt \(path)"
            )
            return
        }
        let state = EncryptionState(path)
        guard let complaint = state.complaint else {
            if let rest = (try? EncryptedFolder.nearest(path)?.status().plaintext) ?? nil {
                complain(
                    .warning,
                    at: position,
                    "root \"\(folder.path.value)\" is encrypted, but what was in it is still in plain in \(rest)",
                    fix: "run everyhop docroot encrypt \(path) again"
                )
            }
            return
        }
        let fix =
            switch state {
            case .locked: "unlock it: everyhop docroot unlock \(path)"
            case .unlocked, .none, .unknown:
                "encrypt it: everyhop docroot encrypt \(path); or say plaintext_root = true"
            }
        complain(at: position, "root \"\(folder.path.value)\" is refused: \(complaint)", fix: fix)
    }
}
