import Bytes
import Config
import HTTP
import Platform
import TLS
import Telemetry

/// One client's connection in HTTP/1.1: one request after another until either side closes.
///
/// *Ownership:* the worker owns it through its slab. It owns its transport and holds an exchange only while a request
/// is under way, so that an idle connection is small.
final class ClientConnection {
    enum Phase: Equatable {
        /// Between requests. Next: head.
        case idle
        /// A request's head is coming in. Next: exchanging.
        case head
        /// A request is under way. Next: idle, or finishing.
        case exchanging
        /// The last bytes are being written; then the stream is ended. Next: lingering.
        case finishing
        /// The last bytes are being written; then the connection is cut without a farewell.
        case cutting
        /// Our stream is ended; what the client still sends is dropped, so that no reset destroys our last words
        /// (RFC 9112 §9.6).
        case lingering
        case closed
    }

    let token: Token
    let identity: ClientIdentity
    var transport: Transport
    var phase = Phase.idle
    var exchange: Exchange?
    @exclusivity(unchecked) var parser: RequestParser
    var decoder = ChunkedDecoder()
    /// Empty but for the end of a chunked body.
    var trailers = HeaderBlock()
    var remaining: UInt64 = 0
    var requestEnded = false
    /// How the response under way ends.
    var responseFraming = BodyFraming.none
    /// Whether another request may follow the one under way.
    var staysOpen = true
    /// Whether the connection has changed to another protocol.
    var isTunnel = false
    /// A server's connection that was authenticated for this client, and serves nobody else.
    private(set) var boundServer: Token?
    var wasFull = false
    var isTouched = false
    @exclusivity(unchecked) private var deadline = Deadline()
    /// Until when the client is waited for, in monotonic milliseconds, once it is to go.
    private(set) var leavesBy: UInt64?
    @exclusivity(unchecked) private var linger = Linger()
    @exclusivity(unchecked) private(set) var reader = ReaderWatch()
    /// For more of the request's body.
    @exclusivity(unchecked) private var sending = Patience()
    private var requests: UInt64 = 0

    init(token: Token, identity: ClientIdentity, transport: consuming Transport, headLimit: Int) {
        self.token = token
        self.identity = identity
        self.transport = consume transport
        parser = RequestParser(limit: headLimit)
    }

    func start(_ worker: Worker) {
        leavesBy = worker.idleUntil
        setDeadline(idleTime(worker.snapshot.configuration.server.timeouts.head, worker), worker)
        // The first request may have come with the client's last handshake message.
        if transport.isEncrypted { read(worker) }
    }

    /// Has the connection settled at the end of this turn.
    func touch(_ worker: Worker) {
        guard !isTouched else { return }
        isTouched = true
        worker.settleLater(token)
    }

    // MARK: events

    func ready(_ readiness: Readiness, _ worker: Worker) {
        if readiness.contains(.hangUp) {
            // Nobody is there any more, and epoll would tell of it without end.
            if transport.end != .open {
                transport.silence(worker.poller)
            } else if transport.inbound.count >= room(worker) {
                gone("the client reset its connection", worker)
                return
            }
        }
        if !readiness.isDisjoint(with: [.readable, .hangUp]) { read(worker) }
        touch(worker)
    }

    /// Reads what has come; also called when TLS still held bytes at the end of the last turn.
    func read(_ worker: Worker) {
        guard phase != .closed else { return }
        do throws(TransportError) {
            switch try transport.fill(room: room(worker)) {
            case .bytes(let count):
                worker.metrics.add(.bytesFromClients, count)
                if phase == .exchanging, !requestEnded { earn(UInt64(truncatingIfNeeded: count), worker) }
            case .nothing: break
            case .ended: endOfStream(worker)
            }
        } catch {
            gone("the client's connection broke: \(error)", worker)
        }
        touch(worker)
    }

