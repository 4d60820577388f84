import ACME
import Bytes
import Config
import Logging
import Platform

/// What the master knows of certificates that authorities issue.
struct IssuanceState {
    /// What every worker is to show now.
    var proofs: ProofTable?
    /// Which version of it each worker shows, by process.
    var shown: [Int32: Int] = [:]
    /// How it is with each certificate.
    var updates: [IssuanceUpdate] = []
    /// Where certificates are kept, and the proof that nobody else keeps theirs there.
    var folder = ""
    var lock: FolderLock?
}

/// From the issuer to the workers and back, and what becomes of a new certificate.
extension Master {
    /// What the issuer gets: authorities of directories, keys of accounts, and no certificate's key.
    ///
    /// - Parameter withState: also what is kept by now; without, it is the same as long as the same is asked for.
    func forIssuing(_ bundle: Bundle, withState: Bool) -> Bundle {
        var resources = bundle.resources.filter { name, _ in
            name.hasPrefix(IssuerFiles.prefix) && !name.hasPrefix(IssuerFiles.statePrefix)
        }
        let folder = CertificateFolder(state: issuance.folder)
        for (certificate, settings) in configuration.issuedCertificates where withState {
            let name = certificate.name
            resources[IssuerFiles.present(name)] = folder.certificate(name)?.file.chainPEM
            resources[IssuerFiles.record(name)] = folder.read(.record, name)
            resources[IssuerFiles.account(settings.accountName)] = folder.read(.account, settings.accountName)
        }
        return Bundle(file: bundle.file, tree: bundle.tree, resources: resources)
    }

    /// What is remembered of certificates, for those who tell of it.
    var issuanceRecords: [String: [UInt8]] {
        guard let state = configuration.server.state?.value else { return [:] }
        let folder = CertificateFolder(state: Loader.resolved(state, beside: file))
        var records: [String: [UInt8]] = [:]
        for name in configuration.issuedCertificates.map(\.certificate.name) {
            records[IssuerFiles.record(name)] = folder.read(.record, name)
        }
        return records
    }

    /// Starts the issuer, if there is something to issue and none does it already.
    func startIssuer() {
        guard !configuration.issuedCertificates.isEmpty, !helpers.contains(where: { $0.kind == .acme }),
            let state = configuration.server.state?.value
        else { return }
        let path = Loader.resolved(state, beside: file)
        let folder = CertificateFolder(state: path)
        do {
            try File.makeFolder(path)
            // A master whose folder it was may not have ended yet.
            if issuance.lock == nil || issuance.folder != path { issuance.lock = try folder.lock() }
        } catch { log.error("certificates cannot be kept in \(path): \(error)") }
        guard issuance.lock != nil else {
            lateHelpers.append((.acme, Self.now + 5000))
            return
        }
        issuance.folder = path
        start(.acme)
    }

    /// A configuration that replaces certificates without a new generation may ask for others.
    func restartIssuer() {
        for helper in helpers where helper.kind == .acme && !keepsIssuing(helper) { end(helper) }
        forgetIssuance()
        startIssuer()
    }

    /// Whether an issuer may go on beside a new configuration: one that is just asking would have to begin again.
    func keepsIssuing(_ helper: HelperProcess) -> Bool {
        helper.kind == .acme && !configuration.issuedCertificates.isEmpty
            && helper.handed == forIssuing(bundle, withState: false).encoded()
    }

    /// Writes down what the issuer has to keep: it has no file system of its own.
    func keep(_ part: KeptPart, for helper: HelperProcess) {
        var failure = ""
        let isOurs: Bool =
            switch part.part {
            case .certificate, .record: configuration.issuedCertificates.contains { $0.certificate.name == part.name }
            case .account: part.name.utf8.count == 32 && part.name.utf8.allSatisfy { ASCII.hexValue($0) != nil }
            }
        do {
            guard isOurs else { throw Errno.notFolder(in: "open") }
            try CertificateFolder(state: issuance.folder).write(part.part, part.name, part.bytes)
        } catch { failure = "\(issuance.folder) takes nothing: \(error)" }
        helper.tell(.kept, Array(failure.utf8))
        helper.flush(poller)
    }

