internal import Bytes

/// An IPv4 or IPv6 address.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// Four or sixteen bytes in network order.
    public let bytes: [UInt8]

    /// Reads the text form (RFC 4291 §2.2); nil when it is no address.
    public init?(_ text: String) {
        guard let bytes = InternetAddress.bytes(of: Array(text.utf8)) else { return nil }
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
