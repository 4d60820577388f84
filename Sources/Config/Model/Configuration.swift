/// A value with the place that it was written at.
public struct Located<Value: Sendable>: Sendable {
    /// The value.
    public let value: Value
    /// Where it stands.
    public let position: Position
}

/// All that a configuration file says; immutable once decoded.
public struct Configuration: Sendable {
    /// The table `[server]`.
    public internal(set) var server = Server()
    /// The table `[log]`.
    public internal(set) var log = Log()
    /// The table `[tls]`.
    public internal(set) var tls = TLSSettings()
    /// The table `[certificate.NAME]`.
    public internal(set) var certificates: [Certificate] = []
    /// The table `[[site]]`.
    public internal(set) var sites: [Site] = []
    /// The table `[[upstream]]`.
    public internal(set) var upstreams: [Upstream] = []
    /// The table `[[database]]`.
    public internal(set) var databases: [Database] = []
    /// The table `[audit]`.
    public internal(set) var audit = AuditSettings()
    /// The table `[provider]`; only `everyhop audit` needs it.
    public internal(set) var provider = Provider()
}

/// `[server]`: the process.
public struct Server: Sendable {
    /// How long connections may take; all in milliseconds.
    public struct Timeouts: Sendable {
        /// From accepting to the end of the TLS handshake.
        public internal(set) var handshake: UInt64 = 10_000
        /// From the first byte of a request to the end of its head.
        public internal(set) var head: UInt64 = 30_000
        /// Between two pieces of a request's body.
        public internal(set) var body: UInt64 = 60_000
        /// Between two pieces that the client takes of a response.
        public internal(set) var write: UInt64 = 60_000
        /// Between two requests on one connection.
        public internal(set) var keepAlive: UInt64 = 75_000
    }

    /// How large things may be; all in bytes.
    public struct Limits: Sendable {
        /// A request's or response's head.
        public internal(set) var headBytes = 65_536
        /// A request's body; nil for any size.
        public internal(set) var bodyBytes: UInt64?
        /// What a client has to send of a body, and to take of a response, in bytes a second; 0 for no such rate.
        public internal(set) var minimumRate: UInt64 = 240
        /// The most TLS handshakes with clients that one worker has under way.
        public internal(set) var handshakes = 1024
        /// The most connections of one client to one worker; nil for any number.
        public internal(set) var connectionsPerClient: Int?
        /// What may wait in the memory of one worker, of all connections together.
        public internal(set) var bufferBytes: UInt64 = 256 << 20
    }

    /// How much of the sandbox there has to be.
    public enum Sandboxing: String, Sendable, CaseIterable {
        /// What the kernel has; the rest is told.
        case bestEffort = "best-effort"
        /// All of it: without, nothing starts.
        case required
    }

    /// How many workers; nil for one per processor.
    public internal(set) var workers: Int?
    /// Who the workers become.
    public internal(set) var user: Located<String>?
    /// The folder of what everyhop keeps for itself.
    public internal(set) var state: Located<String>?
    /// Where metrics are read.
    public internal(set) var admin: Located<Endpoint>?
    /// How long connections may take to finish when workers are replaced or stopped, in milliseconds.
    public internal(set) var drain: UInt64 = 30_000
    /// How long database sessions may go on when workers are replaced, in milliseconds.
    public internal(set) var drainSessions: UInt64 = 3_600_000
    /// How often names of servers are resolved anew, in milliseconds.
    public internal(set) var resolve: UInt64 = 30_000
    /// Whether files that the configuration names are watched, and replaced when they change.
    public internal(set) var watch = true
    /// How long a process may be silent before it is replaced, in milliseconds.
    public internal(set) var hangTimeout: UInt64 = 10_000
    /// How much memory of its own a worker may have, in bytes; nil for what its connections may need.
    public internal(set) var workerMemory: UInt64?
    /// How long a new program may take until it serves, in milliseconds.
    public internal(set) var upgradeTimeout: UInt64 = 90_000
    /// The most clients of all workers together; nil for what the descriptor limit allows.
    public internal(set) var maximumConnections: Int?
    /// Where it says that nothing starts without every layer of the sandbox; nil when what the kernel lacks is told only.
    public internal(set) var requiresSandbox: Position?
    /// Proxies whose word about the client is believed.
    public internal(set) var trustedProxies: [Network] = []
    /// How long connections may take.
    public internal(set) var timeouts = Timeouts()
    /// How large things may be.
    public internal(set) var limits = Limits()
}

/// The table `[log]`.
public struct Log: Sendable {
    /// Where the access log goes.
    public enum Access: Equatable, Sendable {
        /// Nowhere.
        case off
        /// Standard output.
        case stdout
        /// A file, by path.
        case file(String)
    }

    /// The least severity that is logged.
    public internal(set) var level = "info"
    /// Where the access log goes.
    public internal(set) var access = Access.stdout
    /// Whether the access log tells query strings, which may hold health data.
    public internal(set) var query = false
}

