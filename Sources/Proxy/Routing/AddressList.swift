import Config
import Platform

/// An address as one number of 128 bits; IPv4 in IPv6's form (RFC 4291 §2.5.5.2), so that both spellings are one.
struct AddressBits: Hashable {
    var high: UInt64
    var low: UInt64

    private static let mappedPrefix: UInt64 = 0xFFFF_0000_0000

    /// Whether it is IPv4.
    var isIPv4: Bool { high == 0 && low >> 32 == 0xFFFF }

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    init(_ address: IPAddress) {
        var parts: (high: UInt64, low: UInt64) = (0, 0)
        for byte in address.bytes { parts = (parts.high << 8 | parts.low >> 56, parts.low << 8 | UInt64(byte)) }
        high = parts.high
        low = address.isIPv6 ? parts.low : parts.low | Self.mappedPrefix
    }

    /// The address of a peer; nil for a unix socket.
    init?(_ address: SocketAddress) {
        switch address {
        case .v4(let bytes, _):
            high = 0
            low = UInt64(UInt32(bigEndian: bytes.rawValue)) | Self.mappedPrefix
        case .v6(let bytes, _):
            high = UInt64(bigEndian: bytes.high)
            low = UInt64(bigEndian: bytes.low)
        case .unix: return nil
        }
    }

    /// Who is told apart by it: an IPv6 client has a /64 at least, and all of that is one client.
    var ofClient: AddressBits { isIPv4 ? self : AddressBits(high: high, low: 0) }

    /// As logs have it.
    var description: String {
        let value = isIPv4 ? UInt32(truncatingIfNeeded: low).bigEndian : 0
        let address: SocketAddress =
            isIPv4
            ? .v4(SocketAddress.InternetBytes4(rawValue: value), port: 0)
            : .v6(SocketAddress.InternetBytes16(high: high.bigEndian, low: low.bigEndian), port: 0)
        return address.host
    }
}

/// Networks, ready to be looked through.
struct AddressList {
    private struct Entry {
        let address: AddressBits
        let mask: AddressBits
        let isIPv4: Bool
    }

    private let entries: [Entry]

    var isEmpty: Bool { entries.isEmpty }

    init(_ networks: [Network]) {
        entries = networks.map { network in
            let prefix = network.address.isIPv6 ? network.prefix : network.prefix + 96
            let mask = AddressBits(
                high: Self.mask(prefix),
                low: Self.mask(prefix - 64)
            )
            let bits = AddressBits(network.address)
            return Entry(
                address: AddressBits(high: bits.high & mask.high, low: bits.low & mask.low),
                mask: mask,
                // `::/0` means IPv6, although IPv4's form lies in it.
                isIPv4: bits.isIPv4 && prefix >= 96
            )
        }
    }

    func contains(_ address: AddressBits) -> Bool {
        let isIPv4 = address.isIPv4
        for entry in entries where entry.isIPv4 == isIPv4 {
            if address.high & entry.mask.high == entry.address.high, address.low & entry.mask.low == entry.address.low {
                return true
            }
        }
        return false
    }

    private static func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? .max : ~(.max >> UInt64(bits)) }
}

/// Who is served: deny first, then allow.
struct AccessList {
    private let allow: AddressList
    private let deny: AddressList

    /// nil when everybody is.
    init?(_ rules: AccessRules) {
        guard !rules.isEmpty else { return nil }
        allow = AddressList(rules.allow)
        deny = AddressList(rules.deny)
    }

    /// - Parameter address: nil when it is not known, which no list can vouch for.
    func admits(_ address: AddressBits?) -> Bool {
        guard let address, !deny.contains(address) else { return false }
        return allow.isEmpty || allow.contains(address)
    }
}
