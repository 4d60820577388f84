/// What a site changes in the messages that pass, so that an application which believes in plain http lives behind it.
public struct Rewriting: Sendable {
    /// A host with or without a port, as the Host field has it.
    public struct Host: Equatable, Sendable, CustomStringConvertible {
        /// In small letters; an IPv6 address in brackets.
        public let name: String
        /// The port, where one is given.
        public let port: UInt16?

        /// As the Host field has it.
        public var description: String { port.map { "\(name):\($0)" } ?? name }
    }

    /// A prefix that clients see, and what the server sees in its place.
    public struct PathMapping: Equatable, Sendable {
        /// Begins with a slash and ends with none, unless it is `/` alone.
        public let publicPrefix: String
        /// The same at the server.
        public let serverPrefix: String
    }

    /// What is changed in cookies.
    public struct Cookies: Sendable {
        /// RFC 6265bis §4.1.2.7.
        public enum SameSite: String, Sendable, CaseIterable {
            /// Never with requests that other sites cause.
            case strict
            /// With such requests only when they follow a link.
            case lax
            /// With every request.
            case none
        }

        /// Whether every cookie gets `Secure`.
        public internal(set) var secure = true
        /// Whether every cookie gets `HttpOnly`.
        public internal(set) var httpOnly = false
        /// The `SameSite` of cookies that have none.
        public internal(set) var sameSite: SameSite?
        /// Cookies that get neither `HttpOnly` nor `SameSite`.
        public internal(set) var exceptions: [String] = []
        /// Domains that become others; an empty one is dropped.
        public internal(set) var domains: [(from: String, to: String)] = []
        /// Paths that become others; an empty one is dropped.
        public internal(set) var paths: [(from: String, to: String)] = []
    }

    /// HTTP Strict Transport Security (RFC 6797).
    public struct StrictTransport: Equatable, Sendable {
        /// In seconds; 0 makes browsers forget.
        public let maximumAge: UInt64
        /// Whether it holds for the names below, too.
        public let includesSubdomains: Bool
        /// Whether browsers may build it in.
        public let preload: Bool
    }

    /// Fields that are set, added and removed.
    public struct Headers: Sendable {
        /// Written in the place of those that bear the name.
        public internal(set) var replaced: [HeaderTemplate] = []
        /// Written besides those that bear the name.
        public internal(set) var added: [HeaderTemplate] = []
        /// Names that are not passed on.
        public internal(set) var removed: [String] = []

        /// Whether nothing is changed.
        public var isEmpty: Bool { replaced.isEmpty && added.isEmpty && removed.isEmpty }
    }

    /// What the server sees as Host; nil for what the client asked for.
    public internal(set) var upstreamHost: Host?
    /// What the application calls itself, besides the names that everyhop knows.
    public internal(set) var ownHosts: [Host] = []
    /// Whether plain references to the site become https.
    public internal(set) var rewritesLinks = true
    /// Public and server's paths.
    public internal(set) var path: PathMapping?
    /// What is changed in cookies.
    public internal(set) var cookies = Cookies()
    /// Strict-Transport-Security; nil for what the application says.
    public internal(set) var strictTransport: StrictTransport?
    /// Whether browsers are told to fetch by https what pages name by http.
    public internal(set) var upgradesInsecureRequests = false
    /// Fields of requests.
    public internal(set) var requestHeaders = Headers()
    /// Fields of responses.
    public internal(set) var responseHeaders = Headers()
}

/// A field with a value that may hold variables.
public struct HeaderTemplate: Equatable, Sendable {
    /// Something known of the request.
    public enum Variable: String, Sendable, CaseIterable {
        /// The client's address.
        case clientAddress = "client_address"
        /// The host that the client asked for, without a port.
        case host
        /// The same with the port.
        case authority
        /// The port that the request came in on.
        case port
        /// `https`
        case scheme
        /// The method.
        case method
        /// The path without the query.
        case path
        /// Path and query.
        case target
        /// The name of the request in logs.
        case requestID = "request_id"
    }

    /// A part of a value.
    public enum Piece: Equatable, Sendable {
        /// Text as it is.
        case text(String)
        /// What the variable holds.
        case variable(Variable)
    }

    /// The name of the field.
    public let name: String
    /// The value.
    public let pieces: [Piece]
}
