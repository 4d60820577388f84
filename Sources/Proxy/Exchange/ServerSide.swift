import Bytes
import HTTP
import HTTP2

/// Where an exchange's request goes: a connection, and on HTTP/2 a stream of it.
struct ServerStream: Equatable {
    let connection: Token
    /// 0 on HTTP/1.1, and while the connection is being made.
    var stream: Int32 = 0
}

/// The server's side of an exchange, whatever version it speaks.
enum ServerSide {
    /// The connection is being made.
    case dial(UpstreamDial)
    case http1(UpstreamConnection)
    case http2(HTTP2UpstreamConnection, HTTP2Stream)

    /// Whether more of the request's body is taken now.
    var takesBody: Bool {
        switch self {
        case .dial: false
        case .http1(let connection): connection.transport.outbound.count < Transport.highWater
        case .http2(_, let stream): stream.outboundCount < Transport.highWater
        }
    }

    /// A piece of the request's body, taken from where it waits.
    func sendBody(_ count: Int, from queue: inout ByteQueue, _ worker: Worker) {
        switch self {
        case .dial: queue.consume(count)
        case .http1(let connection): connection.sendBody(count, from: &queue, worker)
        case .http2(let connection, let stream): connection.sendBody(count, from: &queue, on: stream, worker)
        }
    }

    /// The end of the request's body.
    func sendEnd(trailers: borrowing HeaderBlock, _ worker: Worker) {
        switch self {
        case .dial: break
        case .http1(let connection): connection.sendEnd(trailers: trailers, worker)
        case .http2(let connection, let stream): connection.sendEnd(trailers: trailers, on: stream, worker)
        }
    }

    /// The exchange lets go.
    ///
    /// - Parameters:
    ///   - reuse: whether both messages are whole, so that another exchange may follow.
    ///   - owner: the client that the server has authenticated the connection for.
    func exchangeEnded(_ exchange: Token, reuse: Bool, owner: Token? = nil, _ worker: Worker) {
        switch self {
        case .dial(let dial): dial.leave(exchange, worker)
        case .http1(let connection): connection.exchangeEnded(reuse: reuse, owner: owner, worker)
        case .http2(let connection, let stream): connection.exchangeEnded(on: stream, reuse: reuse, worker)
        }
    }
}
