import HTTP
import Testing

@Suite("Ranges of a file") struct ByteRangeTests {
    private func read(_ text: String, size: UInt64 = 100) -> RangeRequest {
        RangeRequest(Array(text.utf8).span, size: size)
    }

    @Test(
        arguments: [
            ("bytes=0-0", [0, 1]), ("bytes=0-", [0, 100]), ("bytes=10-19", [10, 20]), ("bytes=99-", [99, 100]),
            ("bytes=99-99", [99, 100]), ("bytes=50-1000", [50, 100]), ("bytes=-1", [99, 100]),
            ("bytes=-100", [0, 100]),
            ("bytes=-1000", [0, 100]), ("BYTES=1-2", [1, 3]), ("bytes=1-2,", [1, 3]), ("bytes= ,\t1-2 , ,", [1, 3]),
            ("bytes=000001-2", [1, 3]), ("bytes=5-99999999999999999999999999", [5, 100]),
            ("bytes=0-0,-1", [0, 1, 99, 100]), ("bytes=20-29,0-9", [20, 30, 0, 10]), ("bytes=1-2,1-2", [1, 3, 1, 3]),
            ("bytes=200-300,5-6", [5, 7]), ("bytes=-0,5-6", [5, 7]),
            ("bytes=-99999999999999999999999", [0, 100]),
        ] as [(String, [UInt64])]
    )
    func `what is there is given in the order asked for`(_ text: String, _ bounds: [UInt64]) {
        let ranges = stride(from: 0, to: bounds.count, by: 2).map { ByteRange(bounds[$0], bounds[$0 + 1]) }
        #expect(read(text) == .parts(ranges))
    }

    @Test(arguments: [
        "bytes=100-", "bytes=100-200", "bytes=-0", "bytes=100-,200-300,-0",
        "bytes=18446744073709551615-", "bytes=18446744073709551616-18446744073709551617",
    ])
    func `what begins behind the end is not satisfiable`(_ text: String) { #expect(read(text) == .unsatisfiable) }

    @Test(arguments: [
        "", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=1", "bytes=2-1", "bytes=1-2-3", "bytes=+1-2",
        "bytes=1-+2", "bytes=0x1-2", "bytes=1 -2", "bytes=1- 2", "bytes =1-2", "items=0-1", "bytes=1-2;q=1",
        "bytes=0-1,x", "bytes=--5", "none", "bytes=1-2,3--4",
    ])
    func `what is malformed or in another unit is ignored`(_ text: String) { #expect(read(text) == .whole) }

    @Test func `ranges that only make work are ignored`() {
        #expect(read("bytes=0-,0-") == .whole)
        #expect(read("bytes=" + (0..<16).map { "\($0)-\($0)" }.joined(separator: ",")) != .whole)
        #expect(read("bytes=" + (0..<17).map { "\($0)-\($0)" }.joined(separator: ",")) == .whole)
        #expect(read("bytes=" + (0..<2000).map { "\($0 + 500)-" }.joined(separator: ",")) == .whole)
    }

    @Test func `an empty file has no ranges`() {
        for text in ["bytes=0-", "bytes=0-0", "bytes=-5"] { #expect(read(text, size: 0) == .whole) }
    }
}
