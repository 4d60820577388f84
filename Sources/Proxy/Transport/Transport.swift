import Bytes
import Database
import HTTP
import HTTP2
import Platform
import TLS

/// One socket with its TLS layer and its two queues: bytes that came in, and bytes that wait to go out.
///
/// *Ownership:* owns the descriptor, the TLS connection and the memory of both queues; an idle transport holds none of
/// the latter. It performs I/O when told to and decides nothing: its owner says when to read, and how much may wait.
struct Transport: ~Copyable {
    /// Reading stops for this turn after so many bytes, so that one fast peer does not starve the others.
    static let readBudget = 65_536
    /// Room for so many bytes is made before a read.
    private static let leastRoom = 4096
    /// More waiting output than this pauses whoever produces it.
    static let highWater = 65_536

    let token: Token
    let descriptor: FileDescriptor
    private let pool: BufferPool
    private var tls: TLSConnection?
    var inbound: ByteQueue
    var outbound: ByteQueue

    /// What epoll was told last.
    private var interest: Interest
    /// TLS cannot go on reading before the socket takes bytes (a handshake message, a key update).
    private var readNeedsWrite = false
    /// TLS cannot go on writing before bytes have come.
    private var writeNeedsRead = false
    /// Whether the peer's end of stream has been read, and whether it was announced (close_notify, or FIN in plain).
    private(set) var end = End.open
    private(set) var bytesIn: UInt64 = 0
    private(set) var bytesOut: UInt64 = 0

    enum End { case open, clean, truncated }

    /// TLS may hold bytes that epoll does not tell of, or the end of the stream is still to be told: `fill` wants to be
    /// called again once there is room.
    private(set) var holdsMore = false
    /// The last turn has brought more than one block: so will this one, and what has come need not be moved.
    private var readsMuch = false
    /// Why reading failed right behind bytes, which still count: told when more is asked for.
    private var failure: TransportError?
    /// epoll is told to say nothing more about the socket.
    private var isSilenced = false

    enum Filled {
        /// So many new bytes wait in `inbound`.
        case bytes(Int)
        /// Nothing new, and no end either.
        case nothing
        /// The peer has ended its stream; see `end`.
        case ended
    }

    init(
        token: Token,
        descriptor: consuming FileDescriptor,
        tls: consuming TLSConnection?,
        pool: BufferPool,
        interest: Interest
    ) {
        self.token = token
        self.descriptor = consume descriptor
        self.pool = pool
        self.tls = consume tls
        inbound = ByteQueue(pool: pool)
        outbound = ByteQueue(pool: pool)
        self.interest = interest
    }

    /// How much the peer has taken of what was written: what still lies in the kernel does not count, where that is known.
    var bytesTaken: UInt64 { Socket.acknowledged(descriptor) ?? bytesOut }

    /// Whether the socket speaks TLS.
    var isEncrypted: Bool { tls != nil }

    /// What the TLS handshake agreed on; nil in plain.
    private(set) var facts: TLSFacts?

    /// How connecting has ended.
    borrowing func checkConnected() throws(Errno) { try Socket.connectResult(descriptor) }

    /// Writes what the connection has to begin with, ahead of TLS.
    mutating func announce(_ header: [UInt8]) throws(TransportError) {
        outbound.append(header.span)
        // The buffer of a fresh socket takes it as a whole.
        guard try flush() else { throw .tls(.closed) }
    }

    /// Puts TLS on a connected socket, as the client.
    mutating func start(
        connecting context: ClientContext,
        endpoint: Int,
        isEnveloped: Bool = false
    ) throws(TLSError) {
        tls = try TLSConnection(
            connecting: context,
            endpoint: endpoint,
            descriptor: descriptor.raw,
            pool: pool,
            isEnveloped: isEnveloped
        )
    }

    /// Puts TLS on a connected socket, as the server.
    mutating func start(accepting table: ServerNameTable, isEnveloped: Bool) throws(TLSError) {
        tls = try TLSConnection(accepting: table, descriptor: descriptor.raw, pool: pool, isEnveloped: isEnveloped)
    }

    /// Goes back to plain; what TLS has brought stays, and what came behind its records.
    mutating func dropTLS() {
        tls?.handBack(to: &inbound)
        tls = nil
    }

    /// Goes on with the handshake; true when it is complete.
    mutating func handshake() throws(TLSError) -> Bool {
        guard tls != nil else { return true }
        switch try tls?.handshake() {
        case .done, nil:
            readNeedsWrite = false
            facts = tls?.facts
            // What came with the last handshake message, epoll does not tell of.
            holdsMore = tls?.hasPending ?? false
            return true
        case .wantsRead:
            readNeedsWrite = false
            return false
        case .wantsWrite:
            readNeedsWrite = true
            return false
        }
    }

