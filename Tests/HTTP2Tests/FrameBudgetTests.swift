import Support
import Testing

@testable import HTTP2

@Suite("Frame budgets") struct FrameBudgetTests {
    private static func spent(_ kind: HTTP2Abuse, _ budget: inout FrameBudget, now: UInt64) -> Int {
        var count = 0
        while count < 10_000, budget.spend(kind, now: now) { count += 1 }
        return count
    }

    @Test(arguments: [
        (HTTP2Abuse.resets, 300, 30), (.settings, 30, 1), (.pings, 60, 6), (.emptyFrames, 200, 20),
        (.priorities, 1000, 100), (.unknownFrames, 200, 20),
    ])
    func `a burst is allowed once, then so many a second`(_ kind: HTTP2Abuse, _ burst: Int, _ rate: Int) {
        var budget = FrameBudget()
        #expect(Self.spent(kind, &budget, now: 1000) == burst)
        #expect(Self.spent(kind, &budget, now: 1000) == 0)
        #expect(Self.spent(kind, &budget, now: 2000) == rate)
        #expect(Self.spent(kind, &budget, now: 2500) == rate / 2)
        // However long a client rests, it saves up one burst.
        #expect(Self.spent(kind, &budget, now: 1_000_000_000) == burst)
    }

    @Test func `kinds do not share a budget`() {
        var budget = FrameBudget()
        _ = Self.spent(.pings, &budget, now: 1)
        #expect(budget.spend(.settings, now: 1) && budget.spend(.resets, now: 1))
    }

    @Test func `a clock that goes back traps nothing`() {
        var budget = FrameBudget()
        _ = Self.spent(.pings, &budget, now: 1000)
        #expect(Self.spent(.pings, &budget, now: 10) <= 60)
        #expect(Self.spent(.pings, &budget, now: .max) <= 60)
    }
}

@Suite("Streams that are over") struct PastStreamsTests {
    @Test func `who ended a stream is remembered for a while`() {
        var past = PastStreams()
        past.add(1, byPeer: true)
        past.add(5, byPeer: false)
        #expect(past.state(of: 1) == .endedByPeer)
        #expect(past.state(of: 3) == .neverUsed)
        #expect(past.state(of: 5) == .endedByUs)
        for id in 0..<64 { past.add(Int32(7 + 2 * id), byPeer: true) }
        #expect(past.state(of: 1) == .forgotten && past.state(of: 3) == .forgotten && past.state(of: 5) == .forgotten)
        #expect(past.state(of: 7) == .endedByPeer && past.state(of: 133) == .endedByPeer)
        #expect(past.state(of: 8) == .neverUsed)
    }
}

@Suite("Frame headers") struct FrameScannerTests {
    private static func read(_ bytes: [UInt8], split: Int) -> [String] {
        var scanner = FrameScanner()
        var found: [String] = []
        for piece in [bytes[..<split], bytes[split...]].map(Array.init) {
            var position = 0
            while let frame = scanner.next(in: piece.span, from: &position) {
                found.append("\(frame.kind) \(frame.flags) \(frame.stream) \(frame.length) \(frame.dependency)")
            }
        }
        return found
    }

    @Test func `headers are found in pieces of any size, and nothing inside of a frame is one`() {
        let priority: [UInt8] = [0, 0, 5, 2, 0, 0, 0, 0, 3, 0x80, 0, 0, 7, 16]
        let bytes =
            HTTP2Frames.preface + HTTP2Frames.settings() + priority
            + HTTP2Frames.frame(0, flags: 1, stream: 9, priority) + HTTP2Frames.frame(2, stream: 5, [1, 2, 3, 4])
            + HTTP2Frames.windowUpdate(0, 5)
        for split in 0...bytes.count {
            #expect(
                Self.read(bytes, split: split) == ["4 0 0 0 0", "2 0 3 5 7", "0 1 9 14 0", "2 0 5 4 0", "8 0 0 4 0"]
            )
        }
    }
}
