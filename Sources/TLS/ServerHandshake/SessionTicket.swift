import COpenSSL
import Glibc

/// Sessions in the hands of clients (RFC 5077 §4, RFC 8446 §4.6.1): sealed, so that no worker has to remember them.
///
/// Each is sealed by AES-256-GCM with a key of its own, so that no nonce is used twice however long a key of `TicketKeys` is
/// in use, and bound to the rules of the binding that it was made under. A ticket is the name of the key of `TicketKeys` (16 bytes),
/// random bytes that its own key is made with (16), what is sealed, and a tag (16).
struct SessionTicket {
    let isModern: Bool
    /// The suite's number.
    let suite: UInt16
    /// Bytes of the secret.
    let secretCount: Int
    /// Whether it is sealed with a key that has been replaced.
    let isOld: Bool
    /// When the session began, in seconds since 1970.
    let made: UInt64

    /// For how long sessions may be resumed, in seconds.
    static let lifetime: UInt32 = 7200
    /// Version (1), suite (2), seconds since 1970 (8), in front of the secret.
    private static let headSize = 11
    /// What a ticket's own key is made with.
    static let seedSize = 16
    private static let start = TicketKeys.Own.nameSize + seedSize
    private static let overhead = start + RecordCipher.tagSize
    /// By how much clocks may differ, in seconds.
    private static let skew: UInt64 = 60

    /// Now, in seconds since 1970.
    static var now: UInt64 { UInt64(clamping: time(nil)) }

    /// For how long it may still be resumed, in seconds.
    var rest: UInt32 { Self.lifetime - UInt32(clamping: min(UInt64(Self.lifetime), Self.now - min(made, Self.now))) }

    /// Seals a session.
    ///
    /// - Parameters:
    ///   - made: when it began, in seconds since 1970.
    ///   - rules: what the binding's sessions are bound to.
    ///   - seed: 16 random bytes.
    /// - Returns: nil when the library fails.
    static func seal(
        isModern: Bool,
        suite: UInt16,
        made: UInt64 = now,
        secret: UnsafeRawBufferPointer,
        rules: [UInt8],
        seed: [UInt8],
        keys: TicketKeys
    ) -> [UInt8]? {
        let count = headSize + secret.count
        var ticket = [UInt8](repeating: 0, count: overhead + count)
        let isDone = keys.lendOwn { list -> Bool in
            guard let key = list.first, seed.count == seedSize else { return false }
            var head = MessageWriter()
            head.append(isModern ? 4 : 3)
            head.append(short: suite)
            head.append(long: made)
            ticket.withUnsafeMutableBytes { room in
                room.copyMemory(from: key.name)
                UnsafeMutableRawBufferPointer(rebasing: room[TicketKeys.Own.nameSize...]).copyBytes(from: seed)
                UnsafeMutableRawBufferPointer(rebasing: room[start...]).copyBytes(from: head.bytes)
                UnsafeMutableRawBufferPointer(rebasing: room[(start + headSize)...]).copyMemory(from: secret)
            }
            return crypt(&ticket, count, rules, key, isSealing: true)
        }
        if isDone { return ticket }
        ticket.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
        return nil
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
        let made = ticket[(start + 3)..<(start + headSize)].reduce(0) { $0 << 8 | UInt64($1) }
        let now = Self.now
        guard made <= now + skew, now <= made + UInt64(lifetime) else { return nil }
        secret.copyBytes(from: ticket[(start + headSize)..<(start + count)])
        return SessionTicket(
            isModern: ticket[start] == 4,
            suite: UInt16(ticket[start + 1]) << 8 | UInt16(ticket[start + 2]),
            secretCount: count - headSize,
            isOld: index > 0,
            made: made
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
        guard let context = EVP_CIPHER_CTX_new(), let hash = KeyDerivation.schedule(.sha256) else { return false }
        defer { EVP_CIPHER_CTX_free(context) }
        return withUnsafeTemporaryAllocation(byteCount: TicketKeys.Own.keySize, alignment: 8) { own in
            defer { OPENSSL_cleanse(own.baseAddress, own.count) }
            return ticket.withUnsafeMutableBytes { room in
                let seed = UnsafeRawBufferPointer(rebasing: room[TicketKeys.Own.nameSize..<start])
                guard hash.extract(salt: key.key, secret: seed, into: own),
                    let base = room.baseAddress?.assumingMemoryBound(to: UInt8.self)
                else { return false }
                return crypt(context, own, rules, base + start, count, isSealing: isSealing)
            }
        }
    }

    /// Encrypts or decrypts so many bytes, behind which the tag is.
    private static func crypt(
        _ context: OpaquePointer,
        _ key: UnsafeMutableRawBufferPointer,
        _ rules: [UInt8],
        _ body: UnsafeMutablePointer<UInt8>,
        _ count: Int,
        isSealing: Bool
    ) -> Bool {
        let nonce = [UInt8](repeating: 0, count: RecordCipher.nonceSize)
        let keyBytes = key.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let implementation = RecordCipher.aes256.implementation
        var done: CInt = 0
        guard EVP_CipherInit_ex2(context, implementation, keyBytes, nonce, isSealing ? 1 : 0, nil) == 1,
            EVP_CipherUpdate(context, nil, &done, rules, CInt(clamping: rules.count)) == 1,
            EVP_CipherUpdate(context, body, &done, body, CInt(clamping: count)) == 1
        else { return false }
        let (tag, size) = (body + count, CInt(RecordCipher.tagSize))
        if !isSealing, EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, size, tag) != 1 { return false }
        guard EVP_CipherFinal_ex(context, tag, &done) == 1 else { return false }
        return !isSealing || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, size, tag) == 1
    }
}
