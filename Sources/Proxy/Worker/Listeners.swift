import Bytes
import Platform

/// One listening socket of a worker, as the master handed it over.
///
/// *Ownership:* owns this process's copy of the socket; the master keeps its own, so that closing this one refuses
/// nobody.
final class Listener {
    let descriptor: FileDescriptor
    /// What it serves.
    let entry: ListenEntry
    private var isWatched = false

    init(_ descriptor: consuming FileDescriptor, entry: ListenEntry) {
        self.descriptor = consume descriptor
        self.entry = entry
    }

    /// Begins or resumes accepting.
    func watch(_ token: Token, _ poller: Poller) throws(Errno) {
        guard !isWatched else { return }
        try poller.add(descriptor, token, .read)
        isWatched = true
    }

    /// Leaves new connections to the kernel's queue.
    func pause(_ poller: Poller) {
        guard isWatched else { return }
        poller.remove(descriptor)
        isWatched = false
    }
}
