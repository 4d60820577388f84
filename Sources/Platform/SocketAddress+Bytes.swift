/// Addresses as messages carry them.
extension SocketAddress {
    /// Four or sixteen bytes in network order; nil for a unix socket.
    public var addressBytes: [UInt8]? {
        switch self {
        case .v4(let bytes, _): return Self.bytes(UInt64(UInt32(bigEndian: bytes.rawValue)), count: 4)
        case .v6(let bytes, _):
            return Self.bytes(UInt64(bigEndian: bytes.high), count: 8)
                + Self.bytes(UInt64(bigEndian: bytes.low), count: 8)
        case .unix: return nil
        }
    }

    /// An address of four or sixteen bytes, IPv4 inside IPv6 as plain IPv4; nil for another number of bytes.
    public init?(addressBytes bytes: [UInt8], port: UInt16) {
        switch bytes.count {
        case 4:
            let number = UInt32(truncatingIfNeeded: Self.number(bytes[...]))
            self = .v4(InternetBytes4(rawValue: number.bigEndian), port: port)
        case 16:
            let high = Self.number(bytes[..<8])
            let low = Self.number(bytes[8...])
            self = SocketAddress.v6(InternetBytes16(high: high.bigEndian, low: low.bigEndian), port: port).unmapped
        default: return nil
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private static func bytes(_ number: UInt64, count: Int) -> [UInt8] {
        (0..<count).reversed().map { UInt8(truncatingIfNeeded: number >> UInt64($0 * 8)) }
    }
}
