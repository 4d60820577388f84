import Bytes
import Config
import Telemetry

/// What a worker's connections hold in memory together, against what they may.
struct Pressure {
    /// Whoever has kept bytes waiting for less is not cut off, in milliseconds.
    static let leastWait: UInt64 = 1000
    /// Whether more is held than may be.
    fileprivate(set) var isHigh = false
    fileprivate var told = 0
}

/// How a worker's memory stays within its bounds whatever its clients do.
extension Worker {
    /// Whether new requests are refused, since buffers are used up.
    var isPressed: Bool { pressure.isHigh }

    /// Looks at what is held; beyond the limit, nobody new is let in, and the readers that have kept most waiting for
    /// longest are cut off.
    func relievePressure() {
        let held = buffers.held
        metrics.add(.bufferBytes, held - pressure.told)
        pressure.told = held
        let limit = Int(clamping: snapshot.configuration.server.limits.bufferBytes)
        // A little below, so that it does not flap.
        let calm = limit / 8 * 7
        if held > limit, !pressure.isHigh { beginPressure(held, limit) }
        guard pressure.isHigh else { return }
        // Between the two, too: who is left could hold so much for ever, and nobody new would be let in.
        if held < calm { endPressure() } else { cutReaders(freeing: held - calm + 1) }
    }

    private func beginPressure(_ held: Int, _ limit: Int) {
        pressure.isHigh = true
        gate.isPressed = true
        metrics.add(.bufferLimitReached)
        log.underPressure(held, limit)
        pauseListeners()
    }

    private func endPressure() {
        pressure.isHigh = false
        gate.isPressed = false
        guard gate.isOpen, !isDraining else { return }
        log.accepting()
        try? watchListeners()
    }

    /// The reader that has kept bytes waiting longest goes first.
    private func cutReaders(freeing wanted: Int) {
        var readers: [(since: UInt64, token: Token)] = []
        for token in handlers.tokens {
            switch handlers[token] {
            case .client(let connection): if let since = connection.reader.since { readers.append((since, token)) }
            case .http2(let connection): if let since = connection.reading.since { readers.append((since, token)) }
            default: break
            }
        }
        readers.sort { $0.since < $1.since }
        let before = buffers.held
        for reader in readers {
            guard before - buffers.held < wanted, now &- reader.since >= Pressure.leastWait else { return }
            metrics.add(.readersCut)
            switch handlers[reader.token] {
            case .client(let connection): connection.gone("cut off, since this worker's buffers are used up", self)
            case .http2(let connection): connection.gone("cut off, since this worker's buffers are used up", self)
            default: break
            }
        }
    }
}
