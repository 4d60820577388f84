import Bytes

/// Why a server's answer is not understood; the client sees 502.
public enum ResponseError: Error, Equatable, Sendable {
    /// Not `HTTP/1.x SP status SP reason`.
    case malformedStatusLine
    /// A line feed without a carriage return, or a field line that breaks RFC 9112 §5.
    case malformedField
    /// The head is longer than the configuration allows.
    case headTooLong
    /// Content-Length that is not one number.
    case invalidContentLength
    /// Both Content-Length and Transfer-Encoding.
    case lengthAndEncoding
    /// A transfer coding other than a single `chunked`.
    case unsupportedEncoding
    /// More interim responses than one request can have use for.
    case tooManyInterim

    /// What the log says.
    public var reason: StaticString {
        switch self {
        case .malformedStatusLine: "a malformed status line"
        case .malformedField: "a malformed field line"
        case .headTooLong: "the head is too long"
        case .invalidContentLength: "an invalid or repeated Content-Length"
        case .lengthAndEncoding: "both Content-Length and Transfer-Encoding"
        case .unsupportedEncoding: "an unsupported transfer coding"
        case .tooManyInterim: "too many interim responses"
        }
    }
}

/// A response's head, valid by RFC 9112.
public struct ResponseHead: ~Copyable, Sendable {
    /// The fields, and the arena that every range here points into.
    public internal(set) var fields = HeaderBlock()
    /// 100 to 599.
    public internal(set) var status = 0
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    public internal(set) var minorVersion = 1
    /// How the body is framed.
    public internal(set) var framing = BodyFraming.none
    /// Whether the server keeps the connection.
    public internal(set) var keepAlive = true
    /// Whether it is an answer of our own, which no server stands behind.
    public var isOwn = false
    var reasonRange = 0..<0
    /// Where the status line lies in the arena as we would write it; empty when it does not.
    var statusLine = 0..<0

    /// Makes an empty head, to be filled by a parser.
    public init() {}

    /// Whether another head follows (RFC 9110 §15.2).
    public var isInformational: Bool { status < 200 }

    /// The reason phrase as it was sent.
    public var reason: Span<UInt8> {
        @_lifetime(borrow self)
        get { fields.arena.bytes.extracting(reasonRange) }
    }

    /// The protocol that the server changes to with 101 (RFC 9110 §7.8); empty without one.
    public var upgradeName: Span<UInt8> {
        @_lifetime(borrow self)
        get {
            guard let index = fields.first(.upgrade) else { return fields.arena.bytes.extracting(0..<0) }
            return fields.value(index)
        }
    }

    /// From here on the connection carries the other protocol, until it ends.
    public mutating func becomeTunnel() { framing = .untilClose }

    mutating func removeAll() {
        fields.removeAll()
        status = 0
        minorVersion = 1
        framing = .none
        keepAlive = true
        isOwn = false
        reasonRange = 0..<0
        statusLine = 0..<0
    }
}
