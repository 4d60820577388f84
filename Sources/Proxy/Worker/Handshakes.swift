import Bytes
import Telemetry

/// The TLS handshakes with clients that a worker has under way, the oldest first.
struct Handshakes {
    /// The most at once; beyond it the one that has waited longest for its client is dropped.
    let limit: Int
    private var order = TokenQueue()
    private(set) var active = 0
    /// Those that have something to be done by this worker.
    private(set) var waiting = 0

    init(limit: Int) { self.limit = limit }

    /// While so many wait for this worker, no more clients are accepted: what waits in the kernel costs nothing, and what
    /// has begun gets its turn in time.
    var mostWaiting: Int { limit / 4 }

    mutating func began(_ token: Token) {
        active += 1
        order.append(token)
    }

    mutating func ended() { active -= 1 }

    mutating func waits() { waiting += 1 }

    mutating func hasTurn() { waiting -= 1 }

    /// The oldest token; it stays.
    var oldest: Token? { order.first }

    /// Takes out the oldest token.
    mutating func takeOldest() -> Token? { order.next() }

    /// Puts one back as the youngest.
    mutating func putBack(_ token: Token) { order.append(token) }
}

/// How handshakes are kept from costing those who have had theirs.
extension Worker {
    func handshakeBegan(_ handshake: ClientHandshake) {
        handshakes.began(handshake.token)
        metrics.add(.handshakesActive)
        forgetDone()
        if handshakes.active > handshakes.limit { dropSlowest() }
    }

    func handshakeEnded() {
        handshakes.ended()
        metrics.add(.handshakesActive, -1)
    }

    /// A handshake has something to be done when its turn comes.
    func handshakeWaits(_ token: Token) {
        waitForTurn(token)
        handshakes.waits()
        guard gate.handshakeWaits(handshakes.waiting, most: handshakes.mostWaiting) else { return }
        metrics.add(.acceptPauses)
        pauseListeners()
    }

    /// It was that handshake's turn, or it ended before.
    func handshakeHadTurn() {
        handshakes.hasTurn()
        guard gate.handshakeHadTurn(handshakes.waiting, most: handshakes.mostWaiting) else { return }
        if !isDraining { try? watchListeners() }
    }

    /// Keeps the order short: most handshakes end in about the order they began.
    private func forgetDone() {
        while let token = handshakes.oldest {
            if case .handshake = handlers[token] { return }
            _ = handshakes.takeOldest()
        }
    }

    /// Drops the handshake that has waited longest for its client: an honest one takes a round trip or two, and whoever
    /// opens connections only to hold them has the oldest.
    private func dropSlowest() {
        for _ in 0..<handshakes.limit {
            guard let token = handshakes.takeOldest() else { return }
            guard case .handshake(let handshake) = handlers[token] else { continue }
            guard handshake.waitsForTurn else {
                metrics.add(.handshakesDropped)
                log.client(handshake.identity.peer, "TLS handshake: dropped, too many are under way")
                handshake.close(self)
                return
            }
            handshakes.putBack(token)
        }
    }
}
