import COpenSSL

/// A server's part in a handshake of TLS 1.2 (RFC 5246 §7.3), with ephemeral X25519 and the extended master secret.
final class OlderAnswer: HandshakeAnswer {
    private enum Stage {
        /// Next: changeCipher.
        case keyExchange
        /// Next: finished.
        case changeCipher
        /// The end.
        case finished
    }

    private(set) var terms: HandshakeTerms
    private(set) var isResumed = false
    private var stage: Stage
    private let keys: OlderKeys
    private var reading: RecordProtection?
    private var writing: RecordProtection?
    /// Whether what is written is encrypted from now on.
    private var hasChanged = false
    private var output: [UInt8] = []
    /// The client's message, as far as it has come.
    private var message: [UInt8] = []
    private var alerts = AlertReader(isModern: false)
    /// The session that goes on.
    private let session: SessionTicket?
    private let random: [UInt8]
    private let ticketSeed: [UInt8]

    /// What says that the server could have spoken a newer version (RFC 8446 §4.1.3): "DOWNGRD", 1.
    private static let downgrade: [UInt8] = [0x44, 0x4F, 0x57, 0x4E, 0x47, 0x52, 0x44, 0x01]
    private static let messageHead = 4
    private static let longestKeyExchange = 2048
    private static let longestFinished = 64

    /// Builds the first flight; nil when the library fails.
    init?(_ terms: HandshakeTerms) {
        let randomSize = 32 - Self.downgrade.count
        var bytes = [UInt8](repeating: 0, count: randomSize + SessionTicket.seedSize)
        guard RAND_bytes(&bytes, CInt(clamping: bytes.count)) == 1 else { return nil }
        random = bytes[..<randomSize] + Self.downgrade
        ticketSeed = Array(bytes.suffix(SessionTicket.seedSize))
        let session = OlderSession(terms)
        self.session = session?.ticket
        var terms = terms
        if let session { terms.suite = session.suite }
        self.terms = terms
        guard let keys = OlderKeys(terms.suite.hash, client: terms.hello.message[terms.hello.random], server: random),
            keys.add(terms.hello.message)
        else { return nil }
        self.keys = keys
        stage = session == nil ? .keyExchange : .changeCipher
        if let session {
            isResumed = true
            keys.goOn(with: session)
            guard resume(renewing: session.ticket.isOld) else { return nil }
        } else {
            guard greet() else { return nil }
        }
    }

