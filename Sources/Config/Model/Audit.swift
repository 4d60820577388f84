/// `[audit]`: what an audit measures by, and where its reports and the audit log go.
public struct AuditSettings: Sendable {
    /// The folder of reports; nil when they are not kept.
    public internal(set) var reports: Located<String>?
    /// A PEM private key that signs them; nil for one that is made in the folder.
    public internal(set) var key: Located<String>?
    /// The audit log; nil when none is kept.
    public internal(set) var log: Located<String>?
    /// Authorities that clients trust, as PEM; nil for those of the system.
    public internal(set) var clientsTrust: Located<String>?
    /// The certificate that an audit shows to bindings which ask clients for one.
    public internal(set) var clientCertificate: Located<String>?
    /// Ports at which servers of other hosts must not answer in plain.
    public internal(set) var plainPorts: [UInt16] = [80, 8080]
    /// Whether the plain ports were named: then they are looked at on this host, too.
    public internal(set) var namesPlainPorts = false
    /// How often every hop is looked at while everyhop runs, in milliseconds; nil for never.
    public internal(set) var probeInterval: UInt64? = 60_000
}

/// `[provider]`: what the organisation answers to the questions about its provider; everyhop verifies none of it.
public struct Provider: Sendable {
    /// The five questions, by their keys.
    public enum Question: String, Sendable, CaseIterable {
        /// Where the data centre is.
        case dataCentre = "data_centre"
        /// Contract and business associate agreement.
        case contract
        /// Backup and recovery.
        case backup
        /// Access control.
        case access
        /// Deletion and disposal of hardware.
        case disposal
    }

    /// An answer to one of them.
    public struct Answer: Sendable {
        /// The answer itself.
        public let answer: String
        /// Who gave it.
        public let by: String
        /// When.
        public let on: Located<CalendarDay>
    }

    /// What is answered.
    public internal(set) var answers: [Question: Answer] = [:]

    /// Complaints about answers of days that have not come yet.
    public func diagnostics(today: CalendarDay) -> [Diagnostic] {
        Question.allCases.compactMap { question in
            guard let day = answers[question]?.on, day.value > today else { return nil }
            return Diagnostic(
                at: day.position,
                "\(question.rawValue) is answered on \(day.value), which is in the future",
                fix: "write the day that the answer was given"
            )
        }
    }
}
