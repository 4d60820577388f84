import Bytes
import COpenSSL
import Glibc

/// Carries the traffic of a connection whose handshake the library has done: records, alerts and updates of keys
/// (RFC 8446 §5, §6 and §4.6; RFC 5246 §6 and §7.2), the cryptography by the library.
///
/// The library's own object is ten times as large as this, and does for each record several times what is needed.
/// *Ownership:* owns its keys and queues, and not the descriptor.
struct RecordLayer: ~Copyable {
    private let descriptor: CInt
    private let isServer: Bool
    private let isModern: Bool
    private var reading: RecordProtection
    private var writing: RecordProtection
    /// What the next keys are derived from; nil below TLS 1.3.
    private let secrets: TrafficSecrets?
    /// A client's library, as long as the server may still send it tickets.
    private var tickets: LateTickets?
    /// Records as they have come.
    private var received: ByteQueue
    /// Records that the socket has not taken yet, and how much of the owner's bytes they carry.
    private var sealed: ByteQueue
    private var sealedCount = 0
    /// The socket did not take all of the last write: for a slow reader, one record in one block has to do.
    private var isSlow = false
    /// The last read has filled the room that it had: the socket may hold more.
    private var mayHoldMore = false
    /// What goes out ahead of everything else.
    private var announcement: [UInt8] = []
    private var hasEnded = false
    /// Our stream has ended too: nothing may follow (RFC 8446 §6.1).
    private var hasSaidGoodbye = false
    private var messages: PostHandshakeMessages
    /// The peer has asked for it; due before the next bytes (RFC 8446 §4.6.3).
    private var owesKeyUpdate = false
    /// Plaintext in one record at most, either way.
    private let mostPlain: Int
    /// How often in a row the peer has sent what brings nobody further.
    private var idleRecords = 0
    private var alerts: AlertReader

    /// Records without content, or with nothing but updates of keys, that are taken in a row.
    private static let mostIdleRecords = 32
    /// Records that go out by one call of the socket; four would be no faster, and need twice the memory.
    private static let mostAtOnce = 2
    /// Room that is made for a record at first, whatever it says of its length.
    private static let leastRoom = 4096

    /// Goes on from a handshake, with what has come behind it.
    init(_ start: consuming Start, _ socket: HandshakeSocket) {
        descriptor = socket.descriptor
        isServer = start.isServer
        isModern = start.isModern
        messages = PostHandshakeMessages(isServer: start.isServer, isModern: start.isModern)
        alerts = AlertReader(isModern: start.isModern)
        secrets = start.isModern ? socket.secrets : nil
        tickets = start.tickets
        mostPlain = start.mostPlain
        received = ByteQueue(pool: socket.pool)
        sealed = ByteQueue(pool: socket.pool, holdsRecords: true)
        reading = start.reading
        writing = start.writing
        socket.handOver(to: &received)
    }

    // MARK: reading

    /// Whether a read finds a record without asking the socket, or the socket may hold one that it does not tell of.
    var hasPending: Bool { mayHoldMore || hasWhole }

    private var hasWhole: Bool {
        guard let header = RecordHeader(received.bytes) else { return false }
        return received.count >= RecordHeader.size + header.length
    }

    /// Reads at most one record into `queue`; see `TLSConnection.read`.
    mutating func read(into queue: inout ByteQueue, room: Int) throws(TLSError) -> ReadOutcome {
        var isDrained = false
        while !hasEnded {
            if let header = RecordHeader(received.bytes) {
                let length = try check(header)
                if received.count >= length {
                    if let outcome = try open(header, length, into: &queue, room) { return outcome }
                    continue
                }
            }
            // A short read has emptied the socket: asking again would cost a call for nothing.
            if isDrained { return .wantsRead }
            // Nobody gets memory for what he only announces: it grows with what has come.
            let wanted = received.isEmpty ? room : min(room, max(received.count, Self.leastRoom))
            if let outcome = try receive(max(wanted, Self.leastRoom)) { return outcome }
            isDrained = !mayHoldMore
        }
        return .closed
    }

    /// How long the record is, with its head; one that cannot be right is refused before it has come.
    private mutating func check(_ header: RecordHeader) throws(TLSError) -> Int {
        guard header.version == RecordHeader.version else {
            throw refuse(isModern ? .decodeError : .protocolVersion, "wrong version number")
        }
        // RFC 8446 §5.2: all of them look like this.
        if isModern, header.type != RecordType.applicationData {
            throw refuse(.unexpectedMessage, "unexpected record type \(header.type)")
        }
        guard let count = reading.plainCount(of: header.length) else {
            throw refuse(.badRecordMAC, "record too short")
        }
        // Padding may fill up a record of TLS 1.3, but not beyond 256 bytes more than it may carry.
        guard isModern ? header.length <= mostPlain + 256 : count <= mostPlain else {
            throw refuse(.recordOverflow, "record too long")
        }
        return RecordHeader.size + header.length
    }

