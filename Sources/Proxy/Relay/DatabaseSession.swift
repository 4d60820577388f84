import Bytes
import Config
import Database
import Platform
import TLS
import Telemetry

/// One application's session with a database: negotiates on both sides, then relays bytes.
///
/// *Ownership:* the worker owns it through its slab, under two tokens, one for each side's socket.
final class DatabaseSession {
    enum Phase: Equatable {
        /// The negotiation says what is next. Next: any other.
        case negotiating
        /// TCP towards the server. Next: negotiating.
        case connecting
        /// TLS with one side. Next: negotiating.
        case securing(Side)
        /// Bytes flow both ways. Next: closed.
        case relaying
        /// The last words to the client. Next: lingering, closed.
        case refusing
        /// Our stream is ended; what the client still sends is dropped.
        case lingering
        case closed
    }

    /// One side's socket.
    final class End {
        let token: Token
        var transport: Transport
        /// Whether our stream to it has ended.
        var isFinished = false

        init(token: Token, transport: consuming Transport) {
            self.token = token
            self.transport = transport
        }
    }

    /// How long a client may take to hear why it is refused, in milliseconds.
    static let farewellTime: UInt64 = 3000
    /// How long one direction goes on without a byte when the other has ended, in milliseconds.
    static let halfClosedTime: UInt64 = 60_000

    let target: DatabaseTarget
    let door: DatabaseTarget.Door
    let origin: ClientOrigin
    let client: End
    var server: End?
    var negotiation: Negotiation
    var phase = Phase.negotiating
    /// Whom the negotiation wants to hear.
    var wants = (client: true, server: false)
    /// Who was heard last: while both are waited for, it is the other one's turn.
    private var lastHeard = Side.client
    /// TLS may come first: the first byte is looked at before it is read.
    var peeks: Bool
    /// The first byte that was seen, and left for TLS.
    var firstByte: UInt8?
    var addressesTried = 0
    var isTouched = false
    private var deadline = Deadline()
    private var gaveUp = false

    let acceptedAt: UInt64
    /// Microseconds at which the server was dialled, at which it was verified, and at which the login was decided.
    var times = (dialled: UInt64(0), verified: UInt64(0), established: UInt64(0))
    /// What each handshake agreed on, kept for the log.
    var clientFacts: TLSFacts?
    var serverFacts: TLSFacts?
    var serverAddress: SocketAddress?
    var bytes = (toServer: UInt64(0), toClient: UInt64(0))
    /// Why it ended before its time, for the log.
    var failure: String?

    init(_ target: DatabaseTarget, door: Int, origin: ClientOrigin, client: End, now: UInt64) {
        self.target = target
        self.door = target.doors[door]
        self.origin = origin
        self.client = client
        negotiation = target.negotiation(at: door)
        peeks = target.doors[door].table != nil && target.settings.kind != .mysql
        acceptedAt = now
    }

    /// The application's address and port.
    var peer: SocketAddress { origin.peer }

    func start(_ worker: Worker) {
        setDeadline(target.settings.timeouts.connect, worker)
        if target.isFull {
            fail(
                NegotiationFailure(.client, "this worker's limit of \(target.sessions - 1) sessions is reached"),
                worker
            )
        }
        worker.touch(client.token)
    }

    // MARK: events

    func ready(_ side: Side, _ readiness: Readiness, _ worker: Worker) {
        switch (phase, side) {
        case (.connecting, .server): finishConnecting(worker)
        case (.securing(let secured), side) where secured == side: shakeHands(side, worker)
        case (.closed, _): return
        case (.connecting, _), (.securing, _):
            if readiness.contains(.hangUp) { lost(side, worker) }
        default:
            if readiness.contains(.hangUp), let end = side == .client ? client : server,
                end.transport.end != .open || end.transport.inbound.count >= room
            {
                end.transport.silence(worker.poller)
            }
            if !readiness.isDisjoint(with: [.readable, .hangUp]) { read(side, worker) }
        }
        worker.touch(client.token)
    }

