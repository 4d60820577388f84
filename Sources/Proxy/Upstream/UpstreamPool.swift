import Bytes
import Config
import HTTP
import Platform
import TLS
import Telemetry

/// The servers of one upstream as this worker sees them: connections, who waits for one, and which server is next.
///
/// A pool belongs to one generation of the configuration. Where its trust is replaced, connections that were made under
/// the old finish what they carry, and saved sessions go with their context: neither meets the new.
final class UpstreamPool {
    /// Whom to ask: a server, by its resolved addresses.
    private struct Server {
        var addresses: [SocketAddress]
        var nextAddress = 0
        var idle: [Token] = []
        /// Connections in HTTP/2 that may take more exchanges.
        var shared: [Token] = []
        /// A connection that is being made and may turn out to be one to share.
        var dial: Token?
        /// Connections that are being made, in the order in which exchanges began to wait for them.
        var dials = TokenQueue()
        /// It has shown that it does not speak HTTP/2.
        var speaksHTTP1 = false
        /// Connections, resting or not.
        var open = 0
        /// Attempts in a row that reached nobody; a name may have several addresses.
        var unreached = 0
    }

    enum Lease {
        /// An idle connection, taken.
        case ready(UpstreamConnection)
        /// A connection in HTTP/2 that takes one more.
        case shared(HTTP2UpstreamConnection)
        /// A connection that is being made.
        case pending(Token)
        /// Every allowed connection is busy; the exchange waits its turn.
        case queued
        case failed(UpstreamFailure)
    }

    private static let calledAtOnce = 32

    let index: Int
    let settings: Config.Upstream
    private var trust: UpstreamTrust
    /// Counts the trusts that this pool has had.
    private(set) var trustNumber = 0
    /// Where the metrics of the first server are counted.
    private let metricsSlot: Int
    /// What keeps clients at their server; nil when nothing does.
    var sticky: StickyTokens?
    // Every access to these is over before any other code runs, but for questions that change nothing.
    @exclusivity(unchecked) private var servers: [Server]
    @exclusivity(unchecked) private var balancer: Balancer
    private var connections = 0
    @exclusivity(unchecked) private var waiting: WaitingQueue

    init(
        index: Int,
        settings: Config.Upstream,
        trust: UpstreamTrust,
        addresses: [[SocketAddress]],
        metricsSlot: Int,
        sticky: StickyTokens?
    ) {
        self.index = index
        self.settings = settings
        self.trust = trust
        self.metricsSlot = metricsSlot
        self.sticky = sticky
        servers = addresses.map { Server(addresses: $0) }
        balancer = Balancer(settings)
        waiting = WaitingQueue(limit: settings.queue.length)
        for server in servers.indices { balancer.servers[server].isResolved = !servers[server].addresses.isEmpty }
    }

    /// The trust of a server; nil in plain.
    ///
    /// - Parameter needsHTTP1: whether HTTP/2 is not to be offered.
    func context(of server: Int, needsHTTP1: Bool) -> ClientContext? {
        needsHTTP1 ? trust.http1Contexts[server] : trust.contexts[server]
    }

    /// Verifies servers by another trust from now on; connections made under the old one end with what they carry.
    func use(_ trust: UpstreamTrust, _ worker: Worker) {
        self.trust = trust
        trustNumber += 1
        for server in servers.indices {
            for token in servers[server].idle { worker.upstream(token)?.close(worker) }
            for token in servers[server].shared { worker.http2Upstream(token)?.finish(worker) }
            servers[server].dial = nil
        }
    }

    /// Whether a connection was begun under the trust that holds now.
    func isCurrent(_ place: ServerPlace) -> Bool { place.trust == trustNumber }

    /// New addresses of a server's name; connections that stand are kept.
    func setAddresses(_ addresses: [SocketAddress], of server: Int) {
        guard servers.indices.contains(server) else { return }
        servers[server].addresses = addresses
        servers[server].nextAddress = 0
        servers[server].unreached = 0
        balancer.servers[server].isResolved = !addresses.isEmpty
    }

    /// Finds a connection for `exchange`.
    func lease(for exchange: Exchange, _ worker: Worker) -> Lease {
        if settings.inMaintenance { return .failed(.maintenance) }
        if exchange.needsHTTP1, settings.version == .http2 { return .failed(.needsHTTP1) }
        let wish = wish(of: exchange, worker)
        switch balancer.choose(wish, now: worker.now) {
        case .none: return .failed(.noServer)
        case .full(let server): return wait(exchange, for: server, worker)
        case .server(let server):
            if let lease = share(server, exchange, worker) { return lease }
            if !exchange.wantsFreshConnection, let connection = takeIdle(server, for: exchange, worker) {
                began(server, worker)
                worker.metrics.add(.poolReuses)
                return .ready(connection)
            }
            makeRoom(at: server, worker)
            return connect(server, exchange, worker)
        }
    }

    /// An exchange has ended; if it still waited, it does so no more.
    func forget(_ exchange: Token) { waiting.forget(exchange) }

