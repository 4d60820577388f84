import Bytes
import Config
import Platform
import TLS
import Telemetry

/// A connection to a server that is being made: TCP, then TLS.
///
/// What it agrees on decides what carries exchanges.
///
/// *Ownership:* the worker owns it through its slab; exchanges and the pool know it by token.
final class UpstreamDial {
    enum Phase: Equatable {
        /// It has not had its turn. Next: connecting.
        case waiting
        /// TCP is connecting. Next: handshaking, or done in plain.
        case connecting
        /// TLS is shaking hands; no byte of a request is sent before it has verified the server. Next: done.
        case handshaking
        /// Handed over, failed, or given up.
        case done
    }

    let token: Token
    let place: ServerPlace
    /// Only HTTP/1.1 is offered.
    let needsHTTP1: Bool
    /// Whose the connection is, where the server is to know.
    let announcement: ClientAnnouncement?
    /// On whose behalf, in the order they came; all of them get the connection if it can be shared.
    private(set) var exchanges: [Token]
    private(set) var phase = Phase.waiting
    private var transport: Transport?
    private var deadline = Deadline()
    private var waitsForTurn = false

    init(
        token: Token,
        place: ServerPlace,
        needsHTTP1: Bool,
        announcing announcement: ClientAnnouncement?,
        for exchange: Token
    ) {
        self.token = token
        self.place = place
        self.needsHTTP1 = needsHTTP1
        self.announcement = announcement
        exchanges = [exchange]
    }

    /// Its turn comes: nothing here calls back.
    func start(_ worker: Worker) {
        setDeadline(worker)
        let isEncrypted = worker.pools[place.pool].context(of: place.endpoint, needsHTTP1: needsHTTP1) != nil
        waitsForTurn = true
        worker.dialTurns.append(token, begins: isEncrypted)
    }

    private func setDeadline(_ worker: Worker) {
        let limit = worker.pools[place.pool].settings.timeouts.connect
        worker.arm(token, deadline.set(after: limit, now: worker.now))
    }

    /// Another exchange waits for the same connection.
    func join(_ exchange: Token) { exchanges.append(exchange) }

    /// An exchange does not need the connection any more; without any, it is not made.
    func leave(_ exchange: Token, _ worker: Worker) {
        guard phase != .done else { return }
        exchanges.removeAll { $0 == exchange }
        worker.pools[place.pool].exchangeEnded(at: place.endpoint, worker)
        if exchanges.isEmpty { end(worker) }
    }

    /// Lets its only exchange go on by another connection, which was free sooner; what has begun is brought to its end,
    /// and what has not is not needed.
    ///
    /// - Returns: nil when it has to wait for this very connection.
    func giveUp(_ worker: Worker) -> Token? {
        guard phase != .done, exchanges.count == 1, let exchange = exchanges.first,
            worker.exchange(exchange)?.wantsFreshConnection == false
        else { return nil }
        exchanges = []
        if phase == .waiting { end(worker) }
        return exchange
    }

    /// Hands the transport over; once.
    func takeTransport() -> Transport? { transport.take() }

    /// A step of a handshake takes long.
    func ready(_ worker: Worker) {
        guard !waitsForTurn else {
            // epoll would tell of it again and again.
            transport?.updateInterest(reading: false, poller: worker.poller)
            return
        }
        waitsForTurn = true
        worker.dialTurns.append(token, begins: false)
    }

    func takeTurn(_ worker: Worker) {
        waitsForTurn = false
        switch phase {
        case .waiting: connect(worker)
        case .connecting: finishConnecting(worker)
        case .handshaking: shakeHands(worker)
        case .done: break
        }
    }

    func timedOut(_ worker: Worker) {
        guard deadline.expired(now: worker.now) else {
            worker.arm(token, deadline.rest())
            return
        }
        // The server has answered, and it is this worker that had no time to look.
        if waitsForTurn && phase != .waiting { return setDeadline(worker) }
        fail(.connectTimeout, worker)
    }

