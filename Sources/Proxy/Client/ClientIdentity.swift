import HTTP
import Platform
import TLS

/// Who a client is and how it is connected: the same for every exchange on its connection.
final class ClientIdentity {
    let entry: ListenEntry
    let origin: ClientOrigin
    /// The peer's address without a port, as logs and forwarded fields have it.
    let host: [UInt8]
    /// The bindings of the address that it came to, the closest first.
    let bindings: [Int]
    /// Whether what it says about earlier hops is believed.
    let isTrusted: Bool
    /// How often certificates and trust had been replaced when it came.
    let replacements: Int
    /// Monotonic microseconds.
    let acceptedAt: UInt64
    /// What the handshake agreed on, and the binding it chose; nil in plain.
    private(set) var facts: TLSFacts?
    /// What servers are told of the client's certificate; empty without one.
    private(set) var certificateFields: [UInt8] = []
    private(set) var handshakeMicroseconds: UInt64 = 0

    init(entry: ListenEntry, origin: ClientOrigin, acceptedAt: UInt64, _ snapshot: Snapshot) {
        self.entry = entry
        self.origin = origin
        let peer = origin.peer
        host = Array(peer.host.utf8)
        bindings = snapshot.bindings(at: entry)
        replacements = snapshot.replacements
        isTrusted = snapshot.trusts(peer)
        self.acceptedAt = acceptedAt
    }

    /// The client's address and port.
    var peer: SocketAddress { origin.peer }

    /// The handshake is complete.
    func secured(_ facts: TLSFacts?, microseconds: UInt64) {
        self.facts = facts
        if let certificate = facts?.clientCertificate {
            certificateFields = ClientCertificateFields.make(
                subject: certificate.subject,
                issuer: certificate.issuer,
                serial: certificate.serial,
                fingerprint: certificate.fingerprint,
                pin: certificate.pin.description
            )
        }
        handshakeMicroseconds = microseconds
    }
}
