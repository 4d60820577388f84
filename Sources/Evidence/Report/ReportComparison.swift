/// One difference between two reports.
public struct Change: Codable, Sendable, Equatable {
    /// What has changed.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// The configuration's digest.
        case configuration
        /// A hop that was not there.
        case hopAppeared = "hop-appeared"
        /// A hop that is gone.
        case hopDisappeared = "hop-disappeared"
        /// What a hop comes to.
        case hopVerdict = "hop-verdict"
        /// What a check comes to; one that was or is not made at all has no verdict on that side.
        case finding
        /// Something that was seen on a hop: version, suite, pin, certificate and so on.
        case fact
        /// An answer about the provider.
        case provider
    }

    /// What has changed.
    public let kind: Kind
    /// The hop, by its kind, name and place; nil for what belongs to none.
    public let hop: String?
    /// The check, fact or question.
    public let subject: String?
    /// What it was; nil when it was not there.
    public let before: String?
    /// What it is; nil when it is gone.
    public let after: String?
}

/// An earlier report, and all that has changed since.
public struct ReportComparison: Codable, Sendable, Equatable {
    /// The earlier report's file and digest.
    public let since: AuditReport.Previous
    /// When the earlier audit began.
    public let begun: String
    /// What the earlier audit came to.
    public let verdict: Verdict
    /// What has changed, in the order of the newer report; what is gone stands last.
    public let changes: [Change]

    /// Compares two reports.
    ///
    /// - Parameter file: where the earlier one was read from.
    public init(of newer: AuditReport, since older: AuditReport, file: AuditReport.Previous) {
        since = file
        begun = older.begun
        verdict = older.verdict
        changes = Self.changes(from: older, to: newer)
    }

    /// All differences that matter; times, statements and remedies do not.
    public static func changes(from older: AuditReport, to newer: AuditReport) -> [Change] {
        var changes: [Change] = []
        if older.configuration.sha256 != newer.configuration.sha256 {
            changes.append(
                Change(
                    kind: .configuration,
                    hop: nil,
                    subject: newer.configuration.path,
                    before: older.configuration.sha256,
                    after: newer.configuration.sha256
                )
            )
        }
        let pairs = Pairing(older.hops, newer.hops) { Label($0) }
        for pair in pairs.pairs { changes += compare(pair.before, pair.after) }
        changes += provider(older.provider, newer.provider)
        return changes
    }

    // MARK: hops

    private struct Label: Hashable {
        let kind: HopReport.Kind
        let name: String
        let place: String

        init(_ hop: HopReport) {
            kind = hop.kind
            name = hop.name
            // A process is the same under another number.
            place = hop.kind == .process ? "" : hop.place
        }
    }

    private static func compare(_ before: HopReport?, _ after: HopReport?) -> [Change] {
        guard let before else { return whole(.hopAppeared, after) }
        guard let after else { return whole(.hopDisappeared, before) }
        var changes: [Change] = []
        let label = after.label
        if before.verdict != after.verdict {
            changes.append(
                Change(
                    kind: .hopVerdict,
                    hop: label,
                    subject: nil,
                    before: before.verdict.rawValue,
                    after: after.verdict.rawValue
                )
            )
        }
        changes += facts(before.facts, after.facts, hop: label, prefix: "")
        for pair in Pairing(before.findings, after.findings, label: \.check).pairs {
            changes += compare(pair.before, pair.after, hop: label, isProcess: after.kind == .process)
        }
        return changes.reduce(into: []) { list, change in
            // The same value may stand with the hop and below several checks.
            if !list.contains(change) { list.append(change) }
        }
    }

    private static func whole(_ kind: Change.Kind, _ hop: HopReport?) -> [Change] {
        guard let hop else { return [] }
        let verdict = hop.verdict.rawValue
        return [
            Change(
                kind: kind,
                hop: hop.label,
                subject: nil,
                before: kind == .hopDisappeared ? verdict : nil,
                after: kind == .hopAppeared ? verdict : nil
            )
        ]
    }

    private static func compare(_ before: Finding?, _ after: Finding?, hop: String, isProcess: Bool) -> [Change] {
        var changes: [Change] = []
        if before?.verdict != after?.verdict {
            changes.append(
                Change(
                    kind: .finding,
                    hop: hop,
                    subject: (after ?? before)?.check.rawValue,
                    before: before?.verdict.rawValue,
                    after: after?.verdict.rawValue
                )
            )
        }
        // Numbers of processes and of entries in logs change by themselves.
        if let before, let after, !isProcess {
            changes += facts(before.evidence, after.evidence, hop: hop, prefix: "\(after.check.rawValue): ")
        }
        return changes
    }

    private static func facts(_ before: [Fact], _ after: [Fact], hop: String, prefix: String) -> [Change] {
        var names: [String] = []
        for fact in after + before where !names.contains(fact.name) { names.append(fact.name) }
        return names.compactMap { name in
            let old = before.filter { $0.name == name }.map(\.value)
            let new = after.filter { $0.name == name }.map(\.value)
            guard old != new else { return nil }
            return Change(
                kind: .fact,
                hop: hop,
                subject: prefix + name,
                before: old.isEmpty ? nil : old.joined(separator: ", "),
                after: new.isEmpty ? nil : new.joined(separator: ", ")
            )
        }
    }

    // MARK: provider

    private static func provider(_ before: [ProviderAnswer], _ after: [ProviderAnswer]) -> [Change] {
        Pairing(before, after, label: \.question).pairs.compactMap { pair in
            let old = pair.before.map(text)
            let new = pair.after.map(text)
            guard old != new, let question = (pair.after ?? pair.before)?.question else { return nil }
            return Change(kind: .provider, hop: nil, subject: question.rawValue, before: old, after: new)
        }
    }

    private static func text(_ answer: ProviderAnswer) -> String {
        guard let words = answer.answer else { return answer.state.rawValue }
        return "\(answer.state.rawValue): \(words) (\(answer.by ?? "?"), \(answer.on ?? "?"))"
    }
}

extension AuditReport {
    /// This report with all that has changed since an earlier one.
    ///
    /// - Parameter file: where the earlier one was read from.
    public func compared(with older: AuditReport, file: Previous) -> AuditReport {
        var report = self
        report.comparison = ReportComparison(of: self, since: older, file: file)
        return report
    }
}

/// Elements of two lists with the same label, the first with the first, in the order of the newer list.
private struct Pairing<Element> {
    private(set) var pairs: [(before: Element?, after: Element?)] = []

    init<Label: Hashable>(_ before: [Element], _ after: [Element], label: (Element) -> Label) {
        var waiting: [Label: [Element]] = [:]
        for element in before.reversed() { waiting[label(element), default: []].append(element) }
        for element in after { pairs.append((waiting[label(element)]?.popLast(), element)) }
        for element in before {
            guard waiting[label(element)]?.isEmpty == false, let gone = waiting[label(element)]?.popLast() else {
                continue
            }
            pairs.append((gone, nil))
        }
    }
}

extension HopReport {
    /// The hop in one line: its kind, name and place.
    public var label: String { "\(kind.title) \(name), \(place)" }

    /// The first fact with one of these names, whatever their case.
    func fact(_ names: String...) -> String? {
        for name in names {
            if let fact = facts.first(where: { $0.name.lowercased() == name }) { return fact.value }
        }
        return nil
    }
}

extension HopReport.Kind {
    /// What people call it.
    public var title: String {
        switch self {
        case .client: "client hop"
        case .app: "app hop"
        case .database: "database hop"
        case .process: "process"
        case .documentRoot: "document root"
        case .storage: "storage"
        }
    }
}