    /// What is due by the clock: exchanges that have waited too long, and what metrics tell.
    func tend(_ worker: Worker) {
        while let exchange = waiting.expired(worker.now) {
            worker.metrics.add(.overflows, upstream: index)
            worker.exchange(exchange)?.serverFailed(.busy, repeatable: false, worker)
        }
        if settings.sendProxy != nil { dropOrphans(worker) }
        // Whoever was called and went away instead has left a connection to the next; and an ejection may have ended.
        for _ in 0..<min(waiting.count, Self.calledAtOnce) { serveWaiting(worker) }
        for server in servers.indices {
            let isEjected = balancer.servers[server].health.isEjected(worker.now)
            worker.metrics.set(.ejected, server: metricsSlot + server, isEjected ? 1 : 0)
        }
    }

    /// The monitor has checked a server.
    func checked(_ server: Int, isUp: Bool, _ worker: Worker) {
        guard servers.indices.contains(server) else { return }
        balancer.servers[server].health.checked(isUp: isUp, now: worker.now)
        serveWaiting(worker)
    }

    // MARK: what connections tell

    /// A connection is verified.
    func stands(_ dial: UpstreamDial) {
        servers[dial.place.endpoint].unreached = 0
        forgetDial(dial)
    }

    /// A connection was not made.
    func dialEnded(_ dial: UpstreamDial, _ worker: Worker) {
        forgetDial(dial)
        connections -= 1
        servers[dial.place.endpoint].open -= 1
        serveWaiting(worker)
    }

    private func forgetDial(_ dial: UpstreamDial) {
        servers[dial.place.endpoint].dials.remove(dial.token)
        if servers[dial.place.endpoint].dial == dial.token { servers[dial.place.endpoint].dial = nil }
    }

    /// A server has answered as a whole, or has taken part in a change of protocols.
    func answered(_ server: Int, _ worker: Worker) { balancer.servers[server].health.answered(now: worker.now) }

    /// A connection has ended its exchange and may serve another.
    func rest(_ connection: UpstreamConnection, _ worker: Worker) {
        ended(connection.place.endpoint, worker)
        offer(connection, worker)
    }

    /// A connection serves whoever has waited longest for one to this server that is being made, or else rests.
    func offer(_ connection: UpstreamConnection, _ worker: Worker) {
        let server = connection.place.endpoint
        let isCurrent = isCurrent(connection.place)
        if isCurrent, let exchange = takeWaiting(for: server, worker) {
            worker.metrics.add(.poolReuses)
            connection.resume(for: exchange, worker)
            return
        }
        servers[server].idle.append(connection.token)
        let isOneTooMany = servers[server].idle.count > settings.maximumIdle
        if isOneTooMany || worker.isDraining || !isCurrent {
            connection.close(worker)
            return
        }
        serveWaiting(worker)
    }

    /// An exchange that waits for a connection to be made, and may go on by another.
    private func takeWaiting(for server: Int, _ worker: Worker) -> Token? {
        // Who is announced to the server gets no connection of somebody else.
        guard settings.sendProxy == nil else { return nil }
        while let dial = servers[server].dials.next() {
            if let exchange = worker.dial(dial)?.giveUp(worker) { return exchange }
        }
        return nil
    }

    /// An exchange has ended on a connection that others share, or before there was one.
    func exchangeEnded(at server: Int, _ worker: Worker) {
        ended(server, worker)
        serveWaiting(worker)
    }

    /// The server's connection turned out to be HTTP/2.
    func share(_ connection: Token, at server: Int) {
        servers[server].speaksHTTP1 = false
        servers[server].shared.append(connection)
    }

    /// The server's connection turned out to be HTTP/1.1.
    func sharesNothing(_ server: Int) { servers[server].speaksHTTP1 = true }

    /// A shared connection takes no more exchanges.
    func sharedIsFull(_ connection: Token, at server: Int) { servers[server].shared.removeAll { $0 == connection } }

    /// A shared connection is gone; its exchanges have been counted out.
    func sharedClosed(_ connection: Token, at server: Int, _ worker: Worker) {
        sharedIsFull(connection, at: server)
        connections -= 1
        servers[server].open -= 1
        serveWaiting(worker)
    }

    /// A connection failed.
    ///
    /// - Parameters:
    ///   - untouched: whether the server could not even be reached and verified.
    ///   - isFault: whether the failure speaks against the server.
    func failed(
        _ place: ServerPlace,
        _ reason: UpstreamFailure,
        untouched: Bool,
        isFault: Bool,
        _ worker: Worker
    ) {
        worker.report(reason, of: place)
        if isFault { failed(place.endpoint, untouched: untouched, worker) }
    }

    /// A connection is gone.
    func closed(_ connection: Token, at server: Int, wasIdle: Bool, _ worker: Worker) {
        connections -= 1
        servers[server].open -= 1
        if wasIdle {
            servers[server].idle.removeAll { $0 == connection }
        } else {
            ended(server, worker)
        }
        serveWaiting(worker)
    }

