import Bytes
import HTTP
import HTTP2
import Platform
import Telemetry

/// Requests out of streams, responses into them.
extension HTTP2ClientConnection {
    /// A stream's field section is complete: a request, or what cannot be one.
    func begin(_ stream: HTTP2Stream, _ worker: Worker) {
        // Reset in the same breath: nothing is begun for it.
        guard !stream.isClosed else { return }
        beginWatching(stream, worker)
        let exchange = worker.takeExchange()
        exchange.times.firstByteIn = worker.nowMicroseconds
        exchange.bytesFromClient = UInt64(truncatingIfNeeded: stream.fieldBytes)
        stream.exchange = exchange.token
        let place = ClientPlace(connection: token, stream: stream.id)
        watchStreams(worker)
        guard !stream.isOversized else {
            worker.metrics.add(.requestsRefused)
            exchange.refuse(431, "the field section is longer than allowed", from: place, worker)
            return
        }
        let endsStream = stream.inboundEnded && !stream.holdsInbound && !stream.hasTrailers
        do throws(RequestError) {
            try stream.takeFields { fields throws(RequestError) in
                try exchange.request.assemble(from: &fields, endsStream: endsStream)
            }
        } catch {
            worker.metrics.add(.requestsRefused)
            exchange.refuse(error.status, "\(error.reason)", from: place, worker)
            return
        }
        // Any other request is over with its head then.
        if exchange.request.upgrade != nil, stream.inboundEnded { session.remind(stream) }
        exchange.begin(from: place, identity, worker)
    }

    /// Hands on what waits of a request's body.
    ///
    /// - Returns: whether more of it waits, for the server to take later.
    func forwardBody(_ stream: HTTP2Stream, _ worker: Worker) -> Bool {
        guard let exchange = stream.exchange.flatMap({ worker.exchange($0) }), exchange.requestIsOpen else {
            session.discardInbound(stream)
            return false
        }
        guard exchange.takesBody(worker) else { return true }
        if stream.holdsInbound {
            let count = stream.inbound.count
            exchange.bytesFromClient &+= UInt64(truncatingIfNeeded: count)
            guard exchange.isTunnel || exchange.accepts(bodyBytes: count, worker) else { return false }
            exchange.forwardBody(count, from: &stream.inbound, worker)
            session.took(count, from: stream)
            stream.waitingSince = worker.now
        }
        guard stream.inboundEnded else { return false }
        if stream.trailersAreOversized {
            exchange.breakRequest(.trailersTooLong, worker)
        } else {
            exchange.endRequest(trailers: stream.trailers, worker)
        }
        return false
    }

    // MARK: verbs of the exchange

    /// An interim head.
    func sendInterim(
        _ head: borrowing ResponseHead,
        _ exchange: Exchange,
        on stream: HTTP2Stream,
        _ worker: Worker
    ) {
        guard let context = exchange.responseContext(keepAlive: true) else { return }
        var lines = ByteQueue(pool: worker.buffers)
        ResponseWriter.writeInterim(head, answering: exchange.request, context, into: &lines)
        touch(worker)
        guard !stream.isClosed else { return }
        do throws(HTTP2Error) {
            try session.respondInterim(stream, head: lines)
        } catch { session.reset(stream, .internalError) }
    }

    /// The final head.
    func sendHead(
        _ head: borrowing ResponseHead,
        _ exchange: Exchange,
        on stream: HTTP2Stream,
        _ worker: Worker
    ) {
        guard let context = exchange.responseContext(keepAlive: true) else { return }
        var lines = ByteQueue(pool: worker.buffers)
        let endsStream = head.framing == .none || head.framing == .length(0)
        ResponseWriter.write(head, answering: exchange.request, framing: head.framing, context, into: &lines)
        respond(on: stream, lines, bytes: lines.count, endsStream: endsStream, worker)
    }

