import Config
import Evidence
import Logging
import Platform
import TLS

/// Warnings before certificates and lists expire.
extension Master {
    /// How often is looked, in milliseconds; after a change it is at once.
    private static let expiryInterval: UInt64 = 3_600_000

    /// Looks at what is loaded and at what probes have seen, and tells the monitor.
    func lookAtExpiry(_ now: UInt64) {
        guard now >= expiry.nextLook else { return }
        expiry.nextLook = now + Self.expiryInterval
        expiry.items = ExpiringItem.all(bundle, configuration)
        for helper in helpers where helper.kind == .monitor { tellOfExpiry(helper) }
        warnOfExpiry()
    }

    /// Logs what has come nearer to its end; of a server when a probe has just seen it.
    func warnOfExpiry() {
        let now = Int64(Clock.unixMicroseconds() / 1_000_000)
        for item in expiry.ledger.due(expiry.items + hops.compactMap { ExpiringItem($0) }, now: now) {
            let metadata: Logger.Metadata = [
                "role": "\(item.role.rawValue)", "certificate": "\(item.place)", "subject": "\(item.subject)",
                "until": "\(ExpiringItem.day(item.notAfter))",
            ]
            let what = item.role == .revocationList ? "revocation list" : "certificate"
            let days = item.days(now: now)
            switch item.threshold(now: now) {
            case 0: log.error("\(what) has expired", metadata: metadata)
            case 1: log.error("\(what) expires within a day", metadata: metadata)
            default: log.warning("\(what) expires in \(days) days", metadata: metadata)
            }
        }
    }

    /// Tells a monitor until when everything is good.
    func tellOfExpiry(_ helper: HelperProcess) {
        var writer = WireWriter()
        writer.put(expiry.items.count)
        for item in expiry.items { item.put(to: &writer) }
        helper.tell(.expiry, writer.bytes)
        helper.flush(poller)
    }
}

/// What the master knows of ends to come.
struct ExpiryWatch {
    /// Of the configuration.
    var items: [ExpiringItem] = []
    var ledger = ExpiryLedger()
    /// When to look again, in monotonic milliseconds.
    var nextLook: UInt64 = 0
}
