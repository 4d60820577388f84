import Bytes
import Config
import HTTP
import HTTP2
import Platform
import TLS
import Telemetry

/// One connection to a server in HTTP/2 (RFC 9113): many exchanges at once, each on a stream.
///
/// *Ownership:* the worker owns it through its slab. It owns its transport and the session with its streams; exchanges
/// and the pool know it by token.
final class HTTP2UpstreamConnection {
    /// How often streams are looked at for one that has stalled, in milliseconds.
    private static let inspection: UInt64 = 1000
    private static let mostInterim = 32
    /// More than a socket holds, in reads of a turn's budget each.
    private static let mostLastReads = 256

    let token: Token
    let place: ServerPlace
    let session: HTTP2Session
    var transport: Transport
    var isTouched = false
    private(set) var isClosed = false
    /// The server takes no new streams.
    private(set) var isGoingAway = false
    /// Nothing comes or goes any more; what came whole before is still handed on.
    private var isBroken = false
    /// Monotonic milliseconds since which a word is awaited from a server that let a request wait too long; 0 if none is.
    private var probedAt: UInt64 = 0
    private var deadline = Deadline()
    private var served: UInt64 = 0
    /// Monotonic milliseconds since which no stream was open.
    private var idleSince: UInt64
    /// Streams whose client waits for room.
    private var full: [HTTP2Stream] = []

    init(
        token: Token,
        place: ServerPlace,
        transport: consuming Transport,
        headLimit: Int,
        pool: BufferPool,
        now: UInt64
    ) throws(HTTP2Error) {
        self.token = token
        self.place = place
        var limits = HTTP2Limits()
        limits.fieldSectionBytes = headLimit
        // Each stream has a bound of its own: a few clients that read nothing must not hold up all the others.
        limits.connectionWindow = limits.streamWindow * Int32(HTTP2Session.mostStreams)
        session = try HTTP2Session(.client, limits: limits, pool: pool)
        self.transport = consume transport
        idleSince = now
    }

    func start(_ worker: Worker) {
        setDeadline(Self.inspection, worker)
        touch(worker)
    }

    /// Whether another exchange may begin.
    var hasRoom: Bool { !isClosed && !isGoingAway && session.streamCount < session.capacity }

    /// Begins an exchange on a new stream.
    ///
    /// - Returns: false when the connection turns out to take no more.
    func begin(_ exchange: Exchange, _ context: ForwardingContext, _ worker: Worker) -> ServerStream? {
        guard hasRoom else { return nil }
        var lines = ByteQueue(pool: worker.buffers)
        var context = context
        context.serverVersion = .http2
        RequestWriter.write(exchange.request, context, into: &lines)
        let endsStream = exchange.request.framing == .none || exchange.request.framing == .length(0)
        guard let stream = session.request(head: lines, endsStream: endsStream) else {
            // Every number has been used.
            stopSharing(worker)
            return nil
        }
        stream.exchange = exchange.token
        stream.waitingSince = worker.now
        served += 1
        idleSince = 0
        touch(worker)
        return ServerStream(connection: token, stream: stream.id)
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
        if !readiness.isDisjoint(with: [.readable, .hangUp]) { read(worker) }
        touch(worker)
    }

    /// Reads what has come; also called when TLS still held bytes at the end of the last turn.
    func read(_ worker: Worker) {
        guard !isClosed, !isBroken else { return }
        do throws(TransportError) {
            switch try transport.fill() {
            case .bytes: probedAt = 0
            case .nothing: break
            case .ended:
                // What came before the end still counts.
                process(worker)
                fail(.closedEarly, worker)
            }
        } catch { fail(.broken(error), worker) }
        touch(worker)
    }

    /// The end of a turn: goes on with what was read, writes what waits, tells epoll.
    func settle(_ worker: Worker) {
        isTouched = false
        guard !isClosed else { return }
        process(worker)
        guard !isClosed, !isBroken else { return }
        flush(worker)
        guard !isClosed, !isBroken else { return }
        if transport.holdsMore { worker.readAgain(token) }
        transport.updateInterest(reading: true, poller: worker.poller)
    }

