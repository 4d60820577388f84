import Bytes
import HTTP
import Support
import Testing

@testable import HTTP2

/// A server's session and the bytes of a client that follows no rule.
private final class Victim {
    let session: HTTP2Session
    private(set) var events: [HTTP2Session.Event] = []
    private(set) var failure: HTTP2Error?
    private var queue = ByteQueue(pool: BufferPool())
    private(set) var written = 0

    init(_ bytes: [UInt8]) throws {
        session = try HTTP2Session(.server, limits: HTTP2Limits(), pool: BufferPool())
        try feed(HTTP2Frames.preface + HTTP2Frames.settings())
        try feed(bytes)
    }

    func feed(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while failure == nil, !rest.isEmpty {
            let piece = Array(rest.prefix(60_000))
            rest = rest.dropFirst(piece.count)
            do throws(HTTP2Error) { try session.receive(piece.span, now: 1000) } catch { failure = error }
            events += session.takeEvents()
            try flush()
        }
    }

    func flush() throws {
        try session.send(into: &queue, upTo: 1 << 22)
        written += queue.count
        queue.removeAll()
        events += session.takeEvents()
        for event in events {
            if case .closed(let stream, _) = event, session.streams.contains(where: { $0 === stream }) {
                session.recycle(stream)
            }
        }
        events.removeAll { if case .closed = $0 { true } else { false } }
    }

    var heads: Int { events.count { if case .head = $0 { true } else { false } } }
    var faults: [UInt32] { events.compactMap { if case .fault(let code) = $0 { code } else { nil } } }
}

@Suite("Hostile HTTP/2 clients") struct HostileHTTP2ClientTests {
    private typealias Frames = HTTP2Frames

    private static func many(_ count: Int, _ make: (Int32) -> [UInt8]) -> [UInt8] {
        (0..<Int32(count)).flatMap { make($0) }
    }

    private static func id(_ index: Int32) -> Int32 { 1 + 2 * index }

    @Test func `so much is taken at once as there is effort for, and the rest later, in order`() throws {
        let session = try HTTP2Session(.server, limits: HTTP2Limits(), pool: BufferPool())
        try session.receive((Frames.preface + Frames.settings()).span, now: 0)
        let bytes = Self.many(40) { Frames.headers(Self.id($0), Frames.get()) + Frames.windowUpdate(Self.id($0), 9) }
        var rest = bytes
        var begun: [Int] = []
        while !rest.isEmpty, begun.count < 20 {
            let taken = try session.receive(rest.span, now: 0, effort: 90)
            rest.removeFirst(taken)
            begun.append(session.takeEvents().count { if case .head = $0 { true } else { false } })
        }
        // Ten beginnings, each with a frame that counts for one; the last of those ends with the next bytes.
        #expect(begun == [10, 10, 10, 10, 0])
        #expect(session.streams.map(\.id) == (0..<40).map { Self.id($0) })
    }

    @Test func `streams reset as they begin end the connection`() throws {
        let rapid = Self.many(400) { Frames.headers(Self.id($0), Frames.get()) + Frames.reset(Self.id($0)) }
        #expect(try Victim(rapid).failure == .abuse(.resets))
        let some = Self.many(250) { Frames.headers(Self.id($0), Frames.get()) + Frames.reset(Self.id($0)) }
        #expect(try Victim(some).failure == nil)
    }

