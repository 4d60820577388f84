public import Config
public import HTTP
public import Platform

/// A server that expects a PROXY header at the beginning of every connection, those of our own included.
public struct Announcement: Sendable {
    /// No server does.
    public static let none = Announcement(version: nil)

    private let version: ProxyHeader.Version?
    private let addresses: [SocketAddress]?

    /// What is expected at every address that is dialled; nil for nothing.
    public init(version: ProxyHeader.Version?) {
        self.version = version
        addresses = nil
    }

    /// What is expected at some addresses only.
    public init(_ version: ProxyHeader.Version, at addresses: [SocketAddress]) {
        self.version = version
        self.addresses = addresses
    }

    /// What a connection of our own begins with; nil where nothing is expected.
    public func bytes(to address: SocketAddress, from local: SocketAddress?) -> [UInt8]? {
        guard let version, addresses?.contains(address) ?? true else { return nil }
        // Version 2 has a word for it. In version 1 some servers refuse the one that comes close, UNKNOWN: they are
        // told the addresses of this very connection (§2.1).
        guard version == .v1, let source = local.flatMap({ ProxiedEnd($0) }), let destination = ProxiedEnd(address)
        else { return ProxyHeader.own.bytes(version) }
        return ProxyHeader.client(source: source, destination: destination).bytes(.v1)
    }
}

extension Announcement {
    /// What the configuration says of a server.
    public init(_ settings: ProxyProtocol?) { self.init(version: settings.map { $0.version }) }
}

extension ProxyProtocol {
    /// How the header is written.
    public var version: ProxyHeader.Version {
        switch self {
        case .v1: .v1
        case .v2: .v2
        }
    }
}

extension ProxiedEnd {
    /// nil for a unix socket.
    public init?(_ address: SocketAddress) {
        guard let bytes = address.addressBytes else { return nil }
        self.init(address: bytes, port: address.port)
    }
}
