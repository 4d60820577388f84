import Bytes

/// What is changed in the cookies that a server sets.
public struct CookieRules: Sendable {
    /// RFC 6265bis §4.1.2.7.
    public enum SameSite: Sendable {
        /// Never with requests that other sites cause.
        case strict
        /// With such requests only when they follow a link.
        case lax
        /// With every request.
        case none
    }

    /// One value of an attribute that becomes another.
    public struct Mapping: Sendable {
        let from: [UInt8]
        let to: [UInt8]

        /// - Parameter to: empty: the attribute is dropped.
        public init(from: [UInt8], to: [UInt8]) {
            self.from = from
            self.to = to
        }
    }

    let secure: Bool
    let httpOnly: Bool
    let sameSite: SameSite?
    private let exceptions: [[UInt8]]
    private let domains: [Mapping]
    private let paths: [Mapping]

    /// - Parameters:
    ///   - exceptions: cookies, by name, that get neither `HttpOnly` nor `SameSite`.
    ///   - domains: in small letters, without a dot in front.
    public init(
        secure: Bool,
        httpOnly: Bool = false,
        sameSite: SameSite? = nil,
        exceptions: [[UInt8]] = [],
        domains: [Mapping] = [],
        paths: [Mapping] = []
    ) {
        self.secure = secure
        self.httpOnly = httpOnly
        self.sameSite = sameSite
        self.exceptions = exceptions
        self.domains = domains
        self.paths = paths
    }

    func isException(_ name: Span<UInt8>) -> Bool {
        for exception in exceptions where ASCII.equal(exception.span, name) { return true }
        return false
    }

    func domain(_ domain: Span<UInt8>) -> [UInt8]? {
        for mapping in domains where ASCII.equalIgnoringCase(mapping.from.span, domain) { return mapping.to }
        return nil
    }

    func path(_ path: Span<UInt8>) -> [UInt8]? {
        for mapping in paths where ASCII.equal(mapping.from.span, path) { return mapping.to }
        return nil
    }
}

/// Writes one Set-Cookie value, read as browsers read it (RFC 6265 §5.2): a semicolon separates, quoted or not.
struct CookieWriter: ~Escapable {
    private let cookie: Span<UInt8>
    private var isSecure = false
    private var isHTTPOnly = false
    private var hasSameSite = false

    @_lifetime(copy cookie)
    init(_ cookie: Span<UInt8>) { self.cookie = cookie }

    mutating func write(_ rules: SiteRules, answering host: Span<UInt8>, into queue: inout ByteQueue) {
        var end = semicolon(from: 0)
        let pair = cookie.extracting(0..<end)
        queue.append(pair)
        let name = Self.name(pair)
        while end < cookie.count {
            let next = semicolon(from: end + 1)
            attribute(end + 1..<next, ofHost: Self.isOfHost(name), rules, host, into: &queue)
            end = next
        }
        let cookies = rules.cookies
        if cookies.secure, !isSecure { queue.append("; Secure") }
        guard cookies.httpOnly || cookies.sameSite != nil, !cookies.isException(name) else { return }
        if cookies.httpOnly, !isHTTPOnly { queue.append("; HttpOnly") }
        guard !hasSameSite else { return }
        switch cookies.sameSite {
        case .strict: queue.append("; SameSite=Strict")
        case .lax: queue.append("; SameSite=Lax")
        case .none?: queue.append("; SameSite=None")
        case nil: break
        }
    }

    /// One attribute without its semicolon.
    private mutating func attribute(
        _ range: Range<Int>,
        ofHost: Bool,
        _ rules: SiteRules,
        _ host: Span<UInt8>,
        into queue: inout ByteQueue
    ) {
        var equals = range.lowerBound
        while equals < range.upperBound, cookie[equals] != 0x3D { equals += 1 }
        let name = cookie.extracting(ASCII.trimmed(cookie, range.lowerBound..<equals))
        let value = cookie.extracting(ASCII.trimmed(cookie, min(equals + 1, range.upperBound)..<range.upperBound))
        if ASCII.equalIgnoringCase(name, "secure") {
            isSecure = true
        } else if ASCII.equalIgnoringCase(name, "httponly") {
            isHTTPOnly = true
        } else if ASCII.equalIgnoringCase(name, "samesite") {
            hasSameSite = true
        } else if ASCII.equalIgnoringCase(name, "path"), !ofHost {
            if Self.writePath(value, rules, into: &queue) { return }
        } else if ASCII.equalIgnoringCase(name, "domain") {
            if Self.writeDomain(value, rules, host, into: &queue) { return }
        }
        queue.append(";")
        queue.append(cookie.extracting(range))
    }

    /// False when the path stays as it is.
    private static func writePath(_ path: Span<UInt8>, _ rules: SiteRules, into queue: inout ByteQueue) -> Bool {
        if let mapped = rules.cookies.path(path) {
            guard !mapped.isEmpty else { return true }
            queue.append("; Path=")
            queue.append(mapped.span)
            return true
        }
        guard let map = rules.path, !path.isEmpty, path[0] == 0x2F else { return false }
        queue.append("; Path=")
        map.writeCookiePath(path, into: &queue)
        return true
    }

    /// False when the domain stays as it is.
    ///
    /// A name of the application's own that the client has not asked for would
    /// make it refuse the cookie; without a domain the cookie is for the host asked for alone.
    private static func writeDomain(
        _ value: Span<UInt8>,
        _ rules: SiteRules,
        _ host: Span<UInt8>,
        into queue: inout ByteQueue
    ) -> Bool {
        let domain = value.extracting(!value.isEmpty && value[0] == 0x2E ? 1..<value.count : 0..<value.count)
        if let mapped = rules.cookies.domain(domain) {
            guard !mapped.isEmpty else { return true }
            queue.append("; Domain=")
            queue.append(mapped.span)
            return true
        }
        guard let hosts = rules.hosts, hosts.isAlias(domain: domain) else { return false }
        return !OwnHosts.domain(domain, holds: host)
    }

    private func semicolon(from start: Int) -> Int {
        var index = start
        while index < cookie.count, cookie[index] != 0x3B { index += 1 }
        return index
    }

    @_lifetime(copy pair)
    private static func name(_ pair: Span<UInt8>) -> Span<UInt8> {
        var equals = 0
        while equals < pair.count, pair[equals] != 0x3D { equals += 1 }
        return pair.extracting(ASCII.trimmed(pair, 0..<equals))
    }

    /// A cookie `__Host-` is refused by browsers when its path is not `/`.
    private static func isOfHost(_ name: Span<UInt8>) -> Bool {
        name.count >= 7 && ASCII.equalIgnoringCase(name.extracting(0..<7), "__host-")
    }
}