/// The table `[tls]`.
public struct TLSSettings: Sendable {
    /// Which versions and suites are spoken.
    public enum Policy: String, Sendable, CaseIterable {
        /// TLS 1.3, and TLS 1.2 with ephemeral keys and AES-GCM.
        case nist80052r2 = "nist-800-52r2"
        /// TLS 1.3 only.
        case modern
    }

    /// Who shakes hands with clients.
    public enum Handshakes: String, Sendable, CaseIterable {
        /// everyhop with those that say what nearly all do, and OpenSSL with all others.
        case own
        /// OpenSSL, with all.
        case openssl
    }

    /// Which versions and suites are spoken.
    public internal(set) var policy = Policy.nist80052r2
    /// Who shakes hands with clients.
    public internal(set) var handshakes = Handshakes.own
    /// Whether private keys are held by a process of their own, which workers ask for signatures.
    public internal(set) var isolatesKeys = false
    /// A file of session ticket keys that a fleet shares.
    public internal(set) var ticketKeys: Located<String>?
    /// How often the master makes a new ticket key, in milliseconds.
    public internal(set) var ticketRotation: UInt64 = 12 * 3_600_000
    /// Whether authorities are asked about certificates, so that their answers can be stapled.
    public internal(set) var ocsp = OCSP.auto
    /// Whether OpenSSL's FIPS provider is demanded, where it was written.
    public internal(set) var fips: Located<Bool>?

    /// Whether authorities are asked about certificates.
    public enum OCSP: String, Sendable, CaseIterable {
        /// Those whose certificates say where.
        case auto
        /// None.
        case off
    }

    /// Whether nothing but approved cryptography is used.
    public var demandsFIPS: Bool { fips?.value == true }
}

/// The table `[certificate.NAME]`.
public struct Certificate: Sendable {
    /// Where certificate and key come from.
    public enum Source: Sendable {
        /// PEM files.
        case files(chain: Located<String>, key: Located<String>)
        /// A PKCS#12 file and the file that holds its password.
        case pfx(Located<String>, password: Located<String>?)
        /// Made by everyhop for these names, and kept beside the configuration.
        case selfSigned([String])
        /// Issued by an authority, and kept in the folder of the server's state.
        case acme(ACMESettings)
    }

    /// What bindings call it.
    public let name: String
    /// Where it is defined.
    public let position: Position
    /// Where certificate and key come from.
    public let source: Source
    /// A file of the authority's answer about it, in DER, which something else keeps fresh.
    public let ocspFile: Located<String>?
}

/// `[[site]]`: a web application, as in IIS.
public struct Site: Sendable {
    /// What logs call it.
    public let name: String
    /// Where it is defined.
    public let position: Position
    /// The upstream that serves what no route does; nil when a folder does, or the routes cover everything.
    public let upstream: Located<String>?
    /// The folder that serves it instead.
    public let folder: FileRoot?
    /// Plain addresses that answer with a redirect to https.
    public let redirects: [Located<ListenAddress>]
    /// Who passes clients' connections on to `redirects` and says so in a PROXY header.
    public let acceptProxy: [Network]
    /// What clients reach it by.
    public let bindings: [Binding]
    /// Protocols that a connection may change to, in small letters.
    public let upgrades: [String]
    /// What it changes in messages.
    public let rewriting: Rewriting
    /// What happens to some of its requests, in the order of the file.
    public let routes: [SiteRoute]
    /// Which clients are served.
    public let access: AccessRules
    /// How often one client is served.
    public let rate: RateLimit?
}

/// An address to listen on.
public struct ListenAddress: Hashable, Sendable {
    /// One address, or every one.
    public let address: BindingAddress
    /// The TCP port.
    public let port: UInt16

