import Bytes
import Config
import Database
import HTTP
import HTTP2
import Platform
import TLS
import Telemetry

/// A worker process: one thread, one epoll loop, all that a connection needs.
///
/// A turn is: wait, handle what is ready, then settle every connection that was touched (go on with its bytes, write
/// once, tell epoll once); then a piece or two of work that takes long. Connections never call into each other's reading; they append to each other's output and
/// touch, so the stack stays flat.
final class Worker {
    enum Handler {
        case control
        case listener(Listener)
        case arrival(ClientArrival)
        case handshake(ClientHandshake)
        case client(ClientConnection)
        case http2(HTTP2ClientConnection)
        case dial(UpstreamDial)
        case upstream(UpstreamConnection)
        case http2Upstream(HTTP2UpstreamConnection)
        case database(DatabaseSession, Side)
    }

    /// How often waiting exchanges, the accept gate and the access log are looked after, in milliseconds.
    private static let housekeepingInterval: UInt64 = 200
    /// How many times as long as all else of a turn handshakes with servers may take.
    private static let dialShare: UInt64 = 1

    let snapshot: Snapshot
    let poller: Poller
    let metrics: MetricsPage
    let log: WorkerLog
    let buffers = BufferPool()
    private var wheel: TimerWheel
    /// Monotonic milliseconds at the start of this turn.
    private(set) var now: UInt64
    /// Monotonic microseconds at the start of this turn.
    private(set) var nowMicroseconds: UInt64
    /// Seconds since 1970 at the start of this turn.
    private(set) var unixSeconds: Int64 = 0
    /// The current date as HTTP writes it.
    private(set) var date = DateCache()
    let pools: [UpstreamPool]
    /// Certificates and trust that are to be used when all workers are ready for them.
    var prepared: (number: Int, material: TrustMaterial)?
    private(set) var isDraining = false
    /// Until when clients that ask nothing may stay, in monotonic milliseconds, once this worker drains.
    private(set) var idleUntil: UInt64?
    /// The largest head of a request or response, in bytes.
    let headLimit: Int
    var accessLog: AccessLog?
    /// What authorities are shown that ask who is served here.
    var proofs = ShownProofs()
    /// How often clients have asked where a rate holds.
    var limiter = RateLimiter()
    /// The path that is matched with routes now.
    var path = MatchingPath()
    /// The path that is looked up in a folder now.
    var filePath = FilePath()
    /// A block of a file on its way to a client; empty before the first.
    var fileBuffer: [UInt8] = []

    // Every access to these is over before any other code runs: looked at by token or by index, added to at the end.
    @exclusivity(unchecked) var handlers = Slab<Handler>()
    @exclusivity(unchecked) private(set) var exchanges = Slab<Exchange>()
    @exclusivity(unchecked) private var spareExchanges: [Exchange] = []
    @exclusivity(unchecked) private var touched: [Token] = []
    @exclusivity(unchecked) private var again: [Token] = []
    @exclusivity(unchecked) private var seekers: [Token] = []
    /// What takes long, from clients and to servers: whoever has a request already does not wait for those who come.
    private var waitingClients = TokenQueue()
    var dialTurns = DialTurns()
    private var senders: [Token] = []
    @exclusivity(unchecked) private var requestIDs = RequestIDSource()
    var gate: AcceptGate
    var places: ClientPlaces
    var handshakes: Handshakes
    var pressure = Pressure()
    private var control: ControlChannel
    private var refusals = RefusalTally()
    var listeners: [(token: Token, listener: Listener)] = []
    private var drainUntil: UInt64 = 0
    private var drainSessionsUntil: UInt64 = 0
    private var nextHousekeeping: UInt64 = 0
    var clients = 0
    var sessions = 0

    init(_ setup: consuming WorkerSetup) throws(Errno) {
        poller = try Poller()
        snapshot = setup.snapshot
        pools = setup.snapshot.makePools()
        let health = setup.health
        let shown = setup.proofs
        headLimit = setup.snapshot.configuration.server.limits.headBytes
        metrics = setup.metrics
        log = setup.log
        gate = AcceptGate(limit: setup.orders.connectionLimit)
        places = ClientPlaces(limit: setup.snapshot.configuration.server.limits.connectionsPerClient)
        handshakes = Handshakes(limit: setup.snapshot.configuration.server.limits.handshakes)
        nowMicroseconds = Clock.monotonicMicroseconds()
        now = nowMicroseconds / 1000
        wheel = TimerWheel(now: now)
        accessLog = setup.takeAccessLog()
        let handed = setup.listeners
        control = setup.takeControl()
        try poller.add(control.descriptor, handlers.insert(.control), .read)
        for listener in handed { listeners.append((handlers.insert(.listener(listener)), listener)) }
        try watchListeners()
        for update in health { apply(update) }
        if let shown { show(proofs: shown) }
    }

