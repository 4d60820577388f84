/// What a check, a hop or a whole report comes to.
public enum Verdict: String, Codable, Sendable, CaseIterable {
    /// It was looked at, and it is as it has to be.
    case holds
    /// It was looked at, and it is not.
    case fallsShort = "falls-short"
    /// It could not be looked at, so nothing is claimed.
    case notChecked = "not-checked"

    /// What several come to: one fault is a fault of all, and what was not checked does not hold.
    ///
    /// - Returns: `notChecked` when there is nothing.
    public static func of(_ verdicts: some Sequence<Verdict>) -> Verdict {
        var seen = Set(verdicts)
        if seen.contains(.fallsShort) { return .fallsShort }
        return seen.remove(.notChecked) == nil && !seen.isEmpty ? .holds : .notChecked
    }
}
