import Bytes
import Config
import HTTP
import HTTP2
import Platform
import TLS
import Telemetry

/// One client's connection in HTTP/2 (RFC 9113): many requests at once, each a stream with an exchange.
///
/// *Ownership:* the worker owns it through its slab. It owns its transport and the session with its streams; exchanges
/// are known by token.
final class HTTP2ClientConnection {
    enum Phase: Equatable {
        /// Streams come and go. Next: finishing.
        case open
        /// The last bytes are being written; then the stream of bytes is ended. Next: lingering.
        case finishing
        /// Our side is ended; what the client still sends is dropped.
        case lingering
        case closed
    }

    /// How much of what a client sends is dealt with at once; the others come first then.
    private static let effort = 128
    /// How often streams are looked at for one that has stalled, in milliseconds.
    static let inspection: UInt64 = 1000

    let token: Token
    let identity: ClientIdentity
    let session: HTTP2Session
    var transport: Transport
    private(set) var phase = Phase.open
    var isTouched = false
    /// What is left of the client's bytes is dealt with when the connection's turn comes.
    private(set) var waitsForTurn = false
    private var deadline = Deadline()
    private(set) var servedAny = false
    private var farewell = HTTP2Farewell()
    private var linger = Linger()
    /// Monotonic milliseconds since which no stream was open.
    private(set) var idleSince: UInt64
    var reading = HTTP2Reading()
    /// Streams whose server waits for room.
    private var full: [HTTP2Stream] = []

    init(
        token: Token,
        identity: ClientIdentity,
        transport: consuming Transport,
        headLimit: Int,
        pool: BufferPool
    ) throws(HTTP2Error) {
        self.token = token
        self.identity = identity
        var limits = HTTP2Limits()
        limits.fieldSectionBytes = headLimit
        session = try HTTP2Session(.server, limits: limits, pool: pool)
        self.transport = consume transport
        idleSince = 0
    }

    func start(_ worker: Worker) {
        idleSince = worker.now
        worker.metrics.add(.http2Connections)
        setDeadline(worker.snapshot.configuration.server.timeouts.head, worker)
        if let until = worker.idleUntil { drain(until: until, worker) }
        // The preface may have come with the client's last handshake message.
        read(worker)
    }

    /// Has the connection settled at the end of this turn.
    func touch(_ worker: Worker) {
        guard !isTouched else { return }
        isTouched = true
        worker.settleLater(token)
    }

    // MARK: events

    func ready(_ readiness: Readiness, _ worker: Worker) {
        if waitsForTurn, !readiness.contains(.writable) {
            transport.updateInterest(reading: false, poller: worker.poller)
            return
        }
        if !readiness.isDisjoint(with: [.readable, .hangUp]) { read(worker) }
        touch(worker)
    }

    /// It is this connection's turn to have more of its frames dealt with.
    func takeTurn(_ worker: Worker) {
        waitsForTurn = false
        touch(worker)
    }

    /// Reads what has come; also called when TLS still held bytes at the end of the last turn.
    func read(_ worker: Worker) {
        guard phase != .closed, !waitsForTurn else { return }
        let before = transport.bytesIn
        do throws(TransportError) {
            switch try transport.fill() {
            case .bytes:
                worker.metrics.add(.bytesFromClients, Int(truncatingIfNeeded: transport.bytesIn - before))
            case .nothing: break
            case .ended: endOfStream(worker)
            }
        } catch {
            gone("the client's connection broke: \(error)", worker)
        }
        touch(worker)
    }

    /// The end of a turn: goes on with what was read, writes what waits, tells epoll.
    func settle(_ worker: Worker) {
        isTouched = false
        switch phase {
        case .open: process(worker)
        case .finishing, .lingering: transport.consume(transport.inbound.count)
        case .closed: return
        }
        guard phase != .closed else { return }
        flush(worker)
        guard phase != .closed, !waitsForTurn else { return }
        if transport.holdsMore { worker.readAgain(token) }
        transport.updateInterest(reading: true, poller: worker.poller)
    }

    /// New streams are taken until the client knows that the connection ends, since they may be on their way; then those
    /// that are open are finished.
    ///
    /// - Parameter until: how long a client that does not answer is waited for, in monotonic milliseconds.
    func drain(until: UInt64, _ worker: Worker) {
        guard phase == .open else { return }
        perform(farewell.begin(until: until, hasAsked: servedAny, now: worker.now), worker)
        setDeadline(Self.inspection, worker)
    }