    /// An address and a port.
    public init(address: BindingAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// The IP of a binding.
public enum BindingAddress: Hashable, Sendable, CustomStringConvertible {
    /// `*`: every IPv4 and IPv6 address.
    case any
    /// One address, or every address of its family when unspecified.
    case ip(IPAddress)

    /// As it is written.
    public var description: String {
        switch self {
        case .any: "*"
        case .ip(let address): address.description
        }
    }
}

/// `[[site.binding]]`: IP, port and host name, mapped to certificates.
public struct Binding: Sendable {
    /// What is spoken over TLS.
    public enum HTTPVersion: String, Sendable, CaseIterable {
        /// RFC 9113.
        case http2 = "h2"
        /// RFC 9112, and HTTP/1.0.
        case http11 = "http/1.1"
    }

    /// Where it listens.
    public let listen: ListenAddress
    /// The server name it is for, in small letters; nil for the address's default.
    public let host: Located<HostPattern>?
    /// One certificate, or an ECDSA and an RSA one.
    public let certificates: [Located<String>]
    /// The certificate that is defined here, under its name among those above; nil for none.
    let ownCertificate: Certificate?
    /// What clients may choose from, the first being preferred.
    public let protocols: [HTTPVersion]
    /// The certificates that clients show; nil when none is asked for.
    public let clients: ClientCertificates?
    /// Who passes clients' connections on and says so in a PROXY header.
    public let acceptProxy: [Network]
    /// Where it is defined.
    public let position: Position
}

/// A host name, or `*.` and a name that stands for one more label.
public struct HostPattern: Hashable, Sendable, CustomStringConvertible {
    /// In small letters.
    public let description: String

    /// Whether it begins with `*.`.
    public var isWildcard: Bool { description.hasPrefix("*.") }

    /// Reads a name of letters, digits, hyphens and underscores; nil when it is none.
    public init?(_ text: String) {
        let text = text.lowercased()
        let labels = (text.hasPrefix("*.") ? text.dropFirst(2) : text[...])
            .split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 253, !labels.isEmpty else { return nil }
        for label in labels {
            guard (1...63).contains(label.utf8.count), label.first != "-", label.last != "-" else { return nil }
            for byte in label.utf8 {
                let isAllowed =
                    (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x5F
                guard isAllowed else { return nil }
            }
        }
        description = text
    }
}

/// `[[upstream]]`: a named group of application servers.
public struct Upstream: Sendable {
    /// How a server is verified; at least one of the two.
    public struct Trust: Sendable {
        /// A file of authorities.
        public let ca: Located<String>?
        /// Keys, one of which the server must bear.
        public let pins: [Pin]
        /// Where certificates of the authorities are looked up; nil for nowhere.
        public let revocation: RevocationLists?
    }

    /// Which server an exchange goes to.
    public enum Balance: String, Sendable, CaseIterable {
        /// The one with the fewest exchanges under way.
        case leastConnections = "least-connections"
        /// Each in turn.
        case roundRobin = "round-robin"
        /// The one that a part of the request stands for.
        case hash
    }

    /// How long servers may take; all in milliseconds.
    public struct Timeouts: Sendable {
        /// To connect and be verified.
        public internal(set) var connect: UInt64 = 5000
        /// To begin a response, and between two pieces of it.
        public internal(set) var response: UInt64 = 60_000
        /// That a connection may rest in the pool.
        public internal(set) var idle: UInt64 = 60_000
        /// Between two pieces in either direction once a connection has changed to another protocol.
        public internal(set) var tunnel: UInt64 = 3_600_000
        /// From a request's head to the end of its response; nil for any time.
        public internal(set) var total: UInt64?

        /// These, but for what a route says otherwise.
        public func changed(by route: SiteRoute.Timeouts?) -> Timeouts {
            var changed = self
            changed.response = route?.response ?? response
            changed.tunnel = route?.tunnel ?? tunnel
            changed.total = route?.total ?? total
            return changed
        }
    }

    /// What is spoken to servers.
    public enum HTTPVersion: String, Sendable, CaseIterable {
        /// RFC 9112.
        case http11 = "http/1.1"
        /// RFC 9113; servers that do not agree by ALPN are refused.
        case http2 = "h2"
        /// HTTP/2 where the server agrees to it by ALPN, otherwise HTTP/1.1.
        case auto
    }

    /// What sites call it.
    public let name: String
    /// Where it is defined.
    public let position: Position
    /// What is spoken to servers.
    public let version: HTTPVersion
    /// The servers, at least one.
    public let servers: [UpstreamServer]
    /// The name that is sent and verified; nil for each server's own.
    public let serverName: String?
    /// How a server is verified; nil only when plain.
    public let trust: Trust?
    /// Whether servers on this very host are spoken to in plain.
    public let plaintext: Bool
    /// The certificate shown to servers that ask.
    public let clientCertificate: Located<String>?
    /// How servers are told whose connection they get; nil for not at all.
    public let sendProxy: ProxyProtocol?
    /// Which server an exchange goes to.
    public let balance: Balance
    /// What decides, when `balance` is `hash`.
    public let hash: HashKey?
    /// The cookie that keeps clients at their server; nil for none.
    public let sticky: Sticky?
    /// How servers are checked; nil for not at all.
    public let health: Health?
    /// When servers that fail are left out.
    public let ejection: Ejection
    /// How long a server that comes back takes to get its full share, in milliseconds; 0 for at once.
    public let slowStart: UInt64
    /// Requests that wait for a connection.
    public let queue: Queue
    /// Whether every request is answered with 503.
    public let inMaintenance: Bool
    /// When clients that are turned away may come again, in milliseconds.
    public let retryAfter: UInt64
    /// How long servers may take.
    public let timeouts: Timeouts
    /// The most connections of one worker; nil for any number.
    public let maximumConnections: Int?
    /// The most connections that rest per worker and server.
    public let maximumIdle: Int
}
