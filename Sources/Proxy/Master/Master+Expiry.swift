import Config
import Evidence
import Logging
import Platform
import TLS

/// Warnings before certificates and lists expire.
extension Master {
    /// Looks at what is loaded and at what probes have seen, and tells the monitor.
    func lookAtExpiry(_ now: UInt64) {
        let wasSet = expiry.clock.wasSet(unix: Clock.unixMicroseconds(), monotonic: Clock.monotonicMicroseconds())
        guard wasSet || now >= expiry.nextLook else { return }
        expiry.nextLook = now + ExpiryWatch.interval
        expiry.items = ExpiringItem.all(bundle, configuration)
        for helper in helpers where helper.kind == .monitor { tellOfExpiry(helper) }
        warnOfExpiry()
        readListsAgain()
    }

    /// A list that did not take the place of a good one may do so when that has ended, or when it has become valid itself.
    private func readListsAgain() {
        let now = Int64(Clock.unixMicroseconds() / 1_000_000)
        let ended = Set(expiry.items.filter { $0.role == .revocationList && $0.notAfter < now }.map(\.fingerprint))
        let isReady = expiry.refusedUntil.map { now >= $0 } ?? false
        if isReady { expiry.refusedUntil = nil }
        let isNews = expiry.ended.map { !ended.isSubset(of: $0) } ?? false
        expiry.ended = ended
        if isReady || isNews, configuration.server.watch { refresh() }
    }

    /// Logs what has come nearer to its end; of a server when a probe has just seen it.
    func warnOfExpiry() {
        let now = Int64(Clock.unixMicroseconds() / 1_000_000)
        let items = expiry.items + hops.compactMap { ExpiringItem($0) }
        lookAgain(
            at: (items.compactMap { $0.nextChange(now: now) } + [expiry.refusedUntil].compactMap { $0 }).min(),
            now
        )
        for item in expiry.ledger.due(items, now: now) {
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

    /// - Parameters:
    ///   - next: when something changes, in seconds since 1970; nil for never.
    ///   - now: the same clock.
    private func lookAgain(at next: Int64?, _ now: Int64) {
        guard let next else { return }
        let pause = UInt64(max(next - now, 1)) * 1000
        expiry.nextLook = min(expiry.nextLook, Self.now + pause)
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
    /// How often is looked at least, in milliseconds; sooner after a change and when a threshold passes.
    static let interval: UInt64 = 3_600_000

    /// Of the configuration.
    var items: [ExpiringItem] = []
    var ledger = ExpiryLedger()
    /// When to look again, in monotonic milliseconds.
    var nextLook: UInt64 = 0
    /// Lists that have ended, by fingerprint; nil before the first look.
    var ended: Set<String>?
    /// When a list becomes valid that was refused for coming too early, in seconds since 1970.
    var refusedUntil: Int64?
    var clock = WallClockWatch(unix: Clock.unixMicroseconds(), monotonic: Clock.monotonicMicroseconds())
}
