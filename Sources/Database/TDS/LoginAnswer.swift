/// A server's answer to a login, token by token (MS-TDS 2.2.7): whether it is the last, and where it would lead the
/// client.
struct LoginAnswer {
    private static let error: UInt8 = 0xAA
    private static let info: UInt8 = 0xAB
    private static let loginAck: UInt8 = 0xAD
    private static let featureExtAck: UInt8 = 0xAE
    private static let envChange: UInt8 = 0xE3
    private static let sessionState: UInt8 = 0xE4
    private static let sspi: UInt8 = 0xED
    private static let fedAuthInfo: UInt8 = 0xEE
    private static let done: ClosedRange<UInt8> = 0xFD...0xFF

    private static let mirrorPartner: UInt8 = 13
    private static let routing: UInt8 = 20

    /// Where a routing ENVCHANGE leads (MS-TDS 2.2.7.9).
    struct Route: Equatable {
        var server: String
        var port: Int
    }

    /// Whether the client has to say more before the login is decided.
    private(set) var asksForMore = false
    /// Where the client is told to connect instead.
    private(set) var route: Route?
    /// The mirroring partner that the client is told of.
    private(set) var partner: String?
    /// The tokens as they came, by kind.
    private var tokens: [(kind: Kind, bytes: ArraySlice<UInt8>)] = []

    private enum Kind {
        case route
        case partner
        case other
    }

    /// Whether DONE counts rows in eight bytes, as from TDS 7.2 on; LOGINACK tells the version.
    private var hasLongDone: Bool

    /// - Parameter version: what the client asked for; see `TDSVersion`.
    init(_ payload: [UInt8], version: UInt8) throws(TDSPacket.Malformed) {
        hasLongDone = TDSVersion.isWide(version)
        do throws(MessageReader.Truncated) {
            var reader = MessageReader(payload)
            while reader.remaining > 0 {
                let start = reader.offset
                let kind = try read(try reader.byte(), &reader)
                tokens.append((kind, payload[start..<reader.offset]))
            }
        } catch { throw TDSPacket.Malformed(reason: "an answer to the login that cannot be read") }
    }

    /// The answer with another route, and without a partner.
    func rewritten(route: Route?) -> [UInt8] {
        tokens.flatMap { token -> [UInt8] in
            switch token.kind {
            case .other: Array(token.bytes)
            case .partner: []
            case .route: route.map(Self.token) ?? []
            }
        }
    }

    /// - Throws: for a token that MS-TDS does not have here: behind it, anything might hide.
    private mutating func read(
        _ token: UInt8,
        _ reader: inout MessageReader
    ) throws(MessageReader.Truncated) -> Kind {
        switch token {
        case Self.loginAck:
            var acknowledgement = MessageReader(try reader.bytes(try reader.littleEndian(2)))
            try acknowledgement.skip(1)
            hasLongDone = TDSVersion.isWide(try acknowledgement.byte())
        case Self.error, Self.info: try reader.skip(try reader.littleEndian(2))
        case Self.sspi:
            asksForMore = true
            try reader.skip(try reader.littleEndian(2))
        case Self.fedAuthInfo:
            asksForMore = true
            try reader.skip(try reader.littleEndian(4))
        case Self.sessionState: try reader.skip(try reader.littleEndian(4))
        case Self.featureExtAck:
            while try reader.byte() != 0xFF { try reader.skip(try reader.littleEndian(4)) }
        case Self.done:
            // An older server that refuses has not said how old it is.
            try reader.skip(hasLongDone && reader.remaining != 8 ? 12 : 8)
        case Self.envChange:
            let length = try reader.littleEndian(2)
            var change = MessageReader(try reader.bytes(length))
            return try readChange(&change)
        default: throw MessageReader.Truncated()
        }
        return .other
    }

    private mutating func readChange(_ reader: inout MessageReader) throws(MessageReader.Truncated) -> Kind {
        switch try reader.byte() {
        case Self.routing:
            _ = try reader.littleEndian(2)
            guard try reader.byte() == 0 else { throw MessageReader.Truncated() }
            let port = try reader.littleEndian(2)
            let count = try reader.littleEndian(2)
            route = Route(server: UTF16LE.text(try reader.bytes(count * 2)), port: port)
            return .route
        case Self.mirrorPartner:
            let count = Int(try reader.byte())
            partner = UTF16LE.text(try reader.bytes(count * 2))
            return .partner
        default: return .other
        }
    }

    private static func token(_ route: Route) -> [UInt8] {
        let name = UTF16LE.bytes(route.server)
        var data: [UInt8] = [0]
        data.appendLittleEndian(route.port, count: 2)
        data.appendLittleEndian(name.count / 2, count: 2)
        data += name
        var change: [UInt8] = [routing]
        change.appendLittleEndian(data.count, count: 2)
        change += data + [0, 0]
        var token = [envChange]
        token.appendLittleEndian(change.count, count: 2)
        return token + change
    }

    /// ERROR and DONE, as the answer to a login that is refused.
    ///
    /// - Parameter version: the client's TDS version; see `TDSVersion`.
    static func refusal(_ text: String, version: UInt8) -> [UInt8] {
        let isNew = TDSVersion.isWide(version)
        let message = Array(text.utf16.prefix(2000))
        let server = "everyhop"
        // A number of its own, above those of SQL Server; class 20 ends the connection.
        var body: [UInt8] = []
        body.appendLittleEndian(50_000, count: 4)
        body += [1, 20]
        body.appendLittleEndian(message.count, count: 2)
        for unit in message { body.appendLittleEndian(Int(unit), count: 2) }
        body.append(UInt8(server.utf16.count))
        body += UTF16LE.bytes(server)
        body.append(0)
        body.appendLittleEndian(1, count: isNew ? 4 : 2)
        var payload = [error]
        payload.appendLittleEndian(body.count, count: 2)
        payload += body
        // DONE with the error bit.
        payload += [0xFD, 0x02, 0x00, 0x00, 0x00]
        payload += [UInt8](repeating: 0, count: isNew ? 8 : 4)
        return TDSPacket.packets(TDSPacket.tabularResult, payload)
    }
}