    /// Reads what has come; also called when TLS still held bytes at the end of the last turn.
    func read(_ side: Side, _ worker: Worker) {
        guard let end = side == .client ? client : server, end.transport.inbound.count < room else { return }
        if side == .client, peeks, phase == .negotiating {
            switch Socket.peek(end.transport.descriptor) {
            // Told of a byte that is not there, it waits on: the next one might begin TLS.
            case .nothing: return
            case .byte(0x16):
                peeks = false
                firstByte = 0x16
                worker.touch(client.token)
                return
            case .byte, .end: peeks = false
            }
        }
        let before = end.transport.bytesIn
        do throws(TransportError) {
            _ = try end.transport.fill(limit: limit(side))
        } catch {
            broke(side, error, worker)
            return
        }
        count(side, end.transport.bytesIn - before, worker)
        worker.touch(client.token)
    }

    func timedOut(_ worker: Worker) {
        guard deadline.expired(now: worker.now) else {
            worker.arm(client.token, deadline.rest())
            return
        }
        switch phase {
        case .relaying:
            failure = isHalfClosed ? "one side ended, and the other was silent" : "idle for too long"
            close(worker)
        case .lingering, .closed: close(worker)
        case .refusing:
            client.transport.abort()
            close(worker)
        case .negotiating, .connecting, .securing:
            let isServers = isServersTurn
            let side = isServers ? Side.server : .client
            let reason = isServers ? "the server did not answer in time" : "the client's login did not come in time"
            if gaveUp || !isServers {
                failure = failure ?? reason
                if !gaveUp { worker.refused(self, NegotiationFailure(side, reason), isTrust: false) }
                close(worker)
            } else {
                fail(NegotiationFailure(side, reason), worker)
            }
        }
    }

    /// The end of a turn: goes on with what was read, writes what waits, tells epoll.
    func settle(_ worker: Worker) {
        isTouched = false
        switch phase {
        case .negotiating: negotiate(worker)
        case .relaying: relay(worker)
        case .connecting, .securing, .refusing, .lingering, .closed: break
        }
        if phase == .refusing || phase == .lingering { sayFarewell(worker) }
        guard phase != .closed else { return }
        watch(worker)
    }

    // MARK: the end

    /// The worker drains: a session that stands goes on, one that never began is not waited for as long as others.
    func drain(until: UInt64, _ worker: Worker) {
        guard phase == .negotiating, client.transport.bytesIn == 0, target.settings.kind != .mysql else { return }
        setDeadline(min(target.settings.timeouts.connect, max(until, worker.now) - worker.now), worker)
    }

    /// The worker has drained for as long as it may.
    func drained(_ worker: Worker) {
        failure = failure ?? "the session outlived its worker, after a reload or a stop"
        close(worker)
    }

    /// Closes for good; safe in every phase.
    func close(_ worker: Worker) {
        guard phase != .closed else { return }
        let wasRelaying = phase == .relaying
        phase = .closed
        deadline.clear()
        client.transport.sayGoodbye()
        server?.transport.sayGoodbye()
        if failure != nil, wasRelaying {
            client.transport.abort()
            server?.transport.abort()
        }
        worker.remove(client.token)
        if let server { worker.remove(server.token) }
        worker.sessionClosed(self)
    }

    /// A side is gone, or broke its connection.
    func broke(_ side: Side, _ error: TransportError, _ worker: Worker) {
        lost(side, "the \(side)'s connection broke: \(error)", worker)
    }

    func lost(_ side: Side, _ worker: Worker) {
        lost(side, "the \(side) closed before the login was decided", worker)
    }

