import Bytes
import Config
import HTTP
import Platform
import TLS
import Telemetry

/// One connection to a server in HTTP/1.1: carries one exchange after another, rests in the pool between them.
///
/// *Ownership:* the worker owns it through its slab; the exchange and the pool know it by token.
final class UpstreamConnection {
    enum Phase: Equatable {
        /// In the pool. Next: head.
        case idle
        /// A request is on its way or sent; the response's head is awaited.
        case head
        /// The response's body.
        case body
        /// The rest of a response that nobody wants any more. Next: idle, or closed.
        case dropping
        case closed
    }

    /// Interim responses to one request (RFC 9110 §15.2): they pass before the response's back-pressure begins, so
    /// their number is what bounds them.
    static let mostInterim = 32

    let token: Token
    let place: ServerPlace
    /// The client's connection that the server was told of; nobody else is served.
    let announced: Token?
    var transport: Transport
    var phase = Phase.idle
    var exchange: Token?
    /// The client that the server has authenticated this connection for; nobody else is served.
    private var owner: Token?
    @exclusivity(unchecked) var parser: ResponseParser
    var decoder = ChunkedDecoder()
    /// Empty but for the end of a chunked body.
    var trailers = HeaderBlock()
    /// How the response under way ends, and whether the server keeps the connection then.
    var framing = BodyFraming.none
    var staysOpen = false
    var remaining: UInt64 = 0
    private var chunkedRequest = false
    private var served: UInt64 = 0
    var interim = 0
    private var responseBytesSeen = false
    /// How much had been written at the end of the last turn, and before the request under way.
    private var written: UInt64
    private var outBefore: UInt64 = 0
    @exclusivity(unchecked) private var deadline = Deadline()
    /// How long the server may take for the exchange under way, in milliseconds.
    private var responseTimeout: UInt64 = 0
    private var tunnelTimeout: UInt64 = 0
    private var wasFull = false
    var unwanted = UnwantedAnswer()
    /// Whether the connection has changed to another protocol, and whether the client's side of it has ended.
    private var isTunnel = false
    private var endsWriting = false
    var isTouched = false

    init(token: Token, place: ServerPlace, announced: Token?, transport: consuming Transport, headLimit: Int) {
        self.token = token
        self.place = place
        self.announced = announced
        written = transport.bytesOut
        self.transport = consume transport
        parser = ResponseParser(limit: headLimit)
    }

    /// Begins with `exchange`, on a connection that has just been made or has rested.
    func resume(for exchange: Token, _ worker: Worker) {
        self.exchange = exchange
        beginExchange(worker)
    }

    /// Begins without an exchange: what this was made for has gone on by another connection.
    func rest(_ worker: Worker) {
        // Whoever comes next finds it as one that has served before: the server may have closed it meanwhile.
        served = 1
        setDeadline(worker.pools[place.pool].settings.timeouts.idle, worker)
        worker.pools[place.pool].offer(self, worker)
        // epoll is to tell of its end.
        touch(worker)
    }

    /// What the log says about this connection.
    func facts() -> ServerFacts {
        ServerFacts(endpoint: place.endpoint, address: place.address, tls: transport.facts, reused: served > 1)
    }

    /// Has the connection settled at the end of this turn.
    func touch(_ worker: Worker) {
        guard !isTouched else { return }
        isTouched = true
        worker.settleLater(token)
    }

    // MARK: events

    func ready(_ readiness: Readiness, _ worker: Worker) {
        switch phase {
        case .idle, .head, .body, .dropping:
            if readiness.contains(.hangUp), transport.end != .open || transport.inbound.count >= room(worker) {
                transport.silence(worker.poller)
            }
            if !readiness.isDisjoint(with: [.readable, .hangUp]) { read(worker) }
            touch(worker)
        case .closed: break
        }
    }

    /// Reads what has come; also called when TLS still held bytes at the end of the last turn.
    func read(_ worker: Worker) {
        do throws(TransportError) {
            switch try transport.fill(room: room(worker)) {
            case .bytes:
                responseBytesSeen = true
                // A head has to come as a whole: one that trickles in does not buy time.
                if phase == .body { refreshDeadline(worker) }
            case .nothing: break
            case .ended:
                if phase == .idle { close(worker) }
            }
        } catch { fail(.broken(error), worker) }
        if phase == .idle && !transport.inbound.isEmpty { close(worker) }
        touch(worker)
    }

