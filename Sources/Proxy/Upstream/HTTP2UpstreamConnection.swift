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

    let token: Token
    let place: ServerPlace
    let session: HTTP2Session
    var transport: Transport
    var isTouched = false
    /// Heads on their way into the session, as HTTP/1.1 has them.
    var scratch: ByteQueue
    private(set) var isClosed = false
    /// The server takes no new streams.
    private(set) var isGoingAway = false
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
        session = try HTTP2Session(.client, limits: limits, pool: pool)
        self.transport = consume transport
        scratch = ByteQueue(pool: pool)
        idleSince = now
    }

    func start(_ worker: Worker) {
        setDeadline(Self.inspection, worker)
        worker.touch(token)
    }

    /// Whether another exchange may begin.
    var hasRoom: Bool { !isClosed && !isGoingAway && session.streams.count < session.capacity }

    /// Begins an exchange on a new stream.
    ///
    /// - Returns: false when the connection turns out to take no more.
    func begin(_ exchange: Exchange, _ context: ForwardingContext, _ worker: Worker) -> ServerStream? {
        scratch.removeAll()
        var context = context
        context.serverVersion = .http2
        RequestWriter.write(exchange.request, context, into: &scratch)
        let endsStream = exchange.request.framing == .none || exchange.request.framing == .length(0)
        guard let stream = session.request(head: scratch, endsStream: endsStream) else { return nil }
        stream.exchange = exchange.token
        stream.waitingSince = worker.now
        stream.stalledSince = worker.now
        served += 1
        idleSince = 0
        worker.touch(token)
        return ServerStream(connection: token, stream: stream.id)
    }

    /// What the log says about this connection.
    func facts() -> ServerFacts {
        ServerFacts(endpoint: place.endpoint, address: place.address, tls: transport.facts, reused: served > 1)
    }

    // MARK: events

    func ready(_ readiness: Readiness, _ worker: Worker) {
        if !readiness.isDisjoint(with: [.readable, .hangUp]) { read(worker) }
        worker.touch(token)
    }

    /// Reads what has come; also called when TLS still held bytes at the end of the last turn.
    func read(_ worker: Worker) {
        guard !isClosed else { return }
        do throws(TransportError) {
            if case .ended = try transport.fill() {
                // What came before the end still counts.
                process(worker)
                fail(.closedEarly, worker)
            }
        } catch { fail(.broken(error), worker) }
        worker.touch(token)
    }

    /// The end of a turn: goes on with what was read, writes what waits, tells epoll.
    func settle(_ worker: Worker) {
        isTouched = false
        guard !isClosed else { return }
        process(worker)
        guard !isClosed else { return }
        flush(worker)
        guard !isClosed else { return }
        if transport.holdsMore { worker.readAgain(token) }
        transport.updateInterest(reading: true, poller: worker.poller)
    }

    func timedOut(_ worker: Worker) {
        guard deadline.expired(now: worker.now, token: token, wheel: &worker.wheel) else { return }
        guard !isClosed else { return }
        let timeouts = worker.pools[place.pool].settings.timeouts
        if idleSince != 0, isGoingAway || worker.now &- idleSince >= timeouts.idle {
            session.terminate(.none)
            try? session.send(into: &transport.outbound, upTo: Transport.highWater)
            _ = try? transport.flush()
            close(worker)
            return
        }
        for stream in session.streams where !stream.isClosed { inspect(stream, worker) }
        guard !isClosed else { return }
        setDeadline(Self.inspection, worker)
        worker.touch(token)
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

    func sendBody(_ bytes: Span<UInt8>, on stream: HTTP2Stream, _ worker: Worker) {
        guard !stream.isClosed else { return }
        stream.outbound.append(bytes)
        session.resume(stream)
        stream.waitingSince = worker.now
        if stream.outbound.count >= Transport.highWater, !full.contains(where: { $0 === stream }) {
            full.append(stream)
        }
        worker.touch(token)
    }

    func sendEnd(trailers: borrowing HeaderBlock, on stream: HTTP2Stream, _ worker: Worker) {
        if trailers.count > 0 {
            scratch.removeAll()
            ChunkWriter.end(trailers: trailers, into: &scratch)
            session.end(stream, trailers: scratch)
        } else {
            session.end(stream)
        }
        stream.waitingSince = worker.now
        worker.touch(token)
    }

    /// The exchange lets go of its stream, which is broken off unless both messages are whole.
    func exchangeEnded(on stream: HTTP2Stream, reuse: Bool, _ worker: Worker) {
        stream.exchange = nil
        if !stream.isClosed {
            session.discardInbound(stream)
            if !reuse || !stream.outboundEnded { session.reset(stream, .cancel) }
        }
        worker.pools[place.pool].exchangeEnded(at: place.endpoint, worker)
        worker.touch(token)
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
        for event in session.takeEvents() {
            switch event {
            case .head(let stream): beginResponse(stream, worker)
            case .interim(let stream): forwardInterim(stream, worker)
            case .closed(let stream, let code): if code != 0 { streamFailed(stream, code, worker) }
            case .goAway:
                isGoingAway = true
                worker.pools[place.pool].sharedIsFull(token, at: place.endpoint)
            case .fault(let code): fail(.http2(.session(Int(code))), worker)
            case .refusedStream: break
            }
        }
    }

    private func exchange(on stream: HTTP2Stream, _ worker: Worker) -> Exchange? {
        stream.exchange.flatMap { worker.exchange($0) }
    }

    private func beginResponse(_ stream: HTTP2Stream, _ worker: Worker) {
        guard let exchange = exchange(on: stream, worker) else { return }
        stream.waitingSince = worker.now
        let endsStream = stream.inboundEnded && stream.inbound.isEmpty && stream.trailers.count == 0
        do throws(ResponseError) {
            guard !stream.isOversized else { throw .headTooLong }
            try exchange.response.assemble(
                from: stream.fields,
                requestMethod: exchange.request.method,
                endsStream: endsStream
            )
        } catch {
            breakOff(stream, .badResponse(error), worker)
            return
        }
        exchange.beginResponse(worker)
        // The exchange may have given the stream up; otherwise what has no body is over with its head.
        guard stream.exchange == exchange.token else { return }
        if exchange.response.framing == .none, stream.inboundEnded {
            worker.pools[place.pool].answered(place.endpoint, worker)
            exchange.endResponse(trailers: stream.trailers, reuseServer: true, worker)
        }
    }

    private func forwardInterim(_ stream: HTTP2Stream, _ worker: Worker) {
        guard let exchange = exchange(on: stream, worker) else { return }
        stream.interimCount += 1
        do throws(ResponseError) {
            guard stream.interimCount <= Self.mostInterim else { throw .tooManyInterim }
            try exchange.response.assemble(
                from: stream.interim,
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
        guard exchange.takesResponse(worker) else { return true }
        let count = stream.inbound.count
        if count > 0 {
            exchange.forwardResponse(stream.inbound.bytes, worker)
            session.consume(stream, count)
            stream.waitingSince = worker.now
        }
        if stream.inboundEnded {
            worker.pools[place.pool].answered(place.endpoint, worker)
            exchange.endResponse(trailers: stream.trailers, reuseServer: true, worker)
        }
        return false
    }

    /// Gives the memory of streams back that are over and hold nothing any more.
    private func retire(_ worker: Worker) {
        var index = 0
        while index < session.streams.count {
            let stream = session.streams[index]
            guard stream.isClosed, stream.exchange == nil || exchange(on: stream, worker) == nil else {
                index += 1
                continue
            }
            full.removeAll { $0 === stream }
            session.recycle(stream)
        }
        if session.streams.isEmpty {
            if idleSince == 0 { idleSince = worker.now }
            if isGoingAway || session.isOver { close(worker) }
        }
    }

    /// The server broke a stream off; what it has not acted on may be sent again (RFC 9113 §8.7).
    private func streamFailed(_ stream: HTTP2Stream, _ code: UInt32, _ worker: Worker) {
        guard let exchange = exchange(on: stream, worker) else { return }
        stream.exchange = nil
        let unseen = code == HTTP2Session.Code.refusedStream.rawValue
        let wantsHTTP1 = code == HTTP2Session.Code.http11Required.rawValue
        // An answer that is whole before the server stops reading is a good one (RFC 9113 §8.1).
        if code == HTTP2Session.Code.none.rawValue { return }
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
        worker.touch(token)
    }

    /// The connection cannot go on: every exchange on it has failed.
    private func fail(_ reason: UpstreamFailure, _ worker: Worker) {
        guard !isClosed else { return }
        let pool = worker.pools[place.pool]
        if !session.streams.isEmpty { pool.failed(place, reason, untouched: false, isFault: true, worker) }
        let streams = session.streams
        let facts = facts()
        transport.abort()
        isGoingAway = true
        for stream in streams {
            guard let exchange = exchange(on: stream, worker) else { continue }
            stream.exchange = nil
            pool.exchangeEnded(at: place.endpoint, worker)
            exchange.note(facts)
            let mayRepeat = served > 1 && !stream.headIsComplete && exchange.request.method.isIdempotent
            exchange.serverFailed(reason, repeatable: mayRepeat, worker)
        }
        close(worker)
    }

    private func flush(_ worker: Worker) {
        do throws(HTTP2Error) {
            for _ in 0..<8 {
                try session.send(into: &transport.outbound, upTo: Transport.highWater)
                guard !transport.outbound.isEmpty else { break }
                do throws(TransportError) {
                    guard try transport.flush() else { break }
                } catch {
                    // The server may have answered before it closed: look before giving up.
                    read(worker)
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
            guard stream.outbound.count < Transport.highWater / 2 else { return false }
            if let client = exchange(on: stream, worker)?.client { worker.touch(client.connection) }
            return true
        }
    }

    private func inspect(_ stream: HTTP2Stream, _ worker: Worker) {
        guard let exchange = exchange(on: stream, worker) else { return }
        // While the client takes nothing, its own time limit runs.
        if !stream.inbound.isEmpty { stream.waitingSince = worker.now }
        if !stream.outbound.isEmpty, stream.bytesOut != stream.bytesOutSeen { stream.waitingSince = worker.now }
        // Nor does the server's run while it waits for the client.
        if exchange.requestIsOpen, stream.outbound.isEmpty, !exchange.isTunnel { stream.waitingSince = worker.now }
        stream.bytesOutSeen = stream.bytesOut
        let timeouts = exchange.timeouts(worker) ?? worker.pools[place.pool].settings.timeouts
        guard worker.now &- stream.waitingSince > timeouts.response else { return }
        breakOff(stream, .responseTimeout, worker)
    }

    private func setDeadline(_ milliseconds: UInt64, _ worker: Worker) {
        deadline.set(after: milliseconds, now: worker.now, token: token, wheel: &worker.wheel)
    }
}
