import Testing

@testable import Proxy

@Suite("Repeated lines") struct RepeatedLinesTests {
    @Test func `the same is said once in a while, with the number of those left out`() {
        var lines = RepeatedLines()
        #expect(lines.admit("a", now: 100) == 0)
        for _ in 0..<7 { #expect(lines.admit("a", now: 105) == nil) }
        #expect(lines.admit("b", now: 105) == 0)
        #expect(lines.admit("a", now: 100 + RepeatedLines.pause) == 7)
        #expect(lines.admit("a", now: 200) == 0)
    }

    @Test func `whoever says something else each time does not fill the memory`() {
        var lines = RepeatedLines()
        let written = (0..<10 * RepeatedLines.most).count { lines.admit("\($0)", now: 1) != nil }
        #expect(written == RepeatedLines.most)
        #expect(lines.admit("later", now: 1 + RepeatedLines.pause) == 0)
    }
}