    @Test func `faults that have the server reset streams count like resets by the client`() throws {
        func feed(_ make: (Int32) -> [UInt8]) throws -> HTTP2Error? {
            let victim = try Victim([])
            for start in stride(from: Int32(0), to: 500, by: 100) {
                try victim.feed((start..<start + 100).flatMap { make(Self.id($0)) })
                #expect(victim.faults == [])
            }
            return victim.failure
        }
        #expect(
            try feed { Frames.headers($0, Frames.get()) + Frames.windowUpdate($0, 0x7FFF_FFFF) } == .abuse(.resets)
        )
        #expect(try feed { Frames.headers($0, Frames.get() + [("X", "y")]) } == .abuse(.resets))
    }

    @Test func `streams beyond the limit end the connection, too, when there is no end of them`() throws {
        #expect(try Victim(Self.many(300) { Frames.headers(Self.id($0), Frames.get()) }).failure == nil)
        #expect(try Victim(Self.many(600) { Frames.headers(Self.id($0), Frames.get()) }).failure == .abuse(.resets))
    }

    @Test func `frames that only cost work end the connection`() throws {
        let eight = [UInt8](repeating: 0, count: 8)
        #expect(try Victim(Self.many(100) { _ in Frames.frame(Frames.Kind.ping, eight) }).failure == .abuse(.pings))
        #expect(try Victim(Self.many(100) { _ in Frames.settings() }).failure == .abuse(.settings))
        let priority = Self.many(1100) { Frames.frame(Frames.Kind.priority, stream: Self.id($0) + 2, [0, 0, 0, 1, 9]) }
        #expect(try Victim(priority).failure == .abuse(.priorities))
        #expect(try Victim(Self.many(300) { _ in Frames.frame(0x42, [1]) }).failure == .abuse(.unknownFrames))
        let open = Frames.headers(1, Frames.post(), endsStream: false)
        let empty = Self.many(300) { _ in Frames.data(1, [], endsStream: false) }
        #expect(try Victim(open + empty).failure == .abuse(.emptyFrames))
    }

    @Test func `windows opened byte by byte end the connection, those opened for what was taken do not`() throws {
        /// A client that answers each DATA frame of a large response with windows as wide, in so many steps.
        func take(_ bytes: Int, initial: UInt32, step: UInt32?) throws -> (failure: HTTP2Error?, taken: Int) {
            let session = try HTTP2Session(.server, limits: HTTP2Limits(), pool: BufferPool())
            var out = ByteQueue(pool: BufferPool())
            try session.receive(
                (Frames.preface + Frames.settings([(4, initial)]) + Frames.headers(1, Frames.get())).span,
                now: 1
            )
            var head = ByteQueue(pool: BufferPool())
            head.append("HTTP/1.1 200 OK\r\n\r\n")
            let stream = try #require(session.stream(1))
            try session.respond(stream, head: head, bytes: head.count, endsStream: false)
            var taken = 0
            while taken < bytes {
                stream.send([UInt8](repeating: 0x61, count: 65_536 - stream.outboundCount).span)
                session.resume(stream)
                let before = stream.bytesOut
                try session.send(into: &out, upTo: 1 << 20)
                out.removeAll()
                let came = UInt32(stream.bytesOut - before)
                taken += Int(came)
                let frame = step ?? max(came, 1)
                do throws(HTTP2Error) {
                    try session.receive((Frames.windowUpdate(1, frame) + Frames.windowUpdate(0, frame)).span, now: 1)
                } catch { return (error, taken) }
            }
            return (nil, taken)
        }
        let drops = try take(100_000, initial: 0, step: 1)
        #expect(drops.failure == .abuse(.windowUpdates) && (500...2000).contains(drops.taken))
        #expect(try take(100_000_000, initial: 65_535, step: nil).failure == nil)
        // A window that was small once stays so with clients that open it by what has come: it is theirs to choose.
        #expect(try take(30_000_000, initial: 5000, step: nil).failure == nil)
        #expect(try Victim(Self.many(2500) { _ in Frames.windowUpdate(0, 1) }).failure == .abuse(.windowUpdates))
    }

    @Test func `answers that a client does not read are not kept without end`() throws {
        let session = try HTTP2Session(.server, limits: HTTP2Limits(), pool: BufferPool())
        try session.receive((Frames.preface + Frames.settings()).span, now: 0)
        // As slowly as is allowed; nothing is ever sent.
        let pings = Self.many(6) { _ in Frames.frame(Frames.Kind.ping, [UInt8](repeating: 0, count: 8)) }
        var failure: HTTP2Error?
        var second: UInt64 = 0
        while failure == nil, second < 1000 {
            second += 1
            do throws(HTTP2Error) { try session.receive(pings.span, now: second * 1000) } catch { failure = error }
        }
        #expect(failure == .abuse(.unsentAnswers) && second > 100)
    }

    @Test func `acknowledgements are free`() throws {
        let ack = Self.many(500) { _ in Frames.frame(Frames.Kind.ping, flags: 1, [UInt8](repeating: 0, count: 8)) }
        #expect(try Victim(ack).failure == nil)
    }

    @Test func `a field section without an end ends the connection`() throws {
        let begin = Frames.frame(Frames.Kind.headers, stream: 1, Frames.section(Frames.get()))
        let more = Self.many(100) { _ in Frames.frame(Frames.Kind.continuation, stream: 1, Frames.section([("x", "y")]))
        }
        #expect(try Victim(begin + more).failure == .abuse(.continuations))
        let empty = Self.many(300) { _ in Frames.frame(Frames.Kind.continuation, stream: 1) }
        let victim = try Victim(begin + empty)
        #expect(victim.failure == .abuse(.continuations) || victim.failure == .abuse(.emptyFrames))
    }

    @Test func `a field section that is too long is not kept`() throws {
        let fields = Frames.get() + (0..<30).map { ("x\($0)", String(repeating: "a", count: 4000)) }
        let victim = try Victim(Frames.headers(1, fields))
        guard case .head(let stream) = try #require(victim.events.first) else { return }
        #expect(stream.isOversized && lines(stream.fields).joined().utf8.count < 65_536)
    }

    @Test(arguments: [
        ("x", "a\r\nb"), ("x", "a\nb"), ("x", "a\u{0}b"), ("X", "b"), ("x y", "b"), ("", "b"), ("x\r\ny", "b"),
        ("transfer-encoding", "chunked"), ("connection", "close"), ("te", "gzip"), ("content-length", "x"), (":x", "y"),
        (":path", "/other"),
    ])
    func `a field that HTTP/2 does not allow resets its stream and no other`(_ name: String, _ value: String) throws {
        let victim = try Victim(
            Frames.headers(1, Frames.get() + [(name, value)]) + Frames.headers(3, Frames.get())
        )
        #expect(victim.failure == nil && victim.faults == [])
        #expect(victim.heads == 1 && victim.session.streams.map(\.id) == [3])
    }

    @Test func `more on a stream that the client had ended is a fault`() throws {
        let whole = Frames.headers(1, Frames.get()) + Frames.reset(1)
        #expect(try Victim(whole + Frames.data(1, [1], endsStream: false)).failure == .fault(.streamClosed))
        #expect(try Victim(whole + Frames.headers(1, Frames.get())).failure == .fault(.streamClosed))
        let skipped = Frames.headers(5, Frames.get()) + Frames.headers(3, Frames.get())
        #expect(try Victim(skipped).failure == .fault(.protocolError))
        #expect(try Victim(Frames.frame(Frames.Kind.priority, [0, 0, 0, 1, 9])).failure == .fault(.protocolError))
    }

    @Test func `what was on its way when we ended a stream is no fault`() throws {
        let victim = try Victim(Frames.headers(1, Frames.post(), endsStream: false))
        victim.session.reset(try #require(victim.session.streams.first), .cancel)
        try victim.flush()
        try victim.feed(Frames.data(1, [1, 2, 3], endsStream: false) + Frames.headers(1, [("x-sum", "1")]))
        #expect(victim.failure == nil && victim.faults == [])
        victim.session.goAway()
        try victim.flush()
        // A stream begun after GOAWAY is passed over, its trailers, too.
        try victim.feed(Frames.headers(3, Frames.post(), endsStream: false) + Frames.headers(3, [("x-sum", "1")]))
        #expect(victim.failure == nil && victim.heads == 1)
    }

    @Test func `a body longer or shorter than its length resets the stream`() throws {
        let five = Frames.headers(1, Frames.post() + [("content-length", "5")], endsStream: false)
        for body in [Frames.data(1, Array("hello!".utf8), endsStream: true), Frames.data(1, [1], endsStream: true)] {
            let victim = try Victim(five + body)
            #expect(victim.failure == nil && victim.session.streams.isEmpty)
        }
    }

    @Test func `another protocol is told from HTTP/2`() throws {
        let session = try HTTP2Session(.server, limits: HTTP2Limits(), pool: BufferPool())
        #expect(throws: HTTP2Error.notHTTP2) {
            try session.receive(Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8).span, now: 1)
        }
    }

    @Test func `a fault that nghttp2 finds is told of`() throws {
        // More than a frame may hold; a window that overflows; SETTINGS on a stream.
        #expect(
            try Victim(Frames.frame(Frames.Kind.data, stream: 1, [UInt8](repeating: 0, count: 16_385))).faults == [6]
        )
        #expect(try Victim(Frames.windowUpdate(0, 0x7FFF_FFFF)).faults == [3])
        #expect(try Victim(Frames.frame(Frames.Kind.settings, stream: 1)).faults == [1])
        #expect(try Victim(Frames.frame(Frames.Kind.headers, flags: 5, stream: 1, [0xFF, 0xFF, 0xFF])).faults == [9])
    }
}
