public import Bytes
public import HTTP

/// One stream of an HTTP/2 connection: what came on it and waits, and what waits to go out.
///
/// *Ownership:* its session, until both directions have ended; the connection's owner keeps no reference beyond a turn.
///
/// Overlapping accesses to numbers and flags are not looked for at run time: there is nothing in them to tear, and looking
/// took longer than the accesses. Whatever owns memory is watched. The attribute that says so is not known in other modules,
/// so they are told of numbers and flags by accessors.
public final class HTTP2Stream {
    @exclusivity(unchecked) var marks = Marks()
    /// The first complete field section: of the request on a server, of the response on a client.
    public internal(set) var fields = HeaderBlock()
    /// Interim responses that the owner has not taken.
    private var interim: [HeaderBlock] = []
    /// So many are kept at once; more than that nobody forwards.
    private static let mostInterim = 33
    /// The section after the body.
    public internal(set) var trailers = HeaderBlock()
    /// Body bytes that came and have not been taken (`took`); as many as the window lets come.
    public var inbound: ByteQueue
    /// Body bytes that wait for the peer's window.
    private var outbound: ByteQueue
    /// The head that the session layer was told of, and reads when its frame is made.
    private var head: ByteQueue
    /// Lines of trailers, as an HTTP/1.1 message has them, to be sent after what waits.
    var trailerLines: ByteQueue

    init(pool: BufferPool) {
        inbound = ByteQueue(pool: pool)
        outbound = ByteQueue(pool: pool)
        head = ByteQueue(pool: pool)
        trailerLines = ByteQueue(pool: pool)
    }

    /// Whether body bytes wait here to be taken.
    public var holdsInbound: Bool { marks.bytesIn != 0 && !inbound.isEmpty }

    /// Whether there was a section after the body.
    public var hasTrailers: Bool { marks.collectsTrailers && trailers.count > 0 }

    /// Whether the peer's message is complete, although some of it may wait in `inbound`.
    public var isWhole: Bool { marks.headIsComplete && marks.inboundEnded }

    /// Lends the head to whoever makes a message of it and leaves nothing there: it is not kept twice while the stream
    /// goes on.
    public func takeFields<E: Error>(_ take: (inout HeaderBlock) throws(E) -> Void) throws(E) {
        marks.hasFields = false
        try take(&fields)
    }

    /// A section has come as a whole; what is left of it is of no use.
    func add(_ section: inout HeaderBlock) {
        if marks.headIsComplete {
            swap(&trailers, &section)
        } else {
            marks.hasFields = true
            swap(&fields, &section)
        }
    }

    /// A section has come that is an interim response (RFC 9110 §15.2), not the head.
    func addInterim(_ section: borrowing HeaderBlock) {
        marks.interimCount += 1
        if interim.count < Self.mostInterim { interim.append(copy section) }
    }

    /// The next interim response.
    public func takeInterim() -> HeaderBlock? { interim.isEmpty ? nil : interim.removeFirst() }

    /// Has body bytes wait for the peer's window; see `HTTP2Session.resume`.
    public func send(_ bytes: Span<UInt8>) {
        outbound.append(bytes)
        marks.outboundCount &+= bytes.count
    }

    /// Has the oldest `count` bytes of a queue, which loses them, wait for the peer's window.
    public func send(_ count: Int, from queue: inout ByteQueue) {
        outbound.take(count, from: &queue)
        marks.outboundCount &+= count
    }

    /// Moves body bytes that waited, behind the header of their frame.
    ///
    /// - Parameter room: how much is going to follow in this turn, so that memory for it is found at once.
    func move(
        _ count: Int,
        behind header: UnsafePointer<UInt8>,
        _ headerBytes: Int,
        room: Int,
        to queue: inout ByteQueue
    ) {
        Self.move(count, of: &outbound, behind: header, headerBytes, room: room, to: &queue)
        marks.outboundCount &-= count
        marks.bytesOut &+= UInt64(truncatingIfNeeded: count)
    }

    private static func move(
        _ count: Int,
        of source: inout ByteQueue,
        behind header: UnsafePointer<UInt8>,
        _ headerBytes: Int,
        room: Int,
        to queue: inout ByteQueue
    ) {
        precondition(count <= source.count, "more of a body sent than waits")
        queue.append(atLeast: max(room, headerBytes + count)) { target in
            guard let base = target.baseAddress else { return 0 }
            base.update(from: header, count: headerBytes)
            source.bytes.withUnsafeBufferPointer {
                if let bytes = $0.baseAddress { (base + headerBytes).update(from: bytes, count: count) }
            }
            return headerBytes + count
        }
        source.consume(count)
    }

    /// Keeps a head until its frame is made, and calls `body` with it.
    func keep(_ lines: Span<UInt8>, _ body: (UnsafeMutableBufferPointer<UInt8>) -> Void) {
        Self.keep(lines, in: &head, body)
    }

