import Bytes
import Config
import Platform
import TLS

/// Other certificates and trust for a worker that serves: made ready first, used when every worker can.
extension Worker {
    /// Makes them ready, and says whether they can be used.
    func prepare(_ payload: [UInt8]) {
        guard let message = try? ReplacementMessage(decoding: payload) else {
            log.unexpectedMessage(ControlKind.replacement.rawValue)
            return
        }
        do {
            prepared = (message.number, try snapshot.prepare(try Bundle(decoding: message.content)))
            tell(.replacementReady, ReplacementMessage(message.number))
        } catch { tell(.replacementRefused, ReplacementMessage(message.number, Array("\(error)".utf8))) }
    }

    /// Uses what was made ready: new handshakes find it, and no request of the old trust's connections follows.
    func usePrepared(_ payload: [UInt8]) {
        guard let message = try? ReplacementMessage(decoding: payload) else { return }
        if let prepared, prepared.number == message.number {
            snapshot.use(prepared.material)
            snapshot.show(proofs.contexts)
            for (index, trust) in prepared.material.trust.enumerated() {
                guard let trust else { continue }
                pools[index].use(trust, self)
                closeOwned(by: index)
            }
            if !prepared.material.bindingsWithOtherRules.isEmpty { sendOutdatedClientsAway() }
            self.prepared = nil
        }
        tell(.replacementDone, ReplacementMessage(message.number))
    }

    /// Connections that rest for the client that a server has authenticated them for.
    private func closeOwned(by pool: Int) {
        for token in handlers.tokens {
            guard case .upstream(let connection) = handlers[token], connection.place.pool == pool,
                connection.isWaitingForOwner, !pools[pool].isCurrent(connection.place)
            else { continue }
            connection.close(self)
        }
    }

    /// Clients whose certificate was good by rules that hold no more come again and are looked at again.
    private func sendOutdatedClientsAway() {
        let until = now + min(Linger.time, snapshot.configuration.server.drain / 2)
        for token in handlers.tokens {
            switch handlers[token] {
            case .client(let connection) where snapshot.isOutdated(connection.identity):
                connection.drain(until: until, self)
            case .http2(let connection) where snapshot.isOutdated(connection.identity):
                connection.drain(until: until, self)
            default: break
            }
        }
    }

    /// Accepts from one more socket: the kernel gives clients to it, and nobody else takes them.
    func add(_ descriptor: consuming FileDescriptor?, _ payload: [UInt8]) {
        var reader = WireReader(payload)
        guard let descriptor, let index = try? reader.int(), snapshot.plan.entries.indices.contains(index) else {
            log.unexpectedMessage(ControlKind.listener.rawValue)
            return
        }
        guard !isDraining else { return }
        begin(Listener(descriptor, entry: snapshot.plan.entries[index]))
    }
}
