import COpenSSL

/// A server's flight in TLS 1.3, from ServerHello to Finished, with all secrets that come of it (RFC 8446 §4 and §7.1).
///
/// The client's Finished depends on nothing that is not known here, so what comes behind it is derived here too.
final class ModernFlight {
    let secrets = HandshakeSecrets()
    /// Bytes of a digest.
    let size: Int
    private(set) var isResumed = false
    /// Records, ready to be sent.
    private(set) var output: [UInt8] = []
    /// Of the ticket that will follow: what its age is hidden with, and what it is sealed with.
    let ageAdd: [UInt8]
    let ticketSeed: [UInt8]

    /// One ticket in each connection: it has no other number.
    static let ticketNumber: UInt8 = 0

    private let terms: HandshakeTerms
    private let schedule: KeySchedule
    private let transcript: Transcript
    private let random: ArraySlice<UInt8>
    /// Which of the client's offers goes on.
    private var accepted: UInt16 = 0

    /// Offers that are looked at.
    private static let mostOffers = 4

    /// - Returns: nil when the library fails, or is to say what is wrong.
    /// - Throws: for a client that offers a session whose secret it does not know.
    init?(_ terms: HandshakeTerms) throws(HandshakeRefusal) {
        guard let schedule = KeyDerivation.schedule(terms.suite.hash),
            let transcript = KeyDerivation.transcript(terms.suite.hash)
        else { return nil }
        self.terms = terms
        self.schedule = schedule
        self.transcript = transcript
        size = schedule.size
        let (randomSize, ageSize) = (32, 4)
        var bytes = [UInt8](repeating: 0, count: randomSize + ageSize + SessionTicket.seedSize)
        guard RAND_bytes(&bytes, CInt(clamping: bytes.count)) == 1 else { return nil }
        random = bytes[..<randomSize]
        ageAdd = Array(bytes[randomSize..<(randomSize + ageSize)])
        ticketSeed = Array(bytes.suffix(SessionTicket.seedSize))
        guard try resume(), begin(), build() else { return nil }
    }

    // MARK: a session that goes on

    /// Takes the first offer that is ours, if there is one.
    private func resume() throws(HandshakeRefusal) -> Bool {
        let zeros = secrets.bytes(.derived, size)
        let hello = terms.hello
        guard hello.resumesWithKey, let offers = hello.offers else {
            return schedule.extract(salt: zeros, secret: zeros, into: secrets.room(.early, size))
        }
        var identities = MessageReader(hello.message, in: offers.identities)
        var binders = MessageReader(hello.message, in: offers.binders)
        let context = terms.choice.context
        for index in 0..<Self.mostOffers {
            guard let identity = identities.vector(), identities.take(4) != nil else { break }
            let binder = binders.shortVector()
            let room = secrets.room(.shared, HandshakeSecrets.longest)
            let session = SessionTicket.open(
                hello.message[identity],
                rules: context.sessionRules,
                keys: context.tickets,
                into: room
            )
            guard let session, session.isModern, session.secretCount == size else { continue }
            isResumed = true
            accepted = UInt16(index)
            let early = secrets.room(.early, size)
            guard schedule.extract(salt: zeros, secret: secrets.bytes(.shared, size), into: early) else { return false }
            guard offers.isPaired, let binder, isBound(binder, to: offers.boundCount) else {
                throw HandshakeRefusal(.illegalParameter, "binder does not verify")
            }
            return true
        }
        // What is wrong with sessions that are not ours is for the library to say.
        return offers.isPaired && schedule.extract(salt: zeros, secret: zeros, into: secrets.room(.early, size))
    }

    /// Whether whoever offers the session knows its secret (RFC 8446 §4.2.11.2).
    private func isBound(_ binder: Range<Int>, to count: Int) -> Bool {
        guard binder.count == size, transcript.begin(), transcript.digest(into: secrets.room(.otherDigest, size)),
            expand(.early, "res binder", .otherDigest, into: .derived),
            transcript.add(terms.hello.message[..<count]), authenticate(by: .derived)
        else { return false }
        let expected = secrets.bytes(.expected, size)
        return terms.hello.message[binder].withUnsafeBytes {
            CRYPTO_memcmp($0.baseAddress, expected.baseAddress, size) == 0
        }
    }

