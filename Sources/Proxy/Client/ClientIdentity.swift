import Platform
import TLS

/// Who a client is and how it is connected: the same for every exchange on its connection.
final class ClientIdentity {
    let entry: ListenEntry
    let peer: SocketAddress
    /// The peer's address without a port, as logs and forwarded fields have it.
    let host: [UInt8]
    /// Monotonic microseconds.
    let acceptedAt: UInt64
    /// What the handshake agreed on, and the binding it chose; nil in plain.
    private(set) var facts: TLSFacts?
    private(set) var handshakeMicroseconds: UInt64 = 0

    init(entry: ListenEntry, peer: SocketAddress, acceptedAt: UInt64) {
        self.entry = entry
        self.peer = peer
        host = Array(peer.host.utf8)
        self.acceptedAt = acceptedAt
    }

    /// The handshake is complete.
    func secured(_ facts: TLSFacts?, microseconds: UInt64) {
        self.facts = facts
        handshakeMicroseconds = microseconds
    }
}
