import Config
import Evidence
import Logging
import Platform

/// What the prober needs, and where goes what it sees.
extension Master {
    /// The files to verify every server as workers do, and the certificates that bindings show: no key but those that
    /// servers ask clients for.
    func forProbes(_ bundle: Bundle) -> Bundle {
        var names = Set(configuration.certificates.map { CertificateStore.chainName($0.name) })
        names.formUnion(configuration.upstreams.map { CertificateStore.authoritiesName($0.name) })
        names.formUnion(configuration.databases.map { CertificateStore.databaseAuthoritiesName($0.name) })
        names.formUnion(configuration.clientIdentities.map { CertificateStore.keyName($0) })
        names.formUnion(configuration.revocationLists.flatMap { $0.files.map { CertificateStore.listsName($0.value) } })
        let resources = bundle.resources.filter { names.contains($0.key) }.merging(issuanceRecords) { $1 }
        return Bundle(file: bundle.file, tree: bundle.tree, resources: resources)
    }

    /// Keeps what was seen, tells the monitor, and logs what has changed.
    func spread(_ update: HopUpdate) {
        guard configuration.hopKeys.contains(update.key) else { return }
        let before = hops.last { $0.key == update.key }
        hops.removeAll { $0.key == update.key }
        hops.append(update)
        for helper in helpers where helper.kind == .monitor {
            helper.tell(.hop, update.encoded())
            helper.flush(poller)
        }
        warnOfExpiry()
        guard update.verdict != before?.verdict else { return }
        let metadata: Logger.Metadata = [
            "hop": "\(update.key.kind.rawValue)", "name": "\(update.key.name)", "place": "\(update.key.place)",
            "reason": "\(update.statement)",
        ]
        switch update.verdict {
        case .fallsShort: log.warning("hop falls short", metadata: metadata)
        case .notChecked: log.warning("hop cannot be looked at", metadata: metadata)
        case .holds where before != nil: log.notice("hop holds again", metadata: metadata)
        case .holds: log.info("hop holds", metadata: metadata)
        }
    }

    /// Drops what is known about hops that the configuration does not have any more; reports may be elsewhere, too.
    func forgetHops() {
        let keys = Set(configuration.hopKeys)
        hops.removeAll { !keys.contains($0.key) }
        report = (.notKept, 0)
    }

    // MARK: the newest report

    /// How often a newer report is looked for, in milliseconds.
    private static let reportInterval: UInt64 = 60_000

    /// Whether there is a folder of reports, and somebody to tell of them.
    var keepsReports: Bool { configuration.audit.reports != nil && configuration.server.admin != nil }

    /// Looks for a newer report from time to time.
    ///
    /// The master does it because the folder belongs to whoever runs `everyhop audit`; it opens the file and hands it to
    /// the monitor, which reads it.
    func lookForReport(_ now: UInt64) {
        guard keepsReports, now >= report.nextLook else { return }
        report.nextLook = now + Self.reportInterval
        let state = reportState()
        guard state != report.state else { return }
        report.state = state
        for helper in helpers where helper.kind == .monitor { tellOfReport(helper) }
    }

    /// Tells a monitor of the newest report.
    func tellOfReport(_ helper: HelperProcess) {
        if case .file(let path) = report.state, let file = try? File.openForReading(path) {
            helper.tell(.auditReport, copyOf: file.raw)
        } else {
            helper.tell(.auditReport, Array(report.state.told.rawValue.utf8))
        }
        helper.flush(poller)
    }

    private func reportState() -> ReportState {
        guard let folder = configuration.audit.reports else { return .notKept }
        let path = Loader.resolved(folder.value, beside: file)
        do throws(Errno) {
            guard let name = ReportFolder.newest(of: try Folder.names(in: path)) else { return .never }
            return .file("\(path)/\(name)")
        } catch { return error.isMissing ? .never : .unreadable }
    }
}

/// What the master knows of the newest report.
enum ReportState: Equatable {
    case notKept
    case never
    case unreadable
    case file(String)

    /// The same for the monitor; a file that is named but could not be opened cannot be read.
    var told: HopMap.Audit.State {
        switch self {
        case .notKept: .notKept
        case .never: .never
        case .unreadable, .file: .unreadable
        }
    }
}
