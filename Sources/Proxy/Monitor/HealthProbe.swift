import Bytes
import Config
import Evidence
import HTTP
import HTTP2
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
    private let address: SocketAddress
    private let announcement: Announcement
    private let endpoint: Int
    /// Whether HTTP/1.1 will not do.
    private let needsHTTP2: Bool
    private let request: [UInt8]
    private let pool: BufferPool
    /// What is asked in HTTP/2; nil in HTTP/1.1.
    private var session: HTTP2Session?
    private var transport: Transport
    private var phase = Phase.connecting
    private var parser = ResponseParser(limit: headLimit)
    private var head = ResponseHead()
    private var interim = 0

    init(
        _ settings: Upstream.Health,
        context: ClientContext?,
        address: SocketAddress,
        announcing: Announcement,
        endpoint: Int,
        needsHTTP2: Bool,
        request: [UInt8],
        transport: consuming Transport,
        pool: BufferPool
    ) {
        self.settings = settings
        self.context = context
        self.address = address
        announcement = announcing
        self.endpoint = endpoint
        self.needsHTTP2 = needsHTTP2
        self.request = request
        self.pool = pool
        self.transport = transport
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
            try transport.announce(
                announcement.bytes(to: address, from: Socket.localAddress(transport.descriptor)) ?? []
            )
            if let context {
                try transport.start(connecting: context, endpoint: endpoint)
            }
            phase = .handshaking
        }
        if phase == .handshaking {
            guard try transport.handshake() else { return .goesOn }
            phase = .asking
            guard try ask() else { return .failed("\(UpstreamFailure.noHTTP2)") }
        }
        try write()
        while true {
            let filled = try transport.fill()
            if let outcome = try session.map({ try read($0) }) ?? read() { return outcome }
            try write()
            switch filled {
            case .bytes: continue
            case .nothing: return .goesOn
            case .ended: return .failed("the server closed before it answered")
            }
        }
    }

    /// Begins the request in the version that was agreed on; false when the configuration asks for another one.
    private func ask() throws -> Bool {
        let request = request
        guard transport.facts?.alpn == "h2" else {
            transport.outbound.append(request.span)
            return !needsHTTP2
        }
        var limits = HTTP2Limits()
        limits.fieldSectionBytes = Self.headLimit
        let session = try HTTP2Session(.client, limits: limits, pool: pool)
        var lines = ByteQueue(pool: pool)
        lines.append(request.span)
        _ = session.request(head: lines, endsStream: true)
        self.session = session
        return true
    }

    private func write() throws {
        try session?.send(into: &transport.outbound, upTo: Transport.highWater)
        _ = try transport.flush()
    }

    private var method: HTTP.Method { settings.method == .head ? .head : .get }

    /// The same for a server that speaks HTTP/2; of what follows the head nothing is read.
    private func read(_ session: HTTP2Session) throws -> Outcome? {
        try transport.hand(to: session, now: 0)
        transport.consume(transport.inbound.count)
        for event in session.takeEvents() {
            switch event {
            case .head(let stream):
                do throws(ResponseError) {
                    guard !stream.isOversized else { throw .headTooLong }
                    let method = method
                    try stream.takeFields { fields throws(ResponseError) in
                        try head.assemble(from: &fields, requestMethod: method, endsStream: false)
                    }
                } catch { return .failed("invalid response: \(error.reason)") }
                return settings.isGood(head.status) ? .passed : .failed("status \(head.status)")
            case .interim(let stream):
                guard stream.interimCount <= Self.mostInterim else { return .failed("too many interim responses") }
                _ = stream.takeInterim()
            case .closed(_, let code): return .failed("\(UpstreamFailure.streamReset(code))")
            case .fault(let code): return .failed("\(HTTP2Error.session(Int(code)))")
            case .goAway, .pong, .refusedStream: break
            }
        }
        return nil
    }

    /// The verdict, once the final head is there.
    private func read() throws -> Outcome? {
        while !transport.inbound.isEmpty {
            do throws(ResponseError) {
                guard try transport.take(&head, by: &parser, answering: method) else { return nil }
            } catch { return .failed("invalid response: \(error.reason)") }
            guard head.isInformational else {
                return settings.isGood(head.status) ? .passed : .failed("status \(head.status)")
            }
            interim += 1
            guard head.status != 101, interim <= Self.mostInterim else { return .failed("status \(head.status)") }
            parser.reset()
        }
        return nil
    }
}
