import Bytes
import HTTP

/// What is left of an answer whose client has gone.
///
/// A connection that is broken off costs a handshake, at both ends, more than a short answer does. Clients in HTTP/2 leave
/// single requests as they please.
struct UnwantedAnswer {
    /// More bytes than this are not read for nobody.
    static let mostBytes: UInt64 = 131_072
    /// No answer is waited for longer than this, in milliseconds: whoever makes it learns then that it is not wanted.
    static let time: UInt64 = 1000

    /// Of the request.
    var method = HTTP.Method.get
    var hasHead = false
    /// Bytes that had come on the connection before.
    var bytesBefore: UInt64 = 0
}

extension Exchange {
    /// The client has gone: the server's connection stays where the request is whole, and the answer is over soon.
    func leaveAnswer(_ worker: Worker) {
        guard state.request == .ended, !isBound, !isTunnel, case .http1(let connection)? = serverSide(worker),
            connection.drop(answerTo: asked.method, worker)
        else { return }
        server = nil
    }
}

extension UpstreamConnection {
    /// Goes on without its exchange, to the end of the answer.
    ///
    /// - Returns: false when that would not do; then nothing has changed.
    func drop(answerTo method: HTTP.Method, _ worker: Worker) -> Bool {
        // A request that has not left yet need not be answered; who was announced to the server does not come back.
        guard phase == .head || (phase == .body && isShort), transport.outbound.isEmpty, transport.end == .open,
            announced == nil
        else { return false }
        unwanted = UnwantedAnswer(method: method, hasHead: phase == .body, bytesBefore: transport.bytesIn)
        exchange = nil
        phase = .dropping
        setDeadline(UnwantedAnswer.time, worker)
        touch(worker)
        return true
    }

    /// Drops what has come.
    func drop(_ worker: Worker) {
        while unwanted.hasHead ? dropBody(worker) : dropHead(worker) {}
        guard phase == .dropping else { return }
        let isLong = transport.bytesIn &- unwanted.bytesBefore > UnwantedAnswer.mostBytes
        if isLong || transport.end != .open { giveUpAnswer(worker) }
    }

    /// The server is not waited for any longer.
    func giveUpAnswer(_ worker: Worker) {
        transport.abort()
        close(worker)
    }

    private var isShort: Bool {
        switch framing {
        case .none, .chunked: true
        case .length: remaining <= UnwantedAnswer.mostBytes
        case .untilClose: false
        }
    }

    /// - Returns: whether there may be more to drop.
    private func dropHead(_ worker: Worker) -> Bool {
        guard !transport.inbound.isEmpty else { return false }
        let spare = worker.takeExchange()
        defer { worker.recycle(spare) }
        do throws(ResponseError) {
            guard try transport.take(&spare.response, by: &parser, answering: unwanted.method) else { return false }
        } catch {
            giveUpAnswer(worker)
            return false
        }
        parser.reset()
        let status = note(spare.response)
        if status < 200 { interim += 1 } else { beginBody() }
        guard status != 101, interim <= Self.mostInterim, status < 200 || isShort else {
            giveUpAnswer(worker)
            return false
        }
        unwanted.hasHead = status >= 200
        return true
    }

    /// - Returns: whether there may be more to drop.
    private func dropBody(_ worker: Worker) -> Bool {
        var isOver = framing == .none
        if case .length = framing {
            let count = min(UInt64(transport.inbound.count), remaining)
            transport.consume(Int(count))
            remaining -= count
            isOver = remaining == 0
        }
        while framing == .chunked, !isOver {
            var offset = 0
            let step: ChunkedDecoder.Step
            do throws(ChunkError) {
                step = try transport.decode(&decoder, from: &offset, trailers: &trailers)
            } catch {
                giveUpAnswer(worker)
                return false
            }
            transport.consume(offset)
            switch step {
            case .data: continue
            case .needMore: return false
            case .end:
                trailers.removeAll()
                isOver = true
            }
        }
        if isOver { wasDropped(worker) }
        return false
    }

    private func wasDropped(_ worker: Worker) {
        worker.pools[place.pool].answered(place.endpoint, worker)
        guard staysOpen, transport.mayRest else {
            giveUpAnswer(worker)
            return
        }
        goBack(worker)
    }
}
