import HTTP

/// PROXY headers, and what has to hold for whatever a load balancer's connection begins with.
enum ProxyHeaderTarget {
    static let seeds: [[UInt8]] =
        [
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", "PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 0 65535\r\n",
            "PROXY UNKNOWN x y\r\nGET / HTTP/1.1\r\n",
        ].map { Array($0.utf8) }
        + [
            header.bytes(.v2, tls: ProxiedTLS(version: "v", cipher: "c", serverName: "n", alpn: "a", isVerified: true)),
            ProxyHeader.own.bytes(.v2),
            // AF_UNIX, and a checksum of zeros.
            Array(header.bytes(.v2)[..<12]) + [0x21, 0x31, 0, 216] + [UInt8](repeating: 0x2F, count: 216),
            Array(header.bytes(.v2)[..<12]) + [0x21, 0x11, 0, 19] + [UInt8](repeating: 1, count: 12) + [
                3, 0, 4, 0, 0, 0, 0,
            ],
        ]

    private static let header = ProxyHeader.client(
        source: ProxiedEnd(address: [192, 0, 2, 1], port: 1),
        destination: ProxiedEnd(address: [198, 51, 100, 7], port: 443)
    )

    private enum Outcome: Equatable {
        case more
        case header(ProxyHeader, Int)
        case refused(ProxyHeaderError)
    }

    /// What is wrong with how `input` was read, or nil.
    static func check(_ input: [UInt8], _ random: inout Random) -> String? {
        let whole = parse(input)
        let part = parse(Array(input[..<random.below(input.count + 1)]))
        if part != .more, part != whole { return "a part of a PROXY header reads as \(part), the whole as \(whole)" }
        guard case .header(let header, let count) = whole else { return nil }
        guard count <= input.count, count <= ProxyHeader.longest else { return "a PROXY header of \(count) bytes" }
        // What follows it makes no difference, and one byte less is not enough.
        if parse(Array(input[..<count])) != whole { return "a PROXY header depends on what follows it" }
        if parse(Array(input[..<(count - 1)])) != .more { return "a PROXY header is read before its end" }
        for version in [ProxyHeader.Version.v1, .v2] {
            let bytes = header.bytes(version)
            if parse(bytes) != .header(header, bytes.count) { return "what was written is another PROXY header" }
        }
        return nil
    }

    private static func parse(_ bytes: [UInt8]) -> Outcome {
        do throws(ProxyHeaderError) {
            guard let (header, count) = try ProxyHeader.parse(bytes.span) else { return .more }
            return .header(header, count)
        } catch { return .refused(error) }
    }
}
