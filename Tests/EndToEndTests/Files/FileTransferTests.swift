import Foundation
import Platform
import Support
import TLS
import Testing

@Suite("Files on their way", .serialized) struct FileTransferTests {
    let trust: TestTrust
    let folder: TemporaryFolder

    init() throws {
        SignalDescriptor.ignoreBrokenPipes()
        trust = try TestTrust()
        folder = try TemporaryFolder()
        try trust.write(to: folder)
    }

    /// A file of which nothing lies on the disk.
    private func sparse(_ path: String, _ size: Int) throws {
        try FileSite.write("", path)
        #expect(truncate(path, off_t(size)) == 0)
    }

    private func get(_ site: FileSite, _ path: String, _ fields: String = "") throws -> HTTP1Peer {
        let connection = try Connection(to: site.everyhop.port, try trust.client(), seconds: 60)
        try connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n")
        return HTTP1Peer(connection)
    }

    @Test func `a gibibyte passes through little memory`() throws {
        let site = try FileSite(trust, folder)
        try sparse("\(site.www)/big.bin", 1 << 30)
        #expect(try site.routed.curl("/ten.txt") == FileSite.ten)
        let before = try site.peakMemory()
        for version in ["--http1.1", "--http2"] {
            let told = try site.routed.curl(
                "/big.bin",
                "-o",
                "/dev/null",
                "-m",
                "100",
                "-w",
                "%{http_code} %{size_download}",
                version: version
            )
            #expect(told == "200 1073741824")
        }
        #expect(try site.peakMemory() - before < 8 * 1024)
    }

    private func part(_ site: FileSite, _ range: String, _ version: String) throws -> [UInt8] {
        let file = "\(folder.path)/got"
        let told = try site.routed.curl("/p.bin", "-r", range, "-o", file, "-w", "%{http_code}", version: version)
        #expect(told == "206")
        return try File.read(file)
    }

    @Test(arguments: ["--http1.1", "--http2"]) func `every range has the bytes of the file`(_ version: String) throws {
        let site = try FileSite(trust, folder)
        let bytes = FileSite.pattern(3_000_001)
        try File.write(bytes, to: "\(site.www)/p.bin", mode: 0o644)
        for (range, slice) in [
            ("0-", 0..<3_000_001), ("0-0", 0..<1), ("65535-65536", 65_535..<65_537), ("-70000", 2_930_001..<3_000_001),
            ("1000000-1999999", 1_000_000..<2_000_000), ("2999999-9999999", 2_999_999..<3_000_001),
        ] {
            let got = try part(site, range, version)
            #expect(got == Array(bytes[slice]), "\(range)")
        }
        let parts = Data(try part(site, "0-99999,1500000-1599999,-1", version))
        for slice in [0..<100_000, 1_500_000..<1_600_000, 3_000_000..<3_000_001] {
            let text = "Content-Range: bytes \(slice.lowerBound)-\(slice.upperBound - 1)/3000001\r\n\r\n"
            let wanted = Data(Array(text.utf8) + bytes[slice] + Array("\r\n--".utf8))
            #expect(parts.range(of: wanted) != nil, "\(slice)")
        }
    }

    @Test func `many at once on one connection in HTTP/2 are whole`() throws {
        let site = try FileSite(trust, folder)
        let bytes = FileSite.pattern(400_000)
        try File.write(bytes, to: "\(site.www)/p.bin", mode: 0o644)
        let peer = try HTTP2Peer(to: site.everyhop, trust.client(alpn: "h2"))
        let streams = try (0..<30).map { index in
            try peer.request([
                (":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/p.bin"),
                ("range", "bytes=\(index * 1000)-"),
            ])
        }
        for (index, stream) in streams.enumerated() {
            let answer = try peer.answer(stream)
            #expect(answer.status == 206 && answer.isWhole && answer.body == Array(bytes[(index * 1000)...]))
        }
    }

