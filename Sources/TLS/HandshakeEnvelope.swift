import COpenSSL
import Glibc

/// The socket of a TLS connection whose handshake travels inside TDS PRELOGIN packets (MS-TDS 2.2.6.5), and whose
/// records travel bare from then on.
///
/// While enveloped, it reads exactly one packet's head and then exactly its payload, so that no byte of what follows
/// the handshake can be taken for part of it; each flight is collected and goes out in packets when TLS flushes it.
///
/// *Ownership:* OpenSSL's BIO owns it and frees it with the connection; it does not own the descriptor.
final class HandshakeEnvelope {
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

    private let descriptor: CInt
    private var phase = Phase.enveloped
    private var header: [UInt8] = []
    /// Payload of the present packet that has not been read yet.
    private var left = 0
    private var flight: [UInt8] = []
    private var outgoing: [UInt8] = []
    private var sent = 0

    private init(descriptor: CInt) { self.descriptor = descriptor }

    // MARK: as OpenSSL sees it

    private enum Outcome {
        case bytes(Int)
        case again
        case failed
    }

    /// Made once per process, and never changed: it may be shared.
    private struct Method: @unchecked Sendable {
        let raw: OpaquePointer
    }

    private static let kind = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK

    private static let method: Method? = {
        guard let method = BIO_meth_new(kind, "TDS handshake envelope") else { return nil }
        BIO_meth_set_write_ex(method) { bio, bytes, count, written in
            guard let envelope = HandshakeEnvelope.of(bio), let bytes else { return 0 }
            let outcome = bytes.withMemoryRebound(to: UInt8.self, capacity: count) {
                envelope.write(UnsafeBufferPointer(start: $0, count: count))
            }
            return HandshakeEnvelope.report(outcome, bio, written, false)
        }
        BIO_meth_set_read_ex(method) { bio, room, count, read in
            guard let envelope = HandshakeEnvelope.of(bio), let room else { return 0 }
            let outcome = room.withMemoryRebound(to: UInt8.self, capacity: count) {
                envelope.read(UnsafeMutableBufferPointer(start: $0, count: count))
            }
            return HandshakeEnvelope.report(outcome, bio, read, true)
        }
        BIO_meth_set_ctrl(method) { bio, command, _, _ in
            guard command == BIO_CTRL_FLUSH else { return 0 }
            guard let envelope = HandshakeEnvelope.of(bio) else { return 0 }
            return Int(HandshakeEnvelope.report(envelope.flush(), bio, nil, false))
        }
        BIO_meth_set_destroy(method) { bio in
            guard let data = BIO_get_data(bio) else { return 1 }
            Unmanaged<HandshakeEnvelope>.fromOpaque(data).release()
            BIO_set_data(bio, nil)
            return 1
        }
        return Method(raw: method)
    }()

    /// A BIO for a socket; the caller gives it to a connection, which frees it.
    static func makeBIO(descriptor: CInt) -> OpaquePointer? {
        guard let method, let bio = BIO_new(method.raw) else { return nil }
        BIO_set_data(bio, Unmanaged.passRetained(HandshakeEnvelope(descriptor: descriptor)).toOpaque())
        BIO_set_init(bio, 1)
        return bio
    }

    /// The handshake is over; does nothing for a connection without an envelope.
    static func open(_ ssl: OpaquePointer) {
        guard let bio = SSL_get_rbio(ssl), BIO_method_type(bio) == kind else { return }
        of(bio)?.phase = .opening
    }

    private static func of(_ bio: OpaquePointer?) -> HandshakeEnvelope? {
        guard let data = BIO_get_data(bio) else { return nil }
        return Unmanaged<HandshakeEnvelope>.fromOpaque(data).takeUnretainedValue()
    }

    private static func report(
        _ outcome: Outcome,
        _ bio: OpaquePointer?,
        _ count: UnsafeMutablePointer<Int>?,
        _ isReading: Bool
    ) -> CInt {
        everyhop_bio_no_retry(bio)
        switch outcome {
        case .bytes(let done):
            count?.pointee = done
            return 1
        case .again:
            everyhop_bio_retry(bio, isReading ? 1 : 0)
            return 0
        case .failed: return 0
        }
    }

    // MARK: reading

    private func read(_ room: UnsafeMutableBufferPointer<UInt8>) -> Outcome {
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

    private func receive(_ room: UnsafeMutableBufferPointer<UInt8>) -> Outcome {
        while true {
            let count = recv(descriptor, room.baseAddress, room.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 {
                // The end: no error, and nothing to try again.
                errno = 0
                return .failed
            }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .again : .failed
        }
    }

    // MARK: writing

    private func write(_ bytes: UnsafeBufferPointer<UInt8>) -> Outcome {
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

    private func flush() -> Outcome {
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

    private func transmit(_ bytes: UnsafeBufferPointer<UInt8>) -> Outcome {
        while true {
            let count = send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
            if count >= 0 { return .bytes(count) }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .again : .failed
        }
    }
}
