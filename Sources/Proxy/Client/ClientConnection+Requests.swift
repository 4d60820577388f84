import Bytes
import Config
import HTTP
import TLS
import Telemetry

/// HTTP/1.1 as the client speaks it: heads and bodies out of the transport, into the exchange.
extension ClientConnection {
    /// Goes on with the bytes that wait, as far as the other side takes them.
    func process(_ worker: Worker) {
        while true {
            switch phase {
            case .idle:
                // A client that sends request after request and reads no answer waits for itself.
                guard transport.mayBegin else { return }
                phase = .head
                setDeadline(worker.snapshot.configuration.server.timeouts.head, worker)
                let next = worker.takeExchange()
                next.times.firstByteIn = worker.nowMicroseconds
                exchange = next
            case .head:
                guard readHead(worker) else { return }
            case .exchanging:
                guard !requestEnded, let exchange, readOn(exchange, worker) else { return }
            case .finishing, .lingering:
                // Nothing more is answered; reading goes on, so that the peer is not reset while it still sends.
                transport.consume(transport.inbound.count)
                return
            case .cutting, .closed: return
            }
        }
    }

    /// Refuses a request that cannot be understood: where the next one would start is unknown, so the connection ends.
    func refuse(_ status: Int, _ reason: String, _ worker: Worker) {
        worker.metrics.add(.requestsRefused)
        phase = .exchanging
        staysOpen = false
        guard let exchange else {
            finish(worker)
            return
        }
        exchange.refuse(status, reason, from: ClientPlace(connection: token), worker)
    }

    private func readHead(_ worker: Worker) -> Bool {
        guard let exchange else { return false }
        let consumed: Int?
        do throws(RequestError) {
            consumed = try transport.take(&exchange.request, by: &parser)
        } catch {
            refuse(error.status, "\(error.reason)", worker)
            return false
        }
        guard let consumed else { return false }
        exchange.bytesFromClient += UInt64(consumed)
        phase = .exchanging
        clearDeadline()
        _ = countRequest()
        if identity.entry.kind == .redirect {
            if worker.isForProof(exchange.request) { prove(exchange, worker) } else { redirect(exchange, worker) }
            return true
        }
        exchange.boundServer = boundServer
        prepareBody(AskedRequest(exchange.request), worker)
        exchange.begin(from: ClientPlace(connection: token), identity, worker)
        return true
    }

    private func prepareBody(_ asked: AskedRequest, _ worker: Worker) {
        staysOpen = asked.keepAlive && leavesBy == nil
        switch asked.framing {
        case .none, .untilClose:
            requestEnded = true
            return
        case .length(let length):
            remaining = length
            requestEnded = length == 0
        case .chunked:
            decoder = ChunkedDecoder()
            requestEnded = false
        }
        if !requestEnded { awaitBody(worker) }
    }

    private func readOn(_ exchange: Exchange, _ worker: Worker) -> Bool {
        isTunnel ? readTunnel(exchange, worker) : readBody(exchange, worker)
    }

    /// The other protocol's bytes, and the end of the client's side.
    private func readTunnel(_ exchange: Exchange, _ worker: Worker) -> Bool {
        guard exchange.takesBody(worker) else { return false }
        guard transport.inbound.isEmpty else {
            let count = transport.inbound.count
            exchange.bytesFromClient += UInt64(count)
            exchange.forwardBody(count, from: &transport.inbound, worker)
            return true
        }
        if transport.end == .clean { endRequest(exchange, worker) }
        return false
    }

    private func readBody(_ exchange: Exchange, _ worker: Worker) -> Bool {
        guard !transport.inbound.isEmpty, exchange.takesBody(worker) else { return false }
        setDeadline(worker.snapshot.configuration.server.timeouts.body, worker)
        switch exchange.asked.framing {
        case .none, .untilClose: return false
        case .length:
            let count = Int(min(UInt64(transport.inbound.count), remaining))
            exchange.forwardBody(count, from: &transport.inbound, worker)
            exchange.bytesFromClient += UInt64(count)
            remaining -= UInt64(count)
            if remaining == 0 { endRequest(exchange, worker) }
        case .chunked: return readChunk(exchange, worker)
        }
        return true
    }

    private func readChunk(_ exchange: Exchange, _ worker: Worker) -> Bool {
        var offset = 0
        let step: ChunkedDecoder.Step
        do throws(ChunkError) {
            step = try transport.decode(&decoder, from: &offset, trailers: &trailers)
        } catch {
            exchange.breakRequest(error, worker)
            return false
        }
        exchange.bytesFromClient += UInt64(offset)
        switch step {
        case .data(let range):
            guard exchange.accepts(bodyBytes: range.count, worker) else { return false }
            transport.consume(range.lowerBound)
            exchange.forwardBody(range.count, from: &transport.inbound, worker)
            transport.consume(offset - range.upperBound)
            return true
        case .needMore:
            transport.consume(offset)
            return false
        case .end:
            transport.consume(offset)
            endRequest(exchange, worker)
            return false
        }
    }

    private func endRequest(_ exchange: Exchange, _ worker: Worker) {
        requestEnded = true
        clearDeadline()
        let isChunked = exchange.asked.framing == .chunked
        exchange.endRequest(trailers: trailers, worker)
        if isChunked { trailers.removeAll() }
    }
}
