import Glibc

/// Where a socket listens or dials: IPv4, IPv6 or a path of the file system.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// IPv4: four bytes in network order, and a port.
    case v4(InternetBytes4, port: UInt16)
    /// IPv6: sixteen bytes in network order, and a port.
    case v6(InternetBytes16, port: UInt16)
    /// A unix domain socket; the empty path is an unnamed peer.
    case unix(path: String)

    /// Four address bytes.
    public struct InternetBytes4: Hashable, Sendable {
        /// The bytes as one number in network order, as `in_addr` holds them.
        public let rawValue: UInt32
        /// Takes the number as `in_addr` holds it.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
    }

    /// Sixteen address bytes.
    public struct InternetBytes16: Hashable, Sendable {
        /// The first eight bytes as they lie in memory.
        public let high: UInt64
        /// The last eight bytes as they lie in memory.
        public let low: UInt64
        /// Takes both halves as they lie in memory.
        public init(high: UInt64, low: UInt64) {
            self.high = high
            self.low = low
        }
    }

    /// Reads an IP address in its text form; nil when it is neither IPv4 nor IPv6.
    public init?(ip text: String, port: UInt16) {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self = .v4(InternetBytes4(rawValue: four.s_addr), port: port)
            return
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        self = .v6(InternetBytes16(six), port: port)
    }

    /// Reads what the kernel wrote; nil for a family other than the three.
    init?(_ storage: sockaddr_storage, length: socklen_t) {
        let address: SocketAddress? = withUnsafePointer(to: storage) { pointer in
            let raw = UnsafeRawPointer(pointer)
            switch CInt(storage.ss_family) {
            case AF_INET:
                let four = raw.load(as: sockaddr_in.self)
                return .v4(InternetBytes4(rawValue: four.sin_addr.s_addr), port: UInt16(bigEndian: four.sin_port))
            case AF_INET6:
                let six = raw.load(as: sockaddr_in6.self)
                return .v6(InternetBytes16(six.sin6_addr), port: UInt16(bigEndian: six.sin6_port))
            case AF_UNIX:
                let offset = MemoryLayout<sa_family_t>.size
                let bytes = UnsafeRawBufferPointer(start: raw + offset, count: max(0, Int(length) - offset))
                return .unix(path: String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self))
            default: return nil
            }
        }
        guard let address else { return nil }
        self = address.unmapped
    }

    /// IPv4 inside IPv6 (RFC 4291 §2.5.5.2) as plain IPv4; anything else unchanged.
    public var unmapped: SocketAddress {
        guard case .v6(let bytes, let port) = self, bytes.high == 0,
            UInt32(truncatingIfNeeded: bytes.low) == 0xFFFF_0000
        else { return self }
        return .v4(InternetBytes4(rawValue: UInt32(truncatingIfNeeded: bytes.low >> 32)), port: port)
    }

    /// The port, or 0 for a unix socket.
    public var port: UInt16 {
        switch self {
        case .v4(_, let port), .v6(_, let port): port
        case .unix: 0
        }
    }

    /// The path of a unix socket; nil for the others.
    public var path: String? {
        guard case .unix(let path) = self else { return nil }
        return path
    }

    /// Whether bytes sent here stay on this host.
    public var isLocal: Bool {
        switch unmapped {
        case .v4(let bytes, _): bytes.rawValue.bigEndian >> 24 == 127
        case .v6(let bytes, _): bytes.high == 0 && bytes.low.bigEndian == 1
        case .unix: true
        }
    }

    /// The address without its port: `192.0.2.1`, `2001:db8::1`, `unix:/path`.
    public var host: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        switch self {
        case .v4(let bytes, _):
            var address = in_addr(s_addr: bytes.rawValue)
            _ = inet_ntop(AF_INET, &address, &text, socklen_t(text.count))
        case .v6(let bytes, _):
            var address = bytes.address
            _ = inet_ntop(AF_INET6, &address, &text, socklen_t(text.count))
        case .unix(let path): return "unix:\(path)"
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `192.0.2.1:443`, `[2001:db8::1]:443` or `unix:/path`.
    public var description: String {
        switch self {
        case .v4(_, let port): "\(host):\(port)"
        case .v6(_, let port): "[\(host)]:\(port)"
        case .unix: host
        }
    }

    /// Which of the three kinds an address is.
    public enum Family: Sendable {
        /// IPv4
        case v4
        /// IPv6
        case v6
        /// A unix socket.
        case unix
    }

    /// Which of the three kinds this is.
    public var family: Family {
        switch self {
        case .v4: .v4
        case .v6: .v6
        case .unix: .unix
        }
    }

    var domain: CInt {
        switch self {
        case .v4: AF_INET
        case .v6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// Lends the address in the kernel's form.
    func withSockAddr<R, E: Error>(_ body: (UnsafePointer<sockaddr>, socklen_t) throws(E) -> R) throws(E) -> R {
        var storage = sockaddr_storage()
        var length: socklen_t
        switch self {
        case .v4(let bytes, let port):
            let four = sockaddr_in(
                sin_family: sa_family_t(AF_INET),
                sin_port: port.bigEndian,
                sin_addr: in_addr(s_addr: bytes.rawValue),
                sin_zero: (0, 0, 0, 0, 0, 0, 0, 0)
            )
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: four, as: sockaddr_in.self) }
            length = socklen_t(MemoryLayout<sockaddr_in>.size)
        case .v6(let bytes, let port):
            var six = sockaddr_in6()
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = port.bigEndian
            six.sin6_addr = bytes.address
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: six, as: sockaddr_in6.self) }
            length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        case .unix(let path):
            storage.ss_family = sa_family_t(AF_UNIX)
            let offset = MemoryLayout<sa_family_t>.size
            let room = MemoryLayout<sockaddr_un>.size - offset - 1
            withUnsafeMutableBytes(of: &storage) { bytes in
                var index = offset
                for byte in path.utf8.prefix(room) {
                    bytes[index] = byte
                    index += 1
                }
            }
            length = socklen_t(offset + min(path.utf8.count, room) + 1)
        }
        do {
            return try withUnsafePointer(to: &storage) { pointer throws(E) -> R in
                let raw = UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self)
                return try body(raw, length)
            }
        }
    }
}

extension SocketAddress.InternetBytes16 {
    init(_ address: in6_addr) {
        var address = address
        self = withUnsafeBytes(of: &address) {
            Self(high: $0.load(as: UInt64.self), low: $0.load(fromByteOffset: 8, as: UInt64.self))
        }
    }

    var address: in6_addr {
        var address = in6_addr()
        withUnsafeMutableBytes(of: &address) {
            $0.storeBytes(of: high, as: UInt64.self)
            $0.storeBytes(of: low, toByteOffset: 8, as: UInt64.self)
        }
        return address
    }
}