    func timedOut(_ worker: Worker) {
        guard deadline.expired(now: worker.now) else {
            worker.arm(token, deadline.rest())
            return
        }
        guard !isClosed, !isBroken else { return }
        let timeouts = worker.pools[place.pool].settings.timeouts
        if idleSince != 0, isGoingAway || worker.now &- idleSince >= timeouts.idle {
            session.terminate(.none)
            try? session.send(into: &transport.outbound, upTo: Transport.highWater)
            _ = try? transport.flush()
            close(worker)
            return
        }
        // Not even a PING was answered: whoever comes next gets another connection.
        if probedAt != 0, worker.now &- probedAt >= Self.inspection { stopSharing(worker) }
        for stream in session.streams where !stream.isClosed { inspect(stream, worker) }
        guard !isClosed else { return }
        setDeadline(Self.inspection, worker)
        touch(worker)
    }

    /// Closes for good; every exchange on it has ended or failed before.
    func close(_ worker: Worker) {
        guard !isClosed else { return }
        isClosed = true
        deadline.clear()
        transport.sayGoodbye()
        worker.metrics.add(.upstreamConnectionsActive, -1)
        worker.pools[place.pool].sharedClosed(token, at: place.endpoint, worker)
        worker.remove(token)
    }

    // MARK: verbs of the exchange

    func sendBody(_ count: Int, from queue: inout ByteQueue, on stream: HTTP2Stream, _ worker: Worker) {
        guard !stream.isClosed else {
            queue.consume(count)
            return
        }
        stream.send(count, from: &queue)
        session.resume(stream)
        stream.waitingSince = worker.now
        if stream.outboundCount >= Transport.highWater, !full.contains(where: { $0 === stream }) {
            full.append(stream)
        }
        touch(worker)
    }

    func sendEnd(trailers: borrowing HeaderBlock, on stream: HTTP2Stream, _ worker: Worker) {
        session.end(stream, trailers: trailers)
        stream.waitingSince = worker.now
        touch(worker)
    }

    /// The exchange lets go of its stream, which is broken off unless both messages are whole.
    func exchangeEnded(on stream: HTTP2Stream, reuse: Bool, _ worker: Worker) {
        stream.exchange = nil
        stream.waitingSince = worker.now
        if !stream.isClosed {
            session.discardInbound(stream)
            // What still waits for the server's window would keep the stream for ever.
            if !reuse || !stream.outboundEnded || stream.outboundCount > 0 { session.reset(stream, .cancel) }
        }
        worker.pools[place.pool].exchangeEnded(at: place.endpoint, worker)
        touch(worker)
    }

    // MARK: the session

    private func process(_ worker: Worker) {
        if !transport.inbound.isEmpty {
            do throws(HTTP2Error) {
                try session.receive(transport.inbound.bytes, now: worker.now)
            } catch {
                transport.consume(transport.inbound.count)
                handleEvents(worker)
                fail(.http2(error), worker)
                return
            }
            transport.consume(transport.inbound.count)
        }
        handleEvents(worker)
        session.forEachReady { forwardBody($0, worker) }
        retire(worker)
    }

    private func handleEvents(_ worker: Worker) {
        session.forEachEvent { event in
            switch event {
            case .head(let stream): beginResponse(stream, worker)
            case .interim(let stream): forwardInterim(stream, worker)
            case .closed(let stream, let code): closed(stream, code, worker)
            case .goAway: stopSharing(worker)
            case .fault(let code): fail(.http2(.session(Int(code))), worker)
            case .refusedStream, .pong: break
            }
        }
    }

    /// Ends as soon as nothing is under way any more.
    func finish(_ worker: Worker) {
        guard !isClosed else { return }
        stopSharing(worker)
        touch(worker)
    }

    /// What has begun goes on, and nothing else is begun.
    private func stopSharing(_ worker: Worker) {
        isGoingAway = true
        worker.pools[place.pool].sharedIsFull(token, at: place.endpoint)
    }

    private func exchange(on stream: HTTP2Stream, _ worker: Worker) -> Exchange? {
        stream.exchange.flatMap { worker.exchange($0) }
    }

