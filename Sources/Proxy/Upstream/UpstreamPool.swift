import Bytes
import Config
import Platform
import TLS
import Telemetry

/// The servers of one upstream as this worker sees them: idle connections, load, and who has failed lately.
///
/// A pool belongs to one generation of the configuration, as its TLS context with the saved sessions does: changed trust
/// never meets a connection or session that was made under the old.
final class UpstreamPool {
    /// Whom to ask: a server, by its resolved addresses.
    struct Server {
        var addresses: [SocketAddress]
        var nextAddress = 0
        var idle: [Token] = []
        var active = 0
        /// Monotonic milliseconds until which others are preferred, after a failure.
        var avoidUntil: UInt64 = 0
    }

    enum Lease {
        /// An idle connection, taken.
        case ready(UpstreamConnection)
        /// A connection that is being made.
        case pending(Token)
        /// Every allowed connection is busy; the exchange waits its turn.
        case queued
        case failed(UpstreamFailure)
    }

    /// How long a server that failed is avoided while others are left, in milliseconds.
    static let avoidance: UInt64 = 10_000

    let index: Int
    let settings: Config.Upstream
    /// By server; nil when it is spoken to in plain, which the configuration allows on this host only.
    private let contexts: [ClientContext?]
    private(set) var servers: [Server]
    private var connections = 0
    private var turn = 0
    private var waiting: [(exchange: Token, deadline: UInt64)] = []

    init(index: Int, settings: Config.Upstream, contexts: [ClientContext?], addresses: [[SocketAddress]]) {
        self.index = index
        self.settings = settings
        self.contexts = contexts
        servers = addresses.map { Server(addresses: $0) }
    }

    /// The trust of a server; nil in plain.
    func context(of server: Int) -> ClientContext? { contexts[server] }

    /// New addresses of a server's name; connections that stand are kept.
    func setAddresses(_ addresses: [SocketAddress], of server: Int) {
        guard servers.indices.contains(server) else { return }
        servers[server].addresses = addresses
        servers[server].nextAddress = 0
    }

    /// Finds a connection for `exchange`.
    func lease(for exchange: Exchange, _ worker: Worker) -> Lease {
        guard let server = choose(exchange, worker) else { return .failed(.noServer) }
        if !exchange.wantsFreshConnection, let connection = takeIdle(server, worker) {
            servers[server].active += 1
            worker.metrics.add(.poolReuses)
            return .ready(connection)
        }
        if let limit = settings.maximumConnections, connections >= limit {
            waiting.append((exchange.token, worker.now + settings.timeouts.connect))
            return .queued
        }
        return connect(server, exchange, worker)
    }

    /// An exchange has ended; if it still waited, it does so no more.
    func forget(_ exchange: Token) {
        if !waiting.isEmpty { waiting.removeAll { $0.exchange == exchange } }
    }

    /// Exchanges that have waited too long for a connection.
    func expireWaiting(_ worker: Worker) {
        while let first = waiting.first, first.deadline <= worker.now {
            waiting.removeFirst()
            worker.exchange(first.exchange)?.serverFailed(.busy, repeatable: false, worker)
        }
    }

    // MARK: what connections tell

    /// A connection is verified.
    func stands(_ connection: UpstreamConnection) { servers[connection.endpoint].avoidUntil = 0 }

    /// A connection has ended its exchange and may serve another.
    func rest(_ connection: UpstreamConnection, _ worker: Worker) {
        servers[connection.endpoint].active -= 1
        if servers[connection.endpoint].idle.count >= settings.maximumIdle || worker.isDraining {
            connection.close(worker)
            return
        }
        servers[connection.endpoint].idle.append(connection.token)
        serveWaiting(worker)
    }

    /// A connection failed; a server that could not be reached or trusted is avoided for a while.
    func failed(_ connection: UpstreamConnection, _ reason: UpstreamFailure, untouched: Bool, _ worker: Worker) {
        if untouched {
            servers[connection.endpoint].avoidUntil = worker.now + Self.avoidance
            servers[connection.endpoint].nextAddress += 1
        }
        worker.report(reason, of: connection)
    }

    /// A connection is gone.
    func closed(_ connection: UpstreamConnection, wasIdle: Bool, _ worker: Worker) {
        connections -= 1
        if wasIdle {
            servers[connection.endpoint].idle.removeAll { $0 == connection.token }
        } else {
            servers[connection.endpoint].active -= 1
        }
        serveWaiting(worker)
    }

    private func serveWaiting(_ worker: Worker) {
        guard !waiting.isEmpty else { return }
        let next = waiting.removeFirst()
        worker.seekLater(next.exchange)
    }

    // MARK: choosing

    private func choose(_ exchange: Exchange, _ worker: Worker) -> Int? {
        best(exchange, worker, avoiding: true) ?? best(exchange, worker, avoiding: false)
    }

    private func best(_ exchange: Exchange, _ worker: Worker, avoiding: Bool) -> Int? {
        var best: Int?
        let count = servers.count
        for step in 0..<count {
            let index = (turn + step) % count
            guard exchange.tried >> UInt64(min(index, 63)) & 1 == 0, !servers[index].addresses.isEmpty else { continue }
            if avoiding && servers[index].avoidUntil > worker.now { continue }
            if settings.balance == .roundRobin {
                best = index
                break
            }
            if let found = best, servers[found].active <= servers[index].active { continue }
            best = index
        }
        if best != nil { turn = (turn + 1) % count }
        return best
    }

    private func takeIdle(_ server: Int, _ worker: Worker) -> UpstreamConnection? {
        while let token = servers[server].idle.popLast() {
            if let connection = worker.upstream(token), connection.phase == .idle { return connection }
        }
        return nil
    }

    private func connect(_ server: Int, _ exchange: Exchange, _ worker: Worker) -> Lease {
        exchange.markTried(server, addresses: servers[server].addresses.count)
        let addresses = servers[server].addresses
        let address = addresses[servers[server].nextAddress % addresses.count]
        do throws(Errno) {
            let attempt = try Socket.connect(to: address)
            let connection = try worker.adopt(
                attempt.takeDescriptor(),
                pool: index,
                endpoint: server,
                address: address
            )
            connections += 1
            servers[server].active += 1
            connection.start(for: exchange.token, worker)
            return .pending(connection.token)
        } catch {
            servers[server].avoidUntil = worker.now + Self.avoidance
            servers[server].nextAddress += 1
            exchange.noteFailure(.connect(error))
            return lease(for: exchange, worker)
        }
    }
}
