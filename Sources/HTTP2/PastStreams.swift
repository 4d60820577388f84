/// Which streams of a peer are over, and by whom: the last ones only, for memory is bounded.
///
/// nghttp2 passes over what comes on a stream that is gone. That is right while it may have been on its way when we
/// ended the stream, and wrong when the peer had ended it, or never begun it (RFC 9113 §5.1).
struct PastStreams {
    enum State {
        case endedByPeer
        case endedByUs
        /// Below a number that was used, and passed over.
        case neverUsed
        /// Too long ago.
        case forgotten
    }

    private struct Past {
        var id: Int32 = 0
        var byPeer = false
    }

    /// The highest number that the peer has used.
    var highest: Int32 = 0
    private static let capacity = 64
    private var last = InlineArray<64, Past>(repeating: Past())
    private var next = 0
    private var highestForgotten: Int32 = 0

    mutating func add(_ id: Int32, byPeer: Bool) {
        highestForgotten = max(highestForgotten, last[next].id)
        last[next] = Past(id: id, byPeer: byPeer)
        next = (next + 1) % Self.capacity
    }

    /// What is known of a stream that is not open.
    func state(of id: Int32) -> State {
        for index in last.indices where last[index].id == id {
            return last[index].byPeer ? .endedByPeer : .endedByUs
        }
        return id > highestForgotten ? .neverUsed : .forgotten
    }
}