    // MARK: ServerHello

    /// Agrees on a key, and says so: the first secrets.
    private func begin() -> Bool {
        guard transcript.begin(), transcript.add(terms.hello.message), let key = agree() else { return false }
        let hello = serverHello(key)
        guard transcript.add(hello), transcript.digest(into: secrets.room(.digest, size)), deriveNext(.early) else {
            return false
        }
        let isDone =
            schedule.extract(
                salt: secrets.bytes(.derived, size),
                secret: secrets.bytes(.shared, Curve25519.size),
                into: secrets.room(.handshake, size)
            )
            && expand(.handshake, "c hs traffic", .digest, into: .clientHandshake)
            && expand(.handshake, "s hs traffic", .digest, into: .serverHandshake)
        guard isDone else { return false }
        output.reserveCapacity(4096)
        output += RecordHeader.plainRecord(RecordType.handshake, hello)
        // For whoever between us and the client takes this for an older version (RFC 8446 §D.4).
        if !terms.hello.sessionID.isEmpty { output += RecordHeader.plainRecord(RecordType.changeCipherSpec, [1]) }
        return true
    }

    /// Makes a key and what both share; our public key.
    private func agree() -> [UInt8]? {
        guard let theirs = terms.hello.key, let key = secrets.makeKey(),
            secrets.agree(with: terms.hello.message[theirs])
        else { return nil }
        return key
    }

    private func serverHello(_ key: [UInt8]) -> [UInt8] {
        var writer = MessageWriter(capacity: 160)
        writer.message(MessageType.serverHello) { writer in
            writer.append(short: ClientHello.version)
            writer.append(random)
            writer.vector(1) { $0.append(terms.hello.message[terms.hello.sessionID]) }
            writer.append(short: terms.suite.number)
            writer.append(0)
            writer.vector(2) { writer in
                writer.field(ExtensionType.supportedVersions) { $0.append(short: ClientHello.modernVersion) }
                writer.field(ExtensionType.keyShare) { writer in
                    writer.append(short: ClientHello.x25519)
                    writer.vector(2) { $0.append(key) }
                }
                if isResumed { writer.field(ExtensionType.preSharedKey) { $0.append(short: accepted) } }
            }
        }
        return writer.bytes
    }

    // MARK: the rest, which is encrypted

    private func build() -> Bool {
        var messages = encryptedExtensions()
        guard transcript.add(messages) else { return false }
        if !isResumed {
            let certificate = certificate()
            guard transcript.add(certificate), let proof = certificateVerify(), transcript.add(proof) else {
                return false
            }
            messages += certificate
            messages += proof
        }
        guard let finished = finished(of: .serverHandshake), transcript.add(finished) else { return false }
        messages += finished
        return seal(messages) && deriveTraffic() && deriveResumption()
    }

    private func encryptedExtensions() -> [UInt8] {
        var writer = MessageWriter()
        writer.message(MessageType.encryptedExtensions) { writer in
            writer.vector(2) { writer in
                // RFC 6066 §3: the name has been used.
                if terms.hello.serverName != nil { writer.field(ExtensionType.serverName) { _ in } }
                guard let alpn = terms.alpn else { return }
                writer.field(ExtensionType.protocolNegotiation) { writer in
                    writer.vector(2) { writer in writer.vector(1) { $0.append(alpn) } }
                }
            }
        }
        return writer.bytes
    }

    private func certificate() -> [UInt8] {
        var writer = MessageWriter(capacity: 4096)
        writer.message(MessageType.certificate) { writer in
            // No context: nobody was asked.
            writer.append(0)
            writer.vector(3) { writer in
                for (index, certificate) in terms.identity.certificates.enumerated() {
                    writer.vector(3) { $0.append(certificate) }
                    writer.vector(2) { writer in
                        guard index == 0, let staple = terms.staple else { return }
                        writer.field(ExtensionType.statusRequest) { writer in
                            writer.append(1)
                            writer.vector(3) { $0.append(staple) }
                        }
                    }
                }
            }
        }
        return writer.bytes
    }

