import HTTP
import Testing

@Suite("PROXY headers") struct ProxyHeaderTests {
    private enum Outcome: Equatable {
        case more
        case header(ProxyHeader, Int)
        case refused(ProxyHeaderError)
    }

    private func parse(_ bytes: [UInt8]) -> Outcome {
        do throws(ProxyHeaderError) {
            guard let (header, count) = try ProxyHeader.parse(bytes.span) else { return .more }
            return .header(header, count)
        } catch { return .refused(error) }
    }

    private func parse(_ text: String) -> Outcome { parse(Array(text.utf8)) }

    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

    private func block(_ command: UInt8, _ family: UInt8, _ body: [UInt8], length: Int? = nil) -> [UInt8] {
        let length = length ?? body.count
        return Self.signature + [command, family, UInt8(length >> 8), UInt8(length & 255)] + body
    }

    private let four: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 7, 0xDC, 4, 1, 0xBB]
    private let fourParsed = ProxyHeader.client(
        source: ProxiedEnd(address: [192, 0, 2, 1], port: 56324),
        destination: ProxiedEnd(address: [198, 51, 100, 7], port: 443)
    )
    private let sixParsed = ProxyHeader.client(
        source: ProxiedEnd(address: [0x20, 1, 0x0D, 0xB8] + Array(repeating: 0, count: 11) + [1], port: 0),
        destination: ProxiedEnd(address: Array(repeating: 0, count: 15) + [1], port: 65535)
    )

    // MARK: version 1

    @Test func `lines are read as they are, and nothing beyond them`() {
        let line = "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"
        #expect(parse(line) == .header(fourParsed, line.utf8.count))
        #expect(parse(line + "\u{16}\u{3}") == .header(fourParsed, line.utf8.count))
        let six = "PROXY TCP6 2001:DB8::1 ::1 0 65535\r\n"
        #expect(parse(six) == .header(sixParsed, six.utf8.count))
        for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN anything at all 1\r\n", "PROXY UNKNOWN \r\n"] {
            #expect(parse(unknown) == .header(.own, unknown.utf8.count))
        }
    }

    @Test(
        arguments: [
            "GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}", "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", " PROXY", "PROXYTCP4",
            "\r\nPROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        ]
    )
    func `what is no header is told at once`(_ text: String) { #expect(parse(text) == .refused(.missing)) }

    @Test(
        arguments: [
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", "PROXY UNKNOWN\rx",
            "PROXY UNKNOWN\n", "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "PROXY TCP4\r\n", "PROXY \r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UNKNOWNX\r\n", "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP6 ::1::2 ::1 1 2\r\n",
            "PROXY TCP6 [::1] ::1 1 2\r\n", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        ]
    )
    func `lines that break the rules are refused`(_ text: String) { #expect(parse(text) == .refused(.malformed)) }

    @Test func `a line has 107 bytes at most`() {
        let longest = "PROXY UNKNOWN " + String(repeating: "f", count: 91) + "\r\n"
        #expect(longest.utf8.count == 107)
        #expect(parse(longest) == .header(.own, 107))
        #expect(parse("PROXY UNKNOWN " + String(repeating: "f", count: 92)) == .refused(.tooLong))
        #expect(parse("PROXY UNKNOWN " + String(repeating: "f", count: 5000)) == .refused(.tooLong))
    }

    // MARK: version 2

    @Test func `blocks are read as they are, and nothing beyond them`() {
        let bytes = block(0x21, 0x11, four)
        #expect(parse(bytes) == .header(fourParsed, 28))
        #expect(parse(bytes + [0x16, 3, 1]) == .header(fourParsed, 28))
        // Pieces that are not known: NOOP, a unique id, one of a vendor's.
        let pieces: [UInt8] = [4, 0, 0, 5, 0, 2, 1, 2, 0xEA, 0, 1, 9]
        #expect(parse(block(0x21, 0x11, four + pieces)) == .header(fourParsed, 40))
    }

    @Test func `a sender's own connection, and what is not told, keep their own addresses`() {
        #expect(parse(block(0x20, 0, [])) == .header(.own, 16))
        // Its block is dropped unread.
        #expect(parse(block(0x20, 0xFF, [1, 2, 3])) == .header(.own, 19))
        #expect(parse(block(0x21, 0, [1, 2, 3])) == .header(.own, 19))
        #expect(parse(block(0x21, 0x12, four)) == .header(.own, 28))
        #expect(parse(block(0x21, 0x10, four)) == .header(.own, 28))
        #expect(parse(block(0x21, 0x31, Array(repeating: 0x2F, count: 216))) == .header(.own, 232))
    }

    @Test func `blocks that break the rules are refused`() {
        for bytes in [
            block(0x11, 0x11, four), block(0x31, 0x11, four), block(0x22, 0x11, four), block(0x21, 0x41, four),
            block(0x21, 0x13, four), block(0x21, 0x11, Array(four.dropLast())), block(0x21, 0x21, four),
            block(0x21, 0x31, four), block(0x21, 0x11, four + [4]), block(0x21, 0x11, four + [4, 0]),
            block(0x21, 0x11, four + [4, 0, 1]), block(0x21, 0x11, four + [4, 0xFF, 0xFF, 0]),
            block(0x21, 0x11, four + [3, 0, 3, 0, 0, 0]),
        ] { #expect(parse(bytes) == .refused(.malformed)) }
        #expect(parse(block(0x21, 0x11, [], length: 4097)) == .refused(.tooLong))
        #expect(parse(block(0x20, 0, [], length: 65535)) == .refused(.tooLong))
        #expect(parse([13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 13]) == .refused(.missing))
        #expect(parse([13, 10, 13, 11]) == .refused(.missing))
    }

    @Test func `a block has 4096 bytes at most`() {
        let padding: [UInt8] =
            [4, UInt8((4096 - 15) >> 8), UInt8((4096 - 15) & 255)] + Array(repeating: 7, count: 4081)
        #expect(parse(block(0x21, 0x11, four + padding)) == .header(fourParsed, ProxyHeader.longest))
    }

    @Test func `a checksum that is there is right`() {
        // Worked out with another implementation of CRC-32C.
        let good = block(0x21, 0x11, four + [3, 0, 4, 0xD4, 0x5A, 0x11, 0xB9])
        for index in good.indices.dropLast(4) where index >= 16 && index < 28 {
            var bad = good
            bad[index] ^= 1
            #expect(parse(bad) == .refused(.checksum))
        }
        #expect(parse(good) == .header(fourParsed, 35))
        #expect(parse(block(0x21, 0x11, four + [3, 0, 4, 0, 0, 0, 0])) == .refused(.checksum))
    }

    // MARK: both

    @Test func `byte by byte, more is waited for until it is whole`() {
        let tls = ProxiedTLS(version: "TLSv1.3", cipher: "X", serverName: "a", alpn: "h2", isVerified: true)
        for header in [fourParsed, sixParsed, .own] {
            for version in [ProxyHeader.Version.v1, .v2] {
                let bytes = header.bytes(version, tls: tls)
                for count in bytes.indices { #expect(parse(Array(bytes[..<count])) == .more) }
                #expect(parse(bytes) == .header(header, bytes.count))
            }
        }
    }

    @Test func `what is written is what is read, and both ends are of one family`() {
        #expect(fourParsed.bytes(.v1) == Array("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n".utf8))
        #expect(sixParsed.bytes(.v1) == Array("PROXY TCP6 2001:db8:0:0:0:0:0:1 0:0:0:0:0:0:0:1 0 65535\r\n".utf8))
        #expect(ProxyHeader.own.bytes(.v1) == Array("PROXY UNKNOWN\r\n".utf8))
        #expect(ProxyHeader.own.bytes(.v2) == block(0x20, 0, []))
        let mixed = ProxyHeader.client(
            source: ProxiedEnd(address: [192, 0, 2, 1], port: 1),
            destination: ProxiedEnd(address: Array(repeating: 0, count: 15) + [1], port: 2)
        )
        #expect(mixed.bytes(.v1) == Array("PROXY TCP6 0:0:0:0:0:ffff:c000:201 0:0:0:0:0:0:0:1 1 2\r\n".utf8))
        #expect(mixed.bytes(.v2)[13] == 0x21)
    }

    @Test func `version 2 tells what the client has agreed on`() {
        let tls = ProxiedTLS(version: "TLSv1.3", cipher: "AES", serverName: "a.b", alpn: nil, isVerified: false)
        let bytes = fourParsed.bytes(.v2, tls: tls)
        let expected: [UInt8] =
            [2, 0, 3, 0x61, 0x2E, 0x62] + [0x20, 0, 21, 1, 0, 0, 0, 1]
            + [0x21, 0, 7] + Array("TLSv1.3".utf8) + [0x23, 0, 3] + Array("AES".utf8)
        #expect(Array(bytes[28..<bytes.count - 7]) == expected)
    }
}
