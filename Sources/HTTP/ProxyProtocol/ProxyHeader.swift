/// What a connection begins with that a load balancer passes on: the PROXY protocol of HAProxy, versions 1 and 2.
public enum ProxyHeader: Hashable, Sendable {
    /// The sender's own connection, such as a health check, or one whose origin it does not tell.
    case own
    /// A client's connection.
    case client(source: ProxiedEnd, destination: ProxiedEnd)

    /// How it is written.
    public enum Version: String, Sendable {
        /// One line of text.
        case v1
        /// Binary.
        case v2
    }

    /// The most bytes of version 1, its line end included (§2.1).
    static let longestLine = 107
    /// The most bytes of version 2 behind its first sixteen; the protocol would allow 65,535.
    static let longestBlock = 4096
    /// The most bytes that are looked at.
    public static let longest = 16 + longestBlock

    static let linePrefix: [UInt8] = Array("PROXY ".utf8)
    static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
}

/// One end of a connection.
public struct ProxiedEnd: Hashable, Sendable {
    /// Four or sixteen bytes in network order.
    public let address: [UInt8]
    /// The TCP port.
    public let port: UInt16

    /// - Parameter address: four or sixteen bytes.
    public init(address: [UInt8], port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// What a client has agreed on by TLS, as version 2 tells it.
public struct ProxiedTLS: Sendable {
    /// Such as `TLSv1.3`.
    public let version: String
    /// Such as `TLS_AES_128_GCM_SHA256`.
    public let cipher: String
    /// The name that the client asked for.
    public let serverName: String?
    /// The application protocol.
    public let alpn: String?
    /// Whether it has shown a certificate that is good.
    public let isVerified: Bool

    /// Names all of it.
    public init(version: String, cipher: String, serverName: String?, alpn: String?, isVerified: Bool) {
        self.version = version
        self.cipher = cipher
        self.serverName = serverName
        self.alpn = alpn
        self.isVerified = isVerified
    }
}

/// Why a connection does not begin with a PROXY header.
public enum ProxyHeaderError: Error, Equatable, Sendable, CustomStringConvertible {
    /// It begins with something else.
    case missing
    /// It begins with one that breaks the rules.
    case malformed
    /// It begins with one that is longer than any that is read.
    case tooLong
    /// What it says is not what its checksum was made of.
    case checksum

    /// What is wrong with the header, for people.
    public var description: String {
        switch self {
        case .missing: "there is none"
        case .malformed: "it breaks the protocol's rules"
        case .tooLong: "it is too long"
        case .checksum: "its checksum is wrong"
        }
    }
}

/// The checksum of Castagnoli (RFC 9260 appendix A), which version 2 may carry.
struct CRC32C {
    private var state: UInt32 = .max

    mutating func add(_ byte: UInt8) {
        state ^= UInt32(byte)
        for _ in 0..<8 { state = state & 1 == 1 ? state >> 1 ^ 0x82F6_3B78 : state >> 1 }
    }

    var value: UInt32 { ~state }
}