    private func certificateVerify() -> [UInt8]? {
        let label = "TLS 1.3, server CertificateVerify"
        guard transcript.digest(into: secrets.room(.digest, size)) else { return nil }
        var signed = MessageWriter(capacity: 160)
        signed.append(repeatElement(0x20, count: 64))
        signed.append(label.utf8)
        signed.append(0)
        signed.append(secrets.bytes(.digest, size))
        guard let signature = terms.signer.sign(message: signed.bytes) else { return nil }
        var writer = MessageWriter(capacity: signature.count + 8)
        writer.message(MessageType.certificateVerify) { writer in
            writer.append(short: terms.signer.scheme.rawValue)
            writer.vector(2) { $0.append(signature) }
        }
        return writer.bytes
    }

    /// Finished of whoever has a secret, over the transcript so far (RFC 8446 §4.4.4).
    private func finished(of slot: HandshakeSecrets.Slot) -> [UInt8]? {
        guard authenticate(by: slot) else { return nil }
        var writer = MessageWriter()
        writer.message(MessageType.finished) { $0.append(secrets.bytes(.expected, size)) }
        return writer.bytes
    }

    /// Leaves in `expected` what whoever has a secret makes of the transcript so far.
    private func authenticate(by slot: HandshakeSecrets.Slot) -> Bool {
        transcript.digest(into: secrets.room(.digest, size)) && expand(slot, "finished", nil, into: .finishedKey)
            && schedule.extract(
                salt: secrets.bytes(.finishedKey, size),
                secret: secrets.bytes(.digest, size),
                into: secrets.room(.expected, size)
            )
    }

    private func seal(_ messages: [UInt8]) -> Bool {
        let protection = RecordProtection.modern(
            terms.suite.cipher,
            isSealing: true,
            secret: secrets.bytes(.serverHandshake, size)
        )
        guard var protection, messages.count <= RecordHeader.mostPlain else { return false }
        let record = protection.sealed(RecordType.handshake, messages)
        output += record
        return !record.isEmpty
    }

    // MARK: secrets

    private func deriveTraffic() -> Bool {
        guard deriveNext(.handshake) else { return false }
        let zeros = secrets.room(.otherDigest, size)
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        return schedule.extract(
            salt: secrets.bytes(.derived, size),
            secret: UnsafeRawBufferPointer(zeros),
            into: secrets.room(.master, size)
        )
            && transcript.digest(into: secrets.room(.digest, size))
            && expand(.master, "c ap traffic", .digest, into: .clientTraffic)
            && expand(.master, "s ap traffic", .digest, into: .serverTraffic)
    }

    /// Leaves the client's Finished in `expected`, and what the next session begins with.
    private func deriveResumption() -> Bool {
        guard let finished = finished(of: .clientHandshake) else { return false }
        guard terms.hello.resumesWithKey else { return true }
        guard transcript.add(finished), transcript.digest(into: secrets.room(.digest, size)),
            expand(.master, "res master", .digest, into: .derived)
        else { return false }
        let number = [Self.ticketNumber]
        return number.withUnsafeBytes {
            schedule.expand(
                secret: secrets.bytes(.derived, size),
                label: "resumption",
                context: $0,
                into: secrets.room(.resumption, size)
            )
        }
    }

    /// What the next stage is extracted with.
    private func deriveNext(_ slot: HandshakeSecrets.Slot) -> Bool {
        schedule.digestOfNothing(into: secrets.room(.otherDigest, size))
            && expand(slot, "derived", .otherDigest, into: .derived)
    }

    private func expand(
        _ slot: HandshakeSecrets.Slot,
        _ label: StaticString,
        _ context: HandshakeSecrets.Slot?,
        into target: HandshakeSecrets.Slot
    ) -> Bool {
        schedule.expand(
            secret: secrets.bytes(slot, size),
            label: label,
            context: context.map { secrets.bytes($0, size) } ?? UnsafeRawBufferPointer(start: nil, count: 0),
            into: secrets.room(target, size)
        )
    }
}
