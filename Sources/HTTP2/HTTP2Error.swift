/// Why an HTTP/2 connection cannot go on.
public enum HTTP2Error: Error, Equatable, Sendable, CustomStringConvertible {
    /// The peer costs more than it is entitled to.
    case abuse(HTTP2Abuse)
    /// The peer breaks a rule that nghttp2 does not watch.
    case fault(HTTP2Fault)
    /// The bytes are not HTTP/2: no connection preface (RFC 9113 §3.4).
    case notHTTP2
    /// The session layer gave up; its own error number.
    case session(Int)

    /// What the log says.
    public var description: String {
        switch self {
        case .abuse(let kind): "HTTP/2 abuse: \(kind.description)"
        case .fault(let fault): "the client broke HTTP/2: \(fault.description)"
        case .notHTTP2: "not HTTP/2: no connection preface"
        case .session(let code): "the HTTP/2 session failed (\(code))"
        }
    }
}

/// What a peer may not do; the raw values are RFC 9113 §7 codes.
public enum HTTP2Fault: UInt32, Sendable {
    /// PROTOCOL_ERROR: streams out of order, or a priority that depends on itself.
    case protocolError = 1
    /// STREAM_CLOSED: more on a stream that the peer had ended.
    case streamClosed = 5

    /// What the log says.
    public var description: String {
        switch self {
        case .protocolError: "PROTOCOL_ERROR"
        case .streamClosed: "STREAM_CLOSED"
        }
    }
}
