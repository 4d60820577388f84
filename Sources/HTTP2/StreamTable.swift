/// The streams of a session, and some that are over, for their memory.
struct StreamTable {
    private static let mostSpare = 32

    /// Those that are not over, in no order.
    private(set) var streams: [HTTP2Stream] = []
    private var spare: [HTTP2Stream] = []

    /// A stream that is as new, if there is one.
    mutating func take() -> HTTP2Stream? { spare.popLast() }

    mutating func add(_ stream: HTTP2Stream) {
        stream.marks.slot = streams.count
        streams.append(stream)
    }

    mutating func remove(_ stream: HTTP2Stream) {
        let last = streams.removeLast()
        if last !== stream {
            streams[stream.marks.slot] = last
            last.marks.slot = stream.marks.slot
        }
        spare(stream)
    }

    /// Keeps one that is over.
    mutating func spare(_ stream: HTTP2Stream) {
        guard spare.count < Self.mostSpare else { return }
        stream.reset()
        spare.append(stream)
    }
}
