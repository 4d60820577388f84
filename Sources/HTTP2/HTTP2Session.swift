public import Bytes
internal import CNghttp2
public import HTTP

/// The session layer of one HTTP/2 connection, by nghttp2.
///
/// Callbacks only record; the owner acts on `events` and on the ready streams after `receive`. It performs no I/O.
///
/// *Ownership:* owns nghttp2's session and every stream.
public final class HTTP2Session {
    /// Which side of the connection this is.
    public enum Role: Sendable {
        /// Answers requests.
        case server
        /// Makes requests.
        case client
    }

    /// What `receive` has found, in order.
    public enum Event {
        /// A stream's first field section is complete.
        case head(HTTP2Stream)
        /// An interim response (RFC 9110 §15.2): the next of those that the stream holds.
        case interim(HTTP2Stream)
        /// A stream is over. 0 is a good end; others are RFC 9113 §7 codes.
        case closed(HTTP2Stream, code: UInt32)
        /// The peer has answered a PING: it knows all that was sent before it.
        case pong
        /// The peer takes no streams above this one.
        case goAway(lastStream: Int32, code: UInt32)
        /// A stream was refused because the peer has too many.
        case refusedStream
        /// The peer broke the protocol, which ends the connection; the RFC 9113 §7 code that it was told.
        case fault(UInt32)
    }

    /// RFC 9113 §7 codes that are sent.
    public enum Code: UInt32, Sendable {
        /// NO_ERROR
        case none = 0
        /// INTERNAL_ERROR
        case internalError = 2
        /// REFUSED_STREAM
        case refusedStream = 7
        /// CANCEL
        case cancel = 8
        /// ENHANCE_YOUR_CALM
        case enhanceYourCalm = 11
        /// HTTP_1_1_REQUIRED
        case http11Required = 13
    }

    /// What has happened since it was last emptied.
    private var events: [Event] = []
    @exclusivity(unchecked) private var hasEvents = false
    /// Bytes of bodies that have left the session, of all streams together.
    public internal(set) var bodyBytesOut: UInt64 = 0
    private var table = StreamTable()
    @exclusivity(unchecked) private var openCount = 0

    let role: Role
    let limits: HTTP2Limits
    var session: OpaquePointer?
    var now: UInt64 = 0
    var abuse: HTTP2Abuse?
    // Numbers only: there is nothing in them to tear.
    @exclusivity(unchecked) var pastStreams = PastStreams()
    @exclusivity(unchecked) var frames = FrameScanner()
    @exclusivity(unchecked) private var budget = FrameBudget()
    /// Whether the end was announced by us.
    var hasSaidGoAway = false
    /// The announcement of the end is on its way: a PING is to follow it.
    var owesPing = false
    /// The stream whose field section is being read.
    var receiving: HTTP2Stream?
    /// What has come of that section, and where it is added to while `receive` runs.
    private var section = HeaderBlock()
    var incoming: UnsafeMutablePointer<HeaderBlock>?
    /// Where DATA is written while `send` runs.
    var output: UnsafeMutablePointer<ByteQueue>?
    var outputLimit = 0
    private let pool: BufferPool
    private var ready: [HTTP2Stream] = []
    @exclusivity(unchecked) private var hasReady = false
    private var vector = FieldVector()

    /// Begins with our preface and SETTINGS, which `send` writes.
    public init(_ role: Role, limits: HTTP2Limits, pool: BufferPool) throws(HTTP2Error) {
        self.role = role
        self.limits = limits
        self.pool = pool
        session = try Self.open(role, limits, user: Unmanaged.passUnretained(self).toOpaque())
        try begin()
    }

    deinit { nghttp2_session_del(session) }

