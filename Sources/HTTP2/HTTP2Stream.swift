public import Bytes
public import HTTP

/// One stream of an HTTP/2 connection: what came on it and waits, and what waits to go out.
///
/// *Ownership:* its session, until both directions have ended; the connection's owner keeps no reference beyond a turn.
///
/// Overlapping accesses to numbers and flags are not looked for at run time: there is nothing in them to tear, and looking
/// took longer than the accesses. Whatever owns memory is watched.
public final class HTTP2Stream {
    /// The identifier (RFC 9113 §5.1.1).
    @exclusivity(unchecked) public internal(set) var id: Int32 = 0
    /// What the owner serves on this stream.
    @exclusivity(unchecked) public var exchange: Token?
    /// The first complete field section: of the request on a server, of the response on a client.
    public internal(set) var fields = HeaderBlock()
    /// Interim responses that the owner has not taken.
    private var interim: [HeaderBlock] = []
    /// How many there were.
    @exclusivity(unchecked) public private(set) var interimCount = 0
    /// So many are kept at once; more than that nobody forwards.
    private static let mostInterim = 33
    /// The section after the body.
    public internal(set) var trailers = HeaderBlock()
    /// Body bytes that came and have not been taken (`took`); as many as the window lets come.
    public var inbound: ByteQueue
    /// Body bytes that wait for the peer's window.
    public var outbound: ByteQueue
    /// Whether the peer has ended its side.
    @exclusivity(unchecked) public internal(set) var inboundEnded = false
    /// Whether our side is complete but for what waits.
    @exclusivity(unchecked) public internal(set) var outboundEnded = false
    /// The field section is longer than is taken; what exceeds the limit was dropped.
    @exclusivity(unchecked) public internal(set) var isOversized = false
    /// So is the section after the body.
    @exclusivity(unchecked) public internal(set) var trailersAreOversized = false
    /// Bytes sent so far, to see whether a reader has stalled.
    @exclusivity(unchecked) public internal(set) var bytesOut: UInt64 = 0
    /// Monotonic milliseconds since which more of the peer's side is waited for; the owner's to keep.
    @exclusivity(unchecked) public var waitingSince: UInt64 = 0
    /// What `bytesOut` was when it was last looked at.
    @exclusivity(unchecked) public var bytesOutSeen: UInt64 = 0
    /// Body bytes received so far.
    @exclusivity(unchecked) public internal(set) var bytesIn: UInt64 = 0
    /// What `bytesIn` was when it was last looked at.
    @exclusivity(unchecked) public var bytesInSeen: UInt64 = 0
    /// How long the peer may take with its body; the owner's to keep.
    public var sending = Patience()
    /// How long it may keep the stream's window closed; likewise.
    public var taking = Patience()
    /// Bytes of the field section, as HPACK counts them.
    @exclusivity(unchecked) public internal(set) var fieldBytes = 0
    /// Whether the first complete field section has come.
    @exclusivity(unchecked) public internal(set) var headIsComplete = false

    /// Whether nothing more comes or goes; what waits in `inbound` is still whole.
    @exclusivity(unchecked) public internal(set) var isClosed = false

    @exclusivity(unchecked) var collectsTrailers = false
    @exclusivity(unchecked) var wasResetByPeer = false
    /// Whether the head of our request has left the session.
    @exclusivity(unchecked) var isSent = false
    @exclusivity(unchecked) var isReady = false
    @exclusivity(unchecked) var isDeferred = false
    @exclusivity(unchecked) var discards = false
    /// Lines of trailers, as an HTTP/1.1 message has them, to be sent after what waits.
    var trailerLines: ByteQueue
    @exclusivity(unchecked) var slot = 0

    init(pool: BufferPool) {
        inbound = ByteQueue(pool: pool)
        outbound = ByteQueue(pool: pool)
        trailerLines = ByteQueue(pool: pool)
    }

    /// Whether the peer's message is complete, although some of it may wait in `inbound`.
    public var isWhole: Bool { headIsComplete && inboundEnded }

    /// The owner has taken the head; it is not kept twice while the stream goes on.
    public func dropFields() { fields.removeAll() }

    /// What has been read is an interim response (RFC 9110 §15.2), not the head.
    func setInterim() {
        interimCount += 1
        if interim.count < Self.mostInterim { interim.append(fields) }
        fields.removeAll()
    }

    /// The next interim response.
    public func takeInterim() -> HeaderBlock? { interim.isEmpty ? nil : interim.removeFirst() }

    /// Makes the stream as new, keeping the memory of its field blocks.
    func reset() {
        id = 0
        exchange = nil
        fields.removeAll()
        trailers.removeAll()
        interim.removeAll()
        interimCount = 0
        inbound.removeAll()
        outbound.removeAll()
        trailerLines.removeAll()
        inboundEnded = false
        outboundEnded = false
        isOversized = false
        trailersAreOversized = false
        isClosed = false
        bytesOut = 0
        waitingSince = 0
        bytesOutSeen = 0
        bytesIn = 0
        bytesInSeen = 0
        fieldBytes = 0
        collectsTrailers = false
        wasResetByPeer = false
        isSent = false
        headIsComplete = false
        isReady = false
        isDeferred = false
        discards = false
    }
}
