import Bytes

/// Reading: strictly, within bounds, and not a byte beyond the header.
extension ProxyHeader {
    /// The header at the beginning of `bytes` with its length; nil while more has to come.
    ///
    /// - Throws: as soon as nothing that may follow could make it a header.
    public static func parse(
        _ bytes: Span<UInt8>
    ) throws(ProxyHeaderError) -> (header: ProxyHeader, count: Int)? {
        guard bytes.count > 0 else { return nil }
        return bytes[0] == signature[0] ? try parseBlock(bytes) : try parseLine(bytes)
    }

    /// Whether `bytes` begin as they have to, as far as they go.
    private static func check(_ bytes: Span<UInt8>, beginWith prefix: [UInt8]) throws(ProxyHeaderError) {
        for index in 0..<min(bytes.count, prefix.count) where bytes[index] != prefix[index] { throw .missing }
    }

    // MARK: version 1

    private static func parseLine(
        _ bytes: Span<UInt8>
    ) throws(ProxyHeaderError) -> (header: ProxyHeader, count: Int)? {
        try check(bytes, beginWith: linePrefix)
        var text: [UInt8] = []
        var end = linePrefix.count
        while end < bytes.count, bytes[end] != 0x0D {
            // §2.1: no single character ends the line.
            guard bytes[end] != 0x0A else { throw .malformed }
            guard end + 3 <= longestLine else { throw .tooLong }
            text.append(bytes[end])
            end += 1
        }
        guard end + 1 < bytes.count else { return nil }
        guard bytes[end + 1] == 0x0A else { throw .malformed }
        return (try parse(line: text), end + 2)
    }

    private static func parse(line: [UInt8]) throws(ProxyHeaderError) -> ProxyHeader {
        let fields = line.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
        // What follows this word is to be ignored.
        if fields[0] == Array("UNKNOWN".utf8) { return .own }
        let size: Int
        switch fields[0] {
        case Array("TCP4".utf8): size = 4
        case Array("TCP6".utf8): size = 16
        default: throw .malformed
        }
        guard fields.count == 5, let source = end(fields[1], fields[3], size),
            let destination = end(fields[2], fields[4], size)
        else { throw .malformed }
        return .client(source: source, destination: destination)
    }

    private static func end(_ text: [UInt8], _ port: [UInt8], _ size: Int) -> ProxiedEnd? {
        guard let address = InternetAddress.bytes(of: text), address.count == size,
            (1...5).contains(port.count), port.count == 1 || port[0] != 0x30,
            let number = ASCII.decimal(port.span).flatMap({ UInt16(exactly: $0) })
        else { return nil }
        return ProxiedEnd(address: address, port: number)
    }

    // MARK: version 2

    private static func parseBlock(
        _ bytes: Span<UInt8>
    ) throws(ProxyHeaderError) -> (header: ProxyHeader, count: Int)? {
        try check(bytes, beginWith: signature)
        guard bytes.count >= 16 else { return nil }
        let command = bytes[12]
        guard command == 0x20 || command == 0x21 else { throw .malformed }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard length <= longestBlock else { throw .tooLong }
        guard bytes.count >= 16 + length else { return nil }
        // LOCAL: the block is dropped, whatever it says.
        guard command == 0x21 else { return (.own, 16 + length) }
        return (try parse(block: bytes.extracting(first: 16 + length)), 16 + length)
    }

    /// - Parameter block: the whole header of a connection that is passed on.
    private static func parse(block: Span<UInt8>) throws(ProxyHeaderError) -> ProxyHeader {
        let family = block[13] >> 4
        let transport = block[13] & 15
        guard family <= 3, transport <= 2 else { throw .malformed }
        // Of an unspecified family nothing is known, not even how long its addresses are.
        guard family > 0 else { return .own }
        let size = family == 1 ? 4 : family == 2 ? 16 : 108
        let addresses = family == 3 ? 2 * size : 2 * size + 4
        guard block.count >= 16 + addresses else { throw .malformed }
        try checkExtensions(block, from: 16 + addresses)
        // §2.2: what is valid and not supported counts as unspecified.
        guard transport == 1, family != 3 else { return .own }
        return .client(
            source: end(block, address: 16, size, port: 16 + 2 * size),
            destination: end(block, address: 16 + size, size, port: 18 + 2 * size)
        )
    }

    private static func end(_ block: Span<UInt8>, address: Int, _ size: Int, port: Int) -> ProxiedEnd {
        ProxiedEnd(
            address: (address..<address + size).map { block[$0] },
            port: UInt16(block[port]) << 8 | UInt16(block[port + 1])
        )
    }

    /// What follows the addresses is made of whole pieces, and the checksum is right if there is one (§2.2.3).
    private static func checkExtensions(_ block: Span<UInt8>, from start: Int) throws(ProxyHeaderError) {
        var checksum: Int?
        var index = start
        while index < block.count {
            guard block.count - index >= 3 else { throw .malformed }
            let length = Int(block[index + 1]) << 8 | Int(block[index + 2])
            guard block.count - index - 3 >= length else { throw .malformed }
            if block[index] == Extension.checksum {
                guard length == 4, checksum == nil else { throw .malformed }
                checksum = index + 3
            }
            index += 3 + length
        }
        guard let checksum else { return }
        let stored = (checksum..<checksum + 4).reduce(UInt32(0)) { $0 << 8 | UInt32(block[$1]) }
        var computed = CRC32C()
        for index in 0..<block.count {
            computed.add((checksum..<checksum + 4).contains(index) ? 0 : block[index])
        }
        guard computed.value == stored else { throw .checksum }
    }

    /// Types of what follows the addresses.
    enum Extension {
        static let alpn: UInt8 = 0x01
        static let authority: UInt8 = 0x02
        static let checksum: UInt8 = 0x03
        static let tls: UInt8 = 0x20
        static let tlsVersion: UInt8 = 0x21
        static let tlsCipher: UInt8 = 0x23
    }
}