    func timedOut(_ worker: Worker) {
        guard deadline.expired(now: worker.now) else {
            worker.arm(token, deadline.rest())
            return
        }
        switch phase {
        case .idle: close(worker)
        case .head where isClientsTurn(worker): refreshDeadline(worker)
        case .head, .body:
            fail(isTunnel ? .tunnelTimeout : .responseTimeout, worker)
        case .dropping: giveUpAnswer(worker)
        case .closed: break
        }
    }

    /// The server has all of the request that has come so far; how long the client may take is the client's side's matter.
    private func isClientsTurn(_ worker: Worker) -> Bool {
        transport.outbound.isEmpty && currentExchange(worker)?.requestIsOpen ?? false
    }

    /// The end of a turn: goes on with what was read, writes what waits, tells epoll.
    func settle(_ worker: Worker) {
        isTouched = false
        if phase == .head || phase == .body { process(worker) }
        if phase == .dropping { drop(worker) }
        guard phase != .closed else { return }
        write(worker)
    }

    /// How much may wait; a head that is longer than allowed has to be read beyond its limit to be refused.
    private func room(_ worker: Worker) -> Int {
        phase == .head || phase == .dropping ? worker.headLimit + 1 : Transport.highWater
    }

    // MARK: verbs of the exchange

    func sendHead(
        _ head: borrowing RequestHead,
        _ context: ForwardingContext,
        _ worker: Worker
    ) {
        chunkedRequest = head.framing == .chunked
        RequestWriter.write(head, context, into: &transport.outbound)
        touch(worker)
    }

    func sendBody(_ count: Int, from queue: inout ByteQueue, _ worker: Worker) {
        if chunkedRequest { ChunkWriter.head(count, into: &transport.outbound) }
        transport.outbound.take(count, from: &queue)
        if chunkedRequest { ChunkWriter.tail(into: &transport.outbound) }
        wasFull = transport.outbound.count >= Transport.highWater
        refreshDeadline(worker)
        touch(worker)
    }

    func sendEnd(trailers: borrowing HeaderBlock, _ worker: Worker) {
        if chunkedRequest { ChunkWriter.end(trailers: trailers, into: &transport.outbound) }
        endsWriting = isTunnel
        refreshDeadline(worker)
        touch(worker)
    }

    /// The exchange lets go of this connection; it rests in the pool, waits for its owner, or is closed at once.
    ///
    /// - Parameter owner: the client that the server has authenticated this connection for.
    func exchangeEnded(reuse: Bool, owner: Token? = nil, _ worker: Worker) {
        exchange = nil
        guard phase != .closed else { return }
        let clean = transport.inbound.isEmpty && transport.outbound.isEmpty && transport.end == .open
        guard reuse, clean, phase == .body || phase == .head else {
            // In mid-request the server must not take what it has for the whole.
            if !transport.outbound.isEmpty || phase == .head { transport.abort() }
            close(worker)
            return
        }
        guard owner != nil else {
            goBack(worker)
            return
        }
        phase = .idle
        parser.reset()
        self.owner = owner
        // It lasts as long as the client's connection, whose own time limits hold.
        deadline.clear()
    }

    /// An answer is over: the pool has this connection again.
    func goBack(_ worker: Worker) {
        phase = .idle
        parser.reset()
        setDeadline(worker.pools[place.pool].settings.timeouts.idle, worker)
        worker.pools[place.pool].rest(self, worker)
    }

    /// Whether it rests for the client that it belongs to.
    var isWaitingForOwner: Bool { phase == .idle && owner != nil }

    /// The client that this connection belongs to is gone.
    func ownerGone(_ worker: Worker) {
        if isWaitingForOwner { close(worker) }
    }

    /// Closes for good; safe in every phase.
    func close(_ worker: Worker) {
        guard phase != .closed else { return }
        let wasIdle = phase == .idle
        if wasIdle { transport.sayGoodbye() }
        phase = .closed
        deadline.clear()
        worker.metrics.add(.upstreamConnectionsActive, -1)
        // One that belongs to a client has never gone back to the pool.
        worker.pools[place.pool].closed(token, at: place.endpoint, wasIdle: wasIdle && owner == nil, worker)
        worker.remove(token)
    }

