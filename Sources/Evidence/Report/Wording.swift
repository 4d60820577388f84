/// Words that the text and the HTML report share.
extension Verdict {
    /// The verdict in words.
    public var words: String {
        switch self {
        case .holds: "holds"
        case .fallsShort: "falls short"
        case .notChecked: "not checked"
        }
    }
}

extension AuditReport {
    /// The whole audit in one sentence.
    public var summary: String {
        guard !hops.isEmpty else { return "Nothing was checked" }
        let count = { (verdict: Verdict) in hops.count { $0.verdict == verdict } }
        let faults = hops.flatMap(\.findings).count { $0.verdict == .fallsShort }
        var parts: [String] = []
        if count(.fallsShort) > 0 {
            parts.append("\(count(.fallsShort)) fall\(count(.fallsShort) == 1 ? "s" : "") short")
        }
        if count(.notChecked) > 0 { parts.append("\(count(.notChecked)) not fully checked") }
        if count(.holds) > 0 { parts.append("\(count(.holds)) hold\(count(.holds) == 1 ? "s" : "")") }
        let places = hops.count == 1 ? "1 hop or place" : "\(hops.count) hops and places"
        let tail = faults == 0 ? "" : "; \(faults) fault\(faults == 1 ? "" : "s") to mend"
        return "Of \(places), \(parts.joined(separator: ", "))\(tail)"
    }
}

extension ProviderAnswer {
    /// What every report says above the answers.
    public static let disclaimer =
        "These are statements of the organisation about its provider. everyhop has verified none of them."
}

extension Change {
    /// What has changed, without the values.
    var title: String {
        switch kind {
        case .configuration: "Configuration"
        case .hopAppeared: "New hop or place"
        case .hopDisappeared: "Gone"
        case .hopVerdict: "Verdict"
        case .finding: subject.flatMap { Check(rawValue: $0) }?.title ?? subject ?? ""
        case .fact: subject ?? ""
        case .provider: subject.flatMap { ProviderQuestion(rawValue: $0) }?.text ?? subject ?? ""
        }
    }

    /// A value of it as people read it.
    func words(_ value: String?) -> String {
        guard let value else { return kind == .fact ? "nothing" : "not there" }
        return kind == .fact || kind == .configuration || kind == .provider
            ? value : Verdict(rawValue: value)?.words ?? value
    }
}