    // MARK: counting

    private func began(_ server: Int, _ worker: Worker) {
        balancer.servers[server].active += 1
        worker.metrics.add(.requests, server: metricsSlot + server)
        worker.metrics.add(.active, server: metricsSlot + server)
    }

    private func ended(_ server: Int, _ worker: Worker) {
        balancer.servers[server].active -= 1
        worker.metrics.add(.active, server: metricsSlot + server, -1)
    }

    private func failed(_ server: Int, untouched: Bool, _ worker: Worker) {
        worker.metrics.add(.failures, server: metricsSlot + server)
        if untouched {
            servers[server].nextAddress += 1
            servers[server].unreached += 1
        }
        let unreachable = untouched && servers[server].unreached >= servers[server].addresses.count
        let time = balancer.servers[server].health.failed(
            unreachable: unreachable,
            now: worker.now,
            settings.ejection
        )
        guard let time else { return }
        worker.metrics.add(.ejections, server: metricsSlot + server)
        worker.log.ejected(settings.name, settings.servers[server].value.description, milliseconds: time)
    }

    // MARK: waiting

    private func wait(_ exchange: Exchange, for server: Int?, _ worker: Worker) -> Lease {
        let again = exchange.waitsUntil > 0
        if !again { exchange.waitsUntil = worker.now + settings.queue.wait }
        let entry = WaitingQueue.Entry(exchange: exchange.token, deadline: exchange.waitsUntil, server: server)
        if waiting.add(entry, again: again) {
            if !again { worker.metrics.add(.queued, upstream: index) }
            return .queued
        }
        worker.metrics.add(.overflows, upstream: index)
        return .failed(.queueFull)
    }

    private func serveWaiting(_ worker: Worker) {
        guard waiting.count > 0, let next = waiting.next({ balancer.hasRoom($0) }) else { return }
        worker.seekLater(next)
    }

    // MARK: connections

    private func takeIdle(_ server: Int, for exchange: Exchange, _ worker: Worker) -> UpstreamConnection? {
        guard settings.sendProxy == nil else {
            let own = servers[server].idle.lastIndex { worker.upstream($0)?.announced == exchange.client?.connection }
            return own.flatMap { worker.upstream(servers[server].idle.remove(at: $0)) }
        }
        while let token = servers[server].idle.popLast() {
            if let connection = worker.upstream(token), connection.phase == .idle { return connection }
        }
        return nil
    }

    /// A connection in HTTP/2 to the server that takes one more exchange, or one that is being made.
    private func share(_ server: Int, _ exchange: Exchange, _ worker: Worker) -> Lease? {
        guard settings.version != .http11, !exchange.needsHTTP1, !servers[server].speaksHTTP1 else { return nil }
        for token in servers[server].shared {
            guard let connection = worker.http2Upstream(token), connection.hasRoom else { continue }
            began(server, worker)
            worker.metrics.add(.poolReuses)
            return .shared(connection)
        }
        guard let token = servers[server].dial, let dial = worker.dial(token) else { return nil }
        exchange.markTried(server, addresses: servers[server].addresses.count)
        began(server, worker)
        dial.join(exchange.token)
        return .pending(token)
    }

    /// The limits count resting connections too: one of them goes where a new one is needed more.
    private func makeRoom(at server: Int, _ worker: Worker) {
        if let limit = settings.servers[server].maximumConnections, servers[server].open >= limit {
            closeIdle(of: server, worker)
        }
        guard let limit = settings.maximumConnections, connections >= limit else { return }
        if let most = servers.indices.max(by: { servers[$0].idle.count < servers[$1].idle.count }) {
            closeIdle(of: most, worker)
        }
    }

    /// Connections that were announced for clients that have gone.
    private func dropOrphans(_ worker: Worker) {
        for token in servers.flatMap(\.idle) {
            guard let connection = worker.upstream(token), let client = connection.announced,
                !worker.isConnected(client)
            else { continue }
            connection.close(worker)
        }
    }

    private func closeIdle(of server: Int, _ worker: Worker) {
        guard let oldest = servers[server].idle.first else { return }
        worker.upstream(oldest)?.close(worker)
    }

    private func connect(_ server: Int, _ exchange: Exchange, _ worker: Worker) -> Lease {
        exchange.markTried(server, addresses: servers[server].addresses.count)
        let addresses = servers[server].addresses
        let dial = worker.dial(
            ServerPlace(
                pool: index,
                endpoint: server,
                address: addresses[servers[server].nextAddress % addresses.count],
                trust: trustNumber
            ),
            needsHTTP1: exchange.needsHTTP1 || settings.version == .http11,
            announcing: announcement(for: exchange, worker),
            for: exchange.token
        )
        connections += 1
        servers[server].open += 1
        began(server, worker)
        if !dial.needsHTTP1 { servers[server].dial = dial.token }
        servers[server].dials.append(dial.token)
        dial.start(worker)
        return .pending(dial.token)
    }
}
