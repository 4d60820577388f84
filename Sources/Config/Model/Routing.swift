/// `[[site.route]]`: what happens to the requests of a site whose path and host are these.
public struct SiteRoute: Sendable {
    /// What becomes of a request.
    public enum Action: Sendable {
        /// It goes to an upstream.
        case upstream(Located<String>)
        /// It is for a file.
        case folder(FileRoot)
        /// It is answered here.
        case respond(StaticAnswer)
        /// The client is sent to another place.
        case redirect(Redirection)
    }

    /// How long servers may take, where it is not as the upstream says; all in milliseconds.
    public struct Timeouts: Sendable {
        /// To begin a response, and between two pieces of it.
        public internal(set) var response: UInt64?
        /// Between two pieces in either direction of another protocol.
        public internal(set) var tunnel: UInt64?
        /// From a request's head to the end of its response.
        public internal(set) var total: UInt64?
    }

    /// Where it is defined.
    public let position: Position
    /// A path and all below it, without a slash at the end; nil for every path.
    public let path: Located<String>?
    /// The host that the request has to name; nil for every host of the site.
    public let host: Located<HostPattern>?
    /// What becomes of a request.
    public let action: Action
    /// The largest body of a request, in bytes; nil for what the server allows.
    public let bodyBytes: UInt64?
    /// How long servers may take.
    public let timeouts: Timeouts
    /// Which clients are served.
    public let access: AccessRules
    /// How often one client is served.
    public let rate: RateLimit?
    /// What is changed in messages: as the site says, but for `path_map` and what the route says otherwise.
    public let rewriting: Rewriting
}

/// An answer that no server gives.
public struct StaticAnswer: Sendable {
    /// Where the body comes from.
    public enum Body: Sendable {
        /// The small page of everyhop's own errors.
        case page
        /// Text of the configuration.
        case text(String)
        /// A file, read when the configuration is loaded.
        case file(Located<String>)
    }

    /// The status, 200 to 599.
    public let status: Int
    /// The media type of a body from the configuration.
    public let contentType: String
    /// Where the body comes from.
    public let body: Body
    /// The largest body, in bytes: as much as waits for one client at most.
    public static let bodyLimit = 65_536
}

/// Another place that the client is sent to.
public struct Redirection: Sendable {
    /// Which of the redirects.
    public let status: Int
    /// An https address, or a path of the same host.
    public let location: String
}

/// Which clients are served, by their addresses.
public struct AccessRules: Sendable {
    /// Those that are; empty for all.
    public internal(set) var allow: [Network] = []
    /// Those that are not, even if allowed.
    public internal(set) var deny: [Network] = []

    /// Whether everybody is served.
    public var isEmpty: Bool { allow.isEmpty && deny.isEmpty }
}

/// How often one client is served by one worker: a bucket of tokens that fills evenly.
public struct RateLimit: Equatable, Sendable {
    /// The time that a rate counts in.
    public enum Period: String, Sendable, CaseIterable {
        /// A second.
        case second
        /// A minute.
        case minute

        /// Its length in microseconds.
        public var microseconds: UInt64 { self == .second ? 1_000_000 : 60_000_000 }
    }

    /// So many requests in a period.
    public let requests: Int
    /// The period.
    public let period: Period
    /// So many at once, after a pause.
    public let burst: Int

    /// - Parameters:
    ///   - requests: so many in a period.
    ///   - burst: so many at once, after a pause.
    public init(requests: Int, period: Period, burst: Int) {
        self.requests = requests
        self.period = period
        self.burst = burst
    }
}

extension Binding {
    /// The certificates that clients show (mutual TLS).
    public struct ClientCertificates: Sendable {
        /// Whether a client without one is served.
        public enum Demand: String, Sendable, CaseIterable {
            /// It is not.
            case require
            /// It is; what it shows is verified all the same.
            case optional
        }

        /// A file of authorities; nil when pins alone count.
        public let ca: Located<String>?
        /// Keys, one of which the client must bear; empty when authorities alone count.
        public let pins: [Pin]
        /// Whether a client without one is served.
        public let demand: Demand
        /// Where certificates of the authorities are looked up; nil for nowhere.
        public let revocation: RevocationLists?

        /// Whether a client that was verified by one would be by the other: nobody is told apart by them.
        public func isEqual(_ other: Self) -> Bool {
            ca?.value == other.ca?.value && pins == other.pins && demand == other.demand
                && revocation == other.revocation
        }
    }
}
