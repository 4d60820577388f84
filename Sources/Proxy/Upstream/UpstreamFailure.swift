import HTTP
import HTTP2
import Platform
import TLS

/// Why a server could not answer; the log says it in full, the client sees only the status.
enum UpstreamFailure: Error, CustomStringConvertible {
    /// The system refused or broke the connection.
    case connect(Errno)
    /// Neither connected nor verified in time.
    case connectTimeout
    /// TLS failed: the server is not what the configuration trusts, or it speaks no TLS.
    case handshake(TLSError)
    /// The connection broke while it carried an exchange.
    case broken(TransportError)
    /// The server ended the connection before the response was whole.
    case closedEarly
    /// The server does not speak HTTP/2, which the configuration asks for.
    case noHTTP2
    /// The exchange needs HTTP/1.1, and the configuration allows HTTP/2 only.
    case needsHTTP1
    /// HTTP/2 with the server failed.
    case http2(HTTP2Error)
    /// The server broke the stream off; RFC 9113 §7 code.
    case streamReset(UInt32)
    /// No answer in time.
    case responseTimeout
    /// Nothing went over an upgraded connection for too long.
    case tunnelTimeout
    /// The answer is not HTTP/1.1 as RFC 9112 has it.
    case badResponse(ResponseError)
    /// The body of the answer breaks its framing.
    case badBody(ChunkError)
    /// The server changed protocols without being asked to.
    case unexpectedUpgrade
    /// No server has an address, or every one has failed a moment ago.
    case noServer
    /// Every connection that the configuration allows was busy for too long.
    case busy
    /// As many requests wait as the configuration allows.
    case queueFull
    /// The configuration says that the upstream does not serve.
    case maintenance
    /// This host has no descriptor or memory left for a connection.
    case exhausted(Errno)

    /// RFC 9110 §15.6: what the client is told.
    var status: Int {
        switch self {
        case .connectTimeout, .responseTimeout, .tunnelTimeout: 504
        case .noServer, .busy, .queueFull, .maintenance, .exhausted: 503
        case .connect, .handshake, .broken, .closedEarly, .badResponse, .badBody, .unexpectedUpgrade, .noHTTP2,
            .needsHTTP1, .http2,
            .streamReset:
            502
        }
    }

    var description: String {
        switch self {
        case .connect(let error): error.description
        case .connectTimeout: "connect: not connected and verified in time"
        case .handshake(let error): "TLS: \(error)"
        case .broken(let error): "connection broke: \(error)"
        case .closedEarly: "the server closed before its response was whole"
        case .responseTimeout: "no response in time"
        case .tunnelTimeout: "nothing went over the upgraded connection for too long"
        case .noHTTP2: "the server does not speak HTTP/2 (ALPN), which the upstream's protocol asks for"
        case .needsHTTP1:
            "WebSocket, NTLM and Negotiate need HTTP/1.1 to the server: set the upstream's protocol to \"auto\""
        case .http2(let error): error.description
        case .streamReset(let code): "the server reset the stream (code \(code))"
        case .badResponse(let error): "invalid response: \(error.reason)"
        case .badBody(let error): "invalid response body: \(error)"
        case .unexpectedUpgrade: "the server switched protocols without being asked to"
        case .noServer: "no server available"
        case .busy: "no connection free in time"
        case .queueFull: "too many requests wait for a connection"
        case .maintenance: "the upstream is in maintenance"
        case .exhausted(let error): "no connection to a server can be made on this host: \(error)"
        }
    }

    /// Whether it tells more than what an earlier attempt failed for.
    var explainsMore: Bool {
        switch self {
        case .needsHTTP1, .exhausted: true
        default: false
        }
    }

    /// Whether the connection went away.
    var isLoss: Bool {
        switch self {
        case .broken, .closedEarly: true
        case .connect, .connectTimeout, .handshake, .responseTimeout, .tunnelTimeout, .badResponse, .badBody,
            .unexpectedUpgrade, .noHTTP2, .needsHTTP1, .http2, .streamReset, .noServer, .busy, .queueFull, .maintenance,
            .exhausted:
            false
        }
    }

    /// Whether it speaks against the server.
    ///
    /// - Parameter stale: whether a connection that had rested in the pool broke before it brought anything: a server
    ///   may close such a one at any time (RFC 9112 §9.5).
    func isServerFault(stale: Bool) -> Bool {
        switch self {
        case .connect, .connectTimeout, .handshake, .responseTimeout, .badResponse, .badBody, .unexpectedUpgrade,
            .noHTTP2, .http2,
            .streamReset:
            true
        case .broken, .closedEarly: !stale
        case .tunnelTimeout, .needsHTTP1, .noServer, .busy, .queueFull, .maintenance, .exhausted: false
        }
    }
}
