import Bytes
import Config
import Platform
import TLS
import Telemetry

/// A client whose TLS handshake is under way; what it agrees on decides what serves the connection.
///
/// *Ownership:* the worker owns it through its slab; it owns the transport until the session takes it over.
final class ClientHandshake {
    let token: Token
    let identity: ClientIdentity
    private var transport: Transport?
    private var deadline = Deadline()
    private(set) var waitsForTurn = false

    init(token: Token, identity: ClientIdentity, transport: consuming Transport) {
        self.token = token
        self.identity = identity
        self.transport = consume transport
    }

    func start(_ worker: Worker) {
        let limit = worker.snapshot.configuration.server.timeouts.handshake
        worker.arm(token, deadline.set(after: limit, now: worker.now))
        worker.handshakeBegan(self)
    }

    /// Hands the transport over; once.
    func takeTransport() -> Transport? { transport.take() }

    /// A step takes a tenth to half a millisecond.
    func ready(_ worker: Worker) {
        guard !waitsForTurn else { return }
        waitsForTurn = true
        worker.handshakeWaits(token)
    }

    func takeTurn(_ worker: Worker) {
        waitsForTurn = false
        worker.handshakeHadTurn()
        do throws(TLSError) {
            guard try transport?.handshake() == true else {
                transport?.updateInterest(reading: true, poller: worker.poller)
                return
            }
        } catch {
            worker.metrics.add(.handshakeFailures)
            if case .verification(let failure) = error {
                worker.metrics.add(.clientCertificatesRefused)
                let peer = identity.peer.host
                worker.noteRefusal(HopRefusal(hop: .client, name: "", peer: peer, reason: "\(failure)"))
            }
            worker.log.client(identity.peer, "TLS handshake: \(error)")
            close(worker)
            return
        }
        identity.secured(transport?.facts, microseconds: worker.nowMicroseconds - identity.acceptedAt)
        worker.metrics.add(.handshakes)
        if identity.facts?.resumed == true { worker.metrics.add(.handshakesResumed) }
        worker.metrics.record(.handshake, microseconds: identity.handshakeMicroseconds)
        deadline.clear()
        worker.beginSession(after: self)
    }

    func timedOut(_ worker: Worker) {
        guard deadline.expired(now: worker.now) else {
            worker.arm(token, deadline.rest())
            return
        }
        worker.metrics.add(.handshakeFailures)
        worker.log.client(identity.peer, "TLS handshake: not complete in time")
        close(worker)
    }

    func close(_ worker: Worker) {
        guard transport.take() != nil else { return }
        deadline.clear()
        if waitsForTurn {
            waitsForTurn = false
            worker.handshakeHadTurn()
        }
        worker.handshakeEnded()
        worker.drop(token)
    }
}
