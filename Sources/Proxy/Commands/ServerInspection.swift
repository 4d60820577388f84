import Bytes
import Database
import Platform
import TLS

/// Looks at a server's certificate, waiting for each step: dials, says what its protocol wants said, shakes hands.
struct ServerInspection {
    /// The name to send.
    let name: String
    /// Of a database; nil where TLS comes first.
    let kind: ServerOpening.Kind?
    /// Whether obsolete TLS is spoken.
    let isLegacy: Bool
    /// How long all of it may take.
    let milliseconds: UInt64

    /// Why a server cannot be looked at.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The server's certificates, the leaf first.
    func certificates(of address: SocketAddress) throws -> [CertificateFacts] {
        let end = Clock.monotonicMicroseconds() / 1000 + milliseconds
        let poller = try Poller(batch: 1)
        let token = Token(rawValue: 1)
        let attempt = try Socket.connect(to: address)
        try poller.add(attempt.descriptor, token, .write)
        try wait(poller, until: end)
        try Socket.connectResult(attempt.descriptor)
        let form = try open(attempt.descriptor, poller, token, until: end)
        let context = try ClientContext.inspecting(
            name: name,
            policy: isLegacy ? .legacy : .nist80052r2,
            alpn: kind?.alpn ?? [],
            newest: form == .enveloped ? .tls12 : nil
        )
        var connection = try TLSConnection(
            connecting: context,
            endpoint: 0,
            descriptor: attempt.descriptor.raw,
            isEnveloped: form == .enveloped
        )
        while true {
            switch try connection.handshake() {
            case .done: return connection.peerCertificates()
            case .wantsRead: try poller.change(attempt.descriptor, token, .read)
            case .wantsWrite: try poller.change(attempt.descriptor, token, .write)
            }
            try wait(poller, until: end)
        }
    }

    /// Says what has to be said before TLS.
    private func open(
        _ descriptor: borrowing FileDescriptor,
        _ poller: Poller,
        _ token: Token,
        until end: UInt64
    ) throws -> HandshakeForm {
        guard let kind else { return .direct }
        var opening = ServerOpening(kind)
        var received: [UInt8] = []
        while true {
            switch opening.next(received.span) {
            case .secure(let form): return form
            case .failed(let reason): throw Failure(description: reason)
            case .send(let bytes):
                var sent = 0
                while sent < bytes.count {
                    let rest = bytes.span.extracting(sent..<bytes.count)
                    if let count = try Socket.write(descriptor, rest) {
                        sent += count
                    } else {
                        try poller.change(descriptor, token, .write)
                        try wait(poller, until: end)
                    }
                }
            case .read:
                try poller.change(descriptor, token, .read)
                try wait(poller, until: end)
                var room = [UInt8](repeating: 0, count: 16_384)
                let socket = descriptor.raw
                guard let count = try room.withUnsafeMutableBufferPointer({ try Socket.read(socket, into: $0) }) else {
                    continue
                }
                guard count > 0 else { throw Failure(description: "the server closed the connection") }
                received += room.prefix(count)
                guard received.count <= Negotiation.mostBytes else {
                    throw Failure(description: "the server sends without end")
                }
            }
        }
    }

    private func wait(_ poller: Poller, until end: UInt64) throws {
        while true {
            let now = Clock.monotonicMicroseconds() / 1000
            guard now < end else { throw Errno.timedOut(in: "connect") }
            if try poller.wait(milliseconds: Int32(clamping: end - now)) > 0 { return }
        }
    }
}
