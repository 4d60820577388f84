import Bytes
import Config
import HTTP
import Platform

/// A folder whose files are served, as a worker has it: the master opened it, and nothing outside of it is reached.
final class ServedFolder {
    /// What a path leads to.
    enum Found: ~Copyable {
        /// A file, with what is known of it, and the end of its name for its media type.
        case file(FileDescriptor, FileVersion, type: StaticString)
        /// A folder without a slash at the end of the path.
        case folder
        /// Nothing that is served.
        case refused(status: Int, reason: String)
    }

    let site: Int
    let settings: FileRoot
    /// The names that paths begin with and that lead to the folder itself, in small letters.
    let prefix: [[UInt8]]
    let rules: SiteRules
    /// Gone when the folder is not the one any more that was verified.
    private var root: FileDescriptor?
    private var hasTold = false

    init(_ served: Configuration.Served, of configuration: Configuration) {
        let site = configuration.sites[served.site]
        let route = served.route.map { site.routes[$0] }
        self.site = served.site
        settings = served.folder
        prefix = route?.prefix.utf8.split(separator: 0x2F).map { Array($0) } ?? []
        rules = SiteRules(addedBy: route?.rewriting ?? site.rewriting)
    }

    /// Takes the open folder over.
    func open(_ descriptor: consuming FileDescriptor) { root = consume descriptor }

    /// Lets go of the folder: what is asked for is 503 from now on.
    func close() { root = nil }

    var isOpen: Bool { root != nil }

    /// Looks a path up; what is found is a regular file.
    func find(_ path: borrowing FilePath, _ worker: Worker) -> Found {
        guard root != nil else {
            return .refused(status: 503, reason: "the folder \(settings.path.value) is not there any more")
        }
        guard path.endsWithSlash else { return look(path.bytes.isEmpty ? [0x2E] : path.bytes, worker) }
        for name in settings.index {
            let found = look(path.bytes + (path.bytes.isEmpty ? [] : [0x2F]) + Array(name.utf8), worker)
            switch consume found {
            case .file(let descriptor, let facts, let type): return .file(descriptor, facts, type: type)
            case .folder: continue
            case .refused(404, _): continue
            case .refused(let status, let reason): return .refused(status: status, reason: reason)
            }
        }
        return .refused(status: 404, reason: "the folder has no index")
    }

    private func look(_ path: [UInt8], _ worker: Worker) -> Found {
        guard root != nil else { return .refused(status: 503, reason: "") }
        do throws(BeneathFailure) {
            let descriptor = try open(path)
            do throws(Errno) {
                let status = try FileStatus(descriptor)
                switch status.kind {
                case .regular: return .file(descriptor, FileVersion(status), type: MediaType.of(path.span))
                case .folder: return .folder
                case .socket, .other: return .refused(status: 404, reason: "neither a file nor a folder")
                }
            } catch { throw .unavailable(error) }
        } catch { return refuse(error, worker) }
    }

    private func open(_ path: [UInt8]) throws(BeneathFailure) -> FileDescriptor {
        guard let descriptor = try root.open(path, followsLinks: settings.followsLinks) else { throw .missing }
        return descriptor
    }

    private func refuse(_ failure: BeneathFailure, _ worker: Worker) -> Found {
        switch failure {
        case .missing: return .refused(status: 404, reason: "there is no such file")
        case .leadsAway: return .refused(status: 404, reason: "a link or another file system is in the way")
        case .forbidden:
            tellOnce(
                "a file cannot be read: the user of the workers needs permission for every folder and file",
                worker
            )
            return .refused(status: 403, reason: "the worker may not read the file")
        case .unavailable(let error):
            let reason = "the folder \(settings.path.value) cannot be read: \(error)"
            worker.log.folder(settings.path.value, "\(error)")
            return .refused(status: 503, reason: reason)
        }
    }

    /// The same is wrong with many files, and the access log names each.
    private func tellOnce(_ text: String, _ worker: Worker) {
        guard !hasTold else { return }
        hasTold = true
        worker.log.folder(settings.path.value, text)
    }
}

extension Optional where Wrapped == FileDescriptor {
    /// Opens a file below this folder; nil without one.
    fileprivate borrowing func open(
        _ path: [UInt8],
        followsLinks: Bool
    ) throws(BeneathFailure) -> FileDescriptor? {
        switch self {
        case .some(let folder): try File.openBeneath(folder, path, followsLinks: followsLinks)
        case .none: nil
        }
    }
}

extension FileVersion {
    fileprivate init(_ status: FileStatus) {
        self.init(
            size: status.size,
            inode: status.inode,
            modified: status.modified,
            changed: status.changed
        )
    }
}