    func timedOut(_ worker: Worker) {
        if reader.isOn { lookAtReader(worker) }
        guard deadline.expired(now: worker.now) else {
            worker.arm(token, deadline.rest())
            return
        }
        switch phase {
        // The answer is still on its way.
        case .idle where reader.isOn:
            let most = worker.snapshot.configuration.server.timeouts.keepAlive
            setDeadline(max(idleTime(most, worker), Linger.time), worker)
        case .idle: endIdle(worker)
        case .lingering:
            guard let more = linger.more(bytesIn: transport.bytesIn, now: worker.now) else { return close(worker) }
            setDeadline(more, worker)
        case .closed: return
        case .head: refuse(408, "the request's head did not come in time", worker)
        case .exchanging:
            if sending.isWaiting { worker.metrics.add(.slowBodies) }
            exchange?.requestTimedOut(isServersFault: !sending.isWaiting, worker)
        case .finishing, .cutting:
            transport.abort()
            close(worker)
        }
    }

    /// The end of a turn: goes on with what was read, writes what waits, tells epoll.
    func settle(_ worker: Worker) {
        isTouched = false
        guard phase != .closed else { return }
        process(worker)
        if phase == .exchanging, !requestEnded { watchBody(worker) }
        guard phase != .closed else { return }
        write(worker)
    }

    /// How much may wait; a head that is longer than allowed has to be read beyond its limit to be refused.
    private func room(_ worker: Worker) -> Int { phase == .head ? worker.headLimit + 1 : Transport.highWater }

    /// The client's next response is the last one, and says so.
    ///
    /// Whoever has not been told may have a request on its way: a client that asks nothing is not hung up on, nor is one
    /// whose response had begun.
    ///
    /// - Parameter until: how long a client that asks nothing is waited for, in monotonic milliseconds.
    func drain(until: UInt64, _ worker: Worker) {
        leavesBy = min(leavesBy ?? until, until)
        if phase == .idle { setDeadline(idleTime(.max, worker), worker) }
    }

    /// How long the client may ask nothing.
    private func idleTime(_ most: UInt64, _ worker: Worker) -> UInt64 {
        guard let leavesBy else { return most }
        return min(most, max(leavesBy, worker.now) - worker.now)
    }

    /// The client has asked nothing for too long, unless that came in this very turn.
    private func endIdle(_ worker: Worker) {
        read(worker)
        guard phase == .idle, transport.inbound.isEmpty else { return }
        if leavesBy == nil { close(worker) } else { finish(worker) }
    }

    /// The server's connection is this client's from now on.
    func bind(to server: Token, _ worker: Worker) {
        if let boundServer, boundServer != server { worker.upstream(boundServer)?.ownerGone(worker) }
        boundServer = server
    }

    // MARK: the end

    /// The exchange has ended; `reuse` says whether another request may follow.
    func exchangeEnded(reuse: Bool, _ worker: Worker) {
        exchange = nil
        guard phase == .exchanging else { return }
        guard reuse, staysOpen else {
            finish(worker)
            return
        }
        phase = .idle
        parser.reset()
        setDeadline(idleTime(worker.snapshot.configuration.server.timeouts.keepAlive, worker), worker)
        touch(worker)
    }

    /// The response cannot be completed: the client must not take what it has for the whole.
    func cutOff(_ worker: Worker) {
        exchange = nil
        guard phase != .closed else { return }
        phase = .cutting
        setDeadline(worker.snapshot.configuration.server.timeouts.write, worker)
        touch(worker)
    }

    /// Writes what waits, then ends the stream.
    func finish(_ worker: Worker) {
        phase = .finishing
        // Whoever takes it at the minimum rate gets all of it.
        clearDeadline()
        touch(worker)
    }

    /// The client went away.
    func gone(_ reason: String, _ worker: Worker) {
        let exchange = self.exchange
        self.exchange = nil
        if phase == .exchanging { transport.abort() }
        exchange?.clientGone(reason, worker)
        close(worker)
    }

