/// Which certificates and lists were warned of, so that each threshold is told once, whatever is reloaded.
///
/// A value without clock.
struct ExpiryLedger {
    /// The narrowest threshold that was told, in days, by fingerprint.
    private var told: [String: Int64] = [:]

    /// What is to be told now, each once, and from now on is.
    mutating func due(_ items: [ExpiringItem], now: Int64) -> [ExpiringItem] {
        var due: [ExpiringItem] = []
        var next: [String: Int64] = [:]
        for item in items {
            guard let threshold = item.threshold(now: now) else { continue }
            let before = next[item.fingerprint] ?? told[item.fingerprint]
            if before == nil || before ?? 0 > threshold { due.append(item) }
            next[item.fingerprint] = min(before ?? threshold, threshold)
        }
        told = next
        return due
    }
}
