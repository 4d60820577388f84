/// TDS packets and the messages they make up (MS-TDS 2.2.3).
enum TDSPacket {
    static let batch: UInt8 = 0x01
    static let loginPre70: UInt8 = 0x02
    static let tabularResult: UInt8 = 0x04
    static let login7: UInt8 = 0x10
    static let prelogin: UInt8 = 0x12

    static let headerSize = 8
    /// Before login no packet is longer.
    static let mostBeforeLogin = 4096

    /// A whole message: all packets up to the one that says it is the last.
    struct Message {
        var type: UInt8
        var payload: [UInt8]
        /// Bytes of the connection that it takes, headers included.
        var size: Int
        /// The longest packet of it.
        var packetSize: Int
    }

    /// What makes bytes no message.
    struct Malformed: Error {
        let reason: String
    }

    /// Reads the message at the beginning of what waits; nil when more bytes are needed.
    ///
    /// Nothing is copied before all of it is there: whoever sends it byte by byte makes only its heads be looked at again.
    ///
    /// - Parameter limit: bytes of payload at most.
    static func message(_ bytes: Span<UInt8>, limit: Int) throws(Malformed) -> Message? {
        guard let (size, count) = try measure(bytes, limit: limit) else { return nil }
        var message = Message(type: bytes[0], payload: [], size: size, packetSize: 0)
        message.payload.reserveCapacity(count)
        var offset = 0
        while offset < size {
            let length = length(bytes, offset)
            for index in offset + headerSize..<offset + length { message.payload.append(bytes[index]) }
            message.packetSize = max(message.packetSize, length)
            offset += length
        }
        return message
    }

    /// How many bytes the whole message takes, and how many of them are payload; nil when more are needed.
    private static func measure(
        _ bytes: Span<UInt8>,
        limit: Int
    ) throws(Malformed) -> (size: Int, payload: Int)? {
        var offset = 0
        var total = 0
        while bytes.count - offset >= headerSize {
            let length = length(bytes, offset)
            guard length >= headerSize else { throw Malformed(reason: "a packet shorter than its header") }
            if bytes[offset] != bytes[0] { throw Malformed(reason: "a message of two types") }
            total += length - headerSize
            guard total <= limit else { throw Malformed(reason: "a message that is too long") }
            // Packets without payload would make a message without end.
            let isLast = bytes[offset + 1] & 1 == 1
            guard length > headerSize || isLast else { throw Malformed(reason: "an empty packet") }
            guard bytes.count - offset >= length else { return nil }
            offset += length
            if isLast { return (offset, total) }
        }
        return nil
    }

    private static func length(_ bytes: Span<UInt8>, _ offset: Int) -> Int {
        Int(bytes[offset + 2]) << 8 | Int(bytes[offset + 3])
    }

    /// A message in packets of at most `packetSize` bytes.
    static func packets(_ type: UInt8, _ payload: [UInt8], packetSize: Int = mostBeforeLogin) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = payload[...]
        var id: UInt8 = 1
        repeat {
            let piece = rest.prefix(max(packetSize, 512) - headerSize)
            rest = rest.dropFirst(piece.count)
            bytes += [type, rest.isEmpty ? 1 : 0]
            bytes.appendBigEndian(piece.count + headerSize, count: 2)
            bytes += [0, 0, id, 0]
            bytes += piece
            id &+= 1
        } while !rest.isEmpty
        return bytes
    }
}
