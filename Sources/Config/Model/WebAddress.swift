/// An `https` URL, taken apart; nothing else is one.
public struct WebAddress: Hashable, Sendable, CustomStringConvertible {
    /// Longer ones are refused.
    private static let mostBytes = 2048

    /// A host name or an IP address, without brackets.
    public let host: String
    /// The TCP port.
    public let port: UInt16
    /// The path with its query, beginning with a slash.
    public let target: String
    /// As it was written.
    public let description: String

    /// Reads a URL; nil for one without `https`, with a user, with a fragment, or with anything that is not visible ASCII.
    public init?(_ text: String) {
        guard text.utf8.count <= Self.mostBytes, text.hasPrefix("https://"),
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x23 && $0 != 0x5C && $0 != 0x22 })
        else { return nil }
        let rest = text.dropFirst(8)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let authority = rest[..<end]
        guard let place = Self.place(authority) else { return nil }
        (host, port) = place
        let target = String(rest[end...])
        self.target = target.hasPrefix("/") ? target : "/" + target
        description = text
    }

    /// What a Host field says: the port only when it is not the usual one.
    public var authority: String {
        let host = self.host.contains(":") ? "[\(self.host)]" : self.host
        return port == 443 ? host : "\(host):\(port)"
    }

    private static func place(_ authority: Substring) -> (String, UInt16)? {
        var host = authority
        var port: UInt16 = 443
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            guard let number = Endpoint.port(authority[authority.index(after: colon)...]) else { return nil }
            port = number
            host = authority[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            guard let address = IPAddress(String(host.dropFirst().dropLast())), address.isIPv6 else { return nil }
            return (address.description, port)
        }
        if let address = IPAddress(String(host)), !address.isIPv6 { return (address.description, port) }
        guard let name = HostPattern(String(host)), !name.isWildcard else { return nil }
        return (name.description, port)
    }
}
