/// What a peer may still say in the handshake's language (RFC 8446 §4.6): messages, in whatever pieces records bring them.
struct PostHandshakeMessages {
    /// What a message asks for.
    enum Demand {
        /// The peer's keys have changed from the next record on (§4.6.3).
        case updateKeys(isAskedToo: Bool)
        /// The peer wants another handshake (RFC 5246 §7.4.1).
        case renegotiate
        /// Something that nothing follows from: a ticket.
        case nothing
    }

    private let isServer: Bool
    private let isModern: Bool
    private var header = InlineArray<4, UInt8>(repeating: 0)
    private var headerCount = 0
    /// Bytes of the present message that have not come yet.
    private var left = 0

    /// - Parameter isModern: whether the version is 1.3.
    init(isServer: Bool, isModern: Bool) {
        self.isServer = isServer
        self.isModern = isModern
    }

    /// Whether the last record ended inside a message: then only the rest of it may follow (§5.1).
    var isInside: Bool { headerCount > 0 }

    /// Takes what a record holds.
    ///
    /// - Returns: what is demanded, the messages in their order.
    /// - Throws: the alert to be sent, for what may not be said.
    mutating func take(_ bytes: UnsafeBufferPointer<UInt8>) throws(AlertDescription) -> [Demand] {
        // RFC 8446 §5.1: none without content.
        guard !bytes.isEmpty else { throw .unexpectedMessage }
        var demands: [Demand] = []
        var position = 0
        while position < bytes.count {
            if headerCount < 4 {
                header[headerCount] = bytes[position]
                headerCount += 1
                position += 1
                guard headerCount == 4 else { continue }
                left = Int(header[1]) << 16 | Int(header[2]) << 8 | Int(header[3])
                try check()
                if left > 0 { continue }
            }
            let piece = min(left, bytes.count - position)
            left -= piece
            position += piece
            guard left == 0 else { break }
            headerCount = 0
            demands.append(try demand(last: piece > 0 ? bytes[position - 1] : 0, isAtEnd: position == bytes.count))
        }
        return demands
    }

    /// Whether the message that begins may come, and may be as long as it says.
    private func check() throws(AlertDescription) {
        switch header[0] {
        case MessageType.keyUpdate where isModern:
            if left != 1 { throw left > 1 ? .illegalParameter : .decodeError }
        // The longest: lifetime, age, nonce, ticket, extensions, each with its length.
        case MessageType.newSessionTicket where isModern && !isServer:
            if left > 4 + 4 + 1 + 255 + 2 + 65_535 + 2 + 65_535 { throw .decodeError }
        case MessageType.helloRequest where !isModern && !isServer: if left != 0 { throw .decodeError }
        case MessageType.clientHello where !isModern && isServer: if left > 131_072 { throw .decodeError }
        default: throw .unexpectedMessage
        }
    }

    /// What a whole message asks for.
    private func demand(last: UInt8, isAtEnd: Bool) throws(AlertDescription) -> Demand {
        switch header[0] {
        case MessageType.keyUpdate:
            // What is behind it in the same record would be under the old key.
            guard isAtEnd else { throw .unexpectedMessage }
            guard last <= 1 else { throw .illegalParameter }
            return .updateKeys(isAskedToo: last == 1)
        case MessageType.helloRequest, MessageType.clientHello: return .renegotiate
        default: return .nothing
        }
    }
}
