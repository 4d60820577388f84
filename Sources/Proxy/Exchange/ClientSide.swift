import Bytes
import HTTP
import HTTP2
import Platform

/// Where an exchange's request came from: a connection, and on HTTP/2 a stream of it.
struct ClientPlace: Equatable {
    let connection: Token
    /// 0 on HTTP/1.1, whose connection carries one exchange at a time.
    var stream: Int32 = 0
}

/// The client's side of an exchange, whatever version it speaks.
enum ClientSide {
    case http1(ClientConnection)
    case http2(HTTP2ClientConnection, HTTP2Stream)

    var identity: ClientIdentity {
        switch self {
        case .http1(let connection): connection.identity
        case .http2(let connection, _): connection.identity
        }
    }

    /// Whether the connection may serve another exchange after this one.
    var staysOpen: Bool {
        switch self {
        case .http1(let connection): connection.staysOpen
        case .http2: true
        }
    }

    /// Whether more of the response's body is taken now.
    var takesResponse: Bool {
        switch self {
        case .http1(let connection): connection.transport.outbound.count < Transport.highWater
        case .http2(_, let stream): stream.outboundCount < Transport.highWater
        }
    }

    /// RFC 9110 §15.2: an interim response.
    func sendInterim(_ head: borrowing ResponseHead, _ exchange: Exchange, _ worker: Worker) {
        switch self {
        case .http1(let connection): connection.sendInterim(head, exchange, worker)
        case .http2(let connection, let stream): connection.sendInterim(head, exchange, on: stream, worker)
        }
    }

    /// The final head.
    func sendHead(_ head: borrowing ResponseHead, _ exchange: Exchange, _ worker: Worker) {
        switch self {
        case .http1(let connection): connection.sendHead(head, exchange, worker)
        case .http2(let connection, let stream): connection.sendHead(head, exchange, on: stream, worker)
        }
    }

    /// The server has agreed to another protocol.
    func beginTunnel(_ head: borrowing ResponseHead, _ exchange: Exchange, _ worker: Worker) {
        switch self {
        case .http1(let connection): connection.beginTunnel(head, exchange, worker)
        case .http2(let connection, let stream): connection.beginTunnel(head, exchange, on: stream, worker)
        }
    }

    /// A piece of the body.
    func sendBody(_ bytes: Span<UInt8>, _ exchange: Exchange, _ worker: Worker) {
        guard !bytes.isEmpty else { return }
        exchange.bytesToClient &+= UInt64(bytes.count)
        switch self {
        case .http1(let connection): connection.sendBody(bytes, worker)
        case .http2(let connection, let stream): connection.sendBody(bytes, on: stream, worker)
        }
    }

    /// A piece of the body, taken from where it waits.
    func sendBody(_ count: Int, from queue: inout ByteQueue, _ exchange: Exchange, _ worker: Worker) {
        guard count > 0 else { return }
        exchange.bytesToClient &+= UInt64(count)
        switch self {
        case .http1(let connection): connection.sendBody(count, from: &queue, worker)
        case .http2(let connection, let stream): connection.sendBody(count, from: &queue, on: stream, worker)
        }
    }

    /// The end of the body.
    func sendEnd(trailers: borrowing HeaderBlock, _ worker: Worker) {
        switch self {
        case .http1(let connection): connection.sendEnd(trailers: trailers, worker)
        case .http2(let connection, let stream): connection.sendEnd(trailers: trailers, on: stream, worker)
        }
    }

    /// An answer of our own.
    ///
    /// - Returns: whether another request may follow on the connection.
    func sendLocal(_ status: Int, _ exchange: Exchange, mayStayOpen: Bool, _ worker: Worker) -> Bool {
        switch self {
        case .http1(let connection):
            return connection.sendLocal(status, exchange, mayStayOpen: mayStayOpen, worker)
        case .http2(let connection, let stream):
            connection.sendLocal(status, exchange, on: stream, worker)
            return true
        }
    }

    /// The exchange is over; `reuse` says whether another request may follow on the connection.
    func exchangeEnded(reuse: Bool, _ worker: Worker) {
        switch self {
        case .http1(let connection): connection.exchangeEnded(reuse: reuse, worker)
        case .http2(let connection, let stream): connection.exchangeEnded(on: stream, worker)
        }
    }

    /// The request cannot be served in HTTP/2.
    func demandHTTP1(_ worker: Worker) {
        switch self {
        // Never asked of a client that speaks it.
        case .http1(let connection): connection.cutOff(worker)
        case .http2(let connection, let stream): connection.demandHTTP1(stream, worker)
        }
    }

    /// The response cannot be completed: the client must not take what it has for the whole.
    func cutOff(_ worker: Worker) {
        switch self {
        case .http1(let connection): connection.cutOff(worker)
        case .http2(let connection, let stream): connection.cutOff(stream, worker)
        }
    }
}

extension ClientIdentity {
    /// What the forwarded request says about this client (RFC 7239).
    func forwardingContext(_ requestID: RequestID, _ rules: SiteRules) -> ForwardingContext {
        ForwardingContext(
            clientAddress: host,
            isIPv6: peer.family == .v6,
            scheme: facts == nil ? .http : .https,
            localPort: entry.address.port,
            trusted: isTrusted,
            requestID: requestID,
            rules: rules,
            certificateFields: certificateFields
        )
    }
}