    /// Reads what has come, up to the budget of one turn.
    ///
    /// - Parameters:
    ///   - room: nothing is read once so many bytes wait: what is not read stays with the kernel, and in the end with
    ///     the peer.
    ///   - limit: so many bytes at most; only in plain.
    mutating func fill(room: Int = .max, limit: Int = .max) throws(TransportError) -> Filled {
        guard inbound.count < room else { return .nothing }
        holdsMore = false
        guard end == .open else { return .ended }
        if let failure { throw failure }
        var total = 0
        var isAskedAgain = false
        defer { if total > 0 { readsMuch = total > BufferPool.blockSize } }
        while total < Self.readBudget {
            let outcome: ReadOutcome
            do throws(TransportError) {
                outcome = try readOnce(limit: limit - total)
            } catch {
                guard total > 0 else { throw error }
                failure = error
                holdsMore = true
                return .bytes(total)
            }
            switch outcome {
            case .bytes(let count):
                total += count
                bytesIn &+= UInt64(truncatingIfNeeded: count)
                // A short read has emptied the socket: asking again would cost a call for nothing.
                let pending = tls?.hasPending ?? (count >= BufferPool.blockSize)
                if !pending || total >= limit {
                    // Nothing but `fill` tells what else a dead socket holds.
                    holdsMore = isSilenced
                    return .bytes(total)
                }
            case .wantsRead:
                // Part of a record was the last that a dead socket held: nothing but the next read tells of the end.
                if isSilenced, !isAskedAgain {
                    isAskedAgain = true
                    continue
                }
                return total > 0 ? .bytes(total) : .nothing
            case .wantsWrite:
                readNeedsWrite = true
                return total > 0 ? .bytes(total) : .nothing
            case .closed:
                end = .clean
                holdsMore = total > 0
                return total > 0 ? .bytes(total) : .ended
            case .truncated:
                end = .truncated
                holdsMore = total > 0
                return total > 0 ? .bytes(total) : .ended
            }
        }
        holdsMore = true
        return .bytes(total)
    }

    /// Takes a request's head out of the bytes that wait.
    ///
    /// - Returns: how many bytes it took; nil when it is not whole.
    mutating func take(_ head: inout RequestHead, by parser: inout RequestParser) throws(RequestError) -> Int? {
        guard let count = try parser.parse(inbound.bytes, into: &head) else { return nil }
        inbound.consume(count)
        return count
    }

    /// Takes a response's head out of the bytes that wait.
    ///
    /// - Returns: whether it is whole.
    mutating func take(
        _ head: inout ResponseHead,
        by parser: inout ResponseParser,
        answering method: HTTP.Method
    ) throws(ResponseError) -> Bool {
        guard let count = try parser.parse(inbound.bytes, into: &head, requestMethod: method) else { return false }
        inbound.consume(count)
        return true
    }

    /// Hands the bytes that wait to a session of HTTP/2.
    borrowing func hand(to session: HTTP2Session, now: UInt64) throws(HTTP2Error) {
        try session.receive(inbound.bytes, now: now)
    }

    /// Takes the next step of a chunked body in the bytes that wait.
    borrowing func decode(
        _ decoder: inout ChunkedDecoder,
        from offset: inout Int,
        trailers: inout HeaderBlock
    ) throws(ChunkError) -> ChunkedDecoder.Step {
        try decoder.next(inbound.bytes, from: &offset, trailers: &trailers)
    }

    /// Has a negotiation look at the client's bytes, which wait here, and at the server's.
    borrowing func negotiate(_ negotiation: inout Negotiation, _ server: Span<UInt8>) -> NegotiationTurn {
        negotiation.next(client: inbound.bytes, server: server)
    }

    /// How many bytes a negotiation lets be read from the client, whose bytes wait here.
    borrowing func limit(of negotiation: Negotiation) -> Int? { negotiation.clientLimit(inbound.bytes) }

    /// Drops bytes that have been dealt with.
    mutating func consume(_ count: Int) { inbound.consume(count) }

    /// Writes what waits, as far as the socket takes it; true when nothing waits any more.
    mutating func flush() throws(TransportError) -> Bool {
        while !outbound.isEmpty {
            writeNeedsRead = false
            guard let written = try Self.write(outbound, &tls, descriptor, &writeNeedsRead) else { return false }
            bytesOut &+= UInt64(truncatingIfNeeded: written)
            outbound.consume(written)
        }
        return true
    }

    /// Whether another request may begin: one has come, and the client takes its answers.
    var mayBegin: Bool { !inbound.isEmpty && outbound.count < Self.highWater }

    /// Whether nothing waits that nobody has asked for, and more may come.
    var mayRest: Bool { inbound.isEmpty && end == .open }

    /// Has the oldest bytes of another queue wait to be written.
    ///
    /// - Returns: how many bytes wait now.
    mutating func send(_ count: Int, from queue: inout ByteQueue) -> Int {
        outbound.take(count, from: &queue)
        return outbound.count
    }

    /// What the end of a turn has brought.
    struct Settled {
        /// So many bytes were written, and so many in all.
        let written: Int
        let bytesOut: UInt64
        /// So many bytes wait to be written still.
        let waiting: Int
        /// Whether bytes wait that were read.
        let hasInbound: Bool
        /// Whether its owner has to read on in the next turn: epoll does not tell of what is there.
        let holdsMore: Bool
    }