    private func beginResponse(_ stream: HTTP2Stream, _ worker: Worker) {
        guard let exchange = exchange(on: stream, worker) else { return }
        stream.waitingSince = worker.now
        let endsStream = stream.inboundEnded && !stream.holdsInbound && !stream.hasTrailers
        let method = exchange.request.method
        do throws(ResponseError) {
            guard !stream.isOversized else { throw .headTooLong }
            try stream.takeFields { fields throws(ResponseError) in
                try exchange.response.assemble(from: &fields, requestMethod: method, endsStream: endsStream)
            }
        } catch {
            breakOff(stream, .badResponse(error), worker)
            return
        }
        exchange.beginResponse(worker)
        // The exchange may have given the stream up; otherwise what has no body is over with its head, even if the server
        // ends its stream later.
        guard stream.exchange == exchange.token else { return }
        if exchange.response.framing == .none || exchange.response.framing == .length(0) {
            worker.pools[place.pool].answered(place.endpoint, worker)
            exchange.endResponse(trailers: stream.trailers, reuseServer: true, worker)
        }
    }

    private func forwardInterim(_ stream: HTTP2Stream, _ worker: Worker) {
        guard var head = stream.takeInterim(), let exchange = exchange(on: stream, worker) else { return }
        do throws(ResponseError) {
            guard stream.interimCount <= Self.mostInterim else { throw .tooManyInterim }
            try exchange.response.assemble(
                from: &head,
                requestMethod: exchange.request.method,
                endsStream: false
            )
        } catch {
            breakOff(stream, .badResponse(error), worker)
            return
        }
        exchange.forwardInterim(worker)
    }

    /// - Returns: whether more waits for the client to take it later.
    private func forwardBody(_ stream: HTTP2Stream, _ worker: Worker) -> Bool {
        guard let exchange = exchange(on: stream, worker), stream.headIsComplete else {
            session.discardInbound(stream)
            return false
        }
        guard let client = exchange.takerOfResponse(worker) else { return true }
        if stream.holdsInbound {
            let count = stream.inbound.count
            client.sendBody(count, from: &stream.inbound, exchange, worker)
            session.took(count, from: stream)
            stream.waitingSince = worker.now
        }
        guard stream.inboundEnded else { return false }
        if stream.trailersAreOversized {
            breakOff(stream, .badBody(.trailersTooLong), worker)
        } else {
            worker.pools[place.pool].answered(place.endpoint, worker)
            exchange.endResponse(trailers: stream.trailers, reuseServer: true, worker)
        }
        return false
    }

    /// Gives the memory of streams back that are over and hold nothing any more.
    private func retire(_ worker: Worker) {
        guard !isBroken else {
            if !session.streams.contains(where: { exchange(on: $0, worker) != nil }) { close(worker) }
            return
        }
        var index = 0
        while index < session.streamCount {
            let stream = session.streams[index]
            guard stream.isClosed, exchange(on: stream, worker) == nil else {
                index += 1
                continue
            }
            full.removeAll { $0 === stream }
            session.recycle(stream)
        }
        if session.streamCount == 0 {
            if idleSince == 0 { idleSince = worker.now }
            // One that takes no stream at all would only be kept beside the next.
            if isGoingAway || session.isOver || session.capacity == 0 { close(worker) }
        }
    }

    /// A stream is over.
    ///
    /// An answer that is whole is a good one, whatever the server says after it (RFC 9113 §8.1); what the server has not
    /// acted on may be sent again (§8.7).
    private func closed(_ stream: HTTP2Stream, _ code: UInt32, _ worker: Worker) {
        guard !stream.isWhole, let exchange = exchange(on: stream, worker) else { return }
        stream.exchange = nil
        let unseen = code == HTTP2Session.Code.refusedStream.rawValue
        let wantsHTTP1 = code == HTTP2Session.Code.http11Required.rawValue
        if wantsHTTP1 { exchange.needsHTTP1 = true }
        let isFault = !unseen && !wantsHTTP1
        worker.pools[place.pool].failed(place, .streamReset(code), untouched: false, isFault: isFault, worker)
        worker.pools[place.pool].exchangeEnded(at: place.endpoint, worker)
        exchange.note(facts())
        let mayRepeat = (unseen || wantsHTTP1) && exchange.mayAskAgain()
        exchange.serverFailed(.streamReset(code), repeatable: mayRepeat, worker)
    }

