/// MySQL's packets before commands: length (3 bytes, least significant first), sequence number, payload.
struct MySQLPacket: Equatable {
    /// Capability bits (protocol documentation, "Capabilities Flags").
    static let clientProtocol41 = 0x0000_0200
    static let clientSSL = 0x0000_0800

    static let ok: UInt8 = 0x00
    static let moreData: UInt8 = 0x01
    static let authSwitch: UInt8 = 0xFE
    static let error: UInt8 = 0xFF

    static let headerSize = 4
    /// The longest packet before the login is decided: a response with connection attributes.
    static let most = 65_536

    var sequence: UInt8
    var payload: [UInt8]

    /// Bytes of the connection that it takes.
    var size: Int { payload.count + Self.headerSize }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(payload.count, count: 3)
        return bytes + [sequence] + payload
    }

    init(_ sequence: UInt8, _ payload: [UInt8]) {
        self.sequence = sequence
        self.payload = payload
    }

    /// What is wrong with bytes that are no packet.
    struct Malformed: Error {
        let reason: String
    }

    /// Reads the packet at the beginning of what waits; nil when more bytes are needed.
    ///
    /// - Parameters:
    ///   - mayBeEmpty: whether it may have no payload, as an empty password has.
    ///   - limit: the longest payload.
    static func read(
        _ bytes: Span<UInt8>,
        mayBeEmpty: Bool = false,
        limit: Int = most
    ) throws(Malformed) -> MySQLPacket? {
        guard bytes.count >= headerSize else { return nil }
        let length = Int(bytes[0]) | Int(bytes[1]) << 8 | Int(bytes[2]) << 16
        guard length > 0 || mayBeEmpty else { throw Malformed(reason: "an empty packet") }
        guard length <= limit else { throw Malformed(reason: "a packet that is too long") }
        guard bytes.count >= headerSize + length else { return nil }
        return MySQLPacket(bytes[3], [UInt8](copying: bytes, from: headerSize, count: length))
    }

    /// ERR; clients that have not spoken yet expect no SQLSTATE.
    static func refusal(_ sequence: UInt8, _ text: String, hasState: Bool) -> MySQLPacket {
        var payload = [error]
        // ER_HANDSHAKE_ERROR
        payload.appendLittleEndian(1043, count: 2)
        if hasState { payload += Array("#08S01".utf8) }
        payload += text.utf8.prefix(500)
        return MySQLPacket(sequence, payload)
    }
}

/// The server's greeting, version 10.
struct MySQLGreeting {
    /// The authentication method that the server begins with.
    private(set) var plugin = ""
    /// What passwords are mixed with.
    private(set) var salt: [UInt8] = []
    private(set) var capabilities = 0
    private var payload: [UInt8]
    private let lowCapabilities: Int

    init(_ payload: [UInt8]) throws(MySQLPacket.Malformed) {
        self.payload = payload
        var reader = MessageReader(payload)
        do throws(MessageReader.Truncated) {
            guard try reader.byte() == 10 else { throw MessageReader.Truncated() }
            _ = try reader.zeroTerminated()
            try reader.skip(4)
            salt = try reader.bytes(8)
            try reader.skip(1)
            lowCapabilities = reader.offset
            capabilities = try reader.littleEndian(2)
            guard reader.remaining > 0 else { return }
            try reader.skip(3)
            capabilities |= try reader.littleEndian(2) << 16
            let length = Int(try reader.byte())
            try reader.skip(10)
            // The salt ends with a zero that is not part of it.
            let rest = try reader.bytes(min(reader.remaining, max(13, length - 8)))
            salt += rest.prefix(12)
            plugin = PeerText.readable(reader.zeroTerminatedOrRest())
        } catch { throw MySQLPacket.Malformed(reason: "a greeting that is not version 10 of MySQL's") }
    }

    /// The payload, offering TLS or not.
    func offering(tls: Bool) -> [UInt8] {
        var changed = payload
        let bit = UInt8(truncatingIfNeeded: MySQLPacket.clientSSL >> 8)
        if tls { changed[lowCapabilities + 1] |= bit } else { changed[lowCapabilities + 1] &= ~bit }
        return changed
    }
}

/// The client's response to the greeting.
struct MySQLResponse {
    /// Capabilities, longest packet, character set, reserved: what an SSLRequest consists of.
    static let headSize = 32

    /// A request for TLS by somebody who will not log in: protocol 4.1, TLS, plugin authentication; UTF-8.
    static let bareSSLRequest: [UInt8] =
        [0x00, 0x8A, 0x08, 0x00, 0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23)

    private(set) var payload: [UInt8]
    let user: String

    static func capabilities(_ payload: [UInt8]) -> Int? {
        var reader = MessageReader(payload)
        return try? reader.littleEndian(4)
    }

    init(_ payload: [UInt8]) throws(MySQLPacket.Malformed) {
        self.payload = payload
        var reader = MessageReader(payload)
        do throws(MessageReader.Truncated) {
            try reader.skip(Self.headSize)
            user = PeerText.readable(try reader.zeroTerminated())
        } catch { throw MySQLPacket.Malformed(reason: "a malformed response to the greeting") }
        self.payload[1] |= UInt8(truncatingIfNeeded: MySQLPacket.clientSSL >> 8)
    }

    /// Whether the client, instead of its password, asks for the server's key at once, as for sha256_password.
    var asksForKey: Bool {
        var reader = MessageReader(payload, from: Self.headSize)
        guard (try? reader.zeroTerminated()) != nil else { return false }
        return (try? reader.byte()) == 1 && (try? reader.byte()) == 1
    }

    /// The request for TLS with this response's capabilities: some servers read them only here.
    var sslRequest: [UInt8] { Array(payload.prefix(Self.headSize)) }
}
