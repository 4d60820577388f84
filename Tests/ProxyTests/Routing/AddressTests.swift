import Bytes
import Config
import HTTP
import Platform
import Testing

@testable import Proxy

@Suite("Addresses of clients") struct AddressTests {
    private func bits(_ text: String) throws -> AddressBits { AddressBits(try #require(IPAddress(text))) }

    private func list(_ networks: [String]) throws -> AddressList {
        AddressList(try networks.map { try #require(Network($0)) })
    }

    @Test(
        arguments: [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["11.0.0.0", "9.255.255.255", "a00::"]),
            ("10.1.2.3", ["10.1.2.3", "::ffff:a01:203"], ["10.1.2.2", "::10.1.2.3"]),
            ("10.1.2.3/8", ["10.9.9.9"], ["11.1.2.3"]), ("0.0.0.0/0", ["1.2.3.4", "255.255.255.255"], ["::1", "::"]),
            ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127"]),
            ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db9::", "32.1.13.184"]),
            ("2001:db8::1", ["2001:db8::1"], ["2001:db8::2"]),
            ("2001:db8::/65", ["2001:db8::7fff:0:0:0"], ["2001:db8::8000:0:0:0"]),
            ("::/0", ["::1", "2001:db8::", "::"], ["1.2.3.4", "::ffff:1.2.3.4"]),
            ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.0"]),
        ] as [(String, [String], [String])]
    )
    func `networks hold what they say, whichever way it is written`(
        _ network: String,
        _ inside: [String],
        _ outside: [String]
    ) throws {
        let list = try list([network])
        for address in inside { #expect(list.contains(try bits(address)), "\(address)") }
        for address in outside { #expect(!list.contains(try bits(address)), "\(address)") }
    }

    @Test(arguments: ["192.0.2.1", "2001:db8::1", "::1", "0.0.0.0"]) func `sockets and text agree`(_ text: String)
        throws
    {
        let socket = try #require(SocketAddress(ip: text, port: 9))
        #expect(try AddressBits(socket) == bits(text) && AddressBits(socket)?.description == text)
        #expect(AddressBits(SocketAddress.unix(path: "/x")) == nil)
    }

    @Test func `deny wins over allow, and an unknown address is on no list`() throws {
        func access(_ allow: [String], _ deny: [String]) throws -> AccessList? {
            let text =
                "[[site]]\nname = \"s\"\nallow = \(allow)\ndeny = \(deny)\n".replacing("allow = []\n", with: "")
            let document = try TOMLDocument.parse(Array(text.utf8))
            return AccessList(try #require(Configuration.decode(document).configuration.sites.first).access)
        }
        #expect(try access([], []) == nil)
        let both = try #require(try access(["10.0.0.0/8"], ["10.0.0.7"]))
        #expect(try both.admits(bits("10.0.0.8")) && !both.admits(bits("10.0.0.7")))
        #expect(try !both.admits(bits("11.0.0.1")) && !both.admits(nil))
        let deny = try #require(try access([], ["10.0.0.7"]))
        #expect(try deny.admits(bits("::1")) && !deny.admits(bits("::ffff:10.0.0.7")) && !deny.admits(nil))
    }

    /// The client behind trusted proxies in 10.0.0.0/8, by these fields.
    private func client(_ fields: String, peer: String = "10.0.0.1") throws -> String? {
        var head = RequestHead()
        var parser = RequestParser(limit: 8192)
        _ = try parser.parse(Array("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n".utf8).span, into: &head)
        return ClientAddress.find(
            in: head.fields,
            behind: try bits(peer),
            trusted: try list(["10.0.0.0/8", "fd00::/8"])
        )?
        .description
    }

    @Test(arguments: [
        ("", "10.0.0.1"), ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"),
        ("X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n", "192.0.2.1"),
        ("X-Forwarded-For: 198.51.100.9, 192.0.2.1, 10.0.0.2,10.0.0.3\r\n", "192.0.2.1"),
        ("X-Forwarded-For: 198.51.100.9\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"),
        ("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.2\r\n", "192.0.2.1"),
        ("X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"), ("X-Forwarded-For:\r\n", "10.0.0.1"),
        ("X-Forwarded-For: ,192.0.2.1,,\r\n", "192.0.2.1"), ("X-Forwarded-For: 192.0.2.1:4711\r\n", "192.0.2.1"),
        ("X-Forwarded-For: [2001:db8::1]:4711\r\n", "2001:db8::1"), ("X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1"),
        ("X-Forwarded-For: ::ffff:192.0.2.1\r\n", "192.0.2.1"),
        ("X-Forwarded-For: 192.0.2.1, fd00::5\r\n", "192.0.2.1"),
        ("X_Forwarded_For: 192.0.2.66\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"),
    ])
    func `the rightmost address that is not trusted counts`(_ fields: String, _ address: String) throws {
        #expect(try client(fields) == address)
    }

    @Test(arguments: [
        "unknown", "192.0.2.1, unknown", "192.0.2.1, _hidden, 10.0.0.2", "[2001:db8::1", "192.0.2.256", "192.0.2.1:x:y",
        "[]", ":", String(repeating: "1", count: 100),
    ])
    func `what is no address is nobody`(_ value: String) throws {
        #expect(try client("X-Forwarded-For: \(value)\r\n") == nil)
    }
}

@Suite("Limits by address") struct RateLimiterTests {
    private let limit = RateLimit(requests: 2, period: .second, burst: 3)

    private func bits(_ text: String) throws -> AddressBits { AddressBits(try #require(IPAddress(text))) }

    @Test func `a burst at once, then evenly`() throws {
        var limiter = RateLimiter()
        #expect(limiter.capacity == 0)
        let client = try bits("192.0.2.1")
        let start: UInt64 = 5_000_000
        for _ in 0..<3 { #expect(limiter.take(limit, 0, client, now: start) == nil) }
        #expect(limiter.take(limit, 0, client, now: start) == 500_000)
        #expect(limiter.take(limit, 0, client, now: start + 499_999) == 1)
        #expect(limiter.take(limit, 0, client, now: start + 500_000) == nil)
        #expect(limiter.take(limit, 0, client, now: start + 500_000) == 500_000)
        // Refused requests cost nothing, and a rest fills the bucket, but no further.
        for _ in 0..<3 { #expect(limiter.take(limit, 0, client, now: start + 60_000_000) == nil) }
        #expect(limiter.take(limit, 0, client, now: start + 60_000_000) != nil)
    }

    @Test func `clients and limits have buckets of their own, an IPv6 client one for its network`() throws {
        var limiter = RateLimiter()
        let single = RateLimit(requests: 1, period: .minute, burst: 1)
        func isTaken(_ text: String, _ number: Int = 0) throws -> Bool {
            limiter.take(single, number, try bits(text), now: 1_000_000) == nil
        }
        #expect(try isTaken("192.0.2.1") && !isTaken("192.0.2.1") && !isTaken("::ffff:192.0.2.1"))
        #expect(try isTaken("192.0.2.2") && isTaken("192.0.2.1", 1) && !isTaken("192.0.2.1", 1))
        #expect(try isTaken("2001:db8:0:1::1") && !isTaken("2001:db8:0:1:ffff::2"))
        #expect(try isTaken("2001:db8:0:2::1") && isTaken("2001:db8:0:1::1", 1))
        #expect(limiter.take(single, 0, try bits("192.0.2.1"), now: 1_000_000) == 60_000_000)
    }

    @Test func `memory stays bounded, and a client that keeps asking is not forgotten for the sake of others`() throws {
        var limiter = RateLimiter()
        let slow = RateLimit(requests: 1, period: .minute, burst: 1000)
        let busy = try bits("192.0.2.1")
        for _ in 0..<1000 { #expect(limiter.take(slow, 0, busy, now: 1_000_000) == nil) }
        let room = limiter.capacity
        #expect(room == RateLimiter.ways * RateLimiter.sets)
        for index in 0..<UInt64(4 * room) {
            let other = AddressBits(high: 0x2001_0DB8 << 32 | index, low: 1)
            #expect(limiter.take(slow, 0, other, now: 1_000_001 + index) == nil)
        }
        #expect(limiter.capacity == room)
        // Its bucket is the emptiest of all.
        #expect(limiter.take(slow, 0, busy, now: 1_500_000) != nil)
    }

    @Test func `a rate of a million and the largest burst do not overflow`() throws {
        var limiter = RateLimiter()
        let large = RateLimit(requests: 1_000_000, period: .second, burst: 1_000_000)
        let patient = RateLimit(requests: 1, period: .minute, burst: 1_000_000)
        let client = try bits("192.0.2.1")
        for _ in 0..<1000 {
            #expect(limiter.take(large, 0, client, now: 1) == nil && limiter.take(patient, 1, client, now: 1) == nil)
        }
    }
}