    /// The stream cannot go on, by our decision.
    private func breakOff(_ stream: HTTP2Stream, _ reason: UpstreamFailure, _ worker: Worker) {
        guard let exchange = exchange(on: stream, worker) else { return }
        stream.exchange = nil
        if !stream.isClosed { session.reset(stream, .internalError) }
        let pool = worker.pools[place.pool]
        pool.failed(place, reason, untouched: false, isFault: true, worker)
        pool.exchangeEnded(at: place.endpoint, worker)
        exchange.note(facts())
        exchange.serverFailed(reason, repeatable: false, worker)
        touch(worker)
    }

    /// The connection cannot go on: every exchange on it has failed, but for those whose answer has come as a whole.
    private func fail(_ reason: UpstreamFailure, _ worker: Worker) {
        guard !isClosed, !isBroken else { return }
        isBroken = true
        stopSharing(worker)
        deadline.clear()
        transport.silence(worker.poller)
        transport.abort()
        let pool = worker.pools[place.pool]
        let failing = session.streams.filter { !$0.isWhole && exchange(on: $0, worker) != nil }
        if !failing.isEmpty { pool.failed(place, reason, untouched: false, isFault: true, worker) }
        let facts = facts()
        for stream in failing {
            guard let exchange = exchange(on: stream, worker) else { continue }
            stream.exchange = nil
            pool.exchangeEnded(at: place.endpoint, worker)
            exchange.note(facts)
            // Once only: a request that ends every connection it comes on would end those of all others, too.
            let mayRepeat =
                served > 1 && !stream.headIsComplete && exchange.request.method.isIdempotent
                && !exchange.wantsFreshConnection
            exchange.serverFailed(reason, repeatable: mayRepeat, worker)
        }
        retire(worker)
        touch(worker)
    }

    private func flush(_ worker: Worker) {
        do throws(HTTP2Error) {
            for _ in 0..<8 {
                try session.send(into: &transport.outbound, upTo: Transport.highWater)
                guard !transport.outbound.isEmpty else { break }
                // Below the mark, the session has said all that it has to say.
                let isAll = transport.outbound.count < Transport.highWater
                do throws(TransportError) {
                    guard try transport.flush(), !isAll else { break }
                } catch {
                    readLastWords(worker)
                    fail(.broken(error), worker)
                    return
                }
            }
        } catch {
            fail(.http2(error), worker)
            return
        }
        if transport.outbound.isEmpty, session.wantsToSend { worker.readAgain(token) }
        // Sending may have closed streams.
        handleEvents(worker)
        retire(worker)
        guard !isClosed, !full.isEmpty else { return }
        full.removeAll { stream in
            guard stream.outboundCount < Transport.highWater / 2 else { return false }
            if let client = exchange(on: stream, worker)?.client { worker.touch(client.connection) }
            return true
        }
    }

    /// The server takes nothing any more, but may have answered before: what it has sent is there to its end.
    private func readLastWords(_ worker: Worker) {
        for _ in 0..<Self.mostLastReads {
            let before = transport.bytesIn
            read(worker)
            guard !isClosed, !isBroken, transport.bytesIn != before else { return }
            process(worker)
        }
    }

    private func inspect(_ stream: HTTP2Stream, _ worker: Worker) {
        guard let exchange = exchange(on: stream, worker) else {
            // Nobody waits for a stream that the server does not end.
            let patience = worker.pools[place.pool].settings.timeouts.response
            if worker.now &- stream.waitingSince > patience { session.reset(stream, .cancel) }
            return
        }
        // While the client takes nothing, its own time limit runs.
        if !stream.inbound.isEmpty { stream.waitingSince = worker.now }
        if stream.outboundCount > 0, stream.bytesOut != stream.bytesOutSeen { stream.waitingSince = worker.now }
        // Nor does the server's run while it waits for the client.
        if exchange.requestIsOpen, stream.outboundCount == 0, !exchange.isTunnel { stream.waitingSince = worker.now }
        stream.bytesOutSeen = stream.bytesOut
        let timeouts = exchange.timeouts(worker) ?? worker.pools[place.pool].settings.timeouts
        guard worker.now &- stream.waitingSince > timeouts.response else { return }
        if probedAt == 0 {
            session.ping()
            probedAt = worker.now
        }
        breakOff(stream, .responseTimeout, worker)
    }

    private func setDeadline(_ milliseconds: UInt64, _ worker: Worker) {
        worker.arm(token, deadline.set(after: milliseconds, now: worker.now))
    }
}
