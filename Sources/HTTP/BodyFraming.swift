/// How long a message's body is, and how that is told (RFC 9112 §6.3).
public enum BodyFraming: Equatable, Sendable {
    /// There is no body.
    case none
    /// Content-Length, in bytes.
    case length(UInt64)
    /// Transfer-Encoding: chunked.
    case chunked
    /// A response that ends with its connection.
    case untilClose
}

/// The methods that the proxy knows apart (RFC 9110 §9.3); others are passed on by name.
public enum Method: UInt8, Sendable {
    /// GET
    case get
    /// HEAD: its response has no body.
    case head
    /// POST
    case post
    /// PUT
    case put
    /// DELETE
    case delete
    /// OPTIONS
    case options
    /// TRACE
    case trace
    /// PATCH
    case patch
    /// CONNECT: refused, since it would make a tunnel.
    case connect
    /// Any other token.
    case other

    /// Whether a request may be repeated without doing more than once (RFC 9110 §9.2.2).
    public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .patch, .connect, .other: false
        }
    }
}
