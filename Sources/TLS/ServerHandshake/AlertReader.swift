/// What a client's alerts mean while hands are shaken (RFC 8446 §6, RFC 5246 §7.2).
struct AlertReader {
    private let isModern: Bool
    private var warnings = 0
    private static let mostWarnings = 5

    /// - Parameter isModern: whether the version is 1.3.
    init(isModern: Bool) { self.isModern = isModern }

    /// Takes what an alert's record holds.
    ///
    /// - Throws: for the end of the handshake; a warning that ends nothing is counted.
    mutating func take(_ content: [UInt8]) throws(HandshakeRefusal) {
        guard content.count == 2 else { throw HandshakeRefusal(.unexpectedMessage, "invalid alert") }
        guard isModern || (1...2).contains(content[0]) else {
            throw HandshakeRefusal(.illegalParameter, "unknown alert type")
        }
        let description = AlertDescription(rawValue: content[1])
        if description == .closeNotify { throw HandshakeRefusal(endedBy: .closed) }
        // RFC 8446 §6: the level means nothing any more.
        let isWarning = isModern ? description == .userCanceled : content[0] == 1
        if isWarning, description == .noRenegotiation { throw HandshakeRefusal(.handshakeFailure, "no renegotiation") }
        guard isWarning else { throw HandshakeRefusal(endedBy: .handshake(TLSError.text(alert: content[1]))) }
        warnings += 1
        guard warnings <= Self.mostWarnings else { throw HandshakeRefusal(.unexpectedMessage, "too many warnings") }
    }
}