    private func begin() throws(HTTP2Error) {
        var settings = [
            entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(bitPattern: limits.streamWindow)),
            entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(clamping: limits.fieldSectionBytes)),
        ]
        switch role {
        case .server:
            settings.append(entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.concurrentStreams))
            settings.append(entry(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1))
            settings.append(entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1))
        case .client:
            settings.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
            settings.append(entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0))
        }
        try check(nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count))
        try check(
            nghttp2_session_set_local_window_size(
                session,
                UInt8(NGHTTP2_FLAG_NONE.rawValue),
                0,
                limits.connectionWindow
            )
        )
    }

    private func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
        nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
    }

    private func check(_ result: CInt) throws(HTTP2Error) {
        if result < 0 { throw .session(Int(result)) }
    }

    // MARK: bytes

    /// Takes bytes that came; then look at `events` and the ready streams.
    ///
    /// - Parameters:
    ///   - now: monotonic milliseconds.
    ///   - effort: how much work a client's frames may make; one that begins a stream counts for eight.
    /// - Returns: how many bytes were taken; all of them unless the effort was spent before.
    @discardableResult
    public func receive(_ bytes: Span<UInt8>, now: UInt64, effort: Int = .max) throws(HTTP2Error) -> Int {
        self.now = now
        return try withUnsafeMutablePointer(to: &section) { pointer throws(HTTP2Error) in
            incoming = pointer
            defer { incoming = nil }
            return try watch(bytes, effort)
        }
    }

    /// Writes what is due, until `queue` holds `limit` bytes.
    public func send(into queue: inout ByteQueue, upTo limit: Int) throws(HTTP2Error) {
        outputLimit = limit
        let failure: Int = withUnsafeMutablePointer(to: &queue) { pointer in
            output = pointer
            defer { output = nil }
            while pointer.pointee.count < limit {
                var data: UnsafePointer<UInt8>?
                let count = nghttp2_session_mem_send(session, &data)
                guard count > 0, let data else { return min(count, 0) }
                pointer.pointee.append(Span(_unsafeStart: data, count: count))
                if owesPing { ping() }
            }
            return 0
        }
        if failure < 0 { throw .session(failure) }
    }

    /// Whether bytes are due.
    public var wantsToSend: Bool { nghttp2_session_want_write(session) != 0 }

    /// Whether nothing is left to be said or heard.
    public var isOver: Bool {
        nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0
    }

    /// Takes the events, in order.
    public func takeEvents() -> [Event] {
        guard hasEvents else { return [] }
        hasEvents = false
        var taken: [Event] = []
        swap(&taken, &events)
        return taken
    }

    /// Calls `body` with the events, in order; what happens meanwhile is for the next time.
    public func forEachEvent(_ body: (Event) -> Void) {
        guard hasEvents else { return }
        var taken = takeEvents()
        for event in taken { body(event) }
        taken.removeAll(keepingCapacity: true)
        // The memory is kept.
        if !hasEvents { swap(&taken, &events) }
    }

    /// Calls `body` with each stream on which bytes or the end of the peer's side wait; true keeps it for the next time.
    public func forEachReady(_ body: (HTTP2Stream) -> Bool) {
        guard hasReady else { return }
        var kept = 0
        var index = 0
        while index < ready.count {
            let stream = ready[index]
            index += 1
            guard stream.marks.isReady else { continue }
            if body(stream), stream.marks.isReady {
                ready[kept] = stream
                kept += 1
            } else {
                stream.marks.isReady = false
            }
        }
        ready.removeLast(ready.count - kept)
        hasReady = kept > 0
    }

    // MARK: streams

    /// Streams that were not recycled.
    public var streams: [HTTP2Stream] { table.streams }

    /// How many they are.
    public var streamCount: Int { openCount }

    /// The stream of that number, unless it was recycled.
    public func stream(_ id: Int32) -> HTTP2Stream? {
        if let open = openStream(id) { return open }
        for stream in streams where stream.marks.id == id { return stream }
        return nil
    }

    func openStream(_ id: Int32) -> HTTP2Stream? {
        guard let pointer = nghttp2_session_get_stream_user_data(session, id) else { return nil }
        return Unmanaged<HTTP2Stream>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// The owner has taken so many body bytes out of `inbound`: opens the windows by as much.
    public func took(_ count: Int, from stream: HTTP2Stream) {
        if stream.marks.isClosed {
            nghttp2_session_consume_connection(session, count)
        } else {
            nghttp2_session_consume(session, stream.marks.id, count)
        }
    }

    /// Nothing more that comes on this stream is wanted; it does not hold up the others.
    public func discardInbound(_ stream: HTTP2Stream) {
        stream.marks.discards = true
        guard stream.holdsInbound else { return }
        let waiting = stream.inbound.count
        stream.inbound.removeAll()
        took(waiting, from: stream)
    }

    /// Sends a response's head.
    ///
    /// - Parameters:
    ///   - head: begins with a head as an HTTP/1.1 message has it, status line and fields; what belongs to its connection
    ///     is left out.
    ///   - bytes: how long that head is.
    public func respond(
        _ stream: HTTP2Stream,
        head: borrowing ByteQueue,
        bytes: Int,
        endsStream: Bool
    ) throws(HTTP2Error) {
        // The frame of the first one may have to be made yet, of memory that would be another's then.
        guard !stream.marks.hasHead else { throw .session(Int(NGHTTP2_ERR_DATA_EXIST.rawValue)) }
        var failure: CInt = 0
        withFields(head.bytes.extracting(first: bytes), of: stream, isRequest: false) { fields, count in
            var provider = Self.provider(stream)
            failure = withUnsafePointer(to: &provider) {
                nghttp2_submit_response(session, stream.marks.id, fields, count, endsStream ? nil : $0)
            }
        }
        if endsStream { stream.marks.outboundEnded = true }
        try check(failure)
    }

    /// Sends an interim response's head (RFC 9110 §15.2).
    public func respondInterim(_ stream: HTTP2Stream, head: borrowing ByteQueue) throws(HTTP2Error) {
        var failure: CInt = 0
        // Another head may follow before its frame is made: only the last one is kept.
        stream.marks.headsOnTheirWay += 1
        head.bytes.withUnsafeBufferPointer { lines in
            vector.withFields(copying: lines) { fields, count in
                let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
                failure = nghttp2_submit_headers(session, flags, stream.marks.id, nil, fields, count, nil)
            }
        }
        try check(failure)
    }

    /// The most streams that a client opens, whatever the server allows.
    public static let mostStreams = 256

    /// How many bytes of bodies the peer takes now, of all streams together.
    public var peerWindow: Int { Int(nghttp2_session_get_remote_window_size(session)) }

    /// How many bytes of a stream's body the peer takes now, if its window for all lets it.
    public func peerWindow(of stream: HTTP2Stream) -> Int {
        Int(nghttp2_session_get_stream_remote_window_size(session, stream.marks.id))
    }

    /// How many streams the peer lets us have at once.
    public var capacity: Int {
        let told = nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
        // Before the peer's SETTINGS have come, and where it sets no limit.
        return min(Int(told), Self.mostStreams)
    }

    /// Begins a request on a new stream.
    ///
    /// - Parameter head: as an HTTP/1.1 message has it.
    /// - Returns: nil when the connection takes no further stream.
    public func request(head: borrowing ByteQueue, endsStream: Bool) -> HTTP2Stream? {
        let stream = takeStream()
        var id: Int32 = 0
        withFields(head.bytes, of: stream, isRequest: true) { fields, count in
            var provider = Self.provider(stream)
            let user = Unmanaged.passUnretained(stream).toOpaque()
            id = withUnsafePointer(to: &provider) {
                nghttp2_submit_request(session, nil, fields, count, endsStream ? nil : $0, user)
            }
        }
        guard id > 0 else {
            table.spare(stream)
            return nil
        }
        stream.marks.outboundEnded = endsStream
        adopt(stream, id: id)
        return stream
    }

    /// Bytes were added to what the stream sends.
    public func resume(_ stream: HTTP2Stream) {
        guard stream.marks.isDeferred else { return }
        stream.marks.isDeferred = false
        nghttp2_session_resume_data(session, stream.marks.id)
    }

    /// Ends our side of the stream after what waits.
    public func end(_ stream: HTTP2Stream) {
        guard !stream.marks.outboundEnded else { return }
        stream.marks.outboundEnded = true
        resume(stream)
    }

    /// Ends our side of the stream after what waits, with those trailers that may be passed on.
    public func end(_ stream: HTTP2Stream, trailers: borrowing HeaderBlock) {
        guard !stream.marks.outboundEnded else { return }
        if trailers.count > 0 {
            stream.marks.hasTrailerLines = true
            ChunkWriter.end(trailers: trailers, into: &stream.trailerLines)
        }
        end(stream)
    }

    /// Breaks the stream off.
    public func reset(_ stream: HTTP2Stream, _ code: Code) {
        nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.marks.id, code.rawValue)
    }

    /// Tells the peer that the connection is going to end, without refusing what is on its way (RFC 9113 §6.8); its `pong`
    /// tells that it knows.
    public func announceShutdown() { nghttp2_submit_shutdown_notice(session) }

    /// Takes no stream that has not come yet.
    public func goAway() {
        hasSaidGoAway = true
        let last = nghttp2_session_get_last_proc_stream_id(session)
        nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, Code.none.rawValue, nil, 0)
    }

    /// Ends the connection as soon as this word is sent.
    public func terminate(_ code: Code) { terminate(code.rawValue) }

    /// Ends the connection as soon as the peer's fault is told.
    public func terminate(_ fault: HTTP2Fault) { terminate(fault.rawValue) }

    private func terminate(_ code: UInt32) {
        hasSaidGoAway = true
        nghttp2_session_terminate_session(session, code)
    }

    /// Sends a PING, to see whether the peer still answers.
    public func ping() {
        owesPing = false
        nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
    }

    // MARK: for callbacks

    func record(_ event: Event) {
        events.append(event)
        hasEvents = true
    }

    func note(_ kind: HTTP2Abuse) {
        if role == .server, abuse == nil, !budget.spend(kind, now: now) { abuse = kind }
    }

    /// DATA was sent: a peer may open windows for what it has taken, but not byte by byte.
    ///
    /// - Parameter more: whether the window let no more pass of what waits.
    func noteSent(_ count: Int, more: Bool) {
        guard role == .server, !more || count >= 1024 else { return }
        budget.earn(.windowUpdates, UInt64(truncatingIfNeeded: 3 + count >> 11))
    }

    /// Names a stream to `forEachReady` which the peer has ended with its head.
    public func remind(_ stream: HTTP2Stream) { markReady(stream) }

    func markReady(_ stream: HTTP2Stream) {
        guard !stream.marks.isReady else { return }
        stream.marks.isReady = true
        ready.append(stream)
        hasReady = true
    }

    func takeStream() -> HTTP2Stream { table.take() ?? HTTP2Stream(pool: pool) }

    func adopt(_ stream: HTTP2Stream, id: Int32) {
        stream.marks.id = id
        openCount += 1
        table.add(stream)
    }

    /// Gives the stream's memory to the next one: it is over, and its owner has taken what it wanted.
    public func recycle(_ stream: HTTP2Stream) {
        discardInbound(stream)
        if stream.marks.isReady { ready.removeAll { $0 === stream } }
        openCount -= 1
        table.remove(stream)
    }

    /// Calls `body` with the fields of a head, whose bytes the stream keeps until their frame is made.
    private func withFields(
        _ head: Span<UInt8>,
        of stream: HTTP2Stream,
        isRequest: Bool,
        _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Void
    ) {
        stream.marks.hasHead = true
        stream.marks.headsOnTheirWay += 1
        stream.keep(head) { lines in
            vector.withFields(keeping: lines, isRequest: isRequest, body)
        }
    }
}
