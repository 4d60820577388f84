/// What a peer's alerts mean (RFC 8446 §6, RFC 5246 §7.2).
struct AlertReader {
    private let isModern: Bool
    private var warnings = 0
    /// The library ends it there, too.
    private static let mostWarnings = 4

    /// What follows an alert that breaks nothing.
    enum Meaning {
        /// The peer's stream has ended.
        case end
        /// Nothing.
        case warning
    }

    /// - Parameter isModern: whether the version is 1.3.
    init(isModern: Bool) { self.isModern = isModern }

    /// Takes what an alert's record holds.
    ///
    /// - Throws: for an alert that is fatal, is none, or is one warning too many.
    mutating func take(_ content: UnsafeBufferPointer<UInt8>) throws(HandshakeRefusal) -> Meaning {
        guard content.count == 2 else { throw HandshakeRefusal(.unexpectedMessage, "invalid alert") }
        guard isModern || (1...2).contains(content[0]) else {
            throw HandshakeRefusal(.illegalParameter, "unknown alert type")
        }
        let description = AlertDescription(rawValue: content[1])
        if description == .closeNotify { return .end }
        // RFC 8446 §6: the level means nothing any more.
        let isWarning = isModern ? description == .userCanceled : content[0] == 1
        if isWarning, description == .noRenegotiation { throw HandshakeRefusal(.handshakeFailure, "no renegotiation") }
        guard isWarning else { throw HandshakeRefusal(endedBy: .handshake(TLSError.text(alert: content[1]))) }
        try count()
        return .warning
    }

    /// Counts what brings nobody further.
    mutating func count() throws(HandshakeRefusal) {
        warnings += 1
        guard warnings <= Self.mostWarnings else { throw HandshakeRefusal(.unexpectedMessage, "too many warnings") }
    }

    /// The same while hands are shaken, where the end is one.
    mutating func takeEarly(_ content: [UInt8]) throws(HandshakeRefusal) {
        var meaning = Meaning.warning
        try content.withUnsafeBufferPointer { content throws(HandshakeRefusal) in meaning = try take(content) }
        if case .end = meaning { throw HandshakeRefusal(endedBy: .closed) }
    }
}
