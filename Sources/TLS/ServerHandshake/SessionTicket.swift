import COpenSSL
import Glibc

/// Sessions in the hands of clients (RFC 5077 §4, RFC 8446 §4.6.1): sealed, so that no worker has to remember them.
///
/// Sealed by AES-256-GCM under keys of their own (`TicketKeys.lendOwn`), and bound to the rules of the binding that they were
/// made under. A ticket is a key's name (16 bytes), a nonce (12), what is sealed, and a tag (16).
struct SessionTicket {
    let isModern: Bool
    /// The suite's number.
    let suite: UInt16
    /// Bytes of the secret.
    let secretCount: Int
    /// Whether it is sealed with a key that has been replaced.
    let isOld: Bool

    /// For how long sessions may be resumed, in seconds.
    static let lifetime: UInt32 = 7200
    /// Version (1), suite (2), seconds since 1970 (8), in front of the secret.
    private static let headSize = 11
    private static let overhead = TicketKeys.Own.nameSize + RecordCipher.nonceSize + RecordCipher.tagSize

    /// Seals a session.
    ///
    /// - Parameters:
    ///   - rules: what the binding's sessions are bound to.
    ///   - nonce: 12 random bytes.
    /// - Returns: nil when the library fails.
    static func seal(
        isModern: Bool,
        suite: UInt16,
        secret: UnsafeRawBufferPointer,
        rules: [UInt8],
        nonce: ArraySlice<UInt8>,
        keys: TicketKeys
    ) -> [UInt8]? {
        let count = headSize + secret.count
        var ticket = [UInt8](repeating: 0, count: overhead + count)
        let isDone = keys.lendOwn { list -> Bool in
            guard let key = list.first, nonce.count == RecordCipher.nonceSize else { return false }
            ticket.withUnsafeMutableBytes { room in
                room.copyMemory(from: key.name)
                let start = TicketKeys.Own.nameSize
                for (index, byte) in nonce.enumerated() { room[start + index] = byte }
                var head = MessageWriter()
                head.append(isModern ? 4 : 3)
                head.append(short: suite)
                head.append(long: UInt64(clamping: time(nil)))
                let body = UnsafeMutableRawBufferPointer(rebasing: room[(start + RecordCipher.nonceSize)...])
                body.copyBytes(from: head.bytes)
                UnsafeMutableRawBufferPointer(rebasing: body[headSize...]).copyMemory(from: secret)
            }
            return crypt(&ticket, count, rules, key, isSealing: true)
        }
        return isDone ? ticket : nil
    }

    /// Opens what a client offers.
    ///
    /// - Parameter secret: where the session's secret is written to.
    /// - Returns: nil for what is not ours, damaged, too old or from tomorrow: the client gets a handshake without it.
    static func open(
        _ offered: ArraySlice<UInt8>,
        rules: [UInt8],
        keys: TicketKeys,
        into secret: UnsafeMutableRawBufferPointer
    ) -> SessionTicket? {
        let count = offered.count - overhead
        guard headSize + 32...headSize + secret.count ~= count else { return nil }
        var ticket = Array(offered)
        defer { ticket.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        let index = keys.lendOwn { list -> Int? in
            guard let index = list.firstIndex(where: { ticket.starts(with: $0.name) }) else { return nil }
            return crypt(&ticket, count, rules, list[index], isSealing: false) ? index : nil
        }
        guard let index else { return nil }
        let start = TicketKeys.Own.nameSize + RecordCipher.nonceSize
        let head = ticket[start..<(start + headSize)]
        let made = head.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
        let now = UInt64(clamping: time(nil))
        guard made <= now, now - made <= UInt64(lifetime) else { return nil }
        let bytes = ticket[(start + headSize)..<(start + count)]
        secret.copyBytes(from: bytes)
        return SessionTicket(
            isModern: head[start] == 4,
            suite: UInt16(head[start + 1]) << 8 | UInt16(head[start + 2]),
            secretCount: bytes.count,
            isOld: index > 0
        )
    }

    /// Encrypts or decrypts where it lies.
    private static func crypt(
        _ ticket: inout [UInt8],
        _ count: Int,
        _ rules: [UInt8],
        _ key: TicketKeys.Own,
        isSealing: Bool
    ) -> Bool {
        guard let context = EVP_CIPHER_CTX_new() else { return false }
        defer { EVP_CIPHER_CTX_free(context) }
        let nonceStart = TicketKeys.Own.nameSize
        let start = nonceStart + RecordCipher.nonceSize
        return ticket.withUnsafeMutableBufferPointer { room in
            guard let base = room.baseAddress else { return false }
            let tag = base + start + count
            let keyBytes = key.key.baseAddress?.assumingMemoryBound(to: UInt8.self)
            var done: CInt = 0
            guard
                EVP_CipherInit_ex2(
                    context,
                    RecordCipher.aes256.implementation,
                    keyBytes,
                    base + nonceStart,
                    isSealing ? 1 : 0,
                    nil
                ) == 1,
                EVP_CipherUpdate(context, nil, &done, rules, CInt(clamping: rules.count)) == 1,
                EVP_CipherUpdate(context, base + start, &done, base + start, CInt(clamping: count)) == 1
            else { return false }
            let size = CInt(RecordCipher.tagSize)
            if !isSealing, EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, size, tag) != 1 { return false }
            guard EVP_CipherFinal_ex(context, base + start + count, &done) == 1 else { return false }
            return !isSealing || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, size, tag) == 1
        }
    }
}