    private func lost(_ side: Side, _ reason: String, _ worker: Worker) {
        let other = side == .client ? server : client
        if phase == .relaying, let other, other.transport.end != .open, other.transport.inbound.isEmpty {
            // The session was over; how the second side took its leave does not matter.
            close(worker)
        } else if side == .server, phase != .relaying, phase != .refusing, phase != .lingering {
            fail(NegotiationFailure(.server, reason), worker)
        } else {
            failure = failure ?? reason
            close(worker)
        }
    }

    /// Something failed before the login was decided: the client is told in its own protocol.
    func fail(_ reason: NegotiationFailure, isTrust: Bool = false, _ worker: Worker) {
        guard failure == nil else { return }
        failure = reason.reason
        worker.refused(self, reason, isTrust: isTrust)
        dropServer(worker)
        negotiation.failed(reason)
        phase = .negotiating
        gaveUp = true
        setDeadline(Self.farewellTime, worker)
        worker.touch(client.token)
    }

    func dropServer(_ worker: Worker) {
        guard let server else { return }
        server.transport.abort()
        worker.remove(server.token)
        self.server = nil
    }

    // MARK: small things

    func setDeadline(_ milliseconds: UInt64, _ worker: Worker) {
        worker.arm(client.token, deadline.set(after: milliseconds, now: worker.now))
    }

    func clearDeadline() { deadline.clear() }

    /// Who keeps the negotiation waiting.
    private var isServersTurn: Bool {
        switch phase {
        case .connecting, .securing(.server): true
        case .securing(.client): false
        default: wants.server && (!wants.client || lastHeard == .client)
        }
    }

    var isHalfClosed: Bool { client.isFinished || server?.isFinished ?? false }

    /// How much may wait of a side.
    private var room: Int { phase == .relaying ? Transport.highWater : Negotiation.mostBytes }

    private func limit(_ side: Side) -> Int {
        guard side == .client, phase == .negotiating, !client.transport.isEncrypted else { return .max }
        return client.transport.limit(of: negotiation) ?? .max
    }

    private func count(_ side: Side, _ bytes: UInt64, _ worker: Worker) {
        guard bytes > 0 else { return }
        lastHeard = side
        switch side {
        case .client:
            self.bytes.toServer &+= bytes
            worker.metrics.add(.bytesToServer, database: target.index, Int(truncatingIfNeeded: bytes))
        case .server:
            self.bytes.toClient &+= bytes
            worker.metrics.add(.bytesToClient, database: target.index, Int(truncatingIfNeeded: bytes))
        }
        guard phase == .relaying else { return }
        if isHalfClosed {
            setDeadline(Self.halfClosedTime, worker)
        } else if let idle = target.settings.timeouts.idle {
            setDeadline(idle, worker)
        }
    }

    private func watch(_ worker: Worker) {
        let room = room
        let clientHasRoom = client.transport.inbound.count < room
        let readsClient: Bool
        let readsServer: Bool
        switch phase {
        case .negotiating:
            readsClient = wants.client
            readsServer = wants.server
        case .connecting: (readsClient, readsServer) = (false, false)
        case .securing(let side): (readsClient, readsServer) = (side == .client, side == .server)
        case .relaying: (readsClient, readsServer) = (true, true)
        case .refusing, .lingering: (readsClient, readsServer) = (true, false)
        case .closed: return
        }
        if phase == .relaying || phase == .negotiating, readsClient, clientHasRoom, client.transport.holdsMore {
            worker.readAgain(client.token)
        }
        client.transport.updateInterest(
            reading: readsClient && clientHasRoom,
            relaying: phase == .relaying && !(server?.transport.inbound.isEmpty ?? true),
            poller: worker.poller
        )
        guard let server else { return }
        let serverHasRoom = server.transport.inbound.count < room
        if readsServer, serverHasRoom, server.transport.holdsMore { worker.readAgain(server.token) }
        server.transport.updateInterest(
            reading: readsServer && serverHasRoom,
            connecting: phase == .connecting,
            relaying: phase == .relaying && !client.transport.inbound.isEmpty,
            poller: worker.poller
        )
    }
}