    /// The stream carries the other protocol from here on (RFC 8441 §5).
    func beginTunnel(
        _ head: borrowing ResponseHead,
        _ exchange: Exchange,
        on stream: HTTP2Stream,
        _ worker: Worker
    ) {
        guard let context = exchange.responseContext(keepAlive: true) else { return }
        var lines = ByteQueue(pool: worker.buffers)
        ResponseWriter.writeUpgrade(head, answering: exchange.request, context, into: &lines)
        respond(on: stream, lines, bytes: lines.count, endsStream: false, worker)
    }

    /// A piece of the body.
    func sendBody(_ bytes: Span<UInt8>, on stream: HTTP2Stream, _ worker: Worker) {
        guard !stream.isClosed else { return }
        stream.send(bytes)
        added(to: stream, worker)
    }

    /// A piece of the body, taken from where it waits.
    func sendBody(_ count: Int, from queue: inout ByteQueue, on stream: HTTP2Stream, _ worker: Worker) {
        guard !stream.isClosed else {
            queue.consume(count)
            return
        }
        stream.send(count, from: &queue)
        added(to: stream, worker)
    }

    private func added(to stream: HTTP2Stream, _ worker: Worker) {
        session.resume(stream)
        if stream.outboundCount >= Transport.highWater { noteFull(stream) }
        touch(worker)
    }

    /// The end of the body.
    func sendEnd(trailers: borrowing HeaderBlock, on stream: HTTP2Stream, _ worker: Worker) {
        session.end(stream, trailers: trailers)
        touch(worker)
    }

    /// An answer of our own.
    func sendLocal(_ status: Int, _ exchange: Exchange, on stream: HTTP2Stream, _ worker: Worker) {
        var lines = ByteQueue(pool: worker.buffers)
        LocalResponse.write(
            status: status,
            answer: exchange.answer,
            retryAfter: exchange.retryAfter,
            requestID: exchange.requestID,
            json: exchange.request.prefersJSON,
            headOnly: exchange.request.method == .head,
            keepAlive: true,
            date: worker.date,
            added: exchange.files.fields
                + worker.snapshot.ownLines(site: exchange.site, status: status, for: identity),
            into: &lines
        )
        let end = HeadEnd.position(in: lines.bytes)
        let hasBody = end < lines.count
        respond(on: stream, lines, bytes: end, endsStream: !hasBody, worker)
        if hasBody { stream.send(lines.bytes.extracting(end..<lines.count)) }
        session.end(stream)
    }

    /// The exchange is over: what it left in the stream still goes out.
    func exchangeEnded(on stream: HTTP2Stream, _ worker: Worker) {
        stream.exchange = nil
        // The rest of a request that was answered early is not wanted, and dropped until the client is told to stop.
        stream.waitingSince = worker.now
        if !stream.inboundEnded || stream.holdsInbound { session.discardInbound(stream) }
        touch(worker)
    }

    /// The response cannot be completed.
    func cutOff(_ stream: HTTP2Stream, _ worker: Worker) { breakOff(stream, .internalError, worker) }

    /// The request cannot be served in HTTP/2.
    func demandHTTP1(_ stream: HTTP2Stream, _ worker: Worker) { breakOff(stream, .http11Required, worker) }

    private func breakOff(_ stream: HTTP2Stream, _ code: HTTP2Session.Code, _ worker: Worker) {
        stream.exchange = nil
        // What waits in `outbound` stays until the stream is closed: a frame of it may be half-way out.
        session.reset(stream, code)
        touch(worker)
    }

    /// Submits the head that `lines` begin with.
    private func respond(
        on stream: HTTP2Stream,
        _ lines: borrowing ByteQueue,
        bytes: Int,
        endsStream: Bool,
        _ worker: Worker
    ) {
        touch(worker)
        guard !stream.isClosed else { return }
        do throws(HTTP2Error) {
            try session.respond(stream, head: lines, bytes: bytes, endsStream: endsStream)
        } catch { session.reset(stream, .internalError) }
    }
}
