import Bytes
import Config
import Database
import Evidence
import HTTP
import Platform
import TLS
import Telemetry

/// The steps that a negotiation asks for, done on sockets.
extension DatabaseSession {
    /// Goes on with the negotiation as far as what has come allows.
    func negotiate(_ worker: Worker) {
        while phase == .negotiating {
            let turn = nextTurn()
            client.transport.consume(turn.fromClient)
            server?.transport.consume(turn.fromServer)
            switch turn.step {
            case .proceed: continue
            case .read(let client, let server):
                wants = (client, server)
                flush(worker)
                guard phase == .negotiating, !ended(worker) else { continue }
                return
            case .dial:
                flush(worker)
                if phase == .negotiating { dial(worker) }
            case .secure(let side, let form): secure(side, form, worker)
            case .send(let side, let bytes): send(side, bytes, worker)
            case .unsecureClient:
                flush(worker)
                client.transport.dropTLS()
            case .decrypt(let sealed): negotiation.decrypted(target.passwordKey?.open(sealed))
            case .relay: beginRelay(worker)
            case .refuse(let bytes): refuse(bytes, worker)
            }
        }
    }

    /// A connection to the server has come about, or not.
    func finishConnecting(_ worker: Worker) {
        guard let server else { return }
        do throws(Errno) {
            try Socket.connectResult(server.transport.descriptor)
        } catch {
            unreachable(error, worker)
            return
        }
        do throws(TransportError) { try announce(server) } catch {
            broke(.server, error, worker)
            return
        }
        negotiation.dialled()
        phase = .negotiating
    }

    /// Tells the server whose session it gets, where it is to know.
    private func announce(_ server: End) throws(TransportError) {
        guard let version = target.settings.sendProxy?.version else { return }
        let header = origin.header(Socket.localAddress(client.transport.descriptor))
        try server.transport.announce(header.bytes(version, tls: clientFacts.map { ProxiedTLS($0) }))
    }

    /// Goes on with the handshake of a side.
    func shakeHands(_ side: Side, _ worker: Worker) {
        guard let end = side == .client ? client : server else { return }
        do throws(TLSError) {
            guard try end.transport.handshake() else { return }
        } catch {
            handshakeFailed(side, error, worker)
            return
        }
        let facts = end.transport.facts
        switch side {
        case .client:
            clientFacts = facts
            worker.metrics.add(.handshakes)
        case .server:
            serverFacts = facts
            times.verified = worker.nowMicroseconds
            worker.metrics.add(.upstreamHandshakes)
            if facts?.resumed == true { worker.metrics.add(.upstreamResumed) }
        }
        negotiation.secured(side, alpn: facts?.alpn)
        phase = .negotiating
        // What came with the last handshake message is not told of by epoll.
        read(side, worker)
    }

    // MARK: steps

    private func nextTurn() -> NegotiationTurn {
        let nothing: [UInt8] = []
        if let byte = firstByte {
            firstByte = nil
            let seen = [byte]
            return negotiation.next(client: seen.span, server: nothing.span)
        }
        guard let server else { return client.transport.negotiate(&negotiation, nothing.span) }
        return Self.next(&negotiation, client.transport, server.transport)
    }

    private static func next(
        _ negotiation: inout Negotiation,
        _ client: borrowing Transport,
        _ server: borrowing Transport
    ) -> NegotiationTurn {
        client.negotiate(&negotiation, server.inbound.bytes)
    }

    /// Whether a side that is waited for has ended: then the negotiation has been told, or the session is closed.
    private func ended(_ worker: Worker) -> Bool {
        if wants.server, let server, server.transport.end != .open {
            lost(.server, worker)
            return true
        }
        guard client.transport.end != .open else { return false }
        failure = failure ?? "the client closed before the login was decided"
        close(worker)
        return true
    }

