import Config
import Evidence
import Logging
import Platform
import TLS
import Telemetry

/// What goes into the audit log.
extension Master {
    static func openAuditLog(_ configuration: Configuration, beside file: String) throws -> AuditLog? {
        guard let path = configuration.audit.log?.value else { return nil }
        do { return try AuditLog(path: Loader.resolved(path, beside: file)) } catch {
            throw Failure.system("\(error)")
        }
    }

    /// The log of a new configuration, which is taken up once that serves; nil when it stays the same, or ends.
    func openNextAuditLog(_ next: Configuration) throws -> AuditLog? {
        next.audit.log?.value == configuration.audit.log?.value ? nil : try Self.openAuditLog(next, beside: file)
    }

    /// Where the log has changed, the old one says where it goes on.
    private func changeAuditLog() {
        guard let before = previous?.configuration, before.audit.log?.value != configuration.audit.log?.value else {
            return
        }
        record(.stop, ["goes_on_in": configuration.audit.log?.value ?? "no file"])
        auditLog = nextAuditLog
        nextAuditLog = nil
        recorded = RecordedTrust()
    }

    /// Writes an entry; one that cannot be written is an error in the log, and the next one tells of it.
    func record(_ event: AuditEntry.Event, _ facts: [String: String] = [:]) {
        if hasHandedOver { return tellSuccessor(event, facts) }
        do { try auditLog?.append(event, facts) } catch {
            retiredPage.add(.auditEntriesLost)
            log.error("the audit log cannot be written: \(error)")
        }
    }

    /// A hop that was refused, and how often since it was last told of.
    func record(_ refusal: HopRefusal, count: Int) {
        var facts = ["hop": refusal.hop.rawValue, "peer": refusal.peer, "reason": refusal.reason, "count": "\(count)"]
        if !refusal.name.isEmpty { facts["name"] = refusal.name }
        record(.hopRefused, facts)
    }

    /// The first line of every error, without the source that is shown with it.
    func recordRefusedReload(_ findings: String) {
        let errors = findings.split(separator: "\n").filter { $0.contains(": error: ") }
        let text = errors.isEmpty ? findings : errors.joined(separator: "; ")
        record(.reloadRefused, ["configuration": file, "reason": text])
    }

    /// A generation serves: the first one, or a new one after a reload.
    func generationServes() {
        let digest = bundle.resources[CertificateStore.digestName].map { String(decoding: $0, as: UTF8.self) } ?? ""
        var facts = ["configuration": file, "sha256": digest, "workers": "\(slots)", "process": "\(Host.process)"]
        let isStart = previous == nil
        changeAuditLog()
        if isStart {
            facts["program"] = "everyhop \(Version.text)"
            facts["cryptography"] = FIPS.module
        }
        expiry.nextLook = 0
        record(isStart ? (takesFormersPlace ? .upgrade : .start) : .reload, facts)
        recordTrust()
    }

    /// Living workers use other certificates or trust; the configuration may be another one, too.
    func replacementServes(isReload: Bool) {
        if isReload {
            let digest = bundle.resources[CertificateStore.digestName].map { String(decoding: $0, as: UTF8.self) } ?? ""
            record(
                .reload,
                ["configuration": file, "sha256": digest, "workers": "\(slots)", "process": "\(Host.process)"]
            )
        }
        recordTrust()
    }

    private func recordTrust() {
        let now = RecordedTrust(bundle, configuration)
        recordChanges(.certificate, from: recorded.certificates, to: now.certificates)
        recordChanges(.trust, from: recorded.trust, to: now.trust)
        recorded = now
    }

    private func recordChanges(
        _ event: AuditEntry.Event,
        from before: [String: [String: String]],
        to now: [String: [String: String]]
    ) {
        for name in Set(before.keys).union(now.keys).sorted() where before[name] != now[name] {
            var facts = now[name] ?? ["removed": "yes"]
            facts["name"] = name
            for (key, value) in before[name] ?? [:] where facts[key] != value { facts["before_\(key)"] = value }
            record(event, facts)
        }
    }
}
