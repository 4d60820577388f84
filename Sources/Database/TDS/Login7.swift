/// What a LOGIN7 message (MS-TDS 2.2.6.4) tells about the client; its password is never looked at.
struct Login7 {
    /// LOGIN7 is at most so long; the limit of SQL Server.
    static let most = 128 * 1024 - 1

    /// The client's TDS version; see `TDSVersion`.
    let version: UInt8
    /// The SQL user; empty with integrated authentication.
    let user: String

    init(_ payload: [UInt8]) throws(TDSPacket.Malformed) {
        var reader = MessageReader(payload)
        do throws(MessageReader.Truncated) {
            let length = try reader.littleEndian(4)
            guard length >= 36, length <= payload.count else { throw MessageReader.Truncated() }
            try reader.skip(3)
            version = try reader.byte()
            // Offset and length of the host's name, then of the user's.
            try reader.skip(36 - 8 + 4)
            let offset = try reader.littleEndian(2)
            let count = try reader.littleEndian(2)
            var text = MessageReader(payload)
            try text.skip(offset)
            user = UTF16LE.text(try text.bytes(min(count, 128) * 2))
        } catch { throw TDSPacket.Malformed(reason: "a malformed LOGIN7") }
    }
}

/// The first byte of a version as LOGIN7 and LOGINACK tell it (MS-TDS 2.2.7.14): 0x70 to 0x74, or 8 for TDS 8.0; old
/// servers acknowledge 7.0 and 7.1 as 7.
enum TDSVersion {
    /// Whether DONE counts rows in eight bytes, and ERROR lines in four: from TDS 7.2 on.
    static func isWide(_ version: UInt8) -> Bool { version >= 0x72 || version == 0x08 }
}

/// UCS-2 as TDS writes it.
enum UTF16LE {
    /// For people.
    static func text(_ bytes: [UInt8], limit: Int = 128) -> String {
        PeerText.readable(Array(whole(bytes).utf8), limit: limit)
    }

    /// All of it, as it is.
    static func whole(_ bytes: [UInt8]) -> String {
        let units = stride(from: 0, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
        return String(decoding: units, as: UTF16.self)
    }

    static func bytes(_ text: String) -> [UInt8] {
        text.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    }
}
