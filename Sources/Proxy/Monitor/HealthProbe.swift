import Bytes
import Config
import HTTP
import Platform
import TLS

/// One check of one server: a connection of its own, verified as a worker's, one request, the head of one answer.
final class HealthProbe {
    enum Outcome: Equatable {
        case goesOn
        case passed
        /// Why, for the log.
        case failed(String)
    }

    private enum Phase {
        case connecting
        case handshaking
        case asking
    }

    /// The largest head of an answer, in bytes.
    private static let headLimit = 65_536
    private static let mostInterim = 32

    private let settings: Upstream.Health
    private let context: ClientContext?
    private let endpoint: Int
    private var transport: Transport
    private var phase = Phase.connecting
    private var parser = ResponseParser(limit: headLimit)
    private var head = ResponseHead()
    private var interim = 0

    init(
        _ settings: Upstream.Health,
        context: ClientContext?,
        endpoint: Int,
        request: [UInt8],
        transport: consuming Transport
    ) {
        self.settings = settings
        self.context = context
        self.endpoint = endpoint
        self.transport = transport
        self.transport.outbound.append(request.span)
    }

    /// Goes on as far as the socket lets it.
    func ready(_ poller: Poller) -> Outcome {
        let outcome: Outcome
        do { outcome = try advance() } catch let error as TLSError {
            return .failed("TLS: \(error)")
        } catch { return .failed("\(error)") }
        switch outcome {
        case .goesOn:
            transport.updateInterest(reading: phase != .connecting, connecting: phase == .connecting, poller: poller)
        case .passed, .failed: transport.sayGoodbye()
        }
        return outcome
    }

    private func advance() throws -> Outcome {
        if phase == .connecting {
            try Socket.connectResult(transport.descriptor)
            if let context {
                transport.start(
                    try TLSConnection(connecting: context, endpoint: endpoint, descriptor: transport.descriptor.raw)
                )
            }
            phase = .handshaking
        }
        if phase == .handshaking {
            guard try transport.handshake() else { return .goesOn }
            phase = .asking
        }
        _ = try transport.flush()
        while true {
            let filled = try transport.fill()
            if let outcome = try read() { return outcome }
            switch filled {
            case .bytes: continue
            case .nothing: return .goesOn
            case .ended: return .failed("the server closed before it answered")
            }
        }
    }

    /// The verdict, once the final head is there.
    private func read() throws -> Outcome? {
        while !transport.inbound.isEmpty {
            let method: HTTP.Method = settings.method == .head ? .head : .get
            let consumed: Int?
            do throws(ResponseError) {
                consumed = try transport.parse(&parser, into: &head, requestMethod: method)
            } catch { return .failed("invalid response: \(error.reason)") }
            guard let consumed else { return nil }
            guard head.isInformational else {
                return settings.isGood(head.status) ? .passed : .failed("status \(head.status)")
            }
            interim += 1
            guard head.status != 101, interim <= Self.mostInterim else { return .failed("status \(head.status)") }
            transport.consume(consumed)
            parser.reset()
        }
        return nil
    }
}