    private func beginExchange(_ worker: Worker) {
        phase = .head
        served += 1
        responseBytesSeen = false
        interim = 0
        outBefore = written
        parser.reset()
        guard let exchange = currentExchange(worker) else {
            close(worker)
            return
        }
        let timeouts = exchange.timeouts(worker) ?? worker.pools[place.pool].settings.timeouts
        responseTimeout = timeouts.response
        tunnelTimeout = timeouts.tunnel
        setDeadline(responseTimeout, worker)
        exchange.serverReady(self, worker)
        touch(worker)
    }

    // MARK: the response

    private func process(_ worker: Worker) {
        guard let exchange = currentExchange(worker) else { return }
        while phase == .head ? readHead(exchange, worker) : readBody(exchange, worker) {
            guard self.exchange == exchange.token else { return }
        }
        guard self.exchange == exchange.token, phase == .head || phase == .body else { return }
        if phase == .body, !transport.inbound.isEmpty, exchange.takerOfResponse(worker) == nil { return }
        if !deadline.isSet { refreshDeadline(worker) }
        if transport.end != .open { endOfStream(worker) }
    }

    private func readHead(_ exchange: Exchange, _ worker: Worker) -> Bool {
        guard responseBytesSeen else { return false }
        do throws(ResponseError) {
            let isWhole = try transport.take(&exchange.response, by: &parser, answering: exchange.asked.method)
            guard isWhole else { return false }
        } catch {
            fail(.badResponse(error), worker)
            return false
        }
        parser.reset()
        let status = note(exchange.response)
        if status == 101 { return beginTunnel(exchange, worker) }
        if status < 200 {
            interim += 1
            guard interim <= Self.mostInterim else {
                fail(.badResponse(.tooManyInterim), worker)
                return false
            }
            exchange.forwardInterim(worker)
            refreshDeadline(worker)
            return true
        }
        phase = .body
        beginBody()
        exchange.beginResponse(worker)
        // The exchange may have given this connection up.
        guard phase == .body else { return false }
        if framing == .none || framing == .length(0) {
            finishResponse(exchange, nil, worker)
            return false
        }
        return true
    }

    func beginBody() {
        switch framing {
        case .length(let length): remaining = length
        case .chunked: decoder = ChunkedDecoder()
        case .none, .untilClose: remaining = 0
        }
    }

    /// Keeps what of a head decides how it goes on.
    ///
    /// - Returns: its status.
    func note(_ head: borrowing ResponseHead) -> Int {
        framing = head.framing
        staysOpen = head.keepAlive
        return head.status
    }

    /// RFC 9110 §15.2.2: the protocol has to be the one that was asked for.
    private func beginTunnel(_ exchange: Exchange, _ worker: Worker) -> Bool {
        guard exchange.request.upgrade != nil, exchange.state.request == .upgrading,
            ASCII.equalIgnoringCase(exchange.response.upgradeName, exchange.request.upgradeName)
        else {
            fail(.unexpectedUpgrade, worker)
            return false
        }
        phase = .body
        isTunnel = true
        worker.pools[place.pool].answered(place.endpoint, worker)
        exchange.response.becomeTunnel()
        framing = .untilClose
        refreshDeadline(worker)
        exchange.beginTunnel(worker)
        return true
    }

    private func readBody(_ exchange: Exchange, _ worker: Worker) -> Bool {
        let waiting = transport.inbound.count
        guard waiting > 0 else { return false }
        guard let client = exchange.takerOfResponse(worker) else {
            // The client's own deadline runs while it does not read.
            deadline.clear()
            return false
        }
        switch framing {
        case .length:
            let count = Int(min(UInt64(waiting), remaining))
            client.sendBody(count, from: &transport.inbound, exchange, worker)
            remaining -= UInt64(count)
            if remaining == 0 { finishResponse(exchange, client, worker) }
        case .untilClose: client.sendBody(waiting, from: &transport.inbound, exchange, worker)
        case .chunked: return readChunk(exchange, client, worker)
        case .none: return false
        }
        return true
    }

