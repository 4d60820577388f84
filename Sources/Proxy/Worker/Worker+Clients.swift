import Bytes
import Database
import HTTP2
import Platform
import TLS
import Telemetry

/// How clients come in: accepted, counted, given a session of what they speak.
extension Worker {
    func watchListeners() throws(Errno) {
        guard gate.isOpen else { return }
        for (token, listener) in listeners { try listener.watch(token, poller) }
    }

    func pauseListeners() {
        for (_, listener) in listeners { listener.pause(poller) }
    }

    func accept(_ listener: Listener) {
        // A bounded batch, so that a flood of new clients does not starve those that are served; one alone where there is
        // no flood, since asking for another that is not there is a call for nothing.
        for _ in 0..<listener.batch(turn: poller.turns) {
            guard gate.isOpen, !isDraining else { return }
            do throws(Errno) {
                guard let accepted = try Socket.accept(from: listener.descriptor) else { return }
                welcome(accepted, listener.entry)
            } catch {
                if error.isOutOfDescriptors {
                    pauseListeners()
                    if gate.outOfDescriptors(now: now) { log.outOfDescriptors(error, clients) }
                } else {
                    log.acceptFailed(error)
                }
                return
            }
        }
    }

    private func welcome(_ accepted: consuming Socket.Accepted, _ entry: ListenEntry) {
        let peer = accepted.peer
        let descriptor = accepted.takeDescriptor()
        let token = handlers.reserve()
        do throws(Errno) {
            try poller.add(descriptor, token, .read)
        } catch {
            handlers.remove(token)
            log.acceptFailed(error)
            return
        }
        countClient()
        guard snapshot.announces(peer, at: entry.address) else {
            begin(token, descriptor, ClientOrigin(peer: peer), entry)
            return
        }
        let arrival = ClientArrival(token: token, entry: entry, balancer: peer, descriptor: descriptor)
        handlers.fill(token, .arrival(arrival))
        arrival.start(self)
    }

    /// It is known whose the connection is: it begins with what its address serves.
    func begin(_ token: Token, _ descriptor: consuming FileDescriptor, _ origin: ClientOrigin, _ entry: ListenEntry) {
        guard hasPlace(token, origin, entry) else {
            metrics.add(.clientsRefused)
            log.client(origin.peer, "it has as many connections as one client may")
            return drop(token)
        }
        switch entry.kind {
        case .https: beginHandshake(token, descriptor, origin, entry)
        case .redirect:
            let transport = Transport(token: token, descriptor: descriptor, tls: nil, pool: buffers, interest: .read)
            beginHTTP1(token, identity(origin, entry), transport)
        case .database: beginSession(token, descriptor, origin, entry)
        // The monitor's alone: no worker gets it.
        case .admin: drop(token)
        }
    }

    /// Whether a client may have one more connection.
    ///
    /// Whoever passes others' connections or requests on is many clients, and so is an application.
    private func hasPlace(_ token: Token, _ origin: ClientOrigin, _ entry: ListenEntry) -> Bool {
        guard places.limit != nil, let address = AddressBits(origin.peer) else { return true }
        switch entry.kind {
        case .https, .redirect: break
        case .database, .admin: return true
        }
        if snapshot.trusts(origin.peer) || snapshot.announces(origin.peer, at: entry.address) { return true }
        return places.take(token, address)
    }

    /// A client that is registered, and has no session that would do so, goes.
    func drop(_ token: Token) {
        metrics.add(.clientConnectionsActive, -1)
        remove(token)
        clientClosed(token)
    }

    private func identity(_ origin: ClientOrigin, _ entry: ListenEntry) -> ClientIdentity {
        ClientIdentity(entry: entry, origin: origin, acceptedAt: nowMicroseconds, snapshot)
    }

    private func beginHandshake(
        _ token: Token,
        _ descriptor: consuming FileDescriptor,
        _ origin: ClientOrigin,
        _ entry: ListenEntry
    ) {
        let tls: TLSConnection
        do throws(TLSError) {
            tls = try TLSConnection(
                accepting: snapshot.table(for: entry),
                descriptor: descriptor.raw,
                pool: buffers
            )
        } catch {
            log.acceptFailed(error)
            drop(token)
            return
        }
        let handshake = ClientHandshake(
            token: token,
            identity: identity(origin, entry),
            transport: Transport(token: token, descriptor: descriptor, tls: tls, pool: buffers, interest: .read)
        )
        handlers.fill(token, .handshake(handshake))
        handshake.start(self)
    }

    /// A client's handshake is complete: what it agreed on by ALPN serves it (RFC 7301).
    func beginSession(after handshake: ClientHandshake) {
        if handshake.identity.facts?.alpn == ServerNameTable.challengeProtocol { return handshake.close(self) }
        if snapshot.isOutdated(handshake.identity) {
            log.client(handshake.identity.peer, "the rules for clients' certificates have changed meanwhile")
            handshake.close(self)
            return
        }
        guard let transport = handshake.takeTransport() else { return }
        handshakeEnded()
        guard handshake.identity.facts?.alpn == "h2" else {
            beginHTTP1(handshake.token, handshake.identity, transport)
            return
        }
        do throws(HTTP2Error) {
            let connection = try HTTP2ClientConnection(
                token: handshake.token,
                identity: handshake.identity,
                transport: transport,
                headLimit: headLimit,
                pool: buffers
            )
            handlers.fill(handshake.token, .http2(connection))
            connection.start(self)
        } catch {
            log.client(handshake.identity.peer, "\(error)")
            drop(handshake.token)
        }
    }

    private func beginHTTP1(_ token: Token, _ identity: ClientIdentity, _ transport: consuming Transport) {
        let connection = ClientConnection(
            token: token,
            identity: identity,
            transport: transport,
            headLimit: headLimit
        )
        handlers.fill(token, .client(connection))
        connection.start(self)
    }

    private func beginSession(
        _ token: Token,
        _ descriptor: consuming FileDescriptor,
        _ origin: ClientOrigin,
        _ entry: ListenEntry
    ) {
        guard let place = snapshot.plan.databases[entry.address] else {
            drop(token)
            return
        }
        let target = snapshot.databases[place.database]
        let transport = Transport(token: token, descriptor: descriptor, tls: nil, pool: buffers, interest: .read)
        target.sessions += 1
        sessions += 1
        let session = DatabaseSession(
            target,
            door: place.binding,
            origin: origin,
            client: DatabaseSession.End(token: token, transport: transport),
            now: nowMicroseconds
        )
        handlers.fill(token, .database(session, .client))
        metrics.add(.sessions, database: target.index)
        metrics.add(.active, database: target.index)
        session.start(self)
    }

    private func countClient() {
        clients += 1
        metrics.add(.clientConnections)
        metrics.add(.clientConnectionsActive)
        if gate.shouldClose(clients: clients, now: now) {
            metrics.add(.connectionLimitReached)
            log.atLimit(gate.limit)
            pauseListeners()
        }
    }

    /// A client's connection has ended, and another may come.
    func clientClosed(_ token: Token) {
        clients -= 1
        places.giveBack(token)
        if !isDraining, gate.shouldOpen(clients: clients, now: now) {
            log.accepting()
            try? watchListeners()
        }
    }
}
