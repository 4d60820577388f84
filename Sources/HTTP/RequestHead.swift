import Bytes

/// A request's head, valid by RFC 9112 and free of what two readers could take in two ways.
///
/// Used again for later requests: `RequestParser` overwrites it and its memory stays.
public struct RequestHead: ~Copyable, Sendable {
    /// The fields, and the arena that every range here points into.
    public internal(set) var fields = HeaderBlock()
    /// The method, as far as the proxy treats it apart.
    public internal(set) var method = Method.get
    /// 1 for HTTP/1.1, 0 for HTTP/1.0; 1 for HTTP/2, which can do all that HTTP/1.1 can.
    public internal(set) var minorVersion = 1
    /// 2 for HTTP/2, otherwise 1.
    public internal(set) var majorVersion = 1
    /// The protocol that the client wants to go on with (RFC 9110 §7.8, RFC 8441); see `upgradeName`.
    public internal(set) var upgrade: Upgrade?
    /// Whether the client takes trailers (RFC 9110 §6.5.1).
    public internal(set) var acceptsTrailers = false
    /// How the body is framed.
    public internal(set) var framing = BodyFraming.none
    /// Whether the client wants the connection to stay (RFC 9112 §9.3).
    public internal(set) var keepAlive = true
    /// Whether the client waits for 100 (Continue) before it sends the body.
    public internal(set) var expectsContinue = false
    var upgradeRange = 0..<0
    var methodRange = 0..<0
    var targetRange = 0..<0
    var authorityRange = 0..<0
    /// Set by an absolute target with an empty path, which is sent on as `/` (RFC 9112 §3.2.2).
    var pathIsEmpty = false

    /// Makes an empty head, to be filled by a parser.
    public init() {}

    /// The method as it was sent.
    public var methodBytes: Span<UInt8> {
        @_lifetime(borrow self)
        get { fields.arena.bytes.extracting(methodRange) }
    }

    /// Path and query, or `*`; empty for an absolute target without a path.
    public var target: Span<UInt8> {
        @_lifetime(borrow self)
        get { fields.arena.bytes.extracting(targetRange) }
    }

    /// Host and, where it was given, port; empty when an HTTP/1.0 client named none.
    public var authority: Span<UInt8> {
        @_lifetime(borrow self)
        get { fields.arena.bytes.extracting(authorityRange) }
    }

    /// The host alone, without port and without the brackets' port suffix.
    public var hostName: Span<UInt8> {
        @_lifetime(borrow self)
        get { fields.arena.bytes.extracting(HostSyntax.name(fields.arena.bytes, authorityRange)) }
    }

    /// The protocol's name as the client wrote it; empty without one.
    public var upgradeName: Span<UInt8> {
        @_lifetime(borrow self)
        get { fields.arena.bytes.extracting(upgradeRange) }
    }

    /// Makes it a request like any other: what it wants to change to is not allowed here (RFC 9110 §7.8).
    public mutating func ignoreUpgrade() {
        upgrade = nil
        upgradeRange = 0..<0
    }

    /// The path without the query.
    public var path: Span<UInt8> {
        @_lifetime(borrow self)
        get {
            let bytes = fields.arena.bytes
            var end = targetRange.lowerBound
            while end < targetRange.upperBound, bytes[end] != 0x3F { end += 1 }
            return bytes.extracting(targetRange.lowerBound..<end)
        }
    }

    /// Whether an error page should be JSON: it is asked for, and HTML is not.
    public var prefersJSON: Bool {
        var json = false
        var html = false
        fields.forEachToken(.accept) { token in
            var end = 0
            while end < token.count, token[end] != 0x3B, token[end] != 0x20 { end += 1 }
            let type = token.extracting(0..<end)
            if ASCII.equalIgnoringCase(type, "application/json") { json = true }
            if ASCII.equalIgnoringCase(type, "text/html") { html = true }
        }
        return json && !html
    }

    /// Forgets the request, keeping the memory.
    public mutating func removeAll() {
        fields.removeAll()
        method = .get
        minorVersion = 1
        majorVersion = 1
        upgrade = nil
        upgradeRange = 0..<0
        acceptsTrailers = false
        framing = .none
        keepAlive = true
        expectsContinue = false
        methodRange = 0..<0
        targetRange = 0..<0
        authorityRange = 0..<0
        pathIsEmpty = false
    }
}

/// Protocols that a connection can be changed to.
public enum Upgrade: Equatable, Sendable {
    /// RFC 6455, over HTTP/1.1 or as a stream of HTTP/2 (RFC 8441).
    case webSocket
    /// Any other, over HTTP/1.1 only; h2c is never one of them.
    case other
}