    private func readChunk(_ exchange: Exchange, _ client: ClientSide, _ worker: Worker) -> Bool {
        var offset = 0
        let step: ChunkedDecoder.Step
        do throws(ChunkError) {
            step = try transport.decode(&decoder, from: &offset, trailers: &trailers)
        } catch {
            fail(.badBody(error), worker)
            return false
        }
        switch step {
        case .data(let range):
            transport.consume(range.lowerBound)
            client.sendBody(range.count, from: &transport.inbound, exchange, worker)
            transport.consume(offset - range.upperBound)
            return true
        case .needMore:
            transport.consume(offset)
            return false
        case .end:
            transport.consume(offset)
            finishResponse(exchange, client, worker)
            return false
        }
    }

    /// RFC 9112 §9.3: bytes after the response were not asked for, so the connection is not used again.
    ///
    /// - Parameter client: whose response it is, where that is at hand.
    private func finishResponse(_ exchange: Exchange, _ client: ClientSide?, _ worker: Worker) {
        worker.pools[place.pool].answered(place.endpoint, worker)
        let reuse = staysOpen && transport.mayRest
        guard framing == .chunked else {
            exchange.endResponse(trailers: HeaderBlock(), to: client, reuseServer: reuse, worker)
            return
        }
        exchange.endResponse(trailers: trailers, to: client, reuseServer: reuse, worker)
        trailers.removeAll()
    }

    /// RFC 9112 §8: only a body that is framed by the close may end with it, and in TLS only with close_notify.
    private func endOfStream(_ worker: Worker) {
        if phase == .body, framing == .untilClose, transport.end == .clean, let exchange = currentExchange(worker) {
            worker.pools[place.pool].answered(place.endpoint, worker)
            exchange.endResponse(trailers: trailers, reuseServer: false, worker)
            return
        }
        fail(.closedEarly, worker)
    }

    private func write(_ worker: Worker) {
        let settled: Transport.Settled
        do throws(TransportError) {
            settled = try transport.settle(room: room(worker), poller: worker.poller)
        } catch {
            // The server may have answered and closed before it read all (RFC 9112 §9.5): look before giving up.
            if phase == .head || phase == .body { read(worker) }
            if phase != .closed, !responseBytesSeen || phase == .idle { fail(.broken(error), worker) }
            guard phase != .closed else { return }
            if transport.rest(room: room(worker), poller: worker.poller) { worker.readAgain(token) }
            return
        }
        written = settled.bytesOut
        if settled.holdsMore { worker.readAgain(token) }
        if endsWriting, settled.waiting == 0 {
            endsWriting = false
            transport.endWriting()
        }
        if wasFull, settled.waiting < Transport.highWater / 2 {
            wasFull = false
            if let client = currentExchange(worker)?.client { worker.touch(client.connection) }
        }
    }

    private func fail(_ reason: UpstreamFailure, _ worker: Worker) {
        guard phase != .closed else { return }
        guard phase != .dropping else {
            giveUpAnswer(worker)
            return
        }
        // A server may close a connection that rests just when a request comes; one that is silent has the request.
        let stale = served > 1 && !responseBytesSeen && reason.isLoss
        let exchange = currentExchange(worker)
        self.exchange = nil
        let isFault = exchange != nil && !isTunnel && reason.isServerFault(stale: stale)
        worker.pools[place.pool].failed(place, reason, untouched: false, isFault: isFault, worker)
        if let exchange { exchange.note(facts()) }
        transport.abort()
        close(worker)
        guard let exchange else { return }
        let unseen = transport.bytesOut == outBefore
        exchange.serverFailed(
            reason,
            repeatable: stale && (unseen || exchange.asked.method.isIdempotent),
            worker
        )
    }

    private func currentExchange(_ worker: Worker) -> Exchange? {
        guard let exchange else { return nil }
        return worker.exchange(exchange)
    }

    private func refreshDeadline(_ worker: Worker) {
        setDeadline(isTunnel ? tunnelTimeout : responseTimeout, worker)
    }

    func setDeadline(_ milliseconds: UInt64, _ worker: Worker) {
        worker.arm(token, deadline.set(after: milliseconds, now: worker.now))
    }
}