    /// Asks the socket.
    ///
    /// - Returns: nil when something has come.
    private mutating func receive(_ room: Int) throws(TLSError) -> ReadOutcome? {
        let descriptor = self.descriptor
        var count = 0
        var socketError: CInt = 0
        var isFull = false
        received.append(atLeast: room) { room in
            repeat { count = recv(descriptor, room.baseAddress, room.count, 0) } while count < 0 && errno == EINTR
            socketError = errno
            isFull = count == room.count
            return max(count, 0)
        }
        mayHoldMore = isFull
        if count > 0 { return nil }
        if count == 0 { return .truncated }
        guard socketError == EAGAIN else { throw .socket(socketError) }
        return .wantsRead
    }

    /// Opens the record that is there.
    ///
    /// - Returns: nil when it was about the connection itself.
    private mutating func open(
        _ header: RecordHeader,
        _ length: Int,
        into queue: inout ByteQueue,
        _ room: Int
    ) throws(TLSError) -> ReadOutcome? {
        let plainCount = reading.plainCount(of: header.length) ?? 0
        var outcome: ReadOutcome?
        try queue.append(atLeast: max(room, plainCount, 1)) { (target) throws(TLSError) in
            guard let start = target.baseAddress else { return 0 }
            guard let opened = Self.open(&reading, received, length, start) else {
                throw refuse(.badRecordMAC, "decryption failed or bad record mac")
            }
            guard opened.count <= mostPlain else { throw refuse(.recordOverflow, "record too long") }
            if opened.type == RecordType.applicationData {
                guard !messages.isInside else { throw refuse(.unexpectedMessage, "data inside a handshake message") }
                tickets = nil
                if opened.count == 0 {
                    try countIdle()
                } else {
                    idleRecords = 0
                    outcome = .bytes(opened.count)
                }
                return opened.count
            }
            outcome = try control(opened.type, UnsafeBufferPointer(start: start, count: opened.count), length)
            return 0
        }
        received.consume(length)
        return outcome
    }

    private static func open(
        _ reading: inout RecordProtection,
        _ received: borrowing ByteQueue,
        _ length: Int,
        _ target: UnsafeMutablePointer<UInt8>
    ) -> RecordProtection.Opened? {
        reading.open(received.bytes.extracting(first: length), into: target)
    }

    private mutating func countIdle() throws(TLSError) {
        idleRecords += 1
        guard idleRecords <= Self.mostIdleRecords else { throw refuse(.unexpectedMessage, "too many empty records") }
    }

    // MARK: what is about the connection itself

    private mutating func control(
        _ type: UInt8,
        _ content: UnsafeBufferPointer<UInt8>,
        _ length: Int
    ) throws(TLSError) -> ReadOutcome? {
        switch type {
        case RecordType.alert:
            guard !messages.isInside else { throw refuse(.unexpectedMessage, "an alert inside a handshake message") }
            return try alert(content)
        case RecordType.handshake:
            tickets?.take(received.bytes.extracting(first: length))
            let demands: [PostHandshakeMessages.Demand]
            do throws(AlertDescription) {
                demands = try messages.take(content)
            } catch { throw refuse(error, "unexpected handshake message") }
            for demand in demands { try follow(demand) }
            return nil
        default: throw refuse(.unexpectedMessage, "unexpected record type \(type)")
        }
    }

    private mutating func follow(_ demand: PostHandshakeMessages.Demand) throws(TLSError) {
        switch demand {
        case .nothing: break
        case .renegotiate:
            do throws(HandshakeRefusal) { try alerts.count() } catch { throw refuse(error) }
            // RFC 5246 §7.2.2: the peer decides whether it goes on without.
            try say(.noRenegotiation, isFatal: false)
        case .updateKeys(let isAskedToo):
            try countIdle()
            tickets = nil
            guard let secret = secrets?.secret(of: isServer ? .client : .server), reading.update(secret) else {
                throw refuse(.internalError, "keys could not be updated")
            }
            guard isAskedToo else { return }
            owesKeyUpdate = true
            // A peer may wait for it; behind what the socket does not take it waits itself, once, however often it is asked for.
            guard sealed.isEmpty, !hasSaidGoodbye else { return }
            try updateKeys()
            // What is wrong with the socket, the next write tells.
            _ = try? flush()
        }
    }

    private mutating func alert(_ content: UnsafeBufferPointer<UInt8>) throws(TLSError) -> ReadOutcome? {
        do throws(HandshakeRefusal) {
            guard case .end = try alerts.take(content) else { return nil }
        } catch { throw refuse(error) }
        hasEnded = true
        return .closed
    }

    // MARK: writing