    private func dial(_ worker: Worker) {
        guard let address = target.address else {
            fail(NegotiationFailure(.server, "the name of the server has no address"), worker)
            return
        }
        times.dialled = worker.nowMicroseconds
        serverAddress = address
        addressesTried += 1
        do throws(Errno) {
            let attempt = try Socket.connect(to: address)
            server = try worker.adopt(attempt.takeDescriptor(), self)
            phase = .connecting
        } catch { unreachable(error, worker) }
    }

    private func unreachable(_ error: Errno, _ worker: Worker) {
        target.turn()
        dropServer(worker)
        guard addressesTried < target.addresses.count else {
            fail(NegotiationFailure(.server, "the server cannot be reached: \(error)"), worker)
            return
        }
        dial(worker)
    }

    private func secure(_ side: Side, _ form: HandshakeForm, _ worker: Worker) {
        // What was said in plain goes out in plain.
        flush(worker)
        guard phase == .negotiating else { return }
        do throws(TLSError) {
            switch side {
            case .client:
                guard let table = door.table else { throw .noBinding }
                try client.transport.start(accepting: table, isEnveloped: form == .enveloped)
            case .server:
                guard let server else { throw .closed }
                try server.transport.start(
                    connecting: target.context,
                    endpoint: 0,
                    isEnveloped: form == .enveloped
                )
            }
        } catch {
            handshakeFailed(side, error, worker)
            return
        }
        phase = .securing(side)
        shakeHands(side, worker)
    }

    private func handshakeFailed(_ side: Side, _ error: TLSError, _ worker: Worker) {
        guard side == .server else {
            failure = failure ?? "TLS handshake with the client: \(error)"
            worker.metrics.add(.handshakeFailures)
            worker.refused(self, NegotiationFailure(.client, "TLS handshake: \(error)"), isTrust: false)
            close(worker)
            return
        }
        var isTrust = false
        if case .verification(let reason) = error {
            isTrust = true
            if case .pinMismatch = reason { worker.metrics.add(.pinMismatches) }
        }
        // A server that knows only older versions hangs up, or says no more than that.
        let mayBeOld = !isTrust && !target.settings.legacy
        let hint = mayBeOld ? "; if it speaks TLS 1.0 or 1.1 only, see minimum_version and legacy" : ""
        fail(NegotiationFailure(.server, "TLS: \(error)\(hint)"), isTrust: isTrust, worker)
    }

    private func send(_ side: Side, _ bytes: [UInt8], _ worker: Worker) {
        switch side {
        case .client:
            // Goes out before anything is waited for, or with the first bytes that are relayed.
            client.transport.outbound.append(bytes.span)
        case .server:
            server?.transport.outbound.append(bytes.span)
            // A message that is waited for elsewhere goes out before anything else is asked for.
            flush(worker)
        }
    }

    private func flush(_ worker: Worker) {
        do throws(TransportError) { _ = try client.transport.flush() } catch {
            broke(.client, error, worker)
            return
        }
        guard let server else { return }
        do throws(TransportError) { _ = try server.transport.flush() } catch { broke(.server, error, worker) }
    }

    private func beginRelay(_ worker: Worker) {
        // No negotiation relays before both handshakes that it needs; a mistake in one must not leave this host in plain.
        guard server?.transport.isEncrypted == true else {
            fail(NegotiationFailure(.server, "the connection to the server is not encrypted"), worker)
            return
        }
        phase = .relaying
        times.established = worker.nowMicroseconds
        worker.metrics.add(.established, database: target.index)
        if let notice = negotiation.notice { worker.log.database(target.settings.name, peer, notice) }
        if let idle = target.settings.timeouts.idle { setDeadline(idle, worker) } else { clearDeadline() }
        relay(worker)
    }

    private func refuse(_ bytes: [UInt8], _ worker: Worker) {
        if failure == nil, let reason = negotiation.failure {
            failure = reason.reason
            worker.refused(self, reason, isTrust: false)
        }
        dropServer(worker)
        phase = .refusing
        client.transport.outbound.append(bytes.span)
        setDeadline(Self.farewellTime, worker)
    }
}