    private func perform(_ action: HTTP2Farewell.Action?, _ worker: Worker) {
        switch action {
        case .announce: session.announceShutdown()
        case .goAway: session.goAway()
        case nil: return
        }
        touch(worker)
    }

    /// Whether the client knows which of its streams is the last.
    var hasGoneAway: Bool { farewell.step == .said }

    func timedOut(_ worker: Worker) {
        guard deadline.expired(now: worker.now) else {
            worker.arm(token, deadline.rest())
            return
        }
        switch phase {
        case .closed: return
        case .finishing:
            transport.abort()
            close(worker)
            return
        case .lingering:
            guard let more = linger.more(bytesIn: transport.bytesIn, now: worker.now) else {
                close(worker)
                return
            }
            setDeadline(more, worker)
            return
        case .open: break
        }
        // No stream is begun behind the word that an earlier one was the last: what has come in this very turn counts.
        process(worker)
        guard phase == .open else { return }
        if !waitsForTurn { perform(farewell.look(now: worker.now), worker) }
        inspect(worker)
        guard phase == .open else { return }
        setDeadline(Self.inspection, worker)
        touch(worker)
    }

    // MARK: the end

    /// The client went away, or will be sent away without a word.
    func gone(_ reason: String, _ worker: Worker) {
        guard phase != .closed else { return }
        transport.abort()
        endExchanges(reason, worker)
        close(worker)
    }

    /// Whether a stream carries another protocol.
    func hasTunnel(_ worker: Worker) -> Bool {
        session.streams.contains { stream in
            stream.exchange.flatMap { worker.exchange($0) }?.isTunnel ?? false
        }
    }

    /// Closes for good; safe in every phase.
    func close(_ worker: Worker) {
        guard phase != .closed else { return }
        phase = .closed
        endExchanges("the connection was closed", worker)
        deadline.clear()
        transport.sayGoodbye()
        worker.metrics.add(.clientConnectionsActive, -1)
        worker.remove(token)
        worker.clientClosed(token)
    }

    /// Nothing more is said after what waits.
    private func finish(_ worker: Worker) {
        guard phase == .open else { return }
        endExchanges("the connection was closed", worker)
        phase = .finishing
        setDeadline(worker.snapshot.configuration.server.timeouts.write, worker)
        touch(worker)
    }

    private func endExchanges(_ reason: String, _ worker: Worker) {
        for stream in session.streams {
            guard let exchange = stream.exchange.flatMap({ worker.exchange($0) }) else { continue }
            exchange.clientGone(reason, worker)
        }
    }

    func goAway(_ worker: Worker) {
        farewell.said()
        perform(.goAway, worker)
    }

    private func endOfStream(_ worker: Worker) {
        switch phase {
        case .open where session.streamCount == 0: close(worker)
        case .open: gone("the client closed before its response was complete", worker)
        case .finishing, .lingering, .closed: close(worker)
        }
    }

    // MARK: the session

    private func process(_ worker: Worker) {
        if !transport.inbound.isEmpty, !waitsForTurn {
            do throws(HTTP2Error) {
                let taken = try session.receive(transport.inbound.bytes, now: worker.now, effort: Self.effort)
                transport.consume(taken)
            } catch {
                transport.consume(transport.inbound.count)
                refuseClient(error, worker)
                return
            }
            if !transport.inbound.isEmpty {
                waitsForTurn = true
                worker.waitForTurn(token)
            }
        }
        handleEvents(worker)
        session.forEachReady { forwardBody($0, worker) }
    }

    func handleEvents(_ worker: Worker) {
        session.forEachEvent { event in
            switch event {
            case .head(let stream):
                servedAny = true
                perform(farewell.asked(), worker)
                begin(stream, worker)
            case .closed(let stream, let code): closed(stream, code, worker)
            case .refusedStream: worker.metrics.add(.http2StreamsRefused)
            case .fault(let code):
                worker.metrics.add(.http2ProtocolErrors)
                worker.log.client(identity.peer, "the client broke HTTP/2 (code \(code))")
            case .pong: perform(farewell.answered(), worker)
            case .goAway, .interim: break
            }
        }
        if session.streamCount == 0, idleSince == 0 { idleSince = worker.now }
        if session.streamCount > 0 { idleSince = 0 }
    }

