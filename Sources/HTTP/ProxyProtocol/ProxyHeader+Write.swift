/// Writing.
extension ProxyHeader {
    /// The header as it is sent.
    ///
    /// - Parameter tls: what the client has agreed on; only version 2 has words for it.
    public func bytes(_ version: Version, tls: ProxiedTLS? = nil) -> [UInt8] {
        switch (version, self) {
        case (.v1, .own): Array("PROXY UNKNOWN\r\n".utf8)
        case (.v1, .client(let source, let destination)): Self.line(source, destination)
        case (.v2, .own): Self.signature + [0x20, 0, 0, 0]
        case (.v2, .client(let source, let destination)): Self.block(source, destination, tls)
        }
    }

    /// Both ends in one family: where they differ, IPv4 is written inside IPv6 (RFC 4291 §2.5.5.2).
    private static func alike(_ end: ProxiedEnd, _ other: ProxiedEnd) -> [UInt8] {
        guard end.address.count < other.address.count else { return end.address }
        return Array(repeating: 0, count: 10) + [0xFF, 0xFF] + end.address
    }

    private static func line(_ source: ProxiedEnd, _ destination: ProxiedEnd) -> [UInt8] {
        let addresses = [alike(source, destination), alike(destination, source)]
        let words =
            ["PROXY", addresses[0].count == 4 ? "TCP4" : "TCP6"] + addresses.map(text)
            + ["\(source.port)", "\(destination.port)"]
        return Array((words.joined(separator: " ") + "\r\n").utf8)
    }

    private static func text(_ address: [UInt8]) -> String {
        guard address.count == 16 else { return address.map { "\($0)" }.joined(separator: ".") }
        return stride(from: 0, to: 16, by: 2)
            .map { String(UInt16(address[$0]) << 8 | UInt16(address[$0 + 1]), radix: 16) }.joined(separator: ":")
    }

    private static func block(_ source: ProxiedEnd, _ destination: ProxiedEnd, _ tls: ProxiedTLS?) -> [UInt8] {
        let addresses = [alike(source, destination), alike(destination, source)]
        var block = addresses[0] + addresses[1] + bytes(of: source.port) + bytes(of: destination.port)
        if let tls { block += extensions(tls) }
        block += piece(Extension.checksum, [0, 0, 0, 0])
        var header = signature + [0x21, addresses[0].count == 4 ? 0x11 : 0x21] + bytes(of: UInt16(block.count)) + block
        var checksum = CRC32C()
        for byte in header { checksum.add(byte) }
        let value = checksum.value
        header.removeLast(4)
        return header + bytes(of: UInt16(value >> 16)) + bytes(of: UInt16(value & 0xFFFF))
    }

    private static func extensions(_ tls: ProxiedTLS) -> [UInt8] {
        var pieces: [UInt8] = []
        if let alpn = tls.alpn { pieces += piece(Extension.alpn, Array(alpn.utf8)) }
        if let name = tls.serverName { pieces += piece(Extension.authority, Array(name.utf8)) }
        // §2.2.6: over TLS, with a certificate on this connection and session or none, and 0 where that was verified.
        var inner: [UInt8] = tls.isVerified ? [0x07, 0, 0, 0, 0] : [0x01, 0, 0, 0, 1]
        inner += piece(Extension.tlsVersion, Array(tls.version.utf8))
        inner += piece(Extension.tlsCipher, Array(tls.cipher.utf8))
        return pieces + piece(Extension.tls, inner)
    }

    /// Type, length, value; values of ours are short.
    private static func piece(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
        let value = value.prefix(255)
        return [type, 0, UInt8(value.count)] + value
    }

    private static func bytes(of number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
}