    /// Ends its owner's turn: writes what waits, and tells epoll what is waited for.
    ///
    /// - Parameter room: bytes are wanted as long as fewer than these wait.
    mutating func settle(room: Int, poller: Poller) throws(TransportError) -> Settled {
        let before = bytesOut
        _ = try flush()
        let goesOn = rest(room: room, poller: poller)
        return Settled(
            written: Int(truncatingIfNeeded: bytesOut &- before),
            bytesOut: bytesOut,
            waiting: outbound.count,
            hasInbound: !inbound.isEmpty,
            holdsMore: goesOn
        )
    }

    /// Tells epoll what is waited for.
    ///
    /// - Parameter room: bytes are wanted as long as fewer than these wait.
    /// - Returns: whether its owner has to read on in the next turn: epoll does not tell of what is there.
    mutating func rest(room: Int, poller: Poller) -> Bool {
        let hasRoom = inbound.count < room
        updateInterest(reading: hasRoom, poller: poller)
        return hasRoom && holdsMore
    }

    /// Writes what waits, and then what another transport has read, without copying it; true when all of it is written.
    ///
    /// Behind words of our own, a little of it is copied: one write for both spares the peer a wake-up.
    mutating func relay(from source: inout Transport) throws(TransportError) -> Bool {
        if !outbound.isEmpty, outbound.count + source.inbound.count <= BufferPool.blockSize {
            outbound.append(source.inbound.bytes)
            source.consume(source.inbound.count)
        }
        guard try flush() else { return false }
        while !source.inbound.isEmpty {
            writeNeedsRead = false
            guard let written = try Self.write(source.inbound, &tls, descriptor, &writeNeedsRead) else { return false }
            bytesOut &+= UInt64(truncatingIfNeeded: written)
            source.inbound.consume(written)
        }
        return true
    }

    /// Announces the end of our stream (close_notify, then FIN); reading stays possible.
    mutating func endWriting() {
        tls?.shutdown()
        Socket.shutdownWriting(descriptor)
    }

    /// Announces the end of our stream in TLS before the socket is closed.
    mutating func sayGoodbye() { tls?.shutdown() }

    /// Makes the close a reset, so that the peer cannot take what it has for a whole message.
    func abort() { Socket.resetOnClose(descriptor) }

    /// Tells epoll what this transport waits for, if that has changed.
    ///
    /// - Parameters:
    ///   - reading: whether its owner wants bytes now.
    ///   - connecting: whether the connection is being made.
    ///   - relaying: whether bytes of another transport wait to be written here.
    mutating func updateInterest(
        reading: Bool,
        connecting: Bool = false,
        relaying: Bool = false,
        poller: Poller
    ) {
        var wanted = Interest()
        if reading && end == .open || writeNeedsRead { wanted.insert(.read) }
        if connecting || readNeedsWrite || ((relaying || !outbound.isEmpty) && !writeNeedsRead) {
            wanted.insert(.write)
        }
        guard wanted != interest, !isSilenced else { return }
        interest = wanted
        // The descriptor is open and registered, so this can only fail for want of kernel memory; the deadline ends it.
        try? poller.change(descriptor, token, wanted)
    }

    /// Has `holdsMore` tell of what a dead socket still holds and has no room here: epoll would do so without end.
    mutating func silence(_ poller: Poller) {
        guard !isSilenced else { return }
        isSilenced = true
        holdsMore = end == .open
        poller.remove(descriptor)
    }

    private mutating func readOnce(limit: Int) throws(TransportError) -> ReadOutcome {
        readNeedsWrite = false
        let room = readsMuch && inbound.isEmpty ? BufferPool.longRoom : Self.leastRoom
        if tls != nil {
            do throws(TLSError) {
                return try tls?.read(into: &inbound, room: room) ?? .closed
            } catch { throw .tls(error) }
        }
        do throws(Errno) {
            var outcome = ReadOutcome.wantsRead
            let socket = descriptor.raw
            try inbound.append(atLeast: room) { room throws(Errno) in
                let most = UnsafeMutableBufferPointer(rebasing: room.prefix(limit))
                guard let count = try Socket.read(socket, into: most) else { return 0 }
                outcome = count == 0 ? .closed : .bytes(count)
                return count
            }
            return outcome
        } catch { throw .socket(error) }
    }

    /// Writes once; nil when the socket takes nothing now.
    private static func write(
        _ queue: borrowing ByteQueue,
        _ tls: inout TLSConnection?,
        _ descriptor: borrowing FileDescriptor,
        _ needsRead: inout Bool
    ) throws(TransportError) -> Int? {
        guard tls != nil else {
            do throws(Errno) { return try Socket.write(descriptor, queue.bytes) } catch { throw .socket(error) }
        }
        do throws(TLSError) {
            switch try tls?.write(queue.bytes) {
            case .bytes(let count): return count
            case .wantsRead:
                needsRead = true
                return nil
            case .wantsWrite, nil: return nil
            }
        } catch { throw .tls(error) }
    }
}

/// Why a transport failed.
enum TransportError: Error, CustomStringConvertible {
    case tls(TLSError)
    case socket(Errno)

    var description: String {
        switch self {
        case .tls(let error): error.description
        case .socket(let error): error.description
        }
    }
}
