internal import FoundationEssentials
internal import TLS

/// What one handshake with a hop has shown: all that can be looked at every minute without being a burden.
public struct Glance: Codable, Sendable, Equatable {
    /// How the key that was shown compares with what is expected.
    public enum Pin: String, Codable, Sendable, CaseIterable {
        /// It is one of those that are pinned; of a binding, its own certificate's.
        case matches
        /// It is another one.
        case mismatch
        /// There is nothing to compare it with: an authority vouches for it.
        case unused
        /// No key was seen.
        case unseen
    }

    /// What was found.
    public let report: HopReport
    /// How the key compares.
    public let pin: Pin
    /// The key that was shown, as a pin; nil when none was.
    public let key: String?
    /// When the certificate expires, in seconds since 1970; nil when none was shown.
    public let notAfter: Int64?
    /// When the certificate's time began, in seconds since 1970; nil when none was shown.
    public let notBefore: Int64?
    /// When it was looked at, in seconds since 1970.
    public let seen: Int64
    /// Why it is not looked at again for now; nil when it is.
    public var waits: String?
    /// Of a server that counts looks: those since an application's last session.
    public var looks: Looks?

    /// What a server has been burdened with.
    public struct Looks: Codable, Sendable, Equatable {
        /// Looks since a session of an application.
        public var count = 0
        /// Sessions that had reached the server by then.
        public var sessions: Int64

        /// None yet.
        public init(sessions: Int64) { self.sessions = sessions }
    }

    init(_ report: HopReport, _ pin: Pin, _ leaf: CertificateFacts?) {
        self.report = report
        self.pin = pin
        key = leaf?.pin.description
        notAfter = leaf?.notAfter
        notBefore = leaf?.notBefore
        seen = Lifetime.now
    }

    /// What matters most: the first fault, or what could not be looked at, or else what is known of the other side.
    public var statement: String {
        let findings = report.findings
        let first =
            findings.first { $0.verdict == .fallsShort } ?? findings.first { $0.verdict == .notChecked }
            ?? findings.first { [.appTrust, .databaseTrust, .clientCertificate, .appPlaintext].contains($0.check) }
        guard let statement = first?.statement else { return "" }
        // The key has a place of its own.
        return first?.verdict == .holds
            ? statement.split(separator: " sha256/").first.map(String.init) ?? "" : statement
    }

    /// What was seen under this name.
    public func fact(_ name: String) -> String? { report.facts.first { $0.name == name }?.value }

    /// It as JSON.
    ///
    /// - Throws: when the library refuses a value.
    public func json() throws -> [UInt8] { Array(try JSONEncoder().encode(self)) }

    /// Reads what `json()` wrote.
    ///
    /// - Throws: for anything else.
    public init(json bytes: [UInt8]) throws { self = try JSONDecoder().decode(Glance.self, from: Data(bytes)) }
}
