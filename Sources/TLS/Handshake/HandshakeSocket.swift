import Bytes
import COpenSSL
import Glibc

/// The socket of a TLS connection as the library sees it (BIO(3)), while it shakes hands.
///
/// It reads as much as has come and hands on what the library asks for, so that what it did not ask for can be taken over by
/// whoever carries the traffic afterwards.
///
/// *Ownership:* the library's BIO and the connection both hold it; it does not own the descriptor.
class HandshakeSocket {
    /// Longest that a record of TLS 1.2 is which carries nothing but Finished: head, explicit nonce, message, tag.
    static let finishedSize = 45
    /// The library asks for the head of a record and then for the rest; both are there after one call, mostly.
    private static let leastRoom = 4096

    let descriptor: CInt
    let pool: BufferPool
    /// What the library derives meanwhile.
    let secrets = TrafficSecrets()
    /// What has come and was not asked for yet.
    private(set) var input: ByteQueue
    /// The last read has emptied the socket: what comes later, epoll tells, and the library need not ask again for nothing.
    var isDrained = false
    /// From now on what the library wants to say is swallowed: somebody else speaks with its keys.
    var isMuted = false
    /// The end of what was written last.
    private(set) var lastWritten: [UInt8] = []

    init(descriptor: CInt, pool: BufferPool) {
        self.descriptor = descriptor
        self.pool = pool
        input = ByteQueue(pool: pool)
        lastWritten.reserveCapacity(Self.finishedSize)
    }

    /// What became of a call.
    enum Outcome {
        case bytes(Int)
        case again
        case failed
    }

    /// Reads what the library asks for, or less.
    func read(_ room: UnsafeMutableBufferPointer<UInt8>) -> Outcome {
        if input.isEmpty, !isMuted, !isDrained {
            let outcome = fill()
            guard case .bytes = outcome else { return outcome }
        }
        guard !input.isEmpty else { return .again }
        let count = min(room.count, input.count)
        input.bytes.withUnsafeBufferPointer { _ = room.update(fromContentsOf: $0.prefix(count)) }
        input.consume(count)
        return .bytes(count)
    }

    /// Reads what has come, behind what waits here.
    final func fill() -> Outcome {
        var outcome = Outcome.again
        input.append(atLeast: Self.leastRoom) { room in
            outcome = receive(room)
            guard case .bytes(let count) = outcome else { return 0 }
            isDrained = count < room.count
            return count
        }
        return outcome
    }

    /// How many bytes have come that nobody has taken yet.
    final var waitingCount: Int { input.count }

    /// The head of the record that waits; nil until it has come.
    final var waitingHeader: RecordHeader? { RecordHeader(input.bytes) }

    /// Some of what waits; no more than there is.
    final func copy(_ range: Range<Int>) -> [UInt8] {
        input.bytes.extracting(range.clamped(to: 0..<input.count)).withUnsafeBufferPointer { Array($0) }
    }

    /// Takes the first of what waits away.
    final func consume(_ count: Int) { input.consume(count) }

    /// Writes as much as the socket takes.
    func write(_ bytes: UnsafeBufferPointer<UInt8>) -> Outcome { transmit(bytes) }

    /// Writes what `write` has collected.
    func flush() -> Outcome { .bytes(1) }

    /// Whether records may be inside something else, even behind the handshake.
    var isEnvelope: Bool { false }

    /// The handshake is over.
    func handshakeIsOver() {}

    /// Whether bytes wait here that the library has not asked for.
    var hasInput: Bool { !input.isEmpty }

    /// Gives what was not asked for to a queue.
    func handOver(to queue: inout ByteQueue) { queue.take(input.count, from: &input) }

    /// Lets the library read a record that somebody else has read from the socket.
    func replay(_ record: Span<UInt8>) { input.append(record) }

    // MARK: the socket itself

    final func receive(_ room: UnsafeMutableBufferPointer<UInt8>) -> Outcome {
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

    final func transmit(_ bytes: UnsafeBufferPointer<UInt8>) -> Outcome {
        if isMuted { return .bytes(bytes.count) }
        while true {
            let count = send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
            if count >= 0 {
                remember(bytes.prefix(count))
                return .bytes(count)
            }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .again : .failed
        }
    }

    private func remember(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) {
        let tail = bytes.suffix(Self.finishedSize)
        lastWritten.removeFirst(max(0, lastWritten.count + tail.count - Self.finishedSize))
        lastWritten += tail
    }
}

// MARK: as OpenSSL sees it

extension HandshakeSocket {
    /// Made once per process, and never changed: it may be shared.
    private struct Method: @unchecked Sendable {
        let raw: OpaquePointer
    }

    private static let method: Method? = {
        let kind = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
        guard let method = BIO_meth_new(kind, "socket of a handshake") else { return nil }
        BIO_meth_set_write_ex(method) { bio, bytes, count, written in
            guard let bytes else { return 0 }
            let outcome = bytes.withMemoryRebound(to: UInt8.self, capacity: count) { bytes in
                HandshakeSocket.with(bio) { $0.write(UnsafeBufferPointer(start: bytes, count: count)) }
            }
            return HandshakeSocket.report(outcome, bio, written, false)
        }
        BIO_meth_set_read_ex(method) { bio, room, count, read in
            guard let room else { return 0 }
            let outcome = room.withMemoryRebound(to: UInt8.self, capacity: count) { room in
                HandshakeSocket.with(bio) { $0.read(UnsafeMutableBufferPointer(start: room, count: count)) }
            }
            return HandshakeSocket.report(outcome, bio, read, true)
        }
        BIO_meth_set_ctrl(method) { bio, command, _, _ in
            guard command == BIO_CTRL_FLUSH else { return 0 }
            return Int(HandshakeSocket.report(HandshakeSocket.with(bio) { $0.flush() }, bio, nil, false))
        }
        BIO_meth_set_destroy(method) { bio in
            guard let data = BIO_get_data(bio) else { return 1 }
            Unmanaged<HandshakeSocket>.fromOpaque(data).release()
            BIO_set_data(bio, nil)
            return 1
        }
        return Method(raw: method)
    }()

    /// A BIO for this; the caller gives it to a connection, which frees it.
    final func makeBIO() -> OpaquePointer? {
        guard let method = Self.method, let bio = BIO_new(method.raw) else { return nil }
        BIO_set_data(bio, Unmanaged.passRetained(self).toOpaque())
        BIO_set_init(bio, 1)
        return bio
    }

    private static func with(_ bio: OpaquePointer?, _ body: (HandshakeSocket) -> Outcome) -> Outcome {
        guard let data = BIO_get_data(bio) else { return .failed }
        return Unmanaged<HandshakeSocket>.fromOpaque(data)._withUnsafeGuaranteedRef(body)
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
}
