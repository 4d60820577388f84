import Config
import Evidence
import Logging
import Platform

/// The log files: opened, and opened again after a rotation.
extension Master {
    /// - Parameter file: the configuration's path, which a relative path of the log begins at.
    static func openAccessLog(_ configuration: Configuration, beside file: String) throws -> FileDescriptor? {
        switch configuration.log.access {
        case .off: return nil
        case .stdout: return try File.withoutWaiting(1)
        case .file(let path):
            do { return try File.openForAppending(Loader.resolved(path, beside: file)) } catch {
                throw Failure.system("the access log \(path) cannot be opened: \(error.message)")
            }
        }
    }

    /// Because of a signal, whether they have been put away or not.
    func reopenLogs() {
        former?.tell(.accessLog)
        do {
            try reopenAccessLogs()
            try auditLog?.reopen()
            logsFailed = false
        } catch { log.error("the logs cannot be reopened, the old ones stay: \(error)") }
    }

    /// Because they have been put away.
    func reopenMovedLogs() {
        do {
            if accessLogHasMoved { try reopenAccessLogs() }
            if auditLog?.hasMoved == true {
                try auditLog?.reopen()
                log.notice("audit log reopened: it was put away")
            }
            logsFailed = false
        } catch {
            // Once, not at every look.
            if !logsFailed { log.error("the logs cannot be reopened, the old ones stay: \(error)") }
            logsFailed = true
        }
    }

    private var accessLogHasMoved: Bool {
        guard case .file(let path) = (previous?.configuration ?? configuration).log.access, let raw = accessLog?.raw
        else { return false }
        return File.hasMoved(raw, from: Loader.resolved(path, beside: file))
    }

    /// Both generations', where one is about to follow the other.
    private func reopenAccessLogs() throws {
        let present = previous?.configuration ?? configuration
        accessLog = try Self.openAccessLog(present, beside: file)
        hand(accessLog?.raw, to: workers.filter { previous == nil || $0.generation < generation })
        if previous != nil {
            nextAccessLog = try Self.openAccessLog(configuration, beside: file)
            hand(nextAccessLog?.raw, to: workers.filter { $0.generation == generation })
        }
        log.notice("access log reopened")
    }

    private func hand(_ raw: Int32?, to workers: [WorkerProcess]) {
        guard let raw else { return }
        for worker in workers { worker.tell(.accessLog, copyOf: raw) }
    }
}
