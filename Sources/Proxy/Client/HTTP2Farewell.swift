/// How a client of HTTP/2 is brought to go without losing a request (RFC 9113 §6.8).
///
/// It is told that the end is near and asked to answer a PING: before its answer comes everything that it sent without
/// knowing. Only then is it told which stream was the last. One that has asked for nothing yet is let ask first, since a
/// server that ends connections before their first request looks like one that is down.
struct HTTP2Farewell: Equatable {
    enum Step: Equatable {
        /// The connection stays. Next: any other.
        case none
        /// The first request is waited for, so long in monotonic milliseconds. Next: announced.
        case awaitingRequest(until: UInt64)
        /// The end is announced, and the answer to the PING waited for. Next: said.
        case announced
        /// The last stream is named. The end.
        case said
    }

    enum Action: Equatable {
        /// Say that the end is near, and ask for an answer.
        case announce
        /// Name the last stream.
        case goAway
    }

    private(set) var step = Step.none
    /// Until when the client is waited for, in monotonic milliseconds, once it is to go.
    private(set) var until: UInt64?

    /// The client is to go; again, it has less time.
    ///
    /// - Parameter hasAsked: whether there was a request.
    mutating func begin(until: UInt64, hasAsked: Bool, now: UInt64) -> Action? {
        self.until = min(self.until ?? until, until)
        switch step {
        case .none where hasAsked:
            step = .announced
            return .announce
        case .none, .awaitingRequest:
            step = .awaitingRequest(until: now + (until - min(now, until)) / 2)
            return nil
        case .announced, .said: return nil
        }
    }

    /// A request has come.
    mutating func asked() -> Action? {
        guard case .awaitingRequest = step else { return nil }
        step = .announced
        return .announce
    }

    /// The PING was answered.
    mutating func answered() -> Action? {
        guard step == .announced else { return nil }
        step = .said
        return .goAway
    }

    /// Time has passed: nobody is waited for without end.
    mutating func look(now: UInt64) -> Action? {
        switch step {
        case .awaitingRequest(let until) where now >= until:
            step = .announced
            return .announce
        case .announced where now >= until ?? 0:
            step = .said
            return .goAway
        case .none, .awaitingRequest, .announced, .said: return nil
        }
    }

    /// The last stream is named for another reason.
    mutating func said() { step = .said }
}