    /// Writes as much of `bytes` as goes out by one call; see `TLSConnection.write`.
    mutating func write(_ bytes: Span<UInt8>) throws(TLSError) -> WriteOutcome {
        // Otherwise these bytes, or the first of them, are sealed already and wait for the socket.
        if sealedCount == 0 {
            guard !hasSaidGoodbye else { throw .library("a write behind the end of the stream") }
            try seal(bytes)
        }
        guard sealedCount <= bytes.count else { throw .library("other bytes than those that wait") }
        isSlow = try !flush()
        if isSlow { return .wantsWrite }
        let count = sealedCount
        sealedCount = 0
        return .bytes(count)
    }

    private mutating func seal(_ bytes: Span<UInt8>) throws(TLSError) {
        let overhead = writing.overhead
        // With what goes out first, one block has to do as well.
        let taken = announcement.isEmpty ? 0 : announcement.count + overhead
        let isShort = isSlow || taken > 0
        let most = isShort ? min(mostPlain, BufferPool.blockSize - overhead - taken) : Self.mostAtOnce * mostPlain
        try sealAnnouncement()
        if owesKeyUpdate || (isModern && writing.isWorn) { try updateKeys() }
        let count = min(bytes.count, most)
        let records = (count + mostPlain - 1) / mostPlain
        let mostPlain = self.mostPlain
        try sealed.append(atLeast: count + records * overhead) { (room) throws(TLSError) in
            guard let start = room.baseAddress else { return 0 }
            var written = 0
            var position = 0
            while position < count {
                let piece = min(mostPlain, count - position)
                let length = bytes.extracting(position..<(position + piece)).withUnsafeBufferPointer {
                    writing.seal(RecordType.applicationData, $0, into: start + written)
                }
                guard let length else { throw .library("a record could not be sealed") }
                written += length
                position += piece
            }
            return written
        }
        sealedCount = count
    }

    /// Seals something short of our own.
    private mutating func seal(_ type: UInt8, _ content: [UInt8]) throws(TLSError) {
        let overhead = writing.overhead
        try sealed.append(atLeast: content.count + overhead) { (room) throws(TLSError) in
            let length = content.withUnsafeBufferPointer { content in
                room.baseAddress.flatMap { writing.seal(type, content, into: $0) }
            }
            guard let length else { throw .library("a record could not be sealed") }
            return length
        }
    }

    /// Says what the handshake ends with, a ticket: ahead of the first bytes and together with them where the peer has sent
    /// something already that they will answer, and otherwise at once.
    mutating func announce(_ message: [UInt8]) throws(TLSError) {
        announcement = message
        if message.isEmpty || hasPending { return }
        try sealAnnouncement()
        _ = try flush()
    }

    /// Seals what has to go out first.
    ///
    /// It has waited unsealed: connections that rest before their first request hold no block for it.
    private mutating func sealAnnouncement() throws(TLSError) {
        if announcement.isEmpty { return }
        let message = announcement
        announcement = []
        try seal(RecordType.handshake, message)
    }

    private mutating func updateKeys() throws(TLSError) {
        owesKeyUpdate = false
        try sealAnnouncement()
        // KeyUpdate, one byte: the peer need not do the same.
        try seal(RecordType.handshake, [24, 0, 0, 1, 0])
        guard let secret = secrets?.secret(of: isServer ? .server : .client), writing.update(secret) else {
            throw .library("keys could not be updated")
        }
    }

    /// Hands to the socket what is sealed; true when it has taken all of it.
    private mutating func flush() throws(TLSError) -> Bool {
        while !sealed.isEmpty {
            let count = sealed.bytes.withUnsafeBufferPointer {
                send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN { return false }
                throw .socket(errno)
            }
            sealed.consume(count)
        }
        return true
    }

    // MARK: ends

    /// Gives back what has come and is no record.
    mutating func handBack(to queue: inout ByteQueue) { queue.take(received.count, from: &received) }

    /// Announces the end of our stream, as far as the socket takes it now.
    mutating func shutdown() {
        try? say(.closeNotify, isFatal: false)
        hasSaidGoodbye = true
    }

    private mutating func say(_ alert: AlertDescription, isFatal: Bool) throws(TLSError) {
        guard !hasSaidGoodbye else { return }
        try sealAnnouncement()
        try seal(RecordType.alert, [isFatal ? 2 : 1, alert.rawValue])
        _ = try flush()
    }

    private mutating func refuse(_ refusal: HandshakeRefusal) -> TLSError {
        if let alert = refusal.alert { try? say(alert, isFatal: true) }
        return refusal.error
    }

    /// Tells the peer why the connection breaks here.
    private mutating func refuse(_ alert: AlertDescription, _ reason: String) -> TLSError {
        try? say(alert, isFatal: true)
        return .handshake(reason)
    }
}
