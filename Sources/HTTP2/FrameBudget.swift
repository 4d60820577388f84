/// How many frames of the kinds that only cost a server work a client may send; a bucket each, refilled with time.
struct FrameBudget {
    private struct Bucket {
        let capacity: UInt64
        let perSecond: UInt64
        var tokens: UInt64

        init(capacity: UInt64, perSecond: UInt64) {
            self.capacity = capacity
            self.perSecond = perSecond
            tokens = capacity * 1000
        }

        mutating func spend(elapsed: UInt64) -> Bool {
            tokens = min(capacity * 1000, tokens + min(elapsed, 600_000) * perSecond)
            guard tokens >= 1000 else { return false }
            tokens -= 1000
            return true
        }

        mutating func earn(_ count: UInt64) { tokens = min(capacity * 1000, tokens + count * 1000) }
    }

    private static let kinds = 9
    private var buckets = InlineArray<9, Bucket>(repeating: Bucket(capacity: 1, perSecond: 1))
    private var last = InlineArray<9, UInt64>(repeating: 0)

    init() {
        precondition(HTTP2Abuse.allCases.count == Self.kinds, "a bucket for each kind")
        for kind in HTTP2Abuse.allCases { buckets[kind.rawValue] = Self.bucket(kind) }
    }

    private static func bucket(_ kind: HTTP2Abuse) -> Bucket {
        switch kind {
        // A browser that leaves a page cancels what it had asked for: at most the allowed streams at once.
        case .resets: Bucket(capacity: 300, perSecond: 30)
        case .settings: Bucket(capacity: 30, perSecond: 1)
        case .pings: Bucket(capacity: 60, perSecond: 6)
        case .emptyFrames: Bucket(capacity: 200, perSecond: 20)
        case .priorities: Bucket(capacity: 1000, perSecond: 100)
        case .unknownFrames: Bucket(capacity: 200, perSecond: 20)
        // Besides what is earned by taking DATA.
        case .windowUpdates: Bucket(capacity: 2000, perSecond: 200)
        // These have no rate: the session layer bounds each by itself.
        case .continuations, .unsentAnswers: Bucket(capacity: 1, perSecond: 1)
        }
    }

    /// Takes one frame from its kind's budget; false when it is spent.
    mutating func spend(_ kind: HTTP2Abuse, now: UInt64) -> Bool {
        let index = kind.rawValue
        let elapsed = last[index] == 0 ? 0 : now &- last[index]
        last[index] = now
        return buckets[index].spend(elapsed: elapsed)
    }

    /// Gives frames of a kind back: the peer has taken what they were for.
    mutating func earn(_ kind: HTTP2Abuse, _ count: UInt64) { buckets[kind.rawValue].earn(count) }
}

/// Traffic that is allowed by the letter and does nothing but cost; the connection is ended (RFC 9113 §10.5).
public enum HTTP2Abuse: Int, CaseIterable, Sendable {
    /// Streams begun and reset at once (CVE-2023-44487).
    case resets
    /// SETTINGS, each of which has to be answered.
    case settings
    /// PING, likewise.
    case pings
    /// DATA, HEADERS and CONTINUATION without a byte, which end nothing.
    case emptyFrames
    /// PRIORITY, which means nothing any more.
    case priorities
    /// Frames of unknown kinds.
    case unknownFrames
    /// A field section in endless CONTINUATION frames (CVE-2024-27316).
    case continuations
    /// More answers to PING and SETTINGS waiting than a peer that reads would leave.
    case unsentAnswers
    /// WINDOW_UPDATE, more often than what was taken needs: windows opened byte by byte.
    case windowUpdates

    /// What the log says.
    public var description: String {
        switch self {
        case .resets: "streams reset faster than allowed"
        case .settings: "SETTINGS faster than allowed"
        case .pings: "PING faster than allowed"
        case .emptyFrames: "empty frames faster than allowed"
        case .priorities: "PRIORITY faster than allowed"
        case .unknownFrames: "unknown frames faster than allowed"
        case .continuations: "too many CONTINUATION frames"
        case .unsentAnswers: "answers pile up unread"
        case .windowUpdates: "windows opened in too small steps"
        }
    }
}
