import Bytes
import Config
import HTTP2
import TLS
import Telemetry

/// How fast the client takes what all streams have for it; kept by the connection between two looks.
struct HTTP2Reading {
    private var patience = Patience()
    /// Of the socket and of the session, when they were last looked at.
    private var acknowledged: UInt64?
    private var bodyBytes: UInt64 = 0
    /// Since when something waits for the client, in monotonic milliseconds, as far as looks tell; nil while nothing does.
    private(set) var since: UInt64?

    /// Looks again.
    ///
    /// - Parameter isWaiting: whether the session has bytes that it may not send for want of windows.
    /// - Returns: whether the client has been too slow for too long.
    mutating func isTooSlow(
        _ transport: borrowing Transport,
        _ session: HTTP2Session,
        isWaiting: Bool,
        _ settings: Config.Server,
        now: UInt64
    ) -> Bool {
        let sent = session.bodyBytesOut &- bodyBytes
        bodyBytes = session.bodyBytesOut
        let limit = settings.timeouts.write
        guard isWaiting || !transport.outbound.isEmpty else {
            acknowledged = nil
            since = nil
            return false
        }
        if since == nil {
            since = now
            patience.renew(limit: limit)
        }
        var taken = sent
        if transport.outbound.isEmpty {
            acknowledged = nil
        } else {
            // What the kernel has taken is not with the client yet.
            let total = transport.bytesTaken
            taken = acknowledged.map { total &- $0 } ?? 0
            acknowledged = total
        }
        patience.wait(now: now)
        patience.earn(taken, rate: settings.limits.minimumRate, limit: limit, now: now)
        return patience.isOver(now: now)
    }
}

/// Ends what has stalled or trickles: requests that stop half-way, readers that stop taking, connections without a stream.
extension HTTP2ClientConnection {
    func inspect(_ worker: Worker) {
        let settings = worker.snapshot.configuration.server
        let now = worker.now
        let waits = session.streams.contains { $0.outboundCount > 0 }
        if reading.isTooSlow(transport, session, isWaiting: waits, settings, now: now) {
            guard transport.outbound.isEmpty else {
                worker.metrics.add(.slowReaders)
                gone("the client took too little for too long", worker)
                return
            }
            // Its windows stay closed, or open byte by byte: whatever waits for them is given up.
            for stream in session.streams where stream.outboundCount > 0 && !stream.isClosed { cut(stream, worker) }
            handleEvents(worker)
            return
        }
        if idleSince != 0 {
            let limit = servedAny ? settings.timeouts.keepAlive : settings.timeouts.head
            if now &- idleSince >= limit, !hasGoneAway, !waitsForTurn { goAway(worker) }
            return
        }
        for stream in session.streams where !stream.isClosed { inspect(stream, settings, worker) }
        handleEvents(worker)
    }

    /// A stream's times begin with its head.
    func beginWatching(_ stream: HTTP2Stream, _ worker: Worker) {
        let timeouts = worker.snapshot.configuration.server.timeouts
        stream.waitingSince = worker.now
        stream.sending.renew(limit: timeouts.body)
        stream.taking.renew(limit: timeouts.write)
    }

    private func inspect(_ stream: HTTP2Stream, _ settings: Config.Server, _ worker: Worker) {
        let now = worker.now
        guard stream.headIsComplete else {
            // A field section that trickles in holds up the whole connection (RFC 9113 §4.3).
            if now &- stream.waitingSince > settings.timeouts.head { refuseClient(.session(0), worker) }
            return
        }
        let rate = settings.limits.minimumRate
        let taken = stream.bytesOut &- stream.bytesOutSeen
        stream.bytesOutSeen = stream.bytesOut
        stream.taking.earn(taken, rate: rate, limit: settings.timeouts.write, now: now)
        if stream.outboundCount == 0 {
            stream.taking.renew(limit: settings.timeouts.write)
        } else if session.peerWindow(of: stream) > 0 {
            // Others' turn, or the connection's window: the connection is looked at as a whole.
            stream.taking.pause(now: now)
        } else {
            stream.taking.wait(now: now)
            if stream.taking.isOver(now: now) {
                cut(stream, worker)
                return
            }
        }
        guard let exchange = stream.exchange.flatMap({ worker.exchange($0) }) else {
            stopRequest(stream, now)
            return
        }
        let came = stream.bytesIn &- stream.bytesInSeen
        stream.bytesInSeen = stream.bytesIn
        stream.sending.earn(came, rate: rate, limit: settings.timeouts.body, now: now)
        // Only what the client keeps us waiting for counts, not what the server does.
        guard exchange.requestIsOpen, !exchange.isTunnel, !stream.inboundEnded, stream.inbound.isEmpty,
            exchange.takesBody(worker)
        else {
            stream.sending.pause(now: now)
            return
        }
        stream.sending.wait(now: now)
        if stream.sending.isOver(now: now) {
            worker.metrics.add(.slowBodies)
            exchange.requestTimedOut(worker)
        }
    }

    private func cut(_ stream: HTTP2Stream, _ worker: Worker) {
        worker.metrics.add(.http2SlowReaders)
        worker.log.client(identity.peer, "HTTP/2: a stream's window stays closed")
        let exchange = stream.exchange.flatMap { worker.exchange($0) }
        session.reset(stream, .cancel)
        exchange?.clientGone("the client took too little for too long", worker)
    }

    /// RFC 9113 §8.1: a response that is complete before its request asks the client to stop sending.
    ///
    /// Not at once: some clients take a reset that comes with the last of the response for the loss of both, and most
    /// stop by themselves.
    private func stopRequest(_ stream: HTTP2Stream, _ now: UInt64) {
        guard stream.outboundEnded, stream.outboundCount == 0, !stream.inboundEnded,
            now &- stream.waitingSince >= Self.inspection
        else { return }
        session.reset(stream, .none)
    }
}
