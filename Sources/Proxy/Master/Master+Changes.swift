import Bytes
import Config
import Evidence
import Logging
import Platform
import Telemetry

/// One change after the other: who asks, the loader, and what its findings lead to.
extension Master {
    var isChanging: Bool {
        changes.load != nil || changes.replacement != nil || previous != nil || isChangingPlaces
    }

    /// Somebody asks for the configuration to be loaded again; on any error the present one stays (law 4).
    func reload() {
        guard !isStopping, !hasHandedOver else { return }
        if isChanging {
            log.notice("\(isChangingPlaces ? "an upgrade" : "a reload") is under way: the next one follows it")
        }
        wantsReload = true
        nextChange()
    }

    /// Files may have changed that the configuration names.
    func refresh() {
        changes.wantsRefresh = true
        nextChange()
    }

    /// Begins what waits, unless something is under way.
    func nextChange() {
        guard !isStopping, !hasHandedOver, !isChanging else { return }
        if wantsReload {
            wantsReload = false
            changes.asking = changes.waiting
            changes.waiting = []
            ServiceManager.notifyReloading()
            do { begin(try LoadTask(reload: file, present: bundle)) } catch {
                refuseReload("the loader cannot be run: \(error)")
            }
        } else if changes.wantsRefresh {
            changes.wantsRefresh = false
            do { begin(try LoadTask(refresh: bundle)) } catch { log.error("the loader cannot be run: \(error)") }
        }
    }

    private func begin(_ task: LoadTask) {
        let token = handlers.insert(.loader(task))
        task.token = token
        changes.load = task
        do { try poller.add(task.reader.descriptor, token, .read) } catch { endLoading(task) }
    }

    /// Reads what the loader says.
    func readLoader(_ task: LoadTask) {
        if let isOver = try? task.reader.read(), !isOver { return }
        task.isRead = true
        poller.remove(task.reader.descriptor)
        // It may take its time to end; it is told by a signal.
        if task.status == nil { task.status = ChildProcess.reap(task.process)?.status }
        if task.status != nil { endLoading(task) }
    }

    /// A loader's process has ended; what it has found may still wait in the pipe.
    func loaderEnded(_ task: LoadTask, _ status: Int) {
        task.status = status
        if task.isRead { endLoading(task) }
    }

    private func endLoading(_ task: LoadTask) {
        guard changes.load === task else { return }
        changes.load = nil
        if let token = task.token { handlers.remove(token) }
        poller.remove(task.reader.descriptor)
        if task.status == nil { part(with: task.process, "loader") }
        let report = task.report()
        guard !isStopping else { return }
        switch task.purpose {
        case .reload: reloaded(report)
        case .refresh: refreshed(report)
        }
    }

    /// A loader that takes too long is ended.
    func tendChanges(_ now: UInt64) {
        if let load = changes.load, now >= load.due { endLoading(load) }
        if let replacement = changes.replacement, now >= replacement.due { replacementIsLate() }
        tendControl(now)
        tendWatch(now)
    }

    /// When `tendChanges` is needed next.
    var nextTending: UInt64 {
        [changes.load?.due, changes.replacement?.due, nextControl, nextWatch].compactMap { $0 }.min() ?? UInt64.max
    }

    // MARK: what the loader has found

    private func reloaded(_ report: LoadReport) {
        guard var next = report.bundle, let configuration = try? next.configuration() else {
            return refuseReload(report.findings)
        }
        next.keepIssued(of: bundle, configuration)
        if !report.findings.isEmpty { log.warning("\(report.findings)") }
        changes.findings = report.findings
        changes.seen = report.seen
        // A file that was replaced already when it changed is asked for all the same: sessions live through that.
        let isOther = !next.isSame(as: bundle) || !next.isSame(as: changes.asked ?? bundle)
        if isOther, next.isLike(bundle) {
            replace(with: next, configuration, isAsked: true)
        } else {
            beginGeneration(next, configuration)
        }
    }

    private func refreshed(_ report: LoadReport) {
        // What is wrong with these files is not told again before they change.
        seen.merge(report.seen) { $1 }
        if !report.findings.isEmpty {
            log.error("what has changed is not replaced, the present one stays:\n\(report.findings)")
            retiredPage.add(.replacementsRefused)
        }
        expiry.refusedUntil = report.refusedUntil
        if report.refusedUntil != nil { expiry.nextLook = 0 }
        if !report.warnings.isEmpty { log.warning("what has changed is replaced, but:\n\(report.warnings)") }
        var next = bundle
        next.resources.merge(report.bundle?.resources ?? [:]) { $1 }
        guard !next.isSame(as: bundle), let configuration = try? next.configuration() else { return nextChange() }
        replace(with: next, configuration, isAsked: false)
    }

    // MARK: the end of a reload

    /// Nothing has changed.
    func refuseReload(_ findings: String) {
        let lines = findings.contains("\n") ? "\n\(findings)" : " \(findings)"
        log.error("reload refused, the present configuration stays:\(lines)")
        retiredPage.add(.reloadsRefused)
        recordRefusedReload(findings)
        ServiceManager.notify("READY=1")
        endReload(.refused(findings))
    }

    /// Tells those who have asked, and goes on with what waits.
    func endReload(_ outcome: ReloadOutcome) {
        if case .done = outcome, let read = changes.seen { seen = read }
        changes.seen = nil
        for token in changes.asking { answer(token, outcome, changes.findings) }
        changes.asking = []
        changes.findings = ""
        watchFiles()
        nextChange()
    }
}

extension Bundle {
    /// Whether nothing at all is different.
    func isSame(as other: Bundle) -> Bool { tree == other.tree && resources == other.resources }

    /// Whether only what may be replaced in living workers is different.
    func isLike(_ other: Bundle) -> Bool {
        guard let mine = try? TOMLDocument(decoding: tree), let theirs = try? TOMLDocument(decoding: other.tree),
            mine.isLike(theirs)
        else { return false }
        let names = Set(resources.keys).union(other.resources.keys)
        return names.allSatisfy { CertificateStore.isReplaceable($0) || resources[$0] == other.resources[$0] }
    }
}
