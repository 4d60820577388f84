import Evidence
import HTTP
import Platform

/// Whose a connection is: of who dialled, or of the client that a load balancer names.
struct ClientOrigin {
    /// The client.
    let peer: SocketAddress
    /// Where it dialled; nil when only the socket knows.
    private(set) var local: SocketAddress?
    /// Who passes the connection on; nil when the client dialled itself.
    private(set) var balancer: SocketAddress?

    /// A connection that nobody passes on.
    init(peer: SocketAddress) { self.peer = peer }

    /// What a PROXY header says; where that names nobody, the connection is the balancer's own.
    init(_ header: ProxyHeader, from balancer: SocketAddress) {
        guard case .client(let source, let destination) = header,
            let client = SocketAddress(addressBytes: source.address, port: source.port)
        else {
            peer = balancer
            return
        }
        peer = client
        local = SocketAddress(addressBytes: destination.address, port: destination.port)
        self.balancer = balancer
    }

    /// What a server is told with PROXY.
    ///
    /// - Parameter socket: where the client's connection ends, when no header has said so.
    func header(_ socket: SocketAddress?) -> ProxyHeader {
        guard let source = ProxiedEnd(peer), let destination = (local ?? socket).flatMap({ ProxiedEnd($0) }) else {
            return .own
        }
        return .client(source: source, destination: destination)
    }
}