    private func connect(_ worker: Worker) {
        do throws(Errno) {
            transport = try worker.connect(self)
        } catch {
            worker.dialTurns.wasRefused()
            fail(error.isOutOfDescriptors ? .exhausted(error) : .connect(error), worker)
            return
        }
        phase = .connecting
        setDeadline(worker)
    }

    private func finishConnecting(_ worker: Worker) {
        do throws(Errno) {
            try checkConnected()
        } catch {
            worker.dialTurns.wasRefused()
            fail(.connect(error), worker)
            return
        }
        do throws(TransportError) {
            if let announcement { try transport?.announce(announcement.header) }
        } catch {
            fail(.broken(error), worker)
            return
        }
        guard let context = worker.pools[place.pool].context(of: place.endpoint, needsHTTP1: needsHTTP1) else {
            stand(worker)
            return
        }
        do throws(TLSError) {
            try startTLS(context)
        } catch {
            fail(.handshake(error), worker)
            return
        }
        phase = .handshaking
        shakeHands(worker)
    }

    private func checkConnected() throws(Errno) {
        if transport != nil { try transport?.checkConnected() }
    }

    private func startTLS(_ context: ClientContext) throws(TLSError) {
        try transport?.start(connecting: context, endpoint: place.endpoint)
    }

    private func shakeHands(_ worker: Worker) {
        do throws(TLSError) {
            guard try transport?.handshake() == true else {
                transport?.updateInterest(reading: true, poller: worker.poller)
                return
            }
        } catch {
            fail(.handshake(error), worker)
            return
        }
        worker.metrics.add(.upstreamHandshakes)
        if transport?.facts?.resumed == true { worker.metrics.add(.upstreamResumed) }
        if worker.pools[place.pool].settings.version == .http2, transport?.facts?.alpn != "h2" {
            fail(.noHTTP2, worker)
            return
        }
        stand(worker)
    }

    private func stand(_ worker: Worker) {
        guard worker.pools[place.pool].isCurrent(place) else {
            startOver(worker)
            return
        }
        phase = .done
        deadline.clear()
        worker.pools[place.pool].stands(self)
        if transport?.facts?.alpn == "h2" {
            worker.beginHTTP2(after: self)
        } else {
            worker.beginHTTP1(after: self)
        }
    }

    /// The trust was replaced meanwhile: whoever waits looks for a connection again.
    private func startOver(_ worker: Worker) {
        let waiting = exchanges
        exchanges = []
        for _ in waiting { worker.pools[place.pool].exchangeEnded(at: place.endpoint, worker) }
        end(worker)
        for token in waiting { worker.exchange(token)?.seekOther(place.endpoint, worker) }
    }

    func fail(_ reason: UpstreamFailure, _ worker: Worker) {
        guard phase != .done else { return }
        let waiting = exchanges
        let facts = ServerFacts(endpoint: place.endpoint, address: place.address, tls: transport?.facts, reused: false)
        exchanges = []
        let pool = worker.pools[place.pool]
        // What this host lacks, or had no time for, is no server's fault, and no other server would do.
        var isOurs = phase == .waiting
        if case .connect = reason { isOurs = false }
        if !isOurs { pool.failed(place, reason, untouched: true, isFault: true, worker) }
        transport?.abort()
        for _ in waiting { pool.exchangeEnded(at: place.endpoint, worker) }
        end(worker)
        for token in waiting {
            guard let exchange = worker.exchange(token) else { continue }
            exchange.note(facts)
            exchange.serverFailed(reason, repeatable: !isOurs, worker)
        }
    }

    private func end(_ worker: Worker) {
        if phase == .waiting { worker.dialTurns.forget(token) }
        if transport != nil { worker.metrics.add(.upstreamConnectionsActive, -1) }
        phase = .done
        deadline.clear()
        transport = nil
        worker.pools[place.pool].dialEnded(self, worker)
        worker.remove(token)
    }
}
