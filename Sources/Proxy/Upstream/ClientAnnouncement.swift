import Bytes
import Config
import Evidence
import HTTP
import Platform
import TLS

/// Whose a connection to a server is: it begins with a PROXY header, and carries nothing of any other client's.
struct ClientAnnouncement {
    /// The client's connection.
    let client: Token
    let header: [UInt8]
}

extension UpstreamPool {
    /// nil where servers are not told whose a connection is.
    func announcement(for exchange: Exchange, _ worker: Worker) -> ClientAnnouncement? {
        guard let version = settings.sendProxy?.version, let place = exchange.client,
            let side = worker.clientSide(place)
        else { return nil }
        let identity = side.identity
        let header = identity.origin.header(side.socketAddress)
        return ClientAnnouncement(
            client: place.connection,
            header: header.bytes(version, tls: identity.facts.map { ProxiedTLS($0) })
        )
    }
}

extension ClientSide {
    /// Where the client's connection ends on this host.
    fileprivate var socketAddress: SocketAddress? {
        switch self {
        case .http1(let connection): Socket.localAddress(connection.transport.descriptor)
        case .http2(let connection, _): Socket.localAddress(connection.transport.descriptor)
        }
    }
}

extension ProxiedTLS {
    /// What version 2 tells of a handshake.
    init(_ facts: TLSFacts) {
        self.init(
            version: facts.version,
            cipher: facts.cipher,
            serverName: facts.serverName,
            alpn: facts.alpn,
            isVerified: facts.clientCertificate != nil
        )
    }
}
