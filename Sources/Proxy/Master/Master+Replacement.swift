import Config
import Evidence
import Logging
import Platform
import TLS
import Telemetry

/// New certificates and trust for living workers: no connection ends for them.
extension Master {
    /// Hands what may be replaced to every worker of the present generation.
    func replace(with next: Bundle, _ configuration: Configuration, isAsked: Bool) {
        changes.number += 1
        var replacement = Replacement(
            number: changes.number,
            bundle: next,
            configuration: configuration,
            isAsked: isAsked,
            due: Self.now + Replacement.patience
        )
        let present = workers.filter { $0.generation == generation && $0.state != .draining }
        replacement.waiting = Set(present.map(\.process))
        changes.replacement = replacement
        giveKeys(of: next, configuration, generation)
        for worker in present { offer(replacement, to: worker) }
        goOnReplacing()
    }

    private func offer(_ replacement: Replacement, to worker: WorkerProcess) {
        let bundle = withoutIsolatedKeys(replacement.bundle, replacement.configuration)
        worker.tell(.replacement, ReplacementMessage(replacement.number, bundle.encoded()).encoded())
        worker.flush(poller)
    }

    /// A worker that has just been started knows what is served, and makes ready what comes, too.
    func joinReplacement(_ worker: WorkerProcess) {
        guard let replacement = changes.replacement, replacement.phase == .preparing else { return }
        changes.replacement?.waiting.insert(worker.process)
        offer(replacement, to: worker)
    }

    /// A worker has ended; it is not waited for.
    func leaveReplacement(_ worker: WorkerProcess) {
        guard changes.replacement?.waiting.remove(worker.process) != nil else { return }
        goOnReplacing()
    }

    /// Reads a worker's answer; one to an earlier replacement is too late.
    func readReplacement(_ kind: UInt8, _ payload: [UInt8], from worker: WorkerProcess) throws {
        let message = try ReplacementMessage(decoding: payload)
        guard let replacement = changes.replacement, message.number == replacement.number else { return }
        switch (ControlKind(rawValue: kind), replacement.phase) {
        case (.replacementReady, .preparing), (.replacementDone, .using):
            changes.replacement?.waiting.remove(worker.process)
            goOnReplacing()
        case (.replacementRefused, .preparing):
            giveUpReplacing("worker \(worker.slot): \(String(decoding: message.content, as: UTF8.self))")
        default: break
        }
    }

    func replacementIsLate() {
        guard let replacement = changes.replacement else { return }
        switch replacement.phase {
        case .preparing: giveUpReplacing("a worker did not answer in time")
        case .using:
            // It is too late to turn back; whoever does not answer is for supervision.
            log.error("a worker did not say in time that it uses what was replaced")
            finishReplacing(replacement)
        }
    }

    private func goOnReplacing() {
        guard let replacement = changes.replacement, replacement.waiting.isEmpty else { return }
        switch replacement.phase {
        case .preparing: use(replacement)
        case .using: finishReplacing(replacement)
        }
    }

    private func giveUpReplacing(_ reason: String) {
        guard let replacement = changes.replacement else { return }
        changes.replacement = nil
        // The signer goes on with what is served.
        giveKeys(of: bundle, configuration, generation)
        for worker in workers where worker.generation == generation {
            worker.tell(.replacementDrop, ReplacementMessage(replacement.number).encoded())
        }
        retiredPage.add(.replacementsRefused)
        if replacement.isAsked { return refuseReload(reason) }
        log.error("what has changed is not replaced, the present one stays: \(reason)")
        nextChange()
    }

    /// All can: now all do.
    private func use(_ replacement: Replacement) {
        let before = bundle
        bundle = replacement.bundle
        configuration = replacement.configuration
        let present = workers.filter { $0.generation == generation && $0.state != .draining }
        changes.replacement?.phase = .using
        changes.replacement?.due = Self.now + Replacement.patience
        changes.replacement?.waiting = Set(present.map(\.process))
        replaceTicketKeys(before)
        for worker in present {
            worker.tell(.replacementUse, ReplacementMessage(replacement.number).encoded())
            worker.flush(poller)
        }
        for helper in helpers {
            switch helper.kind {
            case .monitor:
                let bundle = withoutIsolatedKeys(forChecks(bundle), configuration)
                helper.tell(.replacement, ReplacementMessage(0, bundle.encoded()).encoded())
            case .prober:
                let bundle = withoutIsolatedKeys(forProbes(bundle), configuration)
                helper.tell(.replacement, ReplacementMessage(0, bundle.encoded()).encoded())
            case .resolver, .watcher, .stapler, .acme, .signer: continue
            }
            helper.flush(poller)
        }
        restartStapler()
        restartIssuer()
        expiry.nextLook = 0
        retiredPage.add(.replacements)
        tellWhatChanged(since: before)
        replacementServes(isReload: replacement.isAsked)
        goOnReplacing()
    }

    private func replaceTicketKeys(_ before: Bundle) {
        let name = CertificateStore.ticketKeysName
        guard let keys = bundle.resources[name], keys != before.resources[name] else { return }
        guard tickets.replace(decoding: keys) else { return log.error("the ticket keys are no keys") }
        for worker in workers { worker.tell(.ticketKeys, tickets.encoded()) }
        log.notice("session ticket keys replaced")
    }

    private func finishReplacing(_ replacement: Replacement) {
        changes.replacement = nil
        guard replacement.isAsked else { return nextChange() }
        changes.asked = bundle
        log.notice("reloaded: no new generation is needed", metadata: ["generation": "\(generation)"])
        ServiceManager.notify("READY=1")
        endReload(.done("replaced in place, generation \(generation) goes on"))
    }

    private func tellWhatChanged(since before: Bundle) {
        for certificate in configuration.certificates {
            let name = CertificateStore.chainName(certificate.name)
            guard bundle.resources[name] != before.resources[name],
                let facts = bundle.resources[name].flatMap({ try? CertificateFacts.read(pem: $0).first })
            else { continue }
            log.notice(
                "certificate replaced",
                metadata: [
                    "certificate": "\(certificate.name)", "not_after": "\(CalendarDate.text(facts.notAfter))",
                    "pin": "\(facts.pin)",
                ]
            )
        }
        let now = RecordedTrust(bundle, configuration)
        for (name, facts) in now.certificates.sorted(by: { $0.key < $1.key }) {
            guard let answer = facts["ocsp_file_sha256"],
                answer != recorded.certificates[name]?["ocsp_file_sha256"]
            else { continue }
            log.notice("ocsp_file replaced", metadata: ["certificate": "\(name)"])
        }
        for (name, facts) in now.trust.sorted(by: { $0.key < $1.key }) where recorded.trust[name] != facts {
            log.notice(
                "trust replaced",
                metadata: [
                    "of": "\(name)", "pins": "\(facts["pins"] ?? "none")",
                    "what": "\(now.changes(of: name, since: recorded))",
                ]
            )
        }
    }
}
