import Bytes
import HTTP
import Testing

/// A file of 100 bytes that was changed at 784111777.5, asked for at 1795000000.
@Suite("Answers with files") struct FileAnswerTests {
    static let tag = "\"7-64-\(String(UInt64(784_111_777_500_000_000), radix: 16))\""
    static let date = "Sun, 06 Nov 1994 08:49:37 GMT"
    static let later = "Sun, 06 Nov 1994 08:49:38 GMT"
    static let earlier = "Sun, 06 Nov 1994 08:49:36 GMT"

    struct Answer {
        let status: Int
        let lines: [String]
        let body: FileAnswer.Body

        subscript(_ name: String) -> String? {
            lines.first { $0.hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) }
        }
    }

    private func answer(
        _ fields: [String],
        method: String = "GET",
        size: UInt64 = 100,
        modified: Int64 = 784_111_777,
        now: Int64 = 1_795_000_000
    ) throws -> Answer {
        var parser = RequestParser(limit: 65_536)
        var head = RequestHead()
        let text = "\(method) / HTTP/1.1\r\nHost: x\r\n" + fields.map { "\($0)\r\n" }.joined() + "\r\n"
        let bytes = Array(text.utf8)
        #expect(try parser.parse(bytes.span, into: &head) == bytes.count)
        let facts = FileVersion(
            size: size,
            inode: 7,
            modified: modified,
            changed: modified &* 1_000_000_000 &+ 500_000_000
        )
        var date = DateCache()
        date.update(unixSeconds: UInt64(now))
        var queue = ByteQueue(pool: BufferPool())
        let outcome = FileAnswer.write(
            head,
            facts,
            type: "text/plain",
            requestID: RequestID(),
            now: now,
            date: date,
            into: &queue
        )
        switch outcome {
        case .failed: return Answer(status: 412, lines: [], body: FileAnswer.Body())
        case .unsatisfiable: return Answer(status: 416, lines: [], body: FileAnswer.Body())
        case .body(let body):
            var reader = ResponseParser(limit: 65_536)
            var response = ResponseHead()
            #expect(try reader.parse(queue.bytes, into: &response, requestMethod: head.method) == queue.count)
            let lines = StreamReader.text(queue.bytes).split(separator: "\r\n").map(String.init)
            return Answer(status: response.status, lines: lines, body: body)
        }
    }

    @Test func `a whole file`() throws {
        let answer = try answer([])
        #expect(answer.status == 200 && answer["ETag"] == Self.tag && answer["Last-Modified"] == Self.date)
        #expect(answer["Content-Length"] == "100" && answer["Accept-Ranges"] == "bytes")
        #expect(answer["Content-Type"] == "text/plain" && answer["X-Content-Type-Options"] == "nosniff")
        #expect(answer.body.parts.map(\.range) == [ByteRange(0, 100)] && answer.body.end.isEmpty)
    }

    /// RFC 9110 §13.2.2: each row is a step of the order, or a mistake in it.
    @Test(
        arguments: [
            ([], 200),
            (["If-Match: TAG"], 200), (["If-Match: *"], 200), (["If-Match: \"x\", TAG"], 200),
            (["If-Match: \"x\"", "If-Match: TAG"], 200), (["If-Match: \"x\""], 412), (["If-Match: W/TAG"], 412),
            (["If-Match: nonsense, TAG"], 412), (["If-Match:"], 412), (["If-Match: \"x\",TAG,\"y\""], 200),
            (["If-Match: \"a,b\", TAG"], 200),
            // The date does not count beside a tag.
            (["If-Match: TAG", "If-Unmodified-Since: EARLIER"], 200),
            (["If-Match: \"x\"", "If-Unmodified-Since: LATER"], 412),
            (["If-Unmodified-Since: DATE"], 200), (["If-Unmodified-Since: LATER"], 200),
            (["If-Unmodified-Since: EARLIER"], 412), (["If-Unmodified-Since: nonsense"], 200),
            (["If-Unmodified-Since: EARLIER", "If-Unmodified-Since: EARLIER"], 200),
            (["If-None-Match: TAG"], 304), (["If-None-Match: W/TAG"], 304), (["If-None-Match: *"], 304),
            (["If-None-Match: \"x\", W/\"y\", TAG"], 304), (["If-None-Match: \"x\""], 200),
            (["If-None-Match: nonsense"], 200),
            (["If-None-Match: \"x\"", "If-Modified-Since: LATER"], 200),
            (["If-None-Match: TAG", "If-Modified-Since: EARLIER"], 304),
            (["If-Modified-Since: DATE"], 304), (["If-Modified-Since: LATER"], 304),
            (["If-Modified-Since: EARLIER"], 200), (["If-Modified-Since: nonsense"], 200),
            // Those that must hold come first.
            (["If-Match: \"x\"", "If-None-Match: TAG"], 412), (["If-Match: TAG", "If-None-Match: TAG"], 304),
            (["If-Unmodified-Since: EARLIER", "If-None-Match: TAG"], 412),
            (["Range: bytes=0-4"], 206), (["Range: bytes=0-4", "Range: bytes=0-4"], 200),
            (["Range: bytes=100-"], 416),
            (["Range: bytes=0-4", "If-None-Match: TAG"], 304), (["Range: bytes=0-4", "If-Match: \"x\""], 412),
            (["Range: bytes=100-", "If-None-Match: TAG"], 304),
            (["Range: bytes=0-4", "If-Range: TAG"], 206), (["Range: bytes=0-4", "If-Range: W/TAG"], 200),
            (["Range: bytes=0-4", "If-Range: \"x\""], 200), (["Range: bytes=0-4", "If-Range: DATE"], 206),
            (["Range: bytes=0-4", "If-Range: LATER"], 200), (["Range: bytes=0-4", "If-Range: EARLIER"], 200),
            (["Range: bytes=0-4", "If-Range: nonsense"], 200), (["Range: bytes=100-", "If-Range: \"x\""], 200),
            (["If-Range: \"x\""], 200), (["Range: bytes=0-4", "If-Range: TAG", "If-Range: TAG"], 200),
        ] as [([String], Int)]
    )
    func `conditions are looked at in their order`(_ fields: [String], _ status: Int) throws {
        let fields = fields.map { field in
            var text = field
            for (word, value) in [
                ("TAG", Self.tag), ("DATE", Self.date), ("LATER", Self.later), ("EARLIER", Self.earlier),
            ] where text.hasSuffix(word) || text.contains("\(word),") {
                text = text.split(separator: word, omittingEmptySubsequences: false).joined(separator: value)
            }
            return text
        }
        #expect(try answer(fields).status == status, "\(fields)")
        // RFC 9110 §14.2: HEAD knows no ranges.
        let head = status == 206 || status == 416 ? 200 : status
        #expect(try answer(fields, method: "HEAD").status == head, "HEAD \(fields)")
    }

    @Test func `an unchanged file is told without its length`() throws {
        let answer = try answer(["If-None-Match: \(Self.tag)"])
        #expect(answer["ETag"] == Self.tag && answer["Date"] != nil && answer["Content-Length"] == nil)
        #expect(answer.body == FileAnswer.Body())
    }

    @Test func `one range is the body, several are parts of it`() throws {
        let one = try answer(["Range: bytes=10-19"])
        #expect(one["Content-Range"] == "bytes 10-19/100" && one["Content-Length"] == "10")
        #expect(one["Content-Type"] == "text/plain")
        let several = try answer(["Range: bytes=90-, 0-4"])
        let boundary = try #require(several["Content-Type"]?.split(separator: "boundary=").last)
        #expect(several["Content-Type"]?.hasPrefix("multipart/byteranges; boundary=") == true)
        #expect(several["Content-Range"] == nil)
        let texts = several.body.parts.map { String(decoding: $0.text, as: UTF8.self) }
        #expect(
            texts[0] == "\r\n--\(boundary)\r\nContent-Type: text/plain\r\nContent-Range: bytes 90-99/100\r\n\r\n"
        )
        #expect(several.body.end == Array("\r\n--\(boundary)--\r\n".utf8))
        let length = texts.reduce(15 + several.body.end.count) { $0 + $1.utf8.count }
        #expect(several["Content-Length"] == "\(length)")
    }

    @Test func `a HEAD tells the length of the whole and has no body`() throws {
        let answer = try answer(["Range: bytes=0-4"], method: "HEAD")
        #expect(answer.status == 200 && answer["Content-Length"] == "100" && answer.body == FileAnswer.Body())
    }

    @Test func `a file of the future was changed now`() throws {
        let future = try answer([], modified: 1_795_000_500)
        #expect(future["Last-Modified"] == future["Date"])
        // What may change within its second says nothing about parts.
        let fields = try ["Range: bytes=0-4", "If-Range: \(#require(future["Last-Modified"]))"]
        #expect(try answer(fields, modified: 1_795_000_500).status == 200)
        #expect(try answer(fields, modified: 1_795_000_000, now: 1_795_000_001).status == 206)
        #expect(try answer([], modified: -5)["Last-Modified"] == "Thu, 01 Jan 1970 00:00:00 GMT")
    }

    @Test func `any change makes another tag`() {
        let facts = FileVersion(size: 1, inode: 2, modified: 3, changed: 4)
        let others = [
            FileVersion(size: 2, inode: 2, modified: 3, changed: 4),
            FileVersion(size: 1, inode: 3, modified: 3, changed: 4),
            FileVersion(size: 1, inode: 2, modified: 3, changed: 5),
            FileVersion(size: .max, inode: .max, modified: .max, changed: .max),
        ]
        #expect(Set(([facts] + others).map(\.tag)).count == 5)
    }

    @Test(arguments: [
        ("a.html", "text/html"), ("a/b.HTM", "text/html"), ("x.min.js", "text/javascript"), ("a.JPEG", "image/jpeg"),
        ("a.tar.gz", "application/gzip"), ("a", "application/octet-stream"), ("a.", "application/octet-stream"),
        ("a.html/b", "application/octet-stream"), ("a.htmlx", "application/octet-stream"),
        ("", "application/octet-stream"), ("a.svg", "image/svg+xml"), ("a.pdf", "application/pdf"),
        ("a.html ", "application/octet-stream"), ("a.html.", "application/octet-stream"),
    ])
    func `types are told by the ends of names`(_ name: String, _ type: String) {
        #expect("\(MediaType.of(Array(name.utf8).span))" == type)
    }
}