    /// Closes for good; safe in every phase.
    func close(_ worker: Worker) {
        guard phase != .closed else { return }
        if phase == .idle || phase == .finishing { transport.sayGoodbye() }
        phase = .closed
        deadline.clear()
        if let exchange {
            self.exchange = nil
            exchange.clientGone("the connection was closed", worker)
        }
        if let boundServer { worker.upstream(boundServer)?.ownerGone(worker) }
        worker.metrics.add(.clientConnectionsActive, -1)
        worker.remove(token)
        worker.clientClosed(token)
    }

    private func endOfStream(_ worker: Worker) {
        switch phase {
        case .exchanging where isTunnel && transport.end == .clean: break
        case .exchanging: gone("the client closed before its response was complete", worker)
        case .head:
            worker.metrics.add(.requestsRefused)
            close(worker)
        case .idle, .finishing, .cutting, .lingering, .closed: close(worker)
        }
    }

    private func write(_ worker: Worker) {
        let settled: Transport.Settled
        do throws(TransportError) {
            settled = try transport.settle(room: room(worker), poller: worker.poller)
        } catch {
            gone("the client's connection broke: \(error)", worker)
            return
        }
        if settled.written > 0 { worker.metrics.add(.bytesToClients, settled.written) }
        if settled.waiting == 0 {
            if reader.isOn { reader.end() }
        } else if !reader.isOn {
            worker.arm(token, reader.begin(worker.snapshot.configuration.server.timeouts.write, now: worker.now))
        }
        if wasFull, settled.waiting < Transport.highWater / 2 {
            wasFull = false
            exchange?.wakeServer(worker)
        }
        // The next request may have waited for room.
        if phase == .idle, settled.hasInbound, settled.waiting < Transport.highWater { touch(worker) }
        if settled.waiting == 0 { allWritten(worker) }
        if settled.holdsMore, phase != .closed { worker.readAgain(token) }
    }

    private func allWritten(_ worker: Worker) {
        switch phase {
        case .finishing:
            transport.endWriting()
            phase = .lingering
            setDeadline(linger.begin(until: leavesBy, bytesIn: transport.bytesIn, now: worker.now), worker)
        case .cutting:
            transport.abort()
            close(worker)
        case .idle, .head, .exchanging, .lingering, .closed: break
        }
    }

    // MARK: time

    private func lookAtReader(_ worker: Worker) {
        guard phase != .closed, reader.isDue(now: worker.now) else {
            worker.arm(token, reader.rest())
            return
        }
        guard reader.isTooSlow(transport, worker.snapshot.configuration.server, now: worker.now) else {
            worker.arm(token, reader.again(now: worker.now))
            return
        }
        worker.metrics.add(.slowReaders)
        transport.abort()
        gone("the client took too little for too long", worker)
    }

    /// The request's body begins.
    func awaitBody(_ worker: Worker) {
        sending.renew(limit: worker.snapshot.configuration.server.timeouts.body)
        setDeadline(sending.wait(now: worker.now), worker)
    }

    private func earn(_ bytes: UInt64, _ worker: Worker) {
        let server = worker.snapshot.configuration.server
        sending.earn(bytes, rate: server.limits.minimumRate, limit: server.timeouts.body, now: worker.now)
    }

    /// Only what the client keeps us waiting for counts against it, not what the server does.
    private func watchBody(_ worker: Worker) {
        guard !isTunnel else { return }
        if transport.inbound.isEmpty {
            setDeadline(sending.wait(now: worker.now), worker)
        } else if sending.pause(now: worker.now) {
            setDeadline(worker.snapshot.configuration.server.timeouts.body, worker)
        }
    }

    func setDeadline(_ milliseconds: UInt64, _ worker: Worker) {
        worker.arm(token, deadline.set(after: milliseconds, now: worker.now))
    }

    func clearDeadline() {
        deadline.clear()
        sending = Patience()
    }

    /// Counts a request; the number of this one on the connection, from 1.
    func countRequest() -> UInt64 {
        requests += 1
        return requests
    }
}
