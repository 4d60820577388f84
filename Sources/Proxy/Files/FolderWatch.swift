import Bytes
import Config
import Logging
import Platform

/// The watcher process: looks whether every folder that is served is still the one that was verified.
///
/// It has to be encrypted and unlocked still, too. It is a process of its own since a file system may let it wait, and
/// workers cannot look at paths.
struct FolderWatch {
    /// How often, in milliseconds.
    private static let interval: UInt64 = 1000

    /// Serves until the master is gone.
    static func run(_ setup: consuming HelperSetup) throws {
        var channel = setup.takeChannel()
        let folders = setup.configuration.folders
        var identities: [(index: Int, identity: FolderIdentity)] = []
        for index in folders.indices {
            let bytes = setup.bundle.resources[FolderIdentity.name(index)] ?? []
            identities.append((index, try FolderIdentity(decoding: bytes)))
        }
        while true {
            for (index, identity) in identities {
                let allowsPlaintext = folders[index].folder.allowsPlaintext
                guard let reason = identity.complaint(allowsPlaintext: allowsPlaintext) else { continue }
                identities.removeAll { $0.index == index }
                let message = FolderLoss(folder: index, reason: reason).encoded()
                try channel.send(kind: ControlKind.folderGone.rawValue, message)
            }
            try channel.flushWaiting()
            try channel.answerPings(milliseconds: interval)
        }
    }
}

/// A folder must not be served any more.
struct FolderLoss: Equatable {
    /// Its place in `Configuration.folders`.
    var folder: Int
    var reason: String

    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.put(folder)
        writer.put(reason)
        return writer.bytes
    }

    init(folder: Int, reason: String) {
        self.folder = folder
        self.reason = reason
    }

    init(decoding bytes: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(bytes)
        folder = try reader.int()
        reason = try reader.text()
    }
}

extension Master {
    /// What the watcher needs: no key, and none of the files that others do.
    func forWatching(_ bundle: Bundle) -> Bundle {
        let names = Set(configuration.folders.indices.map { FolderIdentity.name($0) })
        return Bundle(
            file: bundle.file,
            tree: bundle.tree,
            resources: bundle.resources.filter { names.contains($0.key) }
        )
    }

    /// A folder is not served any more, until a reload finds it good.
    func lose(_ loss: FolderLoss) {
        guard folders.close(loss.folder) else { return }
        let path = configuration.folders[loss.folder].folder.path.value
        log.error(
            "root: \(loss.reason): its requests are answered with 503 until a reload finds it good",
            metadata: ["root": "\(path)"]
        )
        for worker in workers where worker.generation == generation { worker.tell(.folderGone, loss.encoded()) }
    }
}

extension Worker {
    /// The master says that a folder must not be served any more.
    func folderGone(_ message: [UInt8]) {
        guard let loss = try? FolderLoss(decoding: message), snapshot.folders.indices.contains(loss.folder) else {
            return
        }
        let folder = snapshot.folders[loss.folder]
        folder.close()
        for token in exchanges.tokens {
            guard let exchange = exchanges[token], exchange.files.folder === folder else { continue }
            exchange.breakFile("the folder is not there any more: \(loss.reason)", self)
        }
    }
}
