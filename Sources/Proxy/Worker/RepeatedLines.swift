/// Lines that would be written again and again: each once in a while, with the number of those left out since.
///
/// A value without clock; times are monotonic seconds.
struct RepeatedLines {
    private struct Line {
        var writtenAt: UInt64
        var leftOut = 0
    }

    /// Seconds between two lines that say the same.
    static let pause: UInt64 = 10
    /// A server chooses some of what is said of it, so what is remembered has a bound.
    static let most = 256

    private var lines: [String: Line] = [:]

    /// How many like this were left out since the last that was written; nil when this one is left out, too.
    mutating func admit(_ text: String, now: UInt64) -> Int? {
        if let line = lines[text], now < line.writtenAt + Self.pause {
            lines[text]?.leftOut += 1
            return nil
        }
        let leftOut = lines[text]?.leftOut ?? 0
        if lines.count >= Self.most { lines = lines.filter { now < $0.value.writtenAt + Self.pause } }
        // Everything differs: not even a line each is for the log then.
        guard lines.count < Self.most || lines[text] != nil else { return nil }
        lines[text] = Line(writtenAt: now)
        return leftOut
    }
}