    // MARK: proofs

    /// Has every worker show what the issuer wants shown.
    func spread(proofs payload: [UInt8]) throws(WireReader.Malformed) {
        issuance.proofs = try ProofTable(decoding: payload)
        for worker in workers where worker.state != .draining {
            worker.tell(.proofs, payload)
            worker.flush(poller)
        }
        tellWhetherShown()
    }

    /// A worker that has not begun gets it with the rest, and nobody has asked it yet.
    func hand(proofsTo worker: WorkerProcess) {
        guard let proofs = issuance.proofs else { return }
        worker.tell(.proofs, proofs.encoded())
        issuance.shown[worker.process] = proofs.version
    }

    func proofsShown(by worker: WorkerProcess, _ payload: [UInt8]) throws(WireReader.Malformed) {
        var reader = WireReader(payload)
        issuance.shown[worker.process] = try reader.int()
        tellWhetherShown()
    }

    /// A worker that is gone is not asked any more.
    func forgetProofs(of worker: WorkerProcess) {
        issuance.shown[worker.process] = nil
        tellWhetherShown()
    }

    private func tellWhetherShown() {
        guard let proofs = issuance.proofs else { return }
        let isShown = workers.allSatisfy { $0.state == .draining || issuance.shown[$0.process] == proofs.version }
        guard isShown else { return }
        var writer = WireWriter()
        writer.put(proofs.version)
        for helper in helpers where helper.kind == .acme {
            helper.tell(.proofsShown, writer.bytes)
            helper.flush(poller)
        }
    }

    /// Nothing is shown for an issuer that is gone.
    func issuerEnded() {
        guard let proofs = issuance.proofs, !proofs.entries.isEmpty else { return }
        try? spread(proofs: ProofTable(version: proofs.version &+ 1).encoded())
    }

    // MARK: certificates

    /// Keeps what is known, tells the monitor, and has a new certificate shown.
    func take(_ update: IssuanceUpdate) {
        guard configuration.certificates.contains(where: { $0.name == update.name }) else { return }
        issuance.updates.removeAll { $0.name == update.name }
        issuance.updates.append(update)
        for helper in helpers where helper.kind == .monitor {
            helper.tell(.issuance, update.encoded())
            helper.flush(poller)
        }
        let metadata: Logger.Metadata = [
            "certificate": "\(update.name)",
            "next": "\(update.next == 0 ? "now" : CalendarDate.text(Int64(update.next)))",
        ]
        switch update.event {
        case .issued:
            log.notice("certificate issued", metadata: metadata)
            refresh()
        case .failed:
            let stays = update.isIssued ? "the present one stays" : "a self-signed placeholder is shown"
            log.error("certificate not issued, \(stays): \(update.reason)", metadata: metadata)
        case .state where !update.isIssued:
            log.warning("certificate not issued yet: a self-signed placeholder is shown", metadata: metadata)
        case .state: log.info("certificate is kept", metadata: metadata)
        }
    }

    /// Drops what is known about certificates that the configuration does not have any more.
    func forgetIssuance() {
        let names = Set(configuration.issuedCertificates.map(\.certificate.name))
        issuance.updates.removeAll { !names.contains($0.name) }
    }
}

extension Bundle {
    /// Takes from what is served the certificates that an authority issues and the loader has not got.
    mutating func keepIssued(of served: Bundle, _ configuration: Configuration) {
        for (certificate, _) in configuration.issuedCertificates {
            let chain = CertificateStore.chainName(certificate.name)
            let key = CertificateStore.keyName(certificate.name)
            guard resources[chain] == nil else { continue }
            resources[chain] = served.resources[chain]
            resources[key] = served.resources[key]
        }
    }

    /// Without what only the issuer gets.
    var forTraffic: Bundle {
        guard resources.contains(where: { $0.key.hasPrefix(IssuerFiles.prefix) }) else { return self }
        return Bundle(
            file: file,
            tree: tree,
            resources: resources.filter { !$0.key.hasPrefix(IssuerFiles.prefix) }
        )
    }
}