    private func closed(_ stream: HTTP2Stream, _ code: UInt32, _ worker: Worker) {
        full.removeAll { $0 === stream }
        if let exchange = stream.exchange.flatMap({ worker.exchange($0) }) {
            exchange.clientGone("the client reset the stream (code \(code))", worker)
        }
        session.recycle(stream)
    }

    /// The client breaks the protocol, or abuses it: it is told so, and the connection ends.
    func refuseClient(_ error: HTTP2Error, _ worker: Worker) {
        worker.log.client(identity.peer, error.description)
        switch error {
        case .abuse(let kind):
            worker.metrics.add(Counter(kind))
            session.terminate(.enhanceYourCalm)
        case .fault(let fault):
            worker.metrics.add(.http2ProtocolErrors)
            session.terminate(fault)
        case .notHTTP2, .session: worker.metrics.add(.http2ProtocolErrors)
        }
        _ = session.takeEvents()
        try? session.send(into: &transport.outbound, upTo: Transport.highWater)
        finish(worker)
    }

    private func flush(_ worker: Worker) {
        let before = transport.bytesOut
        do throws(HTTP2Error) {
            try write(worker)
        } catch {
            gone("\(error)", worker)
            return
        }
        guard phase != .closed else { return }
        let written = transport.bytesOut - before
        if written > 0 { worker.metrics.add(.bytesToClients, Int(truncatingIfNeeded: written)) }
        // Sending may have closed streams.
        handleEvents(worker)
        wakeServers(worker)
        if phase == .open, session.isOver || (hasGoneAway && session.streamCount == 0) { finish(worker) }
        if phase == .finishing, transport.outbound.isEmpty, !session.wantsToSend {
            transport.endWriting()
            phase = .lingering
            setDeadline(linger.begin(until: farewell.until, bytesIn: transport.bytesIn, now: worker.now), worker)
        }
    }

    /// Fills the transport and empties it, as long as both go on.
    private func write(_ worker: Worker) throws(HTTP2Error) {
        for _ in 0..<8 {
            if phase == .open || phase == .finishing {
                try session.send(into: &transport.outbound, upTo: Transport.highWater)
            }
            guard !transport.outbound.isEmpty else { return }
            // Below the mark, the session has said all that it has to say.
            let isAll = transport.outbound.count < Transport.highWater
            do throws(TransportError) {
                guard try transport.flush(), !isAll else { return }
            } catch {
                gone("the client's connection broke: \(error)", worker)
                return
            }
        }
        if session.wantsToSend { worker.readAgain(token) }
    }

    private func wakeServers(_ worker: Worker) {
        guard !full.isEmpty else { return }
        full.removeAll { stream in
            guard stream.outboundCount < Transport.highWater / 2 else { return false }
            stream.exchange.flatMap { worker.exchange($0) }?.wakeServer(worker)
            return true
        }
    }

    /// The stream's server has to wait until the client has taken more.
    func noteFull(_ stream: HTTP2Stream) {
        if !full.contains(where: { $0 === stream }) { full.append(stream) }
    }

    // MARK: time

    private func setDeadline(_ milliseconds: UInt64, _ worker: Worker) {
        worker.arm(token, deadline.set(after: milliseconds, now: worker.now))
    }

    /// Has the streams looked at while there are any.
    func watchStreams(_ worker: Worker) { setDeadline(Self.inspection, worker) }
}

extension Counter {
    init(_ abuse: HTTP2Abuse) {
        switch abuse {
        case .resets: self = .http2AbuseResets
        case .settings: self = .http2AbuseSettings
        case .pings: self = .http2AbusePings
        case .emptyFrames: self = .http2AbuseEmptyFrames
        case .priorities: self = .http2AbusePriorities
        case .unknownFrames: self = .http2AbuseUnknownFrames
        case .continuations: self = .http2AbuseContinuations
        case .unsentAnswers: self = .http2AbuseUnsentAnswers
        case .windowUpdates: self = .http2AbuseWindowUpdates
        }
    }
}
