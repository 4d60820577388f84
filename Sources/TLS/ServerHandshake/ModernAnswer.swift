import COpenSSL

/// A server's part in a handshake of TLS 1.3 (RFC 8446 §2): everything is said in one flight, and the client's Finished,
/// which is known from then on, is waited for.
final class ModernAnswer: HandshakeAnswer {
    let terms: HandshakeTerms
    let isResumed: Bool
    private let secrets: HandshakeSecrets
    private let size: Int
    /// The client's handshake, and both directions of the traffic behind it.
    private var handshakeReading: RecordProtection?
    private var reading: RecordProtection?
    private var writing: RecordProtection?
    private var output: [UInt8]
    /// The client's Finished, as far as it has come.
    private var message: [UInt8] = []
    private var hasEncrypted = false
    /// Records that mean nothing (RFC 8446 §5).
    private var ignored = 0
    private var alerts = AlertReader(isModern: true)
    private let ageAdd: [UInt8]
    private let ticketSeed: [UInt8]

    private static let mostIgnored = 32
    /// A Finished that claims to be longer has no digest in it.
    private static let longestFinished = 64

    /// Builds the flight; nil when the library fails.
    init?(_ terms: HandshakeTerms) throws(HandshakeRefusal) {
        guard let flight = try ModernFlight(terms) else { return nil }
        self.terms = terms
        secrets = flight.secrets
        size = flight.size
        isResumed = flight.isResumed
        output = flight.output
        ageAdd = flight.ageAdd
        ticketSeed = flight.ticketSeed
        let cipher = terms.suite.cipher
        func protect(_ slot: HandshakeSecrets.Slot, isSealing: Bool) -> RecordProtection? {
            RecordProtection.modern(cipher, isSealing: isSealing, secret: secrets.bytes(slot, size))
        }
        handshakeReading = protect(.clientHandshake, isSealing: false)
        reading = protect(.clientTraffic, isSealing: false)
        writing = protect(.serverTraffic, isSealing: true)
        guard handshakeReading != nil, reading != nil, writing != nil else { return nil }
    }

