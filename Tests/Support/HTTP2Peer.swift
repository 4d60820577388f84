internal import CNghttp2
public import TLS

/// A client of HTTP/2, or a server, that does what a test says, frame by frame; nothing it sends is checked.
public final class HTTP2Peer {
    /// A frame that came.
    public struct Frame: Sendable {
        /// Its kind.
        public let kind: UInt8
        /// Its flags.
        public let flags: UInt8
        /// Its stream.
        public let stream: Int32
        /// What is in it.
        public let payload: [UInt8]
    }

    /// What has come on a stream.
    public struct Answer: Sendable {
        /// Interim statuses.
        public var interim: [Int] = []
        /// 0 before the head has come.
        public var status = 0
        /// Names and values of the head.
        public var fields: [(name: String, value: String)] = []
        /// What is in DATA so far.
        public var body: [UInt8] = []
        /// Names and values after the body.
        public var trailers: [(name: String, value: String)] = []
        /// Whether it is whole.
        public var isWhole = false
        /// The code of the reset that came.
        public var reset: UInt32?

        /// Nothing yet.
        public init() {}

        /// The body as text.
        public var text: String { String(decoding: body, as: UTF8.self) }

        /// The value of a field.
        public subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }
    }

    /// Whether windows are opened as bytes come.
    public var opensWindows = true
    /// The code of the GOAWAY that came last, and the last stream that it names.
    public private(set) var goAway: (code: UInt32, last: Int32)?
    /// How many GOAWAY came.
    public private(set) var goAways = 0
    /// Whether the other side has closed the connection.
    public private(set) var isClosed = false
    /// SETTINGS that came, by number.
    public private(set) var settings: [UInt16: UInt32] = [:]
    /// What came so far, by stream.
    public private(set) var answers: [Int32: Answer] = [:]
    /// Streams whose head has come, for a server to answer.
    public private(set) var heads: [Int32] = []
    private let everyhop: EveryhopProcess?
    private let connection: Connection
    private let inflater: OpaquePointer
    private var waiting: [UInt8] = []
    private var position = 0
    private var section: [UInt8] = []
    private var sectionFlags: UInt8 = 0
    /// Beyond the initial window, which SETTINGS may change at any time.
    private var windows: [Int32: Int] = [:]
    private var connectionWindow = 65_535
    private var nextStream: Int32 = 1

    /// Dials everyhop, which lives at least as long, and says the preface with these SETTINGS.
    ///
    /// - Parameter port: another than everyhop's own, if something is between.
    public init(
        to everyhop: EveryhopProcess,
        _ context: ClientContext,
        settings: [(UInt16, UInt32)] = [],
        port: UInt16? = nil,
        seconds: Int32 = 20
    ) throws {
        self.everyhop = everyhop
        connection = try Connection(to: port ?? everyhop.port, context, seconds: seconds)
        var made: OpaquePointer?
        guard nghttp2_hd_inflate_new(&made) == 0, let made else { throw DeadlinePassed(description: "an inflater") }
        inflater = made
        try connection.send(HTTP2Frames.preface + HTTP2Frames.settings(settings))
    }

    /// Serves on a connection that has just been accepted, with these SETTINGS.
    public init(serving connection: Connection, settings: [(UInt16, UInt32)] = []) throws {
        everyhop = nil
        self.connection = connection
        var made: OpaquePointer?
        guard nghttp2_hd_inflate_new(&made) == 0, let made else { throw DeadlinePassed(description: "an inflater") }
        inflater = made
        try connection.send(HTTP2Frames.settings(settings))
        _ = try take(HTTP2Frames.preface.count)
    }

    deinit { nghttp2_hd_inflate_del(inflater) }

    // MARK: sending

    /// Sends bytes as they are.
    public func send(_ bytes: [UInt8]) throws { try connection.send(bytes) }

    /// Begins a stream.
    public func request(_ fields: [(String, String)], endsStream: Bool = true) throws -> Int32 {
        let stream = nextStream
        nextStream += 2
        try send(HTTP2Frames.headers(stream, fields, endsStream: endsStream))
        return stream
    }

    /// Sends a body as the windows allow; false when the stream ends before all of it is sent.
    @discardableResult
    public func send(_ body: [UInt8], on stream: Int32, endsStream: Bool = true) throws -> Bool {
        var sent = 0
        repeat {
            if sent < body.count, room(stream) <= 0 {
                guard try next() != nil, answers[stream]?.reset == nil else { return false }
                continue
            }
            let count = min(body.count - sent, 16_384, max(room(stream), 0))
            let isLast = endsStream && sent + count == body.count
            try send(HTTP2Frames.data(stream, Array(body[sent..<sent + count]), endsStream: isLast))
            sent += count
            windows[stream, default: 0] -= count
            connectionWindow -= count
        } while sent < body.count
        return true
    }

    /// Sends as much of a piece of a body as the windows allow that are known of; how much that was.
    public func sendNow(_ body: [UInt8], on stream: Int32) throws -> Int {
        let piece = Array(body.prefix(max(room(stream), 0)))
        if !piece.isEmpty { try send(piece, on: stream, endsStream: false) }
        return piece.count
    }

    private var initialWindow: Int { Int(settings[4] ?? 65_535) }

    private func room(_ stream: Int32) -> Int { min(initialWindow + windows[stream, default: 0], connectionWindow) }

    /// Ends the connection without a word.
    public func abort() { connection.abort() }

    // MARK: receiving

    /// Waits for the stream's end, good or bad, or the connection's.
    public func answer(_ stream: Int32) throws -> Answer {
        try receive { ($0.answers[stream].map { $0.isWhole || $0.reset != nil }) ?? false }
        return answers[stream] ?? Answer()
    }

    /// What has come on the stream so far.
    public func soFar(_ stream: Int32) -> Answer { answers[stream] ?? Answer() }

    /// A request without a body, and its answer.
    public func get(_ path: String = "/", host: String = "localhost") throws -> Answer {
        try answer(request(HTTP2Frames.get(path, host: host)))
    }

    /// Takes frames until a condition holds or the connection ends.
    public func receive(until condition: (HTTP2Peer) -> Bool) throws {
        while !condition(self), try next() != nil {}
    }

    /// Takes the next frame; nil at the end of the connection.
    @discardableResult
    public func next() throws -> Frame? {
        guard let head = try take(9) else { return nil }
        let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
        guard let payload = try take(length) else { return nil }
        let stream = Int32(bitPattern: Self.number(head, 5)) & 0x7FFF_FFFF
        let frame = Frame(kind: head[3], flags: head[4], stream: stream, payload: payload)
        try handle(frame)
        return frame
    }

    private static func number(_ bytes: [UInt8], _ place: Int) -> UInt32 {
        bytes[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    private func take(_ count: Int) throws -> [UInt8]? {
        while waiting.count - position < count {
            guard !isClosed, let bytes = try? connection.receive() else {
                // What ends the connection, a reset or its end, is the same to a test that reads on.
                isClosed = true
                return nil
            }
            waiting.removeFirst(position)
            position = 0
            waiting += bytes
        }
        defer { position += count }
        return Array(waiting[position..<position + count])
    }

    private func handle(_ frame: Frame) throws {
        let isAnswer = frame.flags & HTTP2Frames.endStream != 0
        switch frame.kind {
        case HTTP2Frames.Kind.settings where !isAnswer:
            for place in stride(from: 0, to: frame.payload.count, by: 6) {
                let id = UInt16(frame.payload[place]) << 8 | UInt16(frame.payload[place + 1])
                settings[id] = Self.number(frame.payload, place + 2)
            }
            try send(HTTP2Frames.frame(HTTP2Frames.Kind.settings, flags: 1))
        case HTTP2Frames.Kind.ping where !isAnswer:
            try send(HTTP2Frames.frame(HTTP2Frames.Kind.ping, flags: 1, frame.payload))
        case HTTP2Frames.Kind.goAway:
            goAway = (Self.number(frame.payload, 4), Int32(bitPattern: Self.number(frame.payload, 0)) & 0x7FFF_FFFF)
            goAways += 1
        case HTTP2Frames.Kind.reset: answers[frame.stream, default: Answer()].reset = Self.number(frame.payload, 0)
        case HTTP2Frames.Kind.windowUpdate:
            let count = Int(Self.number(frame.payload, 0))
            if frame.stream == 0 {
                connectionWindow += count
            } else {
                windows[frame.stream, default: 0] += count
            }
        case HTTP2Frames.Kind.headers:
            section = frame.payload
            sectionFlags = frame.flags
            if isComplete(frame) { endSection(frame.stream) }
        case HTTP2Frames.Kind.continuation:
            section += frame.payload
            if isComplete(frame) { endSection(frame.stream) }
        case HTTP2Frames.Kind.data: try takeData(frame, isLast: isAnswer)
        default: break
        }
    }

    private func isComplete(_ frame: Frame) -> Bool { frame.flags & HTTP2Frames.endHeaders != 0 }

    private func takeData(_ frame: Frame, isLast: Bool) throws {
        answers[frame.stream, default: Answer()].body += frame.payload
        if isLast { answers[frame.stream, default: Answer()].isWhole = true }
        guard opensWindows, !frame.payload.isEmpty else { return }
        let count = UInt32(frame.payload.count)
        var updates = HTTP2Frames.windowUpdate(0, count)
        if !isLast { updates += HTTP2Frames.windowUpdate(frame.stream, count) }
        // The other side may have closed already.
        try? send(updates)
    }

    private func endSection(_ stream: Int32) {
        let fields = inflate()
        var answer = answers[stream] ?? Answer()
        if let status = fields.first(where: { $0.name == ":status" }).flatMap({ Int($0.value) }) {
            if status < 200 {
                answer.interim.append(status)
            } else {
                answer.status = status
                answer.fields = fields
            }
        } else if fields.contains(where: { $0.name == ":method" }) {
            answer.fields = fields
            heads.append(stream)
        } else {
            answer.trailers = fields
        }
        if sectionFlags & HTTP2Frames.endStream != 0 { answer.isWhole = true }
        answers[stream] = answer
    }

    private func inflate() -> [(name: String, value: String)] {
        var fields: [(name: String, value: String)] = []
        section.withUnsafeBufferPointer { bytes in
            var offset = 0
            while true {
                var pair = nghttp2_nv()
                var flags: CInt = 0
                let count = nghttp2_hd_inflate_hd2(
                    inflater,
                    &pair,
                    &flags,
                    bytes.baseAddress.map { $0 + offset },
                    bytes.count - offset,
                    1
                )
                guard count >= 0 else { return }
                offset += count
                if flags & CInt(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                    let name = UnsafeBufferPointer(start: pair.name, count: pair.namelen)
                    let value = UnsafeBufferPointer(start: pair.value, count: pair.valuelen)
                    fields.append((String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
                }
                if flags & CInt(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 {
                    nghttp2_hd_inflate_end_headers(inflater)
                    return
                }
            }
        }
        return fields
    }
}
