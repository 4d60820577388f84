/// One server of an upstream, as `servers` lists it.
public struct UpstreamServer: Sendable {
    /// Where it is.
    public let address: Located<Endpoint>
    /// Its share among the others.
    public let weight: Int
    /// Whether it is asked only when no other server can be.
    public let isBackup: Bool
    /// Whether it gets no new sessions.
    public let inMaintenance: Bool
    /// The most connections of one worker to it; nil for any number.
    public let maximumConnections: Int?

    /// The address.
    public var value: Endpoint { address.value }
    /// Where it is written.
    public var position: Position { address.position }
}

extension Upstream {
    /// What of a request decides its server, with `balance = "hash"`.
    public enum HashKey: Equatable, Sendable {
        /// The client's address.
        case client
        /// The path without the query.
        case path
        /// The value of a header.
        case header(String)
        /// The value of a cookie.
        case cookie(String)
    }

    /// A cookie that keeps a client at its server.
    public struct Sticky: Sendable {
        /// Whether other sites' links and forms bring the cookie along (RFC 6265bis §5.6.7).
        public enum SameSite: String, Sendable, CaseIterable {
            /// Only what the site itself does.
            case strict
            /// Links too.
            case lax
            /// Everything, frames of other sites included.
            case none
        }

        /// Its name.
        public internal(set) var cookie = Located(value: "everyhop", position: Position(line: 1, column: 1))
        /// Which requests bring it.
        public internal(set) var sameSite = SameSite.lax
        /// A file whose bytes the cookie is made with; nil for the session ticket keys.
        public internal(set) var secret: Located<String>?
    }

    /// How servers are asked whether they are well; times in milliseconds.
    public struct Health: Sendable {
        /// How a server is asked.
        public enum Method: String, Sendable, CaseIterable {
            /// With a body that is not read.
            case get = "GET"
            /// Without a body.
            case head = "HEAD"
            /// What the server can do.
            case options = "OPTIONS"
        }

        /// What is asked for, beginning with a slash.
        public internal(set) var path = "/"
        /// How it is asked.
        public internal(set) var method = Method.get
        /// The Host that is sent; nil for the server's own name.
        public internal(set) var host: String?
        /// From the end of one check to the next.
        public internal(set) var interval: UInt64 = 5000
        /// From connecting to the head of the answer.
        public internal(set) var timeout: UInt64 = 2000
        /// So many good answers in a row bring a server back.
        public internal(set) var rise = 2
        /// So many bad ones in a row take it out.
        public internal(set) var fall = 3
        /// The statuses of good answers; empty for 200 to 399.
        public internal(set) var statuses: [Int] = []

        /// Whether a server with this answer is well.
        public func isGood(_ status: Int) -> Bool {
            statuses.isEmpty ? (200..<400).contains(status) : statuses.contains(status)
        }
    }

    /// When a server that fails is left out, and how long; times in milliseconds.
    public struct Ejection: Sendable {
        /// So many failed requests in a row.
        public internal(set) var failures = 5
        /// How long at first; twice as long each time that follows.
        public internal(set) var time: UInt64 = 10_000
        /// How long at most.
        public internal(set) var maximumTime: UInt64 = 300_000
    }

    /// Requests that wait for a connection.
    public struct Queue: Sendable {
        /// How many of one worker.
        public internal(set) var length = 1000
        /// How long each, in milliseconds.
        public internal(set) var wait: UInt64 = 5000
    }
}
