import COpenSSL

/// A session of TLS 1.2 that a client offers and that goes on (RFC 5077 §3.1).
final class OlderSession {
    let suite: CipherSuite
    /// Whether its ticket is of a key that has been replaced.
    let isOld: Bool
    let secrets = HandshakeSecrets()

    /// - Returns: nil for none, or one that is not ours or not to be used here: the client gets a handshake without it.
    init?(_ terms: HandshakeTerms) {
        let hello = terms.hello
        let context = terms.choice.context
        guard let range = hello.ticket, !range.isEmpty, !hello.sessionID.isEmpty,
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
        isOld = session.isOld
    }
}

/// The keys of a handshake of TLS 1.2 (RFC 5246 §8, RFC 7627), and the messages that they come of.
final class OlderKeys {
    static let masterSize = 48
    /// Bytes of the digest in Finished.
    static let finishedSize = 12
    /// What AES-GCM begins its nonces with (RFC 5288 §3).
    private static let saltSize = 4

    private var secrets = HandshakeSecrets()
    private let schedule: KeySchedule
    private let transcript: Transcript
    private let client: [UInt8]
    private let server: [UInt8]

    /// - Parameters:
    ///   - client: the client's random bytes.
    ///   - server: the server's.
    /// - Returns: nil when the library fails.
    init?(_ hash: KeySchedule.Hash, client: ArraySlice<UInt8>, server: [UInt8]) {
        // Of its own: others shake hands while this client thinks.
        guard let schedule = KeyDerivation.schedule(hash), let transcript = Transcript(hash) else { return nil }
        self.schedule = schedule
        self.transcript = transcript
        self.client = Array(client)
        self.server = server
    }

    /// The master secret.
    var master: UnsafeRawBufferPointer { secrets.bytes(.master, Self.masterSize) }

    /// Takes a session's master secret.
    func goOn(with session: OlderSession) -> Bool {
        secrets = session.secrets
        return true
    }

    /// Whole messages, with their heads.
    func add(_ messages: [UInt8]) -> Bool { transcript.add(messages) }

    // MARK: agreement

    /// Makes a key of X25519; its public half.
    func makeKey() -> [UInt8]? {
        let own = secrets.room(.privateKey, Curve25519.size)
        guard let start = own.baseAddress, let curve = KeyDerivation.curve,
            RAND_priv_bytes(start.assumingMemoryBound(to: UInt8.self), CInt(clamping: own.count)) == 1
        else { return nil }
        var key = [UInt8](repeating: 0, count: Curve25519.size)
        let isDone = key.withUnsafeMutableBytes { key in
            key.baseAddress.map { curve.multiply(start, publicKey: $0) } ?? false
        }
        return isDone ? key : nil
    }

    /// Derives the master secret; false for a key of the client's that agrees on nothing.
    func agree(with key: ArraySlice<UInt8>) -> Bool {
        let own = secrets.room(.privateKey, Curve25519.size)
        // Nobody needs it any more.
        defer { OPENSSL_cleanse(own.baseAddress, own.count) }
        let shared = secrets.room(.shared, Curve25519.size)
        let isAgreed = key.withUnsafeBytes { key in
            guard let own = own.baseAddress, let key = key.baseAddress, let secret = shared.baseAddress,
                let curve = KeyDerivation.curve
            else { return false }
            return curve.multiply(own, other: key, secret: secret)
        }
        guard isAgreed, transcript.digest(into: secrets.room(.digest, schedule.size)) else { return false }
        return derive(
            UnsafeRawBufferPointer(shared),
            "extended master secret",
            [secrets.bytes(.digest, schedule.size)],
            into: secrets.room(.master, Self.masterSize)
        )
    }

    private func derive(
        _ secret: UnsafeRawBufferPointer,
        _ label: StaticString,
        _ seeds: [UnsafeRawBufferPointer],
        into target: UnsafeMutableRawBufferPointer
    ) -> Bool {
        var seed = label.withUTF8Buffer { Array($0) }
        for piece in seeds { seed += piece }
        return seed.withUnsafeBytes { schedule.pseudorandom(secret: secret, seed: $0, into: target) }
    }

    // MARK: what comes of it

    /// The digest of Finished over the messages so far (RFC 5246 §7.4.9); nil when the library fails.
    func finished(_ label: StaticString) -> [UInt8]? {
        var digest = [UInt8](repeating: 0, count: Self.finishedSize)
        guard transcript.digest(into: secrets.room(.digest, schedule.size)) else { return nil }
        let isDone = digest.withUnsafeMutableBytes {
            derive(master, label, [secrets.bytes(.digest, schedule.size)], into: $0)
        }
        return isDone ? digest : nil
    }

    /// Both directions, from their first record on.
    final class Protections {
        private var reading: RecordProtection?
        private var writing: RecordProtection?

        fileprivate init(_ reading: consuming RecordProtection?, _ writing: consuming RecordProtection?) {
            self.reading = reading
            self.writing = writing
        }

        func takeReading() -> RecordProtection? { reading.take() }
        func takeWriting() -> RecordProtection? { writing.take() }
    }

    /// Derives the key block (RFC 5246 §6.3); nil when the library fails.
    func protect(_ cipher: RecordCipher) -> Protections? {
        let (keySize, saltSize) = (cipher.keySize, Self.saltSize)
        return withUnsafeTemporaryAllocation(byteCount: 2 * (keySize + saltSize), alignment: 8) { block in
            defer { OPENSSL_cleanse(block.baseAddress, block.count) }
            let isDone = server.withUnsafeBytes { server in
                client.withUnsafeBytes { derive(master, "key expansion", [server, $0], into: block) }
            }
            guard isDone else { return nil }
            func keys(_ index: Int) -> TrafficSecrets.Keys {
                let salt = 2 * keySize + index * saltSize
                return TrafficSecrets.Keys(
                    key: UnsafeRawBufferPointer(rebasing: block[(index * keySize)..<((index + 1) * keySize)]),
                    vector: UnsafeRawBufferPointer(rebasing: block[salt..<(salt + saltSize)])
                )
            }
            return Protections(
                RecordProtection.explicit(cipher, isSealing: false, keys(0), lastNonce: 0, sequence: 0),
                // Nonces count from zero, as the records do.
                RecordProtection.explicit(cipher, isSealing: true, keys(1), lastNonce: .max, sequence: 0)
            )
        }
    }
}
