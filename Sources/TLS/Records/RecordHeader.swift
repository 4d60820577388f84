/// The five bytes ahead of each record (RFC 8446 §5.1, RFC 5246 §6.2.1).
struct RecordHeader {
    static let size = 5
    /// What every record of TLS 1.2 says, and of 1.3 too.
    static let version: UInt16 = 0x0303
    /// A record's plaintext at most.
    static let mostPlain = 16_384

    let type: UInt8
    let version: UInt16
    /// Bytes behind the head.
    let length: Int

    /// - Returns: nil for fewer than five bytes.
    init?(_ bytes: Span<UInt8>) {
        guard bytes.count >= Self.size else { return nil }
        type = bytes[0]
        version = UInt16(bytes[1]) << 8 | UInt16(bytes[2])
        length = Int(bytes[3]) << 8 | Int(bytes[4])
    }

    /// A record that is not protected; `content` has 16,384 bytes at most.
    static func plainRecord(_ type: UInt8, _ content: [UInt8]) -> [UInt8] {
        var writer = MessageWriter(capacity: size + content.count)
        writer.append(type)
        writer.append(short: version)
        writer.vector(2) { $0.append(content) }
        return writer.bytes
    }
}

/// What a record carries (RFC 8446 §B.1).
enum RecordType {
    static let changeCipherSpec: UInt8 = 20
    static let alert: UInt8 = 21
    static let handshake: UInt8 = 22
    static let applicationData: UInt8 = 23
}

/// Alerts that are spoken here (RFC 8446 §6).
enum AlertDescription: UInt8, Error {
    case closeNotify = 0
    case unexpectedMessage = 10
    case badRecordMAC = 20
    case recordOverflow = 22
    case handshakeFailure = 40
    case illegalParameter = 47
    case decodeError = 50
    case decryptError = 51
    case protocolVersion = 70
    case internalError = 80
    case userCanceled = 90
    case noRenegotiation = 100
}
