import Bytes
import Config
import HTTP2
import Platform
import Telemetry

/// What a worker does for its upstreams beside serving exchanges.
extension Worker {
    /// What is due by the clock.
    func tendPools() {
        for pool in pools { pool.tend(self) }
        guard snapshot.hasTotals else { return }
        for token in exchanges.tokens { exchanges[token]?.checkTotal(self) }
    }

    /// What the monitor has found out about a server; nothing when a later configuration does not have it.
    func apply(_ update: HealthUpdate?) {
        guard let update,
            let pool = pools.first(where: { $0.settings.name == update.upstream && $0.settings.health != nil }),
            let server = pool.settings.servers.firstIndex(where: { $0.value.description == update.server })
        else { return }
        pool.checked(server, isUp: update.isUp, self)
    }

    // MARK: connections to servers

    func upstream(_ token: Token) -> UpstreamConnection? {
        guard case .upstream(let connection) = handlers[token] else { return nil }
        return connection
    }

    /// Whether a client's connection still stands.
    func isConnected(_ client: Token) -> Bool { handlers[client] != nil }

    func http2Upstream(_ token: Token) -> HTTP2UpstreamConnection? {
        guard case .http2Upstream(let connection) = handlers[token] else { return nil }
        return connection
    }

    func dial(_ token: Token) -> UpstreamDial? {
        guard case .dial(let dial) = handlers[token] else { return nil }
        return dial
    }

    /// The server's side of an exchange, unless it is gone.
    func serverSide(_ place: ServerStream) -> ServerSide? {
        switch handlers[place.connection] {
        case .dial(let dial): return .dial(dial)
        case .upstream(let connection): return .http1(connection)
        case .http2Upstream(let connection):
            guard let stream = connection.session.stream(place.stream) else { return nil }
            return .http2(connection, stream)
        case .arrival, .handshake, .client, .http2, .database, .listener, .control, nil: return nil
        }
    }

    /// A connection to a server that is to be made.
    func dial(
        _ place: ServerPlace,
        needsHTTP1: Bool,
        announcing announcement: ClientAnnouncement?,
        for exchange: Token
    ) -> UpstreamDial {
        let token = handlers.reserve()
        let dial = UpstreamDial(
            token: token,
            place: place,
            needsHTTP1: needsHTTP1,
            announcing: announcement,
            for: exchange
        )
        handlers.fill(token, .dial(dial))
        return dial
    }

    /// Begins to make it.
    func connect(_ dial: UpstreamDial) throws(Errno) -> Transport {
        let descriptor = try Socket.connect(to: dial.place.address).takeDescriptor()
        try poller.add(descriptor, dial.token, .write)
        metrics.add(.upstreamConnections)
        metrics.add(.upstreamConnectionsActive)
        return Transport(token: dial.token, descriptor: descriptor, tls: nil, pool: buffers, interest: .write)
    }

    /// A connection stands and speaks HTTP/1.1: the first exchange gets it, if it waits still; the others look again.
    func beginHTTP1(after dial: UpstreamDial) {
        guard let transport = dial.takeTransport() else { return }
        let connection = UpstreamConnection(
            token: dial.token,
            place: dial.place,
            announced: dial.announcement?.client,
            transport: transport,
            headLimit: headLimit
        )
        handlers.fill(dial.token, .upstream(connection))
        let pool = pools[dial.place.pool]
        if !dial.needsHTTP1 { pool.sharesNothing(dial.place.endpoint) }
        for other in dial.exchanges.dropFirst() {
            pool.exchangeEnded(at: dial.place.endpoint, self)
            exchange(other)?.seekOther(dial.place.endpoint, self)
        }
        guard let first = dial.exchanges.first else {
            connection.rest(self)
            return
        }
        connection.resume(for: first, self)
    }

    /// A connection stands and speaks HTTP/2: all that waited for it share it.
    func beginHTTP2(after dial: UpstreamDial) {
        guard let transport = dial.takeTransport() else { return }
        do throws(HTTP2Error) {
            let connection = try HTTP2UpstreamConnection(
                token: dial.token,
                place: dial.place,
                transport: transport,
                headLimit: headLimit,
                pool: buffers,
                now: now
            )
            handlers.fill(dial.token, .http2Upstream(connection))
            pools[dial.place.pool].share(dial.token, at: dial.place.endpoint)
            for token in dial.exchanges { exchange(token)?.serverReady(connection, self) }
            connection.start(self)
        } catch { dial.fail(.http2(error), self) }
    }
}
