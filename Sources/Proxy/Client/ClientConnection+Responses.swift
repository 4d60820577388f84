import Bytes
import HTTP
import Platform
import TLS

/// The verbs of the exchange: a response as HTTP/1.1 to the client.
extension ClientConnection {
    /// RFC 9110 §15.2: an interim response; a client of HTTP/1.0 knows none.
    func sendInterim(_ head: borrowing ResponseHead, _ exchange: Exchange, _ worker: Worker) {
        guard exchange.asked.minorVersion >= 1, let context = exchange.responseContext(keepAlive: true) else {
            return
        }
        ResponseWriter.writeInterim(head, answering: exchange.request, context, into: &transport.outbound)
        touch(worker)
    }

    /// The final head; a body without a length becomes chunked, or ends with the connection for HTTP/1.0.
    func sendHead(_ head: borrowing ResponseHead, _ exchange: Exchange, _ worker: Worker) {
        var framing = head.framing
        if framing == .untilClose || framing == .chunked {
            framing = exchange.asked.minorVersion >= 1 ? .chunked : .untilClose
        }
        if framing == .untilClose { staysOpen = false }
        if leavesBy != nil { staysOpen = false }
        responseFraming = framing
        guard let context = exchange.responseContext(keepAlive: staysOpen) else { return }
        ResponseWriter.write(head, answering: exchange.request, framing: framing, context, into: &transport.outbound)
        touch(worker)
    }

    /// 101: from here on both directions carry the other protocol, until each ends.
    func beginTunnel(_ head: borrowing ResponseHead, _ exchange: Exchange, _ worker: Worker) {
        guard let context = exchange.responseContext(keepAlive: false) else { return }
        staysOpen = false
        requestEnded = false
        isTunnel = true
        responseFraming = .untilClose
        clearDeadline()
        ResponseWriter.writeUpgrade(head, answering: exchange.request, context, into: &transport.outbound)
        touch(worker)
    }

    /// A piece of the body.
    func sendBody(_ bytes: Span<UInt8>, _ worker: Worker) {
        beginPiece(bytes.count)
        transport.outbound.append(bytes)
        endPiece(transport.outbound.count, worker)
    }

    /// A piece of the body, taken from where it waits.
    func sendBody(_ count: Int, from queue: inout ByteQueue, _ worker: Worker) {
        beginPiece(count)
        let waiting = transport.send(count, from: &queue)
        endPiece(waiting, worker)
    }

    private func beginPiece(_ count: Int) {
        if responseFraming == .chunked { ChunkWriter.head(count, into: &transport.outbound) }
    }

    private func endPiece(_ waiting: Int, _ worker: Worker) {
        if responseFraming == .chunked { ChunkWriter.tail(into: &transport.outbound) }
        if waiting >= Transport.highWater { wasFull = true }
        touch(worker)
    }

    /// The end of the body.
    func sendEnd(trailers: borrowing HeaderBlock, _ worker: Worker) {
        if responseFraming == .chunked { ChunkWriter.end(trailers: trailers, into: &transport.outbound) }
        touch(worker)
    }

    /// An answer of our own: small, without internals.
    ///
    /// - Returns: whether another request may follow.
    func sendLocal(_ status: Int, _ exchange: Exchange, mayStayOpen: Bool, _ worker: Worker) -> Bool {
        let stays = mayStayOpen && staysOpen && leavesBy == nil
        LocalResponse.write(
            status: status,
            answer: exchange.answer,
            retryAfter: exchange.retryAfter,
            requestID: exchange.requestID,
            json: exchange.request.prefersJSON,
            headOnly: exchange.request.method == .head,
            keepAlive: stays,
            date: worker.date,
            added: exchange.files.fields
                + worker.snapshot.ownLines(site: exchange.site, status: status, for: identity),
            into: &transport.outbound
        )
        touch(worker)
        return stays
    }

    /// The plain listener's answer to an authority: what proves who is served here, or that there is no such thing.
    func prove(_ exchange: Exchange, _ worker: Worker) {
        requestEnded = true
        staysOpen = false
        let answer = worker.proofs.answer(to: exchange.request)
        exchange.answer(answer == nil ? 404 : 200, on: self, worker) {
            LocalResponse.write(
                status: exchange.status,
                answer: answer,
                requestID: exchange.requestID,
                json: false,
                headOnly: exchange.request.method == .head,
                keepAlive: false,
                date: worker.date,
                into: &transport.outbound
            )
            touch(worker)
        }
    }

    /// The plain listener's only other answer: the same resource over https.
    func redirect(_ exchange: Exchange, _ worker: Worker) {
        requestEnded = true
        staysOpen = false
        exchange.answer(308, on: self, worker) {
            LocalResponse.redirect(
                exchange.request,
                port: worker.snapshot.httpsPort(for: exchange.request),
                requestID: exchange.requestID,
                date: worker.date,
                into: &transport.outbound
            )
            touch(worker)
        }
    }
}
