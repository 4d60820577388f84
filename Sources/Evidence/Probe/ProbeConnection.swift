internal import Bytes
public import Database
public import Platform
public import TLS

/// Why something cannot be looked at.
public struct ProbeFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// What happened, for people.
    public let description: String
    /// Whether the other side said at once that nobody listens there.
    public let isRefusal: Bool

    /// The deadline has passed: nothing is known about what would have come.
    public static let late = ProbeFailure("no answer in time")

    /// A failure for this reason.
    public init(_ description: String) {
        self.description = description
        isRefusal = false
    }

    init(_ address: SocketAddress, _ error: Errno) {
        description = "\(address): \(error.message)"
        isRefusal = error.isRefusedConnection
    }
}

/// One connection to look at a server with: each step waits, and one deadline holds for all of them.
///
/// *Ownership:* owns its socket, which ends with it.
public final class ProbeConnection {
    /// What a TLS handshake has shown.
    public struct Secured {
        /// What was agreed on.
        public let facts: TLSFacts?
        /// The server's certificates, the leaf first.
        public let certificates: [CertificateFacts]
    }

    private let descriptor: FileDescriptor
    private let poller: Poller
    private let end: UInt64
    private var tls: TLSConnection?
    private static let token = Token(rawValue: 1)

    /// Connects.
    ///
    /// - Parameters:
    ///   - milliseconds: how long everything on this connection may take.
    ///   - announcing: what the server expects first.
    /// - Throws: `ProbeFailure` when it is refused or takes too long.
    public init(to address: SocketAddress, milliseconds: UInt64, announcing: Announcement = .none) throws {
        end = Clock.monotonicMicroseconds() / 1000 + milliseconds
        poller = try Poller(batch: 1)
        let attempt = try Self.explained(address) { () throws(Errno) in try Socket.connect(to: address) }
        descriptor = attempt.takeDescriptor()
        try poller.add(descriptor, Self.token, .write)
        try wait(.write)
        do { try Socket.connectResult(descriptor) } catch {
            throw ProbeFailure(address, error)
        }
        if let header = announcing.bytes(to: address, from: Socket.localAddress(descriptor)) { try send(header) }
    }

    /// Connects to the first address that lets it.
    public static func first(
        of addresses: [SocketAddress],
        milliseconds: UInt64,
        announcing: Announcement = .none
    ) throws -> ProbeConnection {
        var last: any Error = ProbeFailure("no address")
        for address in addresses {
            do {
                return try ProbeConnection(to: address, milliseconds: milliseconds, announcing: announcing)
            } catch { last = error }
        }
        throw last
    }

    /// Says what has to be said before TLS in the protocol of a database.
    ///
    /// - Throws: `ProbeFailure` when the server offers no TLS.
    public func open(_ kind: ServerOpening.Kind) throws -> HandshakeForm {
        var opening = ServerOpening(kind)
        var received: [UInt8] = []
        while true {
            switch opening.next(received.span) {
            case .secure(let form): return form
            case .failed(let reason): throw ProbeFailure(reason)
            case .send(let bytes): try send(bytes)
            case .read:
                let more = try receive()
                guard !more.isEmpty else { throw ProbeFailure("the server closed the connection") }
                received += more
                guard received.count <= Negotiation.mostBytes else {
                    throw ProbeFailure("the server sends without end")
                }
            }
        }
    }

    /// Shakes hands.
    ///
    /// - Throws: `TLSError` when it fails; `verification` when the server is not the one that is trusted.
    public func secure(_ context: ClientContext, form: HandshakeForm = .direct) throws -> Secured {
        var connection = try TLSConnection(
            connecting: context,
            endpoint: 0,
            descriptor: descriptor.raw,
            isEnveloped: form == .enveloped
        )
        while true {
            switch try connection.handshake() {
            case .done:
                let secured = Secured(facts: connection.facts, certificates: connection.peerCertificates())
                tls = consume connection
                return secured
            case .wantsRead: try wait(.read)
            case .wantsWrite: try wait(.write)
            }
        }
    }

    /// Sends all of `bytes`, over TLS once that stands.
    public func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let rest = bytes.span.extracting(sent..<bytes.count)
            guard tls != nil else {
                if let count = try Socket.write(descriptor, rest) { sent += count } else { try wait(.write) }
                continue
            }
            switch try tls?.write(rest) {
            case .bytes(let count): sent += count
            case .wantsRead: try wait(.read)
            case .wantsWrite: try wait(.write)
            case nil: return
            }
        }
    }

    /// What comes next, at most 16 KiB; empty at the end of the stream.
    public func receive() throws -> [UInt8] {
        while true {
            guard tls != nil else {
                var room = [UInt8](repeating: 0, count: 16_384)
                let socket = descriptor.raw
                if let count = try room.withUnsafeMutableBufferPointer({ try Socket.read(socket, into: $0) }) {
                    return Array(room.prefix(count))
                }
                try wait(.read)
                continue
            }
            var queue = ByteQueue(pool: BufferPool())
            switch try tls?.read(into: &queue) {
            case .bytes: return queue.bytes.indices.map { queue.bytes[$0] }
            case .wantsRead: try wait(.read)
            case .wantsWrite: try wait(.write)
            case .closed, .truncated, nil: return []
            }
        }
    }

    private func wait(_ interest: Interest) throws {
        try poller.change(descriptor, Self.token, interest)
        while true {
            let now = Clock.monotonicMicroseconds() / 1000
            guard now < end else { throw ProbeFailure.late }
            if try poller.wait(milliseconds: Int32(clamping: end - now)) > 0 { return }
        }
    }

    private static func explained(
        _ address: SocketAddress,
        _ body: () throws(Errno) -> Socket.Attempt
    ) throws(ProbeFailure) -> Socket.Attempt {
        do throws(Errno) { return try body() } catch { throw ProbeFailure(address, error) }
    }
}
