import HTTP
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

    /// RFC 9110 §15.6: what the client is told.
    var status: Int {
        switch self {
        case .connectTimeout, .responseTimeout, .tunnelTimeout: 504
        case .noServer, .busy, .queueFull, .maintenance: 503
        case .connect, .handshake, .broken, .closedEarly, .badResponse, .badBody, .unexpectedUpgrade: 502
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
        case .badResponse(let error): "invalid response: \(error.reason)"
        case .badBody(let error): "invalid response body: \(error)"
        case .unexpectedUpgrade: "the server switched protocols without being asked to"
        case .noServer: "no server available"
        case .busy: "no connection free in time"
        case .queueFull: "too many requests wait for a connection"
        case .maintenance: "the upstream is in maintenance"
        }
    }

    /// Whether it speaks against the server.
    ///
    /// - Parameter stale: whether a connection that had rested in the pool broke before it brought anything: a server
    ///   may close such a one at any time (RFC 9112 §9.5).
    func isServerFault(stale: Bool) -> Bool {
        switch self {
        case .connect, .connectTimeout, .handshake, .responseTimeout, .badResponse, .badBody, .unexpectedUpgrade: true
        case .broken, .closedEarly: !stale
        case .tunnelTimeout, .noServer, .busy, .queueFull, .maintenance: false
        }
    }
}
