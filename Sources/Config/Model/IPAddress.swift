/// An IPv4 or IPv6 address.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// Four or sixteen bytes in network order.
    public let bytes: [UInt8]

    /// Reads the text form (RFC 4291 §2.2); nil when it is no address.
    public init?(_ text: String) {
        guard let bytes = text.contains(":") ? Self.six(Array(text.utf8)) : Self.four(Array(text.utf8)) else {
            return nil
        }
        self.bytes = bytes
    }

    /// An IPv4 address.
    init(four first: UInt8, _ second: UInt8, _ third: UInt8, _ fourth: UInt8) {
        bytes = [first, second, third, fourth]
    }

    /// Whether it is IPv6.
    public var isIPv6: Bool { bytes.count == 16 }

    /// Whether what is sent there stays on this host.
    public var isLoopback: Bool {
        isIPv6 ? bytes == Array(repeating: 0, count: 15) + [1] : bytes[0] == 127
    }

    /// Whether it stands for every address of the host.
    public var isUnspecified: Bool { bytes.allSatisfy { $0 == 0 } }

    /// The text form; of IPv6 the longest run of zeros is shortened (RFC 5952).
    public var description: String {
        guard isIPv6 else { return bytes.map { String($0) }.joined(separator: ".") }
        let groups = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(1, best.count) { best = start..<end }
            start = max(end, start + 1)
        }
        let text = { (range: Range<Int>) in range.map { String(groups[$0], radix: 16) }.joined(separator: ":") }
        return best.isEmpty ? text(0..<8) : "\(text(0..<best.lowerBound))::\(text(best.upperBound..<8))"
    }

    private static func four(_ text: [UInt8]) -> [UInt8]? {
        let parts = text.split(separator: 0x2E, omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard let value = number(part, radix: 10, digits: 3), value <= 255 else { return nil }
            // A leading zero is octal to some readers.
            guard part.count == 1 || part.first != 0x30 else { return nil }
            bytes.append(UInt8(value))
        }
        return bytes
    }

    private static func six(_ text: [UInt8]) -> [UInt8]? {
        guard let gap = text.indices.dropLast().first(where: { text[$0] == 0x3A && text[$0 + 1] == 0x3A }) else {
            guard let bytes = groups(text[...]), bytes.count == 16 else { return nil }
            return bytes
        }
        guard let head = groups(text[..<gap]), let tail = groups(text[(gap + 2)...]), head.count + tail.count <= 14,
            !text[..<gap].contains(0x2E)
        else { return nil }
        return head + Array(repeating: 0, count: 16 - head.count - tail.count) + tail
    }

    /// Groups between single colons, the last of them perhaps an IPv4 address.
    private static func groups(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: 0x3A, omittingEmptySubsequences: false)
        var bytes: [UInt8] = []
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, part.contains(0x2E) {
                guard let four = four(Array(part)) else { return nil }
                bytes += four
            } else {
                guard let value = number(part, radix: 16, digits: 4) else { return nil }
                bytes += [UInt8(value >> 8), UInt8(value & 255)]
            }
        }
        return bytes
    }

    private static func number(_ digits: ArraySlice<UInt8>, radix: Int, digits most: Int) -> Int? {
        guard !digits.isEmpty, digits.count <= most else { return nil }
        var value = 0
        for digit in digits {
            let step: Int
            switch digit {
            case 0x30...0x39: step = Int(digit) - 0x30
            case 0x41...0x46 where radix == 16: step = Int(digit) - 0x37
            case 0x61...0x66 where radix == 16: step = Int(digit) - 0x57
            default: return nil
            }
            value = value * radix + step
        }
        return value
    }
}

/// A range of addresses, `10.0.0.0/8`; an address alone is a range of one.
public struct Network: Equatable, Sendable {
    /// Any address of the range.
    public let address: IPAddress
    /// How many leading bits the range has in common.
    public let prefix: Int

    /// Reads `address/prefix` or `address`.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(String(parts[0])) else { return nil }
        let most = address.bytes.count * 8
        guard parts.count == 2 else {
            self.address = address
            prefix = most
            return
        }
        guard !parts[1].isEmpty, parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let prefix = Int(parts[1]),
            prefix <= most
        else { return nil }
        self.address = address
        self.prefix = prefix
    }

    /// Whether an address lies in the range.
    public func contains(_ other: IPAddress) -> Bool {
        guard other.bytes.count == address.bytes.count else { return false }
        for bit in 0..<prefix {
            let mask = UInt8(0x80) >> UInt8(bit & 7)
            if other.bytes[bit / 8] & mask != address.bytes[bit / 8] & mask { return false }
        }
        return true
    }
}

/// Where something listens or is reached.
public enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// An address and a port.
    case ip(IPAddress, port: UInt16)
    /// A name to resolve, and a port.
    case name(String, port: UInt16)
    /// The path of a unix socket.
    case unix(String)

    /// Whether what is sent there stays on this host; a name is not known to, since it may resolve to anything.
    public var isLocal: Bool {
        switch self {
        case .ip(let address, _): address.isLoopback
        case .name: false
        case .unix: true
        }
    }

    /// As it is written in the configuration.
    public var description: String {
        switch self {
        case .ip(let address, let port): address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
        case .name(let name, let port): "\(name):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
