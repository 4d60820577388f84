import COpenSSL

/// The keys of a handshake of TLS 1.2 (RFC 5246 §8, RFC 7627), and the messages that they come of.
final class OlderKeys {
    static let masterSize = 48
    /// Bytes of the digest in Finished.
    static let finishedSize = 12
    /// What AES-GCM begins its nonces with (RFC 5288 §3).
    private static let saltSize = 4

    private(set) var secrets = HandshakeSecrets()
    private let hash: KeySchedule.Hash
    private let transcript: Transcript
    private let client: [UInt8]
    private let server: [UInt8]

    /// - Parameters:
    ///   - client: the client's random bytes.
    ///   - server: the server's.
    /// - Returns: nil when the library fails.
    init?(_ hash: KeySchedule.Hash, client: ArraySlice<UInt8>, server: [UInt8]) {
        guard let transcript = Transcript(hash) else { return nil }
        self.hash = hash
        self.transcript = transcript
        self.client = Array(client)
        self.server = server
    }

    /// That of the thread which asks: others use it while this client thinks.
    private var schedule: KeySchedule? { KeyDerivation.schedule(hash) }

    /// The master secret.
    var master: UnsafeRawBufferPointer { secrets.bytes(.master, Self.masterSize) }

    /// Takes a session's master secret.
    func goOn(with session: OlderSession) { secrets = session.secrets }

    /// Whole messages, with their heads.
    func add(_ messages: [UInt8]) -> Bool { transcript.add(messages) }

    /// Derives the master secret; false for a key of the client's that agrees on nothing.
    func agree(with key: ArraySlice<UInt8>) -> Bool {
        guard secrets.agree(with: key), let schedule,
            transcript.digest(into: secrets.room(.digest, schedule.size))
        else { return false }
        return derive(
            secrets.bytes(.shared, Curve25519.size),
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
        return seed.withUnsafeBytes { schedule?.pseudorandom(secret: secret, seed: $0, into: target) ?? false }
    }

    // MARK: what comes of it

    /// The digest of Finished over the messages so far (RFC 5246 §7.4.9); nil when the library fails.
    func finished(_ label: StaticString) -> [UInt8]? {
        var digest = [UInt8](repeating: 0, count: Self.finishedSize)
        guard let size = schedule?.size, transcript.digest(into: secrets.room(.digest, size)) else { return nil }
        let isDone = digest.withUnsafeMutableBytes {
            derive(master, label, [secrets.bytes(.digest, size)], into: $0)
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
