import Foundation
import Platform
import Telemetry
import Testing

@Suite("Telemetry") struct TelemetryTests {
    private func page() throws -> MetricsPage {
        try MetricsPage(descriptor: File.sharedMemory("test", size: MetricsPage.size))
    }

    /// Two servers an upstream, and a database like each.
    private static func names(upstreams: String...) -> MetricsNames {
        MetricsNames(
            upstreams: upstreams,
            servers: upstreams.flatMap { upstream in ["s", "t"].map { (upstream, $0) } },
            databases: upstreams
        )
    }

    @Test func `counts of who is gone stay with their names when the configuration changes its order`() throws {
        let old = Self.names(upstreams: "a", "b", "c")
        let new = Self.names(upstreams: "d", "c", "a")
        let worker = try page()
        let retired = try page()
        for slot in 0..<3 {
            for _ in 0...slot { worker.add(.requests, upstream: slot) }
            worker.add(.sessions, database: slot, slot + 1)
            worker.add(.requests, server: 2 * slot + 1, slot + 1)
        }
        retired.absorb(worker, named: old, as: old)
        retired.rename(from: old, to: new)
        // One that was still draining ends later.
        retired.absorb(worker, named: old, as: new)
        #expect((0..<3).map { retired.value(.requests, upstream: $0) } == [0, 6, 2])
        #expect((0..<3).map { retired.value(.sessions, database: $0) } == [0, 6, 2])
        #expect((0..<6).map { retired.value(.requests, server: $0) } == [0, 0, 0, 6, 0, 2])
    }

    @Test func `pages add up, and a page that is gone leaves its counts but not its gauges`() throws {
        let first = try page()
        let second = try page()
        let retired = try page()
        first.add(.requests, 3)
        second.add(.requests, 4)
        second.add(.clientConnectionsActive, 2)
        second.add(.requests, upstream: 1)
        second.record(.request, microseconds: 100)
        let text = PrometheusText.write([first, second, retired], upstreams: ["a", "b\"\\"])
        #expect(text.contains("\neveryhop_requests_total 7\n") && text.contains("\neveryhop_client_connections 2\n"))
        #expect(text.contains("everyhop_upstream_requests_total{upstream=\"b\\\"\\\\\"} 1\n"))
        let names = Self.names(upstreams: "a", "b")
        retired.absorb(second, named: names, as: names)
        let after = PrometheusText.write([first, retired], upstreams: ["a", "b"])
        #expect(after.contains("\neveryhop_requests_total 7\n") && after.contains("\neveryhop_client_connections 0\n"))
        #expect(after.contains("everyhop_request_seconds_count 1\n"))
    }