    func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }

    // MARK: what the server says

    /// ServerHello to ServerHelloDone.
    private func greet() -> Bool {
        guard let key = keys.secrets.makeKey() else { return false }
        var parameters = MessageWriter(capacity: 64)
        // A named curve (RFC 8422 §5.4).
        parameters.append(3)
        parameters.append(short: ClientHello.x25519)
        parameters.vector(1) { $0.append(key) }
        let signed = terms.hello.message[terms.hello.random] + random + parameters.bytes
        guard let signature = terms.signer.sign(message: Array(signed)) else { return false }
        var writer = MessageWriter(capacity: 4096)
        appendHello(&writer, hasTicket: terms.hello.ticket != nil)
        writer.message(MessageType.certificate) { writer in
            writer.vector(3) { writer in
                for certificate in terms.identity.certificates { writer.vector(3) { $0.append(certificate) } }
            }
        }
        if let staple = terms.staple {
            writer.message(MessageType.certificateStatus) { writer in
                writer.append(1)
                writer.vector(3) { $0.append(staple) }
            }
        }
        writer.message(MessageType.serverKeyExchange) { writer in
            writer.append(parameters.bytes)
            writer.append(short: terms.signer.scheme.rawValue)
            writer.vector(2) { $0.append(signature) }
        }
        writer.message(MessageType.serverHelloDone) { _ in }
        return say(writer.bytes)
    }

    private func appendHello(_ writer: inout MessageWriter, hasTicket: Bool) {
        let hello = terms.hello
        writer.message(MessageType.serverHello) { writer in
            writer.append(short: RecordHeader.version)
            writer.append(random)
            // The client sees by its own number that its session goes on (RFC 5077 §3.4).
            writer.vector(1) { if isResumed { $0.append(hello.message[hello.sessionID]) } }
            writer.append(short: terms.suite.number)
            writer.append(0)
            writer.vector(2) { writer in
                if hello.serverName != nil, !isResumed { writer.field(ExtensionType.serverName) { _ in } }
                if terms.staple != nil, !isResumed { writer.field(ExtensionType.statusRequest) { _ in } }
                if hello.hasPointFormats {
                    writer.field(ExtensionType.pointFormats) { writer in writer.vector(1) { $0.append(0) } }
                }
                if let alpn = terms.alpn {
                    writer.field(ExtensionType.protocolNegotiation) { writer in
                        writer.vector(2) { writer in writer.vector(1) { $0.append(alpn) } }
                    }
                }
                writer.field(ExtensionType.extendedMasterSecret) { _ in }
                if hasTicket { writer.field(ExtensionType.sessionTicket) { _ in } }
                writer.field(ExtensionType.renegotiationInfo) { $0.append(0) }
            }
        }
    }

    /// All that a server says whose client's session goes on.
    private func resume(renewing: Bool) -> Bool {
        var writer = MessageWriter(capacity: 512)
        appendHello(&writer, hasTicket: renewing)
        guard say(writer.bytes), protect() else { return false }
        return finish(withTicket: renewing)
    }

    private func protect() -> Bool {
        guard let protections = keys.protect(terms.suite.cipher) else { return false }
        reading = protections.takeReading()
        writing = protections.takeWriting()
        return reading != nil && writing != nil
    }

    /// What the server ends with: a ticket, the word that all that follows is encrypted, and Finished.
    private func finish(withTicket: Bool) -> Bool {
        if withTicket {
            guard let ticket = ticket(), say(ticket) else { return false }
        }
        output += RecordHeader.plainRecord(RecordType.changeCipherSpec, [1])
        guard let digest = keys.finished("server finished") else { return false }
        var writer = MessageWriter()
        writer.message(MessageType.finished) { $0.append(digest) }
        guard keys.add(writer.bytes) else { return false }
        hasChanged = true
        let record = seal(RecordType.handshake, writer.bytes)
        output += record
        return !record.isEmpty
    }

    /// NewSessionTicket (RFC 5077 §3.3).
    private func ticket() -> [UInt8]? {
        let context = terms.choice.context
        let ticket = SessionTicket.seal(
            isModern: false,
            suite: terms.suite.number,
            made: session?.made ?? SessionTicket.now,
            secret: keys.master,
            rules: context.sessionRules,
            seed: ticketSeed,
            keys: context.tickets
        )
        guard let ticket else { return nil }
        var writer = MessageWriter(capacity: ticket.count + 16)
        writer.message(MessageType.newSessionTicket) { writer in
            // The same secret as before is not good for longer than before.
            writer.append(word: session?.rest ?? SessionTicket.lifetime)
            writer.vector(2) { $0.append(ticket) }
        }
        return writer.bytes
    }

    private func say(_ messages: [UInt8]) -> Bool {
        guard messages.count <= RecordHeader.mostPlain, keys.add(messages) else { return false }
        output += RecordHeader.plainRecord(RecordType.handshake, messages)
        return true
    }

    // MARK: what the client says

    func check(_ header: RecordHeader) throws(HandshakeRefusal) -> Int {
        guard header.version == RecordHeader.version else {
            throw HandshakeRefusal(.protocolVersion, .notTLS)
        }
        if stage == .finished {
            guard let count = reading?.plainCount(of: header.length) else {
                throw HandshakeRefusal(.badRecordMAC, "record too short")
            }
            guard count <= RecordHeader.mostPlain else { throw HandshakeRefusal(.recordOverflow, "record too long") }
        } else {
            guard header.length <= RecordHeader.mostPlain else {
                throw HandshakeRefusal(.recordOverflow, "record too long")
            }
        }
        return RecordHeader.size + header.length
    }

    func take(_ header: RecordHeader, _ record: [UInt8]) throws(HandshakeRefusal) -> Bool {
        let content = stage == .finished ? try open(record) : Array(record.dropFirst(RecordHeader.size))
        // Nothing comes between that word and Finished.
        guard stage != .finished || header.type == RecordType.handshake else {
            throw HandshakeRefusal(.unexpectedMessage, "data between ccs and finished")
        }
        switch header.type {
        case RecordType.alert:
            guard message.isEmpty else {
                throw HandshakeRefusal(.unexpectedMessage, "an alert inside a handshake message")
            }
            try alerts.takeEarly(content)
            return false
        case RecordType.changeCipherSpec:
            guard stage == .changeCipher, message.isEmpty, content == [1] else {
                throw HandshakeRefusal(.unexpectedMessage, "bad change cipher spec")
            }
            stage = .finished
            return false
        case RecordType.handshake:
            guard !content.isEmpty, stage != .changeCipher else {
                throw HandshakeRefusal(.unexpectedMessage, "unexpected handshake message")
            }
            message += content
            return stage == .keyExchange ? try takeKeyExchange() : try takeFinished()
        default: throw HandshakeRefusal(.unexpectedMessage, "unexpected record type \(header.type)")
        }
    }

    private func open(_ record: [UInt8]) throws(HandshakeRefusal) -> [UInt8] {
        guard let content = reading?.opened(record)?.content else {
            everyhop_forget_errors()
            throw HandshakeRefusal(.badRecordMAC, "decryption failed or bad record mac")
        }
        return content
    }

    /// The message when it is whole, which has to end the record.
    private func whole(_ type: UInt8, longest: Int) throws(HandshakeRefusal) -> [UInt8]? {
        guard message.count >= Self.messageHead else { return nil }
        guard message[0] == type else { throw HandshakeRefusal(.unexpectedMessage, "unexpected handshake message") }
        let length = message[1..<Self.messageHead].reduce(0) { $0 << 8 | Int($1) }
        guard length <= longest else { throw HandshakeRefusal(.illegalParameter, "excessive message size") }
        guard message.count >= Self.messageHead + length else { return nil }
        guard message.count == Self.messageHead + length else {
            throw HandshakeRefusal(.unexpectedMessage, "unexpected handshake message")
        }
        defer { message = [] }
        return message
    }

    /// ClientKeyExchange (RFC 8422 §5.7): the keys come of it.
    private func takeKeyExchange() throws(HandshakeRefusal) -> Bool {
        guard let message = try whole(MessageType.clientKeyExchange, longest: Self.longestKeyExchange) else {
            return false
        }
        let start = Self.messageHead + 1
        guard message.count >= start, message.count == start + Int(message[start - 1]) else {
            throw HandshakeRefusal(.decodeError, "length mismatch")
        }
        guard message.count == start + Curve25519.size, keys.add(message), keys.agree(with: message[start...]) else {
            throw HandshakeRefusal(.illegalParameter, "bad key share")
        }
        guard protect() else { throw HandshakeRefusal(.internalError, "keys could not be derived") }
        stage = .changeCipher
        return false
    }

    private func takeFinished() throws(HandshakeRefusal) -> Bool {
        guard let message = try whole(MessageType.finished, longest: Self.longestFinished) else { return false }
        guard message.count == Self.messageHead + OlderKeys.finishedSize else {
            throw HandshakeRefusal(.decodeError, "bad digest length")
        }
        guard let expected = keys.finished("client finished") else {
            throw HandshakeRefusal(.internalError, "keys could not be derived")
        }
        let isRight = message.withUnsafeBytes { message in
            expected.withUnsafeBytes { expected in
                CRYPTO_memcmp(
                    message.baseAddress.map { $0 + Self.messageHead },
                    expected.baseAddress,
                    OlderKeys.finishedSize
                )
            }
        }
        guard isRight == 0 else { throw HandshakeRefusal(.decryptError, "digest check failed") }
        if isResumed { return true }
        guard keys.add(message), finish(withTicket: terms.hello.ticket != nil) else {
            throw HandshakeRefusal(.internalError, "keys could not be derived")
        }
        return true
    }

    // MARK: the end

    func alert(_ alert: AlertDescription) -> [UInt8] {
        let content = [2, alert.rawValue]
        return hasChanged ? seal(RecordType.alert, content) : RecordHeader.plainRecord(RecordType.alert, content)
    }

    private func seal(_ type: UInt8, _ content: [UInt8]) -> [UInt8] { writing?.sealed(type, content) ?? [] }

    func start(_ traffic: TrafficSecrets) -> RecordLayer.Start? {
        guard let reading = reading.take(), let writing = writing.take() else { return nil }
        return RecordLayer.Start(
            isServer: true,
            isModern: false,
            reading: reading,
            writing: writing,
            tickets: nil,
            mostPlain: RecordHeader.mostPlain
        )
    }

    func lastMessage() -> [UInt8] { [] }
}