    /// Serves until it has been drained or the master is gone.
    func run() throws(Errno) {
        try control.send(kind: ControlKind.ready.rawValue)
        // What came together with the order to start lies in the channel already: epoll would not tell of it.
        try readControl()
        while !isDrained { try turn() }
        endSessions()
        finishAccessLog()
    }

    // MARK: the turn

    private func turn() throws(Errno) {
        let count = try poller.wait(milliseconds: timeout())
        refreshTime()
        for index in 0..<count {
            let event = poller.event(at: index)
            try dispatch(event.token, event.readiness)
        }
        if !again.isEmpty { readWaiting() }
        if !senders.isEmpty { sendFiles() }
        for token in wheel.expire(now: now) { timedOut(token) }
        settle()
        dial()
        if let token = waitingClients.next() {
            takeTurn(token)
            settle()
        }
        if now >= nextHousekeeping { housekeep() }
    }

    /// Steps of handshakes with servers: one at least, and as many as take as long as all else of this turn.
    private func dial() {
        guard dialTurns.pause != nil else { return }
        let began = Clock.monotonicMicroseconds()
        let share = Self.dialShare * (began &- nowMicroseconds)
        repeat {
            guard let token = dialTurns.next(now: now) else { return }
            takeTurn(token)
            settle()
        } while Clock.monotonicMicroseconds() &- began < share
    }

    private func timeout() -> CInt {
        if !again.isEmpty || !senders.isEmpty || !waitingClients.isEmpty { return 0 }
        let most = dialTurns.pause ?? CInt(truncatingIfNeeded: Self.housekeepingInterval)
        let timers = wheel.timeout(now: now)
        return timers < 0 ? most : min(timers, most)
    }

    private func refreshTime() {
        nowMicroseconds = Clock.monotonicMicroseconds()
        now = nowMicroseconds / 1000
        let seconds = Clock.unixMicroseconds() / 1_000_000
        unixSeconds = Int64(truncatingIfNeeded: seconds)
        date.update(unixSeconds: seconds)
    }

    private func dispatch(_ token: Token, _ readiness: Readiness) throws(Errno) {
        switch handlers[token] {
        case .arrival(let arrival): arrival.ready(self)
        case .handshake(let handshake): handshake.ready(self)
        case .client(let connection): connection.ready(readiness, self)
        case .http2(let connection): connection.ready(readiness, self)
        case .dial(let dial): dial.ready(self)
        case .upstream(let connection): connection.ready(readiness, self)
        case .http2Upstream(let connection): connection.ready(readiness, self)
        case .database(let session, let side): session.ready(side, readiness, self)
        case .listener(let listener): accept(listener)
        case .control: try readControl()
        case nil: break
        }
    }

    /// Connections whose TLS layer held back bytes: epoll does not report those.
    private func readWaiting() {
        let tokens = again
        again.removeAll(keepingCapacity: true)
        for token in tokens {
            switch handlers[token] {
            case .client(let connection): connection.read(self)
            case .http2(let connection): connection.read(self)
            case .upstream(let connection): connection.read(self)
            case .http2Upstream(let connection): connection.read(self)
            case .database(let session, let side): session.read(side, self)
            case .arrival, .handshake, .dial, .listener, .control, nil: break
            }
        }
    }

    /// One piece of work that takes long, after all else of this turn: handshakes and floods of frames do not make those
    /// wait who only have bytes to pass.
    private func takeTurn(_ token: Token) {
        switch handlers[token] {
        case .handshake(let handshake): handshake.takeTurn(self)
        case .dial(let dial): dial.takeTurn(self)
        case .http2(let connection): connection.takeTurn(self)
        case .arrival, .client, .upstream, .http2Upstream, .database, .listener, .control, nil: break
        }
    }

    /// Files whose clients have room again.
    private func sendFiles() {
        let tokens = senders
        senders.removeAll(keepingCapacity: true)
        for token in tokens { exchanges[token]?.sendFile(self) }
    }

    private func timedOut(_ token: Token) {
        switch handlers[token] {
        case .arrival(let arrival): arrival.timedOut(self)
        case .handshake(let handshake): handshake.timedOut(self)
        case .client(let connection): connection.timedOut(self)
        case .http2(let connection): connection.timedOut(self)
        case .dial(let dial): dial.timedOut(self)
        case .upstream(let connection): connection.timedOut(self)
        case .http2Upstream(let connection): connection.timedOut(self)
        case .database(let session, _): session.timedOut(self)
        case .listener, .control, nil: break
        }
    }

