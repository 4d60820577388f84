/// A name and a value, both for people: a piece of evidence exactly as it was seen.
public struct Fact: Codable, Sendable, Equatable {
    /// What it is.
    public let name: String
    /// What was seen.
    public let value: String

    /// A piece of evidence.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// What one check came to.
public struct Finding: Codable, Sendable, Equatable {
    /// Which check it was.
    public let check: Check
    /// What it came to.
    public let verdict: Verdict
    /// What was found, in one sentence; for a check that was not made, why.
    public let statement: String
    /// How to mend it; nil unless it falls short.
    public let remedy: String?
    /// What it rests on.
    public let evidence: [Fact]

    /// It is as it has to be.
    public static func holds(_ check: Check, _ statement: String, _ evidence: [Fact] = []) -> Finding {
        Finding(check: check, verdict: .holds, statement: statement, remedy: nil, evidence: evidence)
    }

    /// It is not as it has to be.
    public static func fallsShort(
        _ check: Check,
        _ statement: String,
        remedy: String,
        _ evidence: [Fact] = []
    ) -> Finding {
        Finding(check: check, verdict: .fallsShort, statement: statement, remedy: remedy, evidence: evidence)
    }

    /// It could not be looked at.
    public static func notChecked(_ check: Check, _ reason: String, _ evidence: [Fact] = []) -> Finding {
        Finding(check: check, verdict: .notChecked, statement: reason, remedy: nil, evidence: evidence)
    }
}

/// One hop, or one thing on this host, with all that was found about it.
public struct HopReport: Codable, Sendable, Equatable {
    /// What kind of place data passes or rests at.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// From browsers to everyhop.
        case client
        /// From everyhop to a server of an upstream.
        case app
        /// From the application, by everyhop, to a database server.
        case database
        /// The process on this host.
        case process
        /// A folder of files.
        case documentRoot = "document-root"
        /// What a database server stores.
        case storage
    }

    /// What kind of place it is.
    public let kind: Kind
    /// What the configuration calls it.
    public let name: String
    /// Its address or path.
    public let place: String
    /// What its findings come to.
    public let verdict: Verdict
    /// What was seen, whether good or bad: version, suite, pin and so on.
    public let facts: [Fact]
    /// What was checked.
    public let findings: [Finding]

    /// A hop whose verdict is what its findings come to.
    public init(kind: Kind, name: String, place: String, facts: [Fact], findings: [Finding]) {
        self.kind = kind
        self.name = name
        self.place = place
        verdict = .of(findings.map(\.verdict))
        self.facts = facts
        self.findings = findings
    }
}

/// All that one audit found.
public struct AuditReport: Codable, Sendable, Equatable {
    /// The form that this program writes.
    public static let schema = "everyhop-audit/1"

    /// The configuration that was audited.
    public struct Subject: Codable, Sendable, Equatable {
        /// The file as it was named.
        public let path: String
        /// SHA-256 of its bytes in hexadecimal digits.
        public let sha256: String

        /// A configuration file.
        public init(path: String, sha256: String) {
            self.path = path
            self.sha256 = sha256
        }
    }

    /// The report before this one.
    public struct Previous: Codable, Sendable, Equatable {
        /// The file's name, without its folder.
        public let file: String
        /// SHA-256 of its bytes in hexadecimal digits.
        public let sha256: String

        /// A report file.
        public init(file: String, sha256: String) {
            self.file = file
            self.sha256 = sha256
        }
    }

    /// The form of this report.
    public let schema: String
    /// The program and its version.
    public let program: String
    /// The name of the host that the audit ran on.
    public let host: String
    /// The configuration that was audited.
    public let configuration: Subject
    /// When it began, UTC, as in RFC 3339.
    public let begun: String
    /// When it ended, UTC, as in RFC 3339.
    public let ended: String
    /// What it comes to: whether every hop holds.
    public let verdict: Verdict
    /// Every hop, from the client to what the database stores.
    public let hops: [HopReport]
    /// What the organisation answers about its provider; everyhop has verified none of it.
    public let provider: [ProviderAnswer]
    /// The report before this one; nil for the first.
    public internal(set) var previous: Previous?
    /// What has changed since an earlier report; nil when none was named.
    public internal(set) var comparison: ReportComparison?

    /// A report whose verdict is what its hops come to.
    public init(
        program: String,
        host: String,
        configuration: Subject,
        begun: String,
        ended: String,
        hops: [HopReport],
        provider: [ProviderAnswer],
        previous: Previous?
    ) {
        schema = Self.schema
        self.program = program
        self.host = host
        self.configuration = configuration
        self.begun = begun
        self.ended = ended
        verdict = .of(hops.map(\.verdict))
        self.hops = hops
        self.provider = provider
        self.previous = previous
    }
}

/// What the organisation answers to one question about its provider; a claim of the organisation, not a finding.
public struct ProviderAnswer: Codable, Sendable, Equatable {
    /// Whether there is an answer that is recent.
    public enum State: String, Codable, Sendable, CaseIterable {
        /// Answered within a year.
        case answered
        /// Answered over a year ago.
        case stale
        /// Not answered.
        case open
    }

    /// The question.
    public let question: ProviderQuestion
    /// Whether there is an answer that is recent.
    public let state: State
    /// The answer; nil when there is none.
    public let answer: String?
    /// Who answered.
    public let by: String?
    /// On which day, as in 2026-11-25.
    public let on: String?

    /// An answer, or the lack of one.
    public init(question: ProviderQuestion, state: State, answer: String?, by: String?, on: String?) {
        self.question = question
        self.state = state
        self.answer = answer
        self.by = by
        self.on = on
    }
}

/// The five questions for a cloud provider.
public enum ProviderQuestion: String, Codable, Sendable, CaseIterable {
    /// Where the data is.
    case dataCentre = "data-centre"
    /// What the provider has signed.
    case contract
    /// How data is backed up and recovered.
    case backup
    /// Who may reach the data.
    case access
    /// How data and hardware are disposed of.
    case disposal

    /// The question in words.
    public var text: String {
        switch self {
        case .dataCentre: "Where is the data centre that holds the data?"
        case .contract: "Which contract and business associate agreement are in force?"
        case .backup: "How is the data backed up, and how is it recovered?"
        case .access: "Who has access to the data and the machines, and who controls it?"
        case .disposal: "How is data deleted, and how is hardware disposed of?"
        }
    }
}