    private static func keep(
        _ lines: Span<UInt8>,
        in head: inout ByteQueue,
        _ body: (UnsafeMutableBufferPointer<UInt8>) -> Void
    ) {
        head.removeAll()
        head.append(lines)
        head.bytes.withUnsafeBufferPointer { body(UnsafeMutableBufferPointer(mutating: $0)) }
    }

    /// The frame of a head has been made.
    func headWasSent() {
        guard marks.headsOnTheirWay > 0 else { return }
        marks.headsOnTheirWay -= 1
        if marks.headsOnTheirWay == 0 { head.removeAll() }
    }

    /// Makes the stream as new, keeping the memory of its field blocks.
    func reset() {
        if marks.hasFields { fields.removeAll() }
        if marks.collectsTrailers { trailers.removeAll() }
        if marks.interimCount > 0 { interim.removeAll() }
        if marks.bytesIn > 0 { inbound.removeAll() }
        if marks.hasTrailerLines { trailerLines.removeAll() }
        if marks.outboundCount > 0 { outbound.removeAll() }
        if marks.headsOnTheirWay > 0 { head.removeAll() }
        marks = Marks()
    }
}

extension HTTP2Stream {
    /// What is known of a stream, but for its bytes.
    struct Marks {
        var id: Int32 = 0
        var exchange: Token?
        var interimCount = 0
        var inboundEnded = false
        /// Whether our side is complete but for what waits.
        var outboundEnded = false
        /// Body bytes that wait for the peer's window.
        var outboundCount = 0
        /// Whether our head was written.
        var hasHead = false
        /// Heads that wait for their turn, interim ones, too.
        var headsOnTheirWay = 0
        var isOversized = false
        var trailersAreOversized = false
        var bytesOut: UInt64 = 0
        var bytesOutSeen: UInt64 = 0
        var bytesIn: UInt64 = 0
        var bytesInSeen: UInt64 = 0
        var waitingSince: UInt64 = 0
        var sending = Patience()
        var taking = Patience()
        var fieldBytes = 0
        var headIsComplete = false
        var isClosed = false
        /// Whether `fields` may hold any.
        var hasFields = false
        var collectsTrailers = false
        var hasTrailerLines = false
        var wasResetByPeer = false
        /// Whether the head of our request has left the session.
        var isSent = false
        var isReady = false
        var isDeferred = false
        var discards = false
        /// Its place among the session's streams.
        var slot = 0
    }

    /// The identifier (RFC 9113 §5.1.1).
    public var id: Int32 { marks.id }

    /// What the owner serves on this stream.
    public var exchange: Token? {
        get { marks.exchange }
        set { marks.exchange = newValue }
    }

    /// How many interim responses there were.
    public var interimCount: Int { marks.interimCount }

    /// Whether the peer has ended its side.
    public var inboundEnded: Bool { marks.inboundEnded }

    /// Whether our side is complete but for what waits.
    public var outboundEnded: Bool { marks.outboundEnded }

    /// The field section is longer than is taken; what exceeds the limit was dropped.
    public var isOversized: Bool { marks.isOversized }

    /// So is the section after the body.
    public var trailersAreOversized: Bool { marks.trailersAreOversized }

    /// Body bytes that wait for the peer's window.
    public var outboundCount: Int { marks.outboundCount }

    /// Bytes sent so far, to see whether a reader has stalled.
    public var bytesOut: UInt64 { marks.bytesOut }

    /// What `bytesOut` was when it was last looked at; the owner's to keep.
    public var bytesOutSeen: UInt64 {
        get { marks.bytesOutSeen }
        set { marks.bytesOutSeen = newValue }
    }

    /// Body bytes received so far.
    public var bytesIn: UInt64 { marks.bytesIn }

    /// What `bytesIn` was when it was last looked at; the owner's to keep.
    public var bytesInSeen: UInt64 {
        get { marks.bytesInSeen }
        set { marks.bytesInSeen = newValue }
    }

    /// Monotonic milliseconds since which more of the peer's side is waited for; the owner's to keep.
    public var waitingSince: UInt64 {
        get { marks.waitingSince }
        set { marks.waitingSince = newValue }
    }

    /// How long the peer may take with its body; the owner's to keep.
    public var sending: Patience {
        get { marks.sending }
        set { marks.sending = newValue }
    }

    /// How long it may keep the stream's window closed; likewise.
    public var taking: Patience {
        get { marks.taking }
        set { marks.taking = newValue }
    }

    /// Bytes of the field section, as HPACK counts them.
    public var fieldBytes: Int { marks.fieldBytes }

    /// Whether the first complete field section has come.
    public var headIsComplete: Bool { marks.headIsComplete }

    /// Whether nothing more comes or goes; what waits in `inbound` is still whole.
    public var isClosed: Bool { marks.isClosed }
}
