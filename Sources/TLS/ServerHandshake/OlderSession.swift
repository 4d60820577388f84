/// A session of TLS 1.2 that a client offers and that goes on (RFC 5077 §3.1).
final class OlderSession {
    let suite: CipherSuite
    let ticket: SessionTicket
    let secrets = HandshakeSecrets()

    /// - Returns: nil for none, or one that is not ours or not to be used here: the client gets a handshake without it.
    init?(_ terms: HandshakeTerms) {
        let hello = terms.hello
        let context = terms.choice.context
        guard let range = hello.ticket, !range.isEmpty,
            let session = SessionTicket.open(
                hello.message[range],
                rules: context.sessionRules,
                keys: context.tickets,
                into: secrets.room(.master, OlderKeys.masterSize)
            ),
            !session.isModern, session.secretCount == OlderKeys.masterSize,
            let suite = CipherSuite.older.first(where: { $0.number == session.suite }),
            hello.has(suite.number, in: hello.suites)
        else { return nil }
        self.suite = suite
        ticket = session
    }
}
