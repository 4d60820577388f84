import Bytes
import HTTP
import Testing

@Suite("Dates of HTTP") struct HTTPDateTests {
    private func read(_ text: String) -> Int64? { HTTPDate.read(Array(text.utf8).span, now: 1_795_000_000) }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1), ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
        ("Tuesday, 29-Feb-00 00:00:00 GMT", 951_782_400), ("Wednesday, 25-Nov-26 18:00:00 GMT", 1_795_629_600),
        ("Saturday, 06-Nov-99 08:49:37 GMT", 941_878_177), ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ("Fri Dec 31 23:59:60 2027", 1_830_297_600),
    ])
    func `all three forms are read`(_ text: String, _ seconds: Int64) { #expect(read(text) == seconds) }

    @Test func `what is written is read`() {
        for seconds: UInt64 in [0, 86_399, 951_782_399, 951_868_800, 1_709_164_800, 4_102_444_800] {
            var date = DateCache()
            date.update(unixSeconds: seconds)
            var queue = ByteQueue(pool: BufferPool())
            date.write(into: &queue)
            #expect(HTTPDate.read(queue.bytes, now: 0) == Int64(seconds))
        }
    }

    @Test(arguments: [
        "", "now", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT", "784111777", "Sun, +6 Nov 1994 08:49:37 GMT", "Sun Nov 06 08:49 1994",
        "Sun, 06 Nov 1994 08:49:3x GMT", ",", "abc,", "Sunday, ",
    ])
    func `all else is no date`(_ text: String) { #expect(read(text) == nil) }
}
