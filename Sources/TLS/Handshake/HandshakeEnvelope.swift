import COpenSSL
import Glibc

/// The socket of a TLS connection whose handshake travels inside TDS PRELOGIN packets (MS-TDS 2.2.6.5), and whose
/// records travel bare from then on.
///
/// While enveloped, it reads exactly one packet's head and then exactly its payload, so that no byte of what follows
/// the handshake can be taken for part of it; each flight is collected and goes out in packets when TLS flushes it.
final class HandshakeEnvelope: HandshakeSocket {
    private static let preloginType: UInt8 = 0x12
    /// Some servers answer as they answer everything.
    private static let tabularResultType: UInt8 = 0x04
    private static let headerSize = 8
    private static let packetSize = 4096

    private enum Phase {
        /// The handshake.
        case enveloped
        /// The handshake is over; what a TLS 1.3 server sends right behind it (tickets) may still be in an envelope.
        case opening
        /// Records are bare.
        case bare
    }

    private var phase = Phase.enveloped
    private var header: [UInt8] = []
    /// Payload of the present packet that has not been read yet.
    private var left = 0
    private var flight: [UInt8] = []
    private var outgoing: [UInt8] = []
    private var sent = 0

    override var isEnvelope: Bool { true }

    override func handshakeIsOver() { phase = .opening }

    // MARK: reading

    override func read(_ room: UnsafeMutableBufferPointer<UInt8>) -> Outcome {
        switch phase {
        case .bare: return receive(room)
        case .opening:
            // A record never begins like a packet does.
            if left == 0, header.isEmpty {
                var first: UInt8 = 0
                let count = recv(descriptor, &first, 1, CInt(MSG_PEEK))
                if count < 0 { return errno == EAGAIN || errno == EINTR ? .again : .failed }
                guard count == 1, first == Self.preloginType || first == Self.tabularResultType else {
                    phase = .bare
                    return receive(room)
                }
            }
            return readEnveloped(room)
        case .enveloped: return readEnveloped(room)
        }
    }

    private func readEnveloped(_ room: UnsafeMutableBufferPointer<UInt8>) -> Outcome {
        while left == 0 {
            var piece = [UInt8](repeating: 0, count: Self.headerSize - header.count)
            switch piece.withUnsafeMutableBufferPointer({ receive($0) }) {
            case .bytes(0): return .bytes(0)
            case .bytes(let count): header += piece.prefix(count)
            case .again: return .again
            case .failed: return .failed
            }
            guard header.count == Self.headerSize else { continue }
            let length = Int(header[2]) << 8 | Int(header[3])
            guard header[0] == Self.preloginType || header[0] == Self.tabularResultType, length > Self.headerSize else {
                errno = EPROTO
                return .failed
            }
            left = length - Self.headerSize
            header = []
        }
        let outcome = receive(UnsafeMutableBufferPointer(rebasing: room.prefix(left)))
        if case .bytes(let count) = outcome { left -= count }
        return outcome
    }

    // MARK: writing

    override func write(_ bytes: UnsafeBufferPointer<UInt8>) -> Outcome {
        if phase == .enveloped {
            flight += bytes
            return .bytes(bytes.count)
        }
        switch flush() {
        case .bytes: break
        case .again: return .again
        case .failed: return .failed
        }
        return transmit(bytes)
    }

    override func flush() -> Outcome {
        if !flight.isEmpty {
            seal()
            flight = []
        }
        while sent < outgoing.count {
            let outcome = outgoing.withUnsafeBufferPointer { transmit(UnsafeBufferPointer(rebasing: $0[sent...])) }
            guard case .bytes(let count) = outcome else { return outcome }
            sent += count
        }
        outgoing = []
        sent = 0
        return .bytes(1)
    }

    /// Puts the flight into packets.
    private func seal() {
        var rest = flight[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Self.packetSize - Self.headerSize)
            rest = rest.dropFirst(piece.count)
            let length = piece.count + Self.headerSize
            outgoing += [
                Self.preloginType, rest.isEmpty ? 1 : 0, UInt8(truncatingIfNeeded: length >> 8),
                UInt8(truncatingIfNeeded: length), 0, 0, 0, 0,
            ]
            outgoing += piece
        }
    }
}