    func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }

    // MARK: the client's Finished

    func check(_ header: RecordHeader) throws(HandshakeRefusal) -> Int {
        guard header.version == RecordHeader.version else {
            let isOther = header.version >> 8 != RecordHeader.version >> 8
            throw HandshakeRefusal(isOther ? .protocolVersion : .decodeError, .notTLS)
        }
        let most: Int
        switch header.type {
        case RecordType.applicationData:
            guard header.length > RecordCipher.tagSize else {
                throw HandshakeRefusal(.badRecordMAC, "record too short")
            }
            most = RecordHeader.mostPlain + 256
        // In plain, nothing but a word without meaning and an alert may come.
        case RecordType.changeCipherSpec, RecordType.alert: most = RecordHeader.mostPlain
        default: throw HandshakeRefusal(.unexpectedMessage, "unexpected record type \(header.type)")
        }
        guard header.length <= most else { throw HandshakeRefusal(.recordOverflow, "record too long") }
        return RecordHeader.size + header.length
    }

    func take(_ header: RecordHeader, _ record: [UInt8]) throws(HandshakeRefusal) -> Bool {
        switch header.type {
        case RecordType.changeCipherSpec:
            guard header.length == 1, record[RecordHeader.size] == 1 else {
                throw HandshakeRefusal(.unexpectedMessage, "bad change cipher spec")
            }
            guard message.isEmpty else {
                throw HandshakeRefusal(.unexpectedMessage, "unexpected record type \(header.type)")
            }
            ignored += 1
            guard ignored <= Self.mostIgnored else {
                throw HandshakeRefusal(.unexpectedMessage, "too many empty records")
            }
            return false
        case RecordType.alert:
            guard !hasEncrypted else {
                throw HandshakeRefusal(.unexpectedMessage, "unexpected record type \(header.type)")
            }
            try alerts.takeEarly(Array(record.dropFirst(RecordHeader.size)))
            return false
        default:
            let (type, content) = try open(record)
            switch type {
            case RecordType.handshake: return try take(content)
            case RecordType.alert:
                guard message.isEmpty else {
                    throw HandshakeRefusal(.unexpectedMessage, "an alert inside a handshake message")
                }
                try alerts.takeEarly(content)
                return false
            default: throw HandshakeRefusal(.unexpectedMessage, "unexpected record type \(type)")
            }
        }
    }

    private func open(_ record: [UInt8]) throws(HandshakeRefusal) -> (UInt8, [UInt8]) {
        guard let (type, content) = handshakeReading?.opened(record) else {
            everyhop_forget_errors()
            throw HandshakeRefusal(.badRecordMAC, "decryption failed or bad record mac")
        }
        guard content.count <= RecordHeader.mostPlain else {
            throw HandshakeRefusal(.recordOverflow, "record too long")
        }
        hasEncrypted = true
        return (type, content)
    }

    private func take(_ content: [UInt8]) throws(HandshakeRefusal) -> Bool {
        guard !content.isEmpty else { throw HandshakeRefusal(.unexpectedMessage, "a handshake record without content") }
        message += content
        let head = 4
        guard message.count >= head else { return false }
        guard message[0] == MessageType.finished else {
            throw HandshakeRefusal(.unexpectedMessage, "unexpected handshake message")
        }
        let length = message[1..<head].reduce(0) { $0 << 8 | Int($1) }
        guard length <= Self.longestFinished else {
            throw HandshakeRefusal(.illegalParameter, "excessive message size")
        }
        guard message.count >= head + length else { return false }
        // The keys change behind it, which is the end of a record (RFC 8446 §5.1).
        guard message.count == head + length else {
            throw HandshakeRefusal(.unexpectedMessage, "not on record boundary")
        }
        guard length == size else { throw HandshakeRefusal(.decodeError, "bad digest length") }
        let expected = secrets.bytes(.expected, size)
        let isRight = message.withUnsafeBytes {
            CRYPTO_memcmp($0.baseAddress.map { $0 + head }, expected.baseAddress, size)
        }
        guard isRight == 0 else { throw HandshakeRefusal(.decryptError, "digest check failed") }
        handshakeReading = nil
        return true
    }

    // MARK: the end

    func alert(_ alert: AlertDescription) -> [UInt8] { seal(RecordType.alert, [2, alert.rawValue]) }

    private func seal(_ type: UInt8, _ content: [UInt8]) -> [UInt8] { writing?.sealed(type, content) ?? [] }

    func start(_ traffic: TrafficSecrets) -> RecordLayer.Start? {
        guard let reading = reading.take(), let writing = writing.take() else { return nil }
        traffic.keep(secrets.bytes(.clientTraffic, size), of: .client)
        traffic.keep(secrets.bytes(.serverTraffic, size), of: .server)
        return RecordLayer.Start(
            isServer: true,
            isModern: true,
            reading: reading,
            writing: writing,
            tickets: nil,
            mostPlain: RecordHeader.mostPlain
        )
    }

    /// NewSessionTicket (RFC 8446 §4.6.1).
    func lastMessage() -> [UInt8] {
        guard terms.hello.resumesWithKey else { return [] }
        let ticket = SessionTicket.seal(
            isModern: true,
            suite: terms.suite.number,
            secret: secrets.bytes(.resumption, size),
            rules: terms.choice.context.sessionRules,
            seed: ticketSeed,
            keys: terms.choice.context.tickets
        )
        guard let ticket else {
            everyhop_forget_errors()
            return []
        }
        var writer = MessageWriter(capacity: ticket.count + 32)
        writer.message(MessageType.newSessionTicket) { writer in
            writer.append(word: SessionTicket.lifetime)
            writer.append(ageAdd)
            writer.vector(1) { $0.append(ModernFlight.ticketNumber) }
            writer.vector(2) { $0.append(ticket) }
            writer.vector(2) { _ in }
        }
        return writer.bytes
    }
}
