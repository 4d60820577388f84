import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("HTTP/2 to HTTP/1.1") struct HTTP2ForwardingTests {
    private typealias Frames = HTTP2Frames
    let bench: Bench

    init() throws { bench = try Bench() }

    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    @Test(arguments: [0, 1, 1023, 16_384, 16_385, 65_535, 65_536, 131_072, 1_000_003, 8_388_608])
    func `bodies of every size come back as they went`(_ size: Int) throws {
        let everyhop = try bench.start(try bench.echo().port)
        let client = try bench.client(everyhop)
        let body = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
        for told in [true, false] {
            let fields = Frames.post() + (told ? [("content-length", "\(size)")] : [])
            let stream = try client.request(fields, endsStream: false)
            try client.send(body, on: stream)
            let answer = try client.answer(stream)
            #expect(answer.status == 200 && answer.isWhole && answer.reset == nil)
            let isEqual = answer.body == body
            #expect(isEqual, "\(answer.body.count) bytes instead of \(size)")
        }
    }

    @Test func `trailers pass both ways`() throws {
        let seen = Shared("")
        let server = try bench.server { connection in
            let text = try connection.receive(until: "x-sum: 1\r\n\r\n")
            seen.with { $0 = text }
            try connection.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Back: 2\r\nTE: x\r\n\r\n"
            )
        }
        let client = try bench.client(try bench.start(server.port))
        let stream = try client.request(Frames.post(), endsStream: false)
        try client.send(Array("hi".utf8), on: stream, endsStream: false)
        try client.send(Frames.headers(stream, [("x-sum", "1"), ("cookie", "a")]))
        let answer = try client.answer(stream)
        #expect(answer.text == "ok" && answer.trailers.map(\.name) == ["x-back"])
        #expect(seen.value.hasSuffix("\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n"), "\(seen.value)")
    }

    @Test func `interim answers and 100-continue are the server's to say`() throws {
        let server = try bench.server { connection in
            let head = try connection.receive(until: "\r\n\r\n")
            guard head.contains("\r\nExpect: 100-continue\r\n") else { return }
            try connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            _ = try connection.receive(until: "hello")
            try connection.send(Self.ok)
        }
        let client = try bench.client(try bench.start(server.port))
        let stream = try client.request(
            Frames.post() + [("content-length", "5"), ("expect", "100-continue")],
            endsStream: false
        )
        try client.receive { $0.answers[stream]?.interim == [103, 100] }
        try client.send(Array("hello".utf8), on: stream)
        #expect(try client.answer(stream).text == "ok")
    }

    @Test func `HEAD, 204 and 304 have no body`() throws {
        let server = try bench.server { connection in
            while true {
                let head = try connection.receive(until: "\r\n\r\n")
                guard !head.isEmpty else { return }
                if head.hasPrefix("HEAD") {
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                } else if head.contains("/304") {
                    try connection.send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n")
                } else {
                    try connection.send("HTTP/1.1 204 No Content\r\n\r\n")
                }
            }
        }
        let client = try bench.client(try bench.start(server.port))
        let head = try client.answer(client.request([(":method", "HEAD")] + Frames.get().dropFirst()))
        #expect(head.status == 200 && head["content-length"] == "1000" && head.body.isEmpty && head.isWhole)
        let unchanged = try client.get("/304")
        #expect(unchanged.status == 304 && unchanged["etag"] == "\"x\"" && unchanged.isWhole)
        let empty = try client.get("/204")
        #expect(empty.status == 204 && empty.isWhole)
        // Answers of our own to HEAD have none either.
        let elsewhere = try client.answer(
            client.request([(":method", "HEAD"), (":scheme", "https"), (":path", "/x y"), (":authority", "localhost")])
        )
        #expect(elsewhere.reset == 1 || (elsewhere.status == 400 && elsewhere.body.isEmpty))
    }

    @Test func `a body that ends with the connection is whole only after close_notify`() throws {
        let server = try bench.server { connection in
            let head = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 200 OK\r\n\r\nuntil the end")
            if head.contains("/whole") { connection.close() }
        }
        let client = try bench.client(try bench.start(server.port))
        let whole = try client.get("/whole")
        #expect(whole.text == "until the end" && whole.isWhole)
        let cut = try client.get("/cut")
        #expect(cut.reset != nil && !cut.isWhole)
    }

    @Test func `an early answer is whole, and the client is asked to stop`() throws {
        let server = try bench.server { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            try connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            while try connection.receive() != nil {}
        }
        let everyhop = try bench.start(server.port)
        let client = try bench.client(everyhop)
        let stream = try client.request(Frames.post() + [("content-length", "1000000")], endsStream: false)
        try client.send([UInt8](repeating: 0x61, count: 1_000_000), on: stream, endsStream: false)
        let answer = try client.answer(stream)
        #expect(answer.status == 403 && answer.text == "no" && answer.isWhole)
        try client.receive { $0.answers[stream]?.reset != nil }
        #expect(client.answers[stream]?.reset == 0)
        // The connection goes on.
        #expect(try client.get().status == 403)
        try everyhop.waitForAccess("\"status\":403")
    }

    @Test func `a server that dies in mid-body resets the stream and no other`() throws {
        let server = try bench.server { connection in
            let head = try connection.receive(until: "\r\n\r\n")
            if head.contains("/dies") {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial")
            } else if head.contains("/chunked") {
                try connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n")
                connection.close()
            } else {
                try connection.send(Self.ok)
            }
        }
        let everyhop = try bench.start(server.port)
        let client = try bench.client(everyhop)
        for path in ["/dies", "/chunked"] {
            let answer = try client.get(path)
            #expect(answer.reset == 2 && !answer.isWhole, "\(path): \(answer)")
        }
        #expect(try client.get().text == "ok")
    }

    @Test func `a server that dies before its answer is 502`() throws {
        let server = try bench.server { connection in
            _ = try connection.receive(until: "\r\n\r\n")
            connection.abort()
        }
        let client = try bench.client(try bench.start(server.port))
        let stream = try client.request(Frames.post() + [("content-length", "2")], endsStream: false)
        try client.send(Array("hi".utf8), on: stream)
        #expect(try client.answer(stream).status == 502)
    }

    @Test func `a host that is not served here is misdirected`() throws {
        let everyhop = try bench.start(try bench.echo().port) {
            $0.replacingOccurrences(
                of: "certificate = \"portal\"\n",
                with: "certificate = \"portal\"\nhost = \"localhost\"\n"
            )
        }
        let client = try bench.client(everyhop)
        #expect(try client.get("/", host: "other.example").status == 421)
        #expect(try client.get("/", host: "localhost:\(everyhop.port)").status == 200)
    }

    @Test func `a field section that is too long is 431, and the connection goes on`() throws {
        let everyhop = try bench.start(try bench.echo().port)
        let client = try bench.client(everyhop)
        let fields = Frames.get() + (0..<20).map { ("x-\($0)", String(repeating: "a", count: 4000)) }
        #expect(try client.answer(client.request(fields)).status == 431)
        #expect(try client.get().status == 200)
        #expect(client.settings[6] == 65_536)
        try everyhop.waitForAccess("\"status\":431")
    }

    @Test func `a body that is too long is 413`() throws {
        let patient = try bench.server { connection in while try connection.receive() != nil {} }
        let everyhop = try bench.start(patient.port, server: "[server.limits]\nbody = \"64KiB\"")
        let client = try bench.client(everyhop)
        let told = try client.request(Frames.post() + [("content-length", "65537")], endsStream: false)
        #expect(try client.answer(told).status == 413)
        let untold = try client.request(Frames.post(), endsStream: false)
        try client.send([UInt8](repeating: 0x61, count: 70_000), on: untold, endsStream: false)
        #expect(try client.answer(untold).status == 413)
    }

    @Test func `many streams at once do not mix`() throws {
        let everyhop = try bench.start(try bench.echo().port)
        let client = try bench.client(everyhop)
        var streams: [Int32] = []
        for round in 0..<3 {
            streams.removeAll()
            for index in 0..<100 {
                let stream = try client.request(Frames.post("/\(round)/\(index)"), endsStream: false)
                streams.append(stream)
            }
            for (index, stream) in streams.enumerated().reversed() {
                try client.send([UInt8](repeating: UInt8(index), count: 2000 + index), on: stream)
            }
            for (index, stream) in streams.enumerated() {
                let answer = try client.answer(stream)
                let isEqual = answer.body == [UInt8](repeating: UInt8(index), count: 2000 + index)
                #expect(isEqual, "\(answer.body.count) bytes on stream \(stream)")
            }
        }
        #expect(client.settings[3] == 128)
    }
}
