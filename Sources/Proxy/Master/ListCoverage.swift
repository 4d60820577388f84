import TLS

/// Whose certificates can be looked up in the lists that one trust names, at a time.
///
/// A value without clock and files.
struct ListCoverage: Equatable {
    /// Whoever there is a list of, good or not.
    private(set) var named: Set<String> = []
    /// Whoever's certificates can be looked up: there is a list that is current and not forged.
    private(set) var usable: Set<String> = []
    /// Those of them that are trusted themselves.
    private(set) var trusted: Set<String> = []

    /// - Parameter now: seconds since 1970.
    mutating func add(_ list: RevocationListFacts, _ signer: RevocationListFacts.Signer, now: Int64) {
        named.insert(list.issuer)
        guard signer != .impostor, Self.isCurrent(list, now: now) else { return }
        usable.insert(list.issuer)
        if signer == .authority { trusted.insert(list.issuer) }
    }

    static func isCurrent(_ list: RevocationListFacts, now: Int64) -> Bool {
        list.thisUpdate <= now && list.nextUpdate ?? now >= now
    }

    /// Whether lists would be good for nothing where those before are good: somebody would be refused for them.
    ///
    /// An authority that is left out is left out on purpose, unless nothing useful is left.
    func isUseless(after before: ListCoverage) -> Bool {
        if !before.usable.subtracting(usable).isDisjoint(with: named) { return true }
        return !before.trusted.isEmpty && trusted.isEmpty && usable.isDisjoint(with: before.usable)
    }
}