    private func settle() {
        var index = 0
        while index < touched.count || !seekers.isEmpty {
            if index < touched.count {
                let token = touched[index]
                index += 1
                switch handlers[token] {
                case .client(let connection): connection.settle(self)
                case .http2(let connection): connection.settle(self)
                case .upstream(let connection): connection.settle(self)
                case .http2Upstream(let connection): connection.settle(self)
                case .database(let session, _): session.settle(self)
                case .arrival, .handshake, .dial, .listener, .control, nil: break
                }
            } else {
                exchanges[seekers.removeFirst()]?.seekAgain(self)
            }
        }
        touched.removeAll(keepingCapacity: true)
    }

    private func housekeep() {
        nextHousekeeping = now + Self.housekeepingInterval
        tendPools()
        relievePressure()
        settle()
        flushAccessLog()
        countSignatures()
        for (refusal, count) in refusals.due(now: now) { tell(refusal, count: count) }
        try? control.flush()
        dropLateClients()
        if !isDraining, gate.shouldOpen(clients: clients, now: now) {
            log.accepting()
            try? watchListeners()
        }
    }

    /// Has the master write down that a hop was refused.
    func noteRefusal(_ refusal: HopRefusal) {
        if refusals.note(refusal, now: now) { tell(refusal, count: 1) }
    }

    /// Tells the master how far a replacement is.
    func tell(_ kind: ControlKind, _ message: ReplacementMessage) {
        try? control.send(kind: kind.rawValue, message.encoded())
    }

    private func tell(_ refusal: HopRefusal, count: Int) { tell(.refusal, refusal.encoded(count: count)) }

    /// Tells the master.
    func tell(_ kind: ControlKind, _ payload: [UInt8]) {
        // Master and worker end together: what cannot be told has nobody to hear it.
        try? control.send(kind: kind.rawValue, payload)
    }

    private func countSignatures() {
        let counts = RemoteKeys.counts
        metrics.add(.signatures, counts.made - Int(metrics.value(.signatures)))
        metrics.add(.signatureFailures, counts.failed - Int(metrics.value(.signatureFailures)))
    }

    private func flushAccessLog() {
        guard let dropped = accessLog?.flush() else { return }
        if dropped > 0 { metrics.add(.accessLogDropped, dropped) }
        log.accessLog(accessLog?.failure)
    }

    /// What nobody has taken by now is lost with this worker.
    private func finishAccessLog() {
        guard let lost = accessLog?.finish(), lost > 0 else { return }
        metrics.add(.accessLogDropped, lost)
        log.accessLogLost(lost, accessLog?.failure)
    }

    // MARK: services for connections

    /// Has a connection settled at the end of this turn.
    func touch(_ token: Token) {
        switch handlers[token] {
        case .client(let connection): connection.touch(self)
        case .http2(let connection): connection.touch(self)
        case .upstream(let connection): connection.touch(self)
        case .http2Upstream(let connection): connection.touch(self)
        case .database(let session, _):
            guard !session.isTouched else { return }
            session.isTouched = true
            settleLater(token)
        case .arrival, .handshake, .dial, .listener, .control, nil: return
        }
    }

    /// For a connection that was not touched before in this turn.
    func settleLater(_ token: Token) { touched.append(token) }

    /// Has the wheel name a connection at its deadline, if it needs to.
    func arm(_ token: Token, _ deadline: UInt64?) {
        if let deadline { wheel.arm(token, deadline: deadline) }
    }

    /// Has a connection read again in the next turn, without waiting for epoll.
    func readAgain(_ token: Token) { again.append(token) }

    /// Has a client's connection do a piece of work that takes long when its turn comes.
    func waitForTurn(_ token: Token) { waitingClients.append(token) }

    /// Has an exchange send more of its file in the next turn.
    func sendFileLater(_ exchange: Token) { senders.append(exchange) }

    /// Has a waiting exchange look for a connection at the end of this turn.
    func seekLater(_ exchange: Token) { seekers.append(exchange) }

    /// The client's side of an exchange, unless it is gone.
    func clientSide(_ place: ClientPlace) -> ClientSide? {
        switch handlers[place.connection] {
        case .client(let connection): return .http1(connection)
        case .http2(let connection):
            guard let stream = connection.session.stream(place.stream) else { return nil }
            return .http2(connection, stream)
        case .arrival, .handshake, .dial, .upstream, .http2Upstream, .database, .listener, .control, nil: return nil
        }
    }

    func exchange(_ token: Token) -> Exchange? { exchanges[token] }

    func remove(_ token: Token) { handlers.remove(token) }

    func nextRequestID() -> RequestID { requestIDs.next() }

    /// An exchange for the next request; its memory is used again.
    func takeExchange() -> Exchange {
        if let spare = spareExchanges.popLast() { return spare }
        let token = exchanges.reserve()
        let exchange = Exchange(token: token)
        exchanges.fill(token, exchange)
        return exchange
    }

