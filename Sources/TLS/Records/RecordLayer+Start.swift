import COpenSSL

extension RecordLayer {
    /// Keys and rules that traffic begins with behind a handshake of the library's.
    struct Start: ~Copyable {
        let isServer: Bool
        /// Whether the version is 1.3.
        let isModern: Bool
        let reading: RecordProtection
        let writing: RecordProtection
        /// The library itself, where it still has tickets to read.
        let tickets: LateTickets?
        /// Plaintext in one record at most.
        let mostPlain: Int
    }
}

extension RecordLayer.Start {
    /// - Parameter ssl: where `tickets` is not nil, it belongs to them from then on.
    /// - Returns: nil when the traffic is the library's: keys that were not seen, or a suite without an AEAD.
    init?(after ssl: OpaquePointer, _ socket: HandshakeSocket, isServer: Bool) {
        guard let cipher = RecordCipher(of: SSL_get_current_cipher(ssl)) else { return nil }
        let own = isServer ? TrafficSecrets.Side.server : .client
        let peer = isServer ? TrafficSecrets.Side.client : .server
        let secrets = socket.secrets
        switch SSL_version(ssl) {
        case TLS1_3_VERSION:
            // What is behind the handshake may be in an envelope too.
            guard !socket.isEnvelope, let ownKeys = secrets.keys(of: own), let peerKeys = secrets.keys(of: peer),
                let writing = RecordProtection.modern(
                    cipher,
                    isSealing: true,
                    ownKeys,
                    sequence: secrets.recordsWritten(as: own)
                ),
                let reading = RecordProtection.modern(cipher, isSealing: false, peerKeys, sequence: 0)
            else { return nil }
            self.writing = writing
            self.reading = reading
            isModern = true
            tickets = isServer ? nil : LateTickets(owning: ssl, socket: socket)
        case TLS1_2_VERSION:
            guard let ownKeys = secrets.keys(of: own, keySize: cipher.keySize),
                let peerKeys = secrets.keys(of: peer, keySize: cipher.keySize),
                let nonce = Self.nonce(ofFinished: socket.lastWritten),
                let writing = RecordProtection.explicit(
                    cipher,
                    isSealing: true,
                    ownKeys,
                    lastNonce: nonce,
                    sequence: secrets.encrypted.written
                ),
                let reading = RecordProtection.explicit(
                    cipher,
                    isSealing: false,
                    peerKeys,
                    lastNonce: 0,
                    sequence: secrets.encrypted.read
                )
            else { return nil }
            self.writing = writing
            self.reading = reading
            isModern = false
            tickets = nil
        default: return nil
        }
        secrets.forgetKeys()
        self.isServer = isServer
        let limit = SSL_get_session(ssl).map { SSL_SESSION_get_max_fragment_length($0) } ?? 0
        // RFC 6066 §4: 1 is 2^9, 4 is 2^12.
        mostPlain = (1...4).contains(limit) ? 256 << Int(limit) : RecordHeader.mostPlain
    }

    /// What our Finished has shown of its nonce, so that none is used twice.
    private static func nonce(ofFinished record: [UInt8]) -> UInt64? {
        let head: [UInt8] = [RecordType.handshake, 3, 3, 0, UInt8(HandshakeSocket.finishedSize - RecordHeader.size)]
        guard record.count == HandshakeSocket.finishedSize, record.starts(with: head) else { return nil }
        return record[5..<13].reduce(0) { $0 << 8 | UInt64($1) }
    }
}
