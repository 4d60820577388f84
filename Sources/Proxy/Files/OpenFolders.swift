import Config
import Platform

/// The folders of a configuration, kept open by the master: workers get them by descriptor and open nothing by path.
final class OpenFolders {
    private final class Handle {
        let descriptor: FileDescriptor
        init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
    }

    private var handles: [Handle?] = []

    /// Opens what the loader has verified.
    init(_ bundle: Bundle, _ configuration: Configuration) throws {
        for (index, served) in configuration.folders.enumerated() {
            let path = served.folder.path.value
            do {
                let bytes = bundle.resources[FolderIdentity.name(index)] ?? []
                handles.append(Handle(try FolderIdentity(decoding: bytes).open()))
            } catch { throw Master.Failure.system("the root \(path) cannot be opened: \(error)") }
        }
    }

    /// Their places with their descriptors, but for those that are gone.
    var descriptors: [(index: Int, raw: Int32)] {
        handles.enumerated().compactMap { index, handle in handle.map { (index, $0.descriptor.raw) } }
    }

    /// Lets go of one, so that its file system can be unmounted; false when that was done before.
    func close(_ index: Int) -> Bool {
        guard handles.indices.contains(index), handles[index] != nil else { return false }
        handles[index] = nil
        return true
    }
}