    func recycle(_ exchange: Exchange) {
        // Some are kept for the next requests; after a peak the others give their memory back.
        guard spareExchanges.count < 1024 else {
            exchanges.remove(exchange.token)
            return
        }
        exchange.reset()
        spareExchanges.append(exchange)
    }

    /// Registers a connection that is being made to a database's server.
    func adopt(_ descriptor: consuming FileDescriptor, _ session: DatabaseSession) throws(Errno) -> DatabaseSession.End
    {
        let token = handlers.reserve()
        do throws(Errno) {
            try poller.add(descriptor, token, .write)
        } catch {
            handlers.remove(token)
            throw error
        }
        handlers.fill(token, .database(session, .server))
        return DatabaseSession.End(
            token: token,
            transport: Transport(token: token, descriptor: descriptor, tls: nil, pool: buffers, interest: .write)
        )
    }

    /// A session has ended.
    func sessionClosed(_ session: DatabaseSession) {
        session.target.sessions -= 1
        sessions -= 1
        metrics.add(.active, database: session.target.index, -1)
        metrics.add(.clientConnectionsActive, -1)
        record(session)
        clientClosed(session.client.token)
    }

    // MARK: the master's word

    private func readControl() throws(Errno) {
        Privileges.wipeFreed(true)  // What keys come in leaves no copy behind.
        defer { Privileges.wipeFreed(false) }
        while true {
            // A master that is gone takes the listening sockets' other holders with it: end, fail closed.
            guard var message = try control.receive() else { return }
            switch ControlKind(rawValue: message.kind) {
            case .drain: drain(try? DrainOrder(decoding: message.payload))
            case .accessLog:
                guard let descriptor = message.takeDescriptor() else { continue }
                if accessLog == nil { accessLog = AccessLog(descriptor) } else { accessLog?.change(to: descriptor) }
            case .ping: try control.send(kind: ControlKind.pong.rawValue)
            case .lend: borrow(message.payload, message.takeDescriptor())
            case .takeBack: giveBack(message.payload)
            case .health: apply(try? HealthUpdate(decoding: message.payload))
            case .folderGone: folderGone(message.payload)
            case .replacement: prepare(message.payload)
            case .replacementUse: usePrepared(message.payload)
            case .replacementDrop: prepared = nil
            case .listener: add(message.takeDescriptor(), message.payload)
            case .proofs: show(proofs: message.payload)
            case .signer: RemoteKeys.ask(message.takeDescriptor())
            case .ticketKeys: snapshot.replaceTicketKeys(message.payload, self)
            case .staple: if let update = try? StapleUpdate(decoding: message.payload) { snapshot.apply(update) }
            case .addresses:
                guard let update = try? AddressUpdate(decoding: message.payload), update.upstream >= 0 else { continue }
                if pools.indices.contains(update.upstream) {
                    snapshot.apply(update, to: pools[update.upstream])
                } else {
                    snapshot.apply(update, toDatabase: update.upstream - pools.count)
                }
            default: log.unexpectedMessage(message.kind)
            }
        }
    }

    /// Whether nothing is left that a draining worker has to wait for.
    private var isDrained: Bool {
        guard isDraining else { return false }
        return clients == 0 || (sessions == 0 ? now >= drainUntil : now >= max(drainUntil, drainSessionsUntil))
    }

    private func drain(_ order: DrainOrder?) {
        let order = order ?? DrainOrder(snapshot.configuration.server, isStopping: true)
        drainUntil = now + order.requests
        drainSessionsUntil = now + order.sessions
        let until = min(now + order.idle, idleUntil ?? .max)
        idleUntil = until
        isDraining = true
        closeListeners()
        for token in handlers.tokens {
            switch handlers[token] {
            case .client(let connection): connection.drain(until: until, self)
            case .http2(let connection): connection.drain(until: until, self)
            case .database(let session, .client): session.drain(until: until, self)
            case .arrival, .handshake, .dial, .database, .upstream, .http2Upstream, .listener, .control, nil: break
            }
        }
    }

    /// Sessions that nobody has ended in time are told of like all others.
    private func endSessions() {
        for token in handlers.tokens {
            if case .database(let session, .client) = handlers[token] { session.drained(self) }
        }
    }

    /// Sessions may outlive requests by far: clients that have had their time go.
    private func dropLateClients() {
        guard isDraining, now >= drainUntil else { return }
        for token in handlers.tokens {
            switch handlers[token] {
            case .arrival(let arrival): arrival.close(self)
            case .handshake(let handshake): handshake.close(self)
            case .client(let connection): if !connection.isTunnel { connection.close(self) }
            case .http2(let connection): if !connection.hasTunnel(self) { connection.close(self) }
            case .dial, .database, .upstream, .http2Upstream, .listener, .control, nil: break
            }
        }
    }
}
