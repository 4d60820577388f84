/// A version as it stands on the wire, those that this library cannot speak included.
enum ProtocolVersion: UInt16, CaseIterable, Sendable {
    case ssl2 = 0x0002
    case ssl3 = 0x0300
    case tls10 = 0x0301
    case tls11 = 0x0302
    case tls12 = 0x0303
    case tls13 = 0x0304

    var name: String {
        switch self {
        case .ssl2: "SSL 2.0"
        case .ssl3: "SSL 3.0"
        case .tls10: "TLS 1.0"
        case .tls11: "TLS 1.1"
        case .tls12: "TLS 1.2"
        case .tls13: "TLS 1.3"
        }
    }

    /// Whether SP 800-52r2 (§3.1) forbids it.
    var isForbidden: Bool { rawValue < Self.tls12.rawValue }
}

/// A first flight that asks for one version and some suites (RFC 8446 §4.1.2), whatever our own library can speak.
///
/// The handshake ends with the answer: nothing secret is ever agreed on.
struct ClientHello {
    let version: ProtocolVersion
    let suites: [CipherSuite]
    /// Sent as SNI; nil for none.
    let serverName: String?

    /// The record, or SSL 2.0's message.
    var bytes: [UInt8] { version == .ssl2 ? ssl2 : record }

    private var record: [UInt8] {
        var body: [UInt8] = []
        body.append(big: min(version.rawValue, ProtocolVersion.tls12.rawValue))
        body += Self.random(32)
        // A session identifier, as TLS 1.3's compatibility mode wants it.
        body.append(prefixed: version == .tls13 ? Self.random(32) : [], size: 1)
        var list: [UInt8] = []
        for suite in suites { list.append(big: suite.number) }
        // TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 §3.3)
        if version != .tls13 { list.append(big: 0x00FF) }
        body.append(prefixed: list, size: 2)
        body += [1, 0]
        if version != .ssl3 { body.append(prefixed: extensions, size: 2) }
        var handshake: [UInt8] = [1]
        handshake.append(prefixed: body, size: 3)
        var record: [UInt8] = [22]
        record.append(big: min(version.rawValue, ProtocolVersion.tls10.rawValue))
        record.append(prefixed: handshake, size: 2)
        return record
    }

    private var extensions: [UInt8] {
        var all: [UInt8] = []
        func add(_ type: UInt16, _ data: [UInt8]) {
            all.append(big: type)
            all.append(prefixed: data, size: 2)
        }
        if let serverName {
            var name: [UInt8] = [0]
            name.append(prefixed: Array(serverName.utf8), size: 2)
            add(0, Self.list(name))
        }
        add(10, Self.list(Self.bytes(of: Self.groups)))
        add(11, [1, 0])
        add(13, Self.list(Self.bytes(of: Self.signatures)))
        guard version == .tls13 else { return all }
        add(43, [2, 0x03, 0x04])
        // Any 32 bytes are a key of X25519 (RFC 7748 §5).
        var share: [UInt8] = []
        share.append(big: UInt16(29))
        share.append(prefixed: Self.random(32), size: 2)
        add(51, Self.list(share))
        add(45, [1, 1])
        return all
    }

    /// SSL 2.0's CLIENT-HELLO with the seven cipher kinds of its specification.
    private var ssl2: [UInt8] {
        let kinds: [UInt8] = [
            1, 0, 0x80, 2, 0, 0x80, 3, 0, 0x80, 4, 0, 0x80, 5, 0, 0x80, 6, 0, 0x40, 7, 0, 0xC0,
        ]
        var body: [UInt8] = [1, 0, 2]
        body.append(big: UInt16(kinds.count))
        body += [0, 0, 0, 16]
        body += kinds + Self.random(16)
        return [0x80, UInt8(body.count)] + body
    }

    /// X25519, P-256, P-384, P-521, X448, ffdhe2048.
    private static let groups: [UInt16] = [29, 23, 24, 25, 30, 256]
    /// Good ones, then those with SHA-1 that old servers know.
    private static let signatures: [UInt16] = [
        0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201, 0x0202,
    ]

    /// Bytes behind their count of two bytes.
    private static func list(_ bytes: [UInt8]) -> [UInt8] {
        var list: [UInt8] = []
        list.append(prefixed: bytes, size: 2)
        return list
    }

    private static func bytes(of numbers: [UInt16]) -> [UInt8] {
        var bytes: [UInt8] = []
        for number in numbers { bytes.append(big: number) }
        return bytes
    }

    private static func random(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: .min ... .max) } }
}

extension [UInt8] {
    fileprivate mutating func append(big number: UInt16) {
        append(UInt8(number >> 8))
        append(UInt8(truncatingIfNeeded: number))
    }

    /// Adds bytes behind their count, which takes `size` bytes.
    fileprivate mutating func append(prefixed bytes: [UInt8], size: Int) {
        for index in (0..<size).reversed() { append(UInt8(truncatingIfNeeded: bytes.count >> (8 * index))) }
        self += bytes
    }
}
