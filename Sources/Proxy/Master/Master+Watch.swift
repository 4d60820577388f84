import Bytes
import Config
import Logging
import Platform

/// When the files that the configuration names are looked at.
struct WatchState {
    /// What happens often at a time is looked at once: when nothing has happened for so long, in milliseconds.
    static let pause: UInt64 = 400
    /// Or so long after the first event.
    static let longestPause: UInt64 = 4000
    /// Without any event, for file systems that tell of none.
    static let interval: UInt64 = 30_000

    var files: FileWatch?
    var token: Token?
    var nextLook: UInt64 = 0
    /// When the first event came that was not looked at yet.
    var firstEvent: UInt64?
    var hasComplained = false
}

/// Files that are replaced while workers live on are watched, and the logs, which others put away.
extension Master {
    /// When something is to be looked at.
    var nextWatch: UInt64? { watch.files == nil ? nil : watch.nextLook }

    private func startWatching() {
        do {
            let files = try FileWatch()
            watch.token = handlers.insert(.files)
            watch.files = files
            listen(to: files)
        } catch { log.error("files are not watched, only a reload replaces them: \(error)") }
    }

    private func listen(to files: FileWatch) {
        guard let token = watch.token else { return }
        do { try poller.add(files.descriptor, token, .read) } catch { log.error("files are not watched: \(error)") }
    }

    /// Watches what the present configuration names, and looks whether it has changed since it was read.
    func watchFiles() {
        guard configuration.server.watch else { return }
        if watch.files == nil { startWatching() }
        guard let files = watch.files else { return }
        do { try files.watch(seen.keys + logFiles) } catch {
            if !watch.hasComplained {
                log.warning("changed files are noticed within \(WatchState.interval / 1000) s only: \(error)")
            }
            watch.hasComplained = true
        }
        if watch.firstEvent == nil { watch.nextLook = Self.now }
    }

    private var logFiles: [String] {
        var paths: [String] = []
        if case .file(let path) = configuration.log.access { paths.append(path) }
        if let path = configuration.audit.log?.value { paths.append(path) }
        return paths.map { Loader.resolved($0, beside: file) }
    }

    /// Something has happened on the way to a file; most often it is a log of others.
    func filesMayHaveChanged() {
        guard let files = watch.files, files.drain() else { return }
        watch.firstEvent = Self.now
        watch.nextLook = Self.now + WatchState.pause
        // The kernel keeps what else happens until then: a folder in which much happens costs nothing.
        poller.remove(files.descriptor)
    }

    /// Looks at what is due.
    func tendWatch(_ now: UInt64) {
        guard let files = watch.files, now >= watch.nextLook, !isStopping else { return }
        if let first = watch.firstEvent {
            if files.drain(), now < first + WatchState.longestPause {
                watch.nextLook = now + WatchState.pause
                return
            }
            listen(to: files)
        }
        watch.firstEvent = nil
        watch.nextLook = now + WatchState.interval
        guard configuration.server.watch else { return }
        // Links may lead elsewhere now.
        try? files.watch(seen.keys + logFiles)
        reopenMovedLogs()
        if seen.contains(where: { $0.value != FileSignature(path: $0.key) }) { refresh() }
    }
}