    @Test func `requests that come at once are answered in order`() throws {
        let site = try FileSite(trust, folder)
        let bytes = FileSite.pattern(300_000)
        try File.write(bytes, to: "\(site.www)/p.bin", mode: 0o644)
        let connection = try Connection(to: site.everyhop.port, try trust.client())
        let asked = [
            ("GET", "/p.bin", 200), ("HEAD", "/p.bin", 200), ("GET", "/nope", 404), ("GET", "/p.bin", 200),
            ("OPTIONS", "/", 204), ("GET", "/ten.txt", 200),
        ]
        try connection.send(asked.map { "\($0.0) \($0.1) HTTP/1.1\r\nHost: localhost\r\n\r\n" }.joined())
        let peer = HTTP1Peer(connection)
        for (method, path, status) in asked {
            peer.beginMessage()
            peer.answersHead = method == "HEAD"
            try peer.receive { $0.message.isWhole }
            #expect(peer.message.status == status && peer.message.isWhole, "\(method) \(path)")
            if method == "GET", path == "/p.bin" { #expect(peer.message.body == bytes) }
        }
        // A body nobody wants: the answer comes, and the connection ends.
        try connection.send("GET /ten.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12345")
        peer.beginMessage()
        peer.answersHead = false
        try peer.receive { $0.message.isWhole }
        #expect(peer.message.status == 200 && peer.message.text == FileSite.ten)
        try peer.receive { $0.isClosed }
        #expect(peer.isClosed)
    }

    @Test func `readers that stop hold nobody up, cost little, and get the rest when they go on`() throws {
        let site = try FileSite(trust, folder)
        let bytes = FileSite.pattern(8_000_000)
        try File.write(bytes, to: "\(site.www)/p.bin", mode: 0o644)
        #expect(try site.routed.curl("/ten.txt") == FileSite.ten)
        let before = try site.peakMemory()
        let stalled = try (0..<20).map { _ in try get(site, "/p.bin") }
        let peer = try HTTP2Peer(to: site.everyhop, trust.client(alpn: "h2"))
        peer.opensWindows = false
        let streams = try (0..<20).map { _ in
            try peer.request([
                (":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/p.bin"),
            ])
        }
        try peer.receive { peer in streams.allSatisfy { peer.soFar($0).status == 200 } }
        for _ in 0..<5 { #expect(try site.routed.curl("/ten.txt") == FileSite.ten) }
        // 40 readers with 64 KiB each, and what queues take beside it.
        #expect(try site.peakMemory() - before < 16 * 1024)
        try stalled[7].receive { $0.message.isWhole }
        #expect(stalled[7].message.body == bytes)
    }

    @Test func `a file that becomes shorter is cut off, never padded`() throws {
        let site = try FileSite(trust, folder)
        let path = "\(site.www)/shrinks.bin"
        try sparse(path, 64 << 20)
        let reader = try get(site, "/shrinks.bin")
        try reader.receive { $0.hasHead }
        let peer = try HTTP2Peer(to: site.everyhop, trust.client(alpn: "h2"))
        peer.opensWindows = false
        let stream = try peer.request([
            (":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/shrinks.bin"),
        ])
        try peer.receive { $0.soFar(stream).status == 200 }
        #expect(truncate(path, 1000) == 0)
        try reader.receive { $0.isClosed }
        #expect(reader.message.status == 200 && !reader.message.isWhole && reader.message.body.count < 64 << 20)
        peer.opensWindows = true
        try peer.send(HTTP2Frames.windowUpdate(0, 1 << 30) + HTTP2Frames.windowUpdate(stream, 1 << 30))
        let answer = try peer.answer(stream)
        #expect(!answer.isWhole && answer.reset == 2)
        try site.everyhop.waitForAccess("shrinks.bin", "the file has become shorter while it was sent")
        try site.routed.waitForMetric("everyhop_file_failures_total 2")
    }

    @Test func `a file that grows or is replaced is sent as it was begun`() throws {
        let site = try FileSite(trust, folder)
        let bytes = FileSite.pattern(16_000_000)
        let path = "\(site.www)/p.bin"
        try File.write(bytes, to: path, mode: 0o644)
        let reader = try get(site, "/p.bin")
        try reader.receive { $0.hasHead }
        let old = try #require(reader.message["etag"])
        try FileSite.write("new", path)
        try reader.receive { $0.message.isWhole }
        #expect(reader.message.body == bytes)
        let again = try get(site, "/p.bin", "If-None-Match: \(old)\r\n")
        try again.receive { $0.message.isWhole }
        #expect(again.message.status == 200 && again.message.text == "new" && again.message["etag"] != old)
    }
}
