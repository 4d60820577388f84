import Bytes

/// The names and ports that a site is reached by, and those that its application believes to be reached by.
public struct OwnHosts: Sendable {
    /// What a binding is reached by.
    public struct Binding: Sendable {
        let name: [UInt8]
        let isWildcard: Bool
        let port: UInt16

        /// - Parameter name: in small letters, without the `*` of a wildcard but with the dot after it.
        public init(name: [UInt8], isWildcard: Bool, port: UInt16) {
            self.name = name
            self.isWildcard = isWildcard
            self.port = port
        }
    }

    /// What an application calls itself behind the proxy.
    public struct Alias: Sendable {
        let name: [UInt8]
        let port: UInt16?

        /// - Parameters:
        ///   - name: in small letters; an IPv6 address in brackets.
        ///   - port: besides the usual ones.
        public init(name: [UInt8], port: UInt16?) {
            self.name = name
            self.port = port
        }
    }

    /// Where a reference leads.
    enum Place: Equatable {
        /// Elsewhere.
        case foreign
        /// To what the client has asked for.
        case requested
        /// To another name of the site, on this port.
        case binding(UInt16)
    }

    private let bindings: [Binding]
    private let aliases: [Alias]
    private let ports: [UInt16]

    /// - Parameter ports: where plain http may be believed to be, besides 80: the application's, the redirect's.
    public init(bindings: [Binding], aliases: [Alias], ports: [UInt16]) {
        self.bindings = bindings
        self.aliases = aliases
        self.ports = ports
    }

    /// Where a host and port lead, from a response to a request for `authority` that came in on `localPort`.
    func place(
        of reference: Reference,
        in bytes: Span<UInt8>,
        answering authority: Span<UInt8>,
        on localPort: UInt16
    ) -> Place {
        let host = bytes.extracting(reference.host)
        let requested = authority.extracting(HostSyntax.name(authority, 0..<authority.count))
        let requestedPort = authority.isEmpty ? localPort : HostSyntax.port(authority, 0..<authority.count) ?? 443
        let isPlain = reference.scheme != .https
        let usual: UInt16 = isPlain ? 80 : 443
        let port = reference.port ?? usual
        let isOfServer = port == usual || ports.contains(port)
        if !requested.isEmpty, ASCII.equalIgnoringCase(host, requested),
            port == requestedPort || (isPlain && isOfServer)
        {
            return .requested
        }
        for binding in bindings where binding.covers(host) {
            // A port that is mapped on the way here is another to clients.
            let visible = binding.port == localPort ? requestedPort : binding.port
            if port == visible || port == binding.port || (isPlain && isOfServer) { return .binding(visible) }
        }
        guard !requested.isEmpty else { return .foreign }
        for alias in aliases where ASCII.equalIgnoringCase(host, alias.name.span) {
            if isOfServer || port == alias.port { return .requested }
        }
        return .foreign
    }

    /// Whether a cookie's domain holds one of the application's own names.
    func isAlias(domain: Span<UInt8>) -> Bool {
        for alias in aliases where Self.domain(domain, holds: alias.name.span) { return true }
        return false
    }

    /// RFC 6265 §5.1.3.
    static func domain(_ domain: Span<UInt8>, holds host: Span<UInt8>) -> Bool {
        guard !domain.isEmpty, host.count >= domain.count else { return false }
        let start = host.count - domain.count
        guard ASCII.equalIgnoringCase(host.extracting(start..<host.count), domain) else { return false }
        return start == 0 || host[start - 1] == 0x2E
    }
}

extension OwnHosts.Binding {
    /// Whether a host is this name, or has one label more than this wildcard.
    fileprivate func covers(_ host: Span<UInt8>) -> Bool {
        guard isWildcard else { return ASCII.equalIgnoringCase(host, name.span) }
        var dot = 0
        while dot < host.count, host[dot] != 0x2E { dot += 1 }
        return dot > 0 && ASCII.equalIgnoringCase(host.extracting(dot..<host.count), name.span)
    }
}

/// A reference that names a host by http or https (RFC 3986 §4), with a host that is beyond doubt: user names, odd
/// bytes and backslashes, which readers take in different ways, make it none.
struct Reference {
    enum Scheme {
        case http
        case https
        /// `//host/path`
        case none
    }

    let scheme: Scheme
    let host: Range<Int>
    let port: UInt16?
    /// Where path, query or fragment begin.
    let rest: Int

    init?(_ bytes: Span<UInt8>) {
        let start: Int
        if Self.begins(bytes, with: "http://") {
            (scheme, start) = (.http, 7)
        } else if Self.begins(bytes, with: "https://") {
            (scheme, start) = (.https, 8)
        } else if Self.begins(bytes, with: "//") {
            (scheme, start) = (.none, 2)
        } else {
            return nil
        }
        var end = start
        while end < bytes.count, bytes[end] != 0x2F, bytes[end] != 0x3F, bytes[end] != 0x23 { end += 1 }
        guard HostSyntax.isValid(bytes, start..<end) else { return nil }
        host = HostSyntax.name(bytes, start..<end)
        port = HostSyntax.port(bytes, start..<end)
        rest = end
    }

    private static func begins(_ bytes: Span<UInt8>, with text: StaticString) -> Bool {
        bytes.count >= text.utf8CodeUnitCount
            && ASCII.equalIgnoringCase(bytes.extracting(0..<text.utf8CodeUnitCount), text)
    }
}
