/// `[[database]]`: a database server, and what the application dials instead.
public struct Database: Sendable {
    /// What the server speaks.
    public enum Kind: String, Sendable, CaseIterable {
        /// SQL Server (MS-TDS).
        case tds
        /// PostgreSQL.
        case postgres
        /// MySQL and MariaDB.
        case mysql
    }

    /// When TLS begins towards a SQL Server.
    public enum TDSMode: String, Sendable, CaseIterable {
        /// TDS 7.x: inside PRELOGIN.
        case negotiated = "7.x"
        /// TDS 8.0: before TDS.
        case strict
    }

    /// The oldest version of TLS that the server may speak.
    public enum OldestTLS: String, Sendable, CaseIterable {
        /// TLS 1.0.
        case tls10 = "1.0"
        /// TLS 1.1.
        case tls11 = "1.1"
        /// TLS 1.2.
        case tls12 = "1.2"
        /// TLS 1.3.
        case tls13 = "1.3"

        /// Whether NIST SP 800-52 r2 forbids it.
        public var isObsolete: Bool { self == .tls10 || self == .tls11 }
    }

    /// How long sessions may take; all in milliseconds.
    public struct Timeouts: Sendable {
        /// From accepting the application to the end of its login, all handshakes included.
        public internal(set) var connect: UInt64 = 15_000
        /// Without a byte in either direction; nil for any time.
        public internal(set) var idle: UInt64?
    }

    /// Who asks the server how it stores its data; the password's file is read by audits only.
    public struct Credentials: Sendable {
        /// The database user.
        public let user: Located<String>
        /// The file of its password; nil where the environment has it.
        public let passwordFile: Located<String>?
    }

    /// What logs and metrics call it.
    public let name: String
    /// Where it is defined.
    public let position: Position
    /// What the server speaks.
    public let kind: Kind
    /// The server.
    public let server: Located<Endpoint>
    /// The name that is sent and verified; nil for the server's own.
    public let serverName: String?
    /// How the server is verified.
    public let trust: Upstream.Trust?
    /// The certificate shown to a server that asks.
    public let clientCertificate: Located<String>?
    /// How the server is told whose session it gets; nil for not at all.
    public let sendProxy: ProxyProtocol?
    /// When TLS begins; of SQL Server only.
    public let tds: TDSMode
    /// The oldest version of TLS; nil for what the policy says.
    public let oldestTLS: OldestTLS?
    /// Whether what NIST SP 800-52 r2 forbids is spoken to this server all the same.
    public let legacy: Bool
    /// How long sessions may take.
    public let timeouts: Timeouts
    /// The most sessions of one worker; nil for any number.
    public let maximumConnections: Int?
    /// What the application dials.
    public let bindings: [DatabaseBinding]
    /// Its name on the server; nil when that is `name`.
    public let catalog: Located<String>?
    /// Who asks the server how it stores its data.
    public let credentials: Credentials?
    /// Where a server on this host keeps its data; PostgreSQL only.
    public let dataDirectory: Located<String>?
}

/// `[[database.binding]]`: what the application dials.
public struct DatabaseBinding: Sendable {
    /// Where it listens.
    public enum Address: Hashable, Sendable {
        /// An IP address and a port.
        case tcp(ListenAddress)
        /// A path, and the mode of its file.
        case unix(String, mode: Int)
    }

    /// Where it listens.
    public let address: Address
    /// One certificate, or an ECDSA and an RSA one; without any, the application speaks plain.
    public let certificates: [Located<String>]
    /// TDS: whether a client may have its login encrypted and nothing else; on this host only.
    public let loginOnly: Bool
    /// Who passes applications' connections on and says so in a PROXY header.
    public let acceptProxy: [Network]
    /// Where it is defined.
    public let position: Position

    /// Whether only this host can reach it.
    public var isLocal: Bool {
        switch address {
        case .unix: true
        case .tcp(let listen):
            switch listen.address {
            case .any: false
            case .ip(let ip): ip.isLoopback
            }
        }
    }
}