    @Test func `servers are told apart, and a page that is gone leaves their counts but not their gauges`() throws {
        let first = try page()
        let second = try page()
        let retired = try page()
        first.add(.requests, server: 1, 3)
        second.add(.requests, server: 1)
        second.add(.active, server: 1, 2)
        second.set(.ejected, server: 1, 1)
        second.add(.ejections, server: MetricsPage.serverSlots)
        let servers = [
            PrometheusText.ServerLabel(upstream: "a", server: "10.0.0.1:443", isUp: true, checks: nil),
            PrometheusText.ServerLabel(upstream: "a", server: "unix:/\"", isUp: false, checks: (4, 2)),
        ]
        let label = "upstream=\"a\",server=\"unix:/\\\"\""
        let text = PrometheusText.write([first, second, retired], upstreams: ["a"], servers: servers)
        for line in [
            "everyhop_server_requests_total{\(label)} 4", "everyhop_server_requests{\(label)} 2",
            "everyhop_server_ejected{\(label)} 1", "everyhop_server_up{\(label)} 0",
            "everyhop_server_checks_total{\(label),result=\"failed\"} 2",
            "everyhop_server_up{upstream=\"a\",server=\"10.0.0.1:443\"} 1",
        ] { #expect(text.contains("\n\(line)\n"), "\(line)") }
        #expect(!text.contains("everyhop_server_checks_total{upstream=\"a\",server=\"10.0.0.1:443\""))
        let names = Self.names(upstreams: "a")
        retired.absorb(second, named: names, as: names)
        #expect(retired.value(.requests, server: 1) == 1)
        #expect(retired.value(.active, server: 1) == 0 && retired.value(.ejected, server: 1) == 0)
    }

    @Test func `the exposition is well formed: one type per name, buckets that only grow`() throws {
        let page = try page()
        for microseconds in [0, 1, 63, 64, 65, 1000, 67_108_864, 67_108_865, UInt64.max] {
            page.record(.handshake, microseconds: microseconds)
        }
        var types: Set<Substring> = []
        var last = 0
        for line in PrometheusText.write([page], upstreams: ["a"]).split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                #expect(types.insert(line.split(separator: " ")[2]).inserted)
            } else if !line.hasPrefix("#") {
                let parts = line.split(separator: " ")
                #expect(parts.count == 2 && Double(parts[1]) != nil, "\(line)")
                if line.hasPrefix("everyhop_client_handshake_seconds_bucket") {
                    let count = Int(parts[1]) ?? -1
                    #expect(count >= last)
                    last = count
                }
            }
        }
        #expect(last == 9)
        let text = PrometheusText.write([page], upstreams: [])
        #expect(text.contains("everyhop_client_handshake_seconds_bucket{le=\"0.000064\"} 4\n"))
        #expect(text.contains("everyhop_client_handshake_seconds_bucket{le=\"67.108864\"} 7\n"))
    }

    @Test func `hostile bytes stay inside their JSON value`() throws {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        var log = AccessLog(pipe.takeSecond())
        let hostile: [UInt8] = Array("\"},{\"a\":\"\\\n\r\t\u{0}\u{1B}[31m".utf8) + [0xFF, 0xC3, 0x28, 0x7F]
        log.append { line in
            line.field("bytes", hostile.span)
            line.field("text", "\"\n\u{1F}é")
            line.field("number", UInt64.max)
            line.field("flag", true)
        }
        #expect(log.flush() == 0)
        _ = consume log
        let text = try File.readAll(reading, limit: 100_000)
        #expect(text.filter { $0 == 0x0A }.count == 1)
        let json = try JSONSerialization.jsonObject(with: Data(text)) as? [String: Any]
        #expect((json?["bytes"] as? String)?.hasPrefix("\"},{\"a\":\"\\\n\r\t\0") == true)
        #expect(json?["text"] as? String == "\"\n\u{1F}é" && json?["flag"] as? Bool == true)
    }

    @Test func `a pipe that is nearly full takes whole lines only, so that workers that share it do not mix theirs`()
        throws
    {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        let writing = pipe.takeSecond()
        try File.writeAll([UInt8](repeating: 0x0A, count: 65_536 - 4096), to: writing.raw)
        var log = AccessLog(writing)
        let filler = String(repeating: "x", count: 1500)
        for _ in 0..<3 { log.append { $0.field("filler", filler) } }
        #expect(log.flush() == 0)
        _ = consume log
        let text = try File.readAll(reading, limit: 100_000)
        #expect(text.filter { $0 == 0x78 }.count == 3000)
        #expect(text.last == 0x0A)
    }

    @Test func `a pipe is opened anew for writing without waiting, and others keep theirs as it was`() throws {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        let writing = pipe.takeSecond()
        let own = try File.withoutWaiting(writing.raw)
        #expect(fcntl(own.raw, F_GETFL) & O_NONBLOCK != 0)
        #expect(fcntl(writing.raw, F_GETFL) & O_NONBLOCK == 0)
        try File.writeAll([0x78], to: own.raw)
        var byte: UInt8 = 0
        #expect(read(reading.raw, &byte, 1) == 1 && byte == 0x78)
    }

    @Test func `a journal that does not read makes lines drop, not the writer wait`() throws {
        var ends: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let reader = FileDescriptor(owning: ends[0])
        var log = AccessLog(FileDescriptor(owning: ends[1]))
        let filler = String(repeating: "x", count: 1000)
        for _ in 0..<3000 { log.append { $0.field("filler", filler) } }
        #expect(log.flush() > 500)
        _ = consume reader
        #expect(log.flush() == 0)
    }

    @Test func `a reader that does not read makes lines drop, not the writer wait`() throws {
        var pipe = try File.pipe()
        let reading = pipe.takeFirst()
        var log = AccessLog(pipe.takeSecond())
        let filler = String(repeating: "x", count: 1000)
        for _ in 0..<3000 { log.append { $0.field("filler", filler) } }
        let dropped = log.flush()
        #expect(dropped > 1000 && dropped < 3000)
        #expect(log.flush() == 0)
        _ = consume log
        let lines = try File.readAll(reading, limit: 10_000_000).split(separator: 0x0A)
        // What was written before the pipe filled up is whole lines but for the last.
        for line in lines.dropLast() { #expect(line.count == 1013) }
    }
}
