import COpenSSL

/// One direction of a connection: seals records, or opens them (RFC 8446 §5.2 and §5.3, RFC 5246 §6.2.3.3).
///
/// *Ownership:* owns the library's cipher context, which wipes the key when it goes.
struct RecordProtection: ~Copyable {
    /// How the version builds nonces and what is authenticated.
    private enum Form {
        /// The nonce is the sequence number upon a secret vector; the type is inside.
        case modern
        /// The nonce is a secret salt and eight bytes that each record shows: so much more than the sequence number.
        case explicit(offset: UInt64)
    }

    private let context: OpaquePointer
    private let isSealing: Bool
    private let form: Form
    private let cipher: RecordCipher
    /// The vector, or the salt and zeros.
    private var vector = InlineArray<12, UInt8>(repeating: 0)
    /// Of the next record.
    private(set) var sequence: UInt64

    /// Bytes that a record of TLS 1.2 shows of its nonce.
    private static let explicitSize = 8

    private init(_ cipher: RecordCipher, _ context: OpaquePointer, isSealing: Bool, _ form: Form, sequence: UInt64) {
        self.context = context
        self.isSealing = isSealing
        self.cipher = cipher
        self.form = form
        self.sequence = sequence
    }

    /// The direction of one side in TLS 1.3.
    ///
    /// - Parameter sequence: of the first record.
    /// - Returns: nil when the library fails.
    static func modern(
        _ cipher: RecordCipher,
        isSealing: Bool,
        _ keys: TrafficSecrets.Keys,
        sequence: UInt64
    ) -> RecordProtection? {
        make(cipher, isSealing: isSealing, .modern, keys, sequence: sequence)
    }

    /// The direction of a secret in TLS 1.3, from its first record on (RFC 8446 §7.3); nil when the library fails.
    static func modern(_ cipher: RecordCipher, isSealing: Bool, secret: UnsafeRawBufferPointer) -> RecordProtection? {
        var made: RecordProtection?
        let isDerived = withKeys(of: secret, cipher) { keys in
            made = modern(cipher, isSealing: isSealing, keys, sequence: 0)
            return made != nil
        }
        return isDerived ? made : nil
    }

    /// Lends key and vector of a secret to `body`; false when the library fails, or `body` does.
    private static func withKeys(
        of secret: UnsafeRawBufferPointer,
        _ cipher: RecordCipher,
        _ body: (TrafficSecrets.Keys) -> Bool
    ) -> Bool {
        guard let schedule = KeyDerivation.schedule(forSecretOf: secret.count) else { return false }
        let (keySize, nonceSize) = (cipher.keySize, RecordCipher.nonceSize)
        return withUnsafeTemporaryAllocation(byteCount: keySize + nonceSize, alignment: 8) { room in
            defer { OPENSSL_cleanse(room.baseAddress, room.count) }
            let key = UnsafeMutableRawBufferPointer(rebasing: room[..<keySize])
            let vector = UnsafeMutableRawBufferPointer(rebasing: room[keySize...])
            return schedule.expand(secret: secret, label: "key", into: key)
                && schedule.expand(secret: secret, label: "iv", into: vector)
                && body(TrafficSecrets.Keys(key: UnsafeRawBufferPointer(key), vector: UnsafeRawBufferPointer(vector)))
        }
    }

    /// The direction of one side in TLS 1.2, behind its Finished.
    ///
    /// - Parameters:
    ///   - lastNonce: what the record before has shown of its nonce.
    ///   - sequence: of the next record.
    /// - Returns: nil when the library fails, or for a cipher that has another form.
    static func explicit(
        _ cipher: RecordCipher,
        isSealing: Bool,
        _ keys: TrafficSecrets.Keys,
        lastNonce: UInt64,
        sequence: UInt64 = 1
    ) -> RecordProtection? {
        guard cipher != .chacha20 else { return nil }
        let offset = lastNonce &- sequence &+ 1
        return make(cipher, isSealing: isSealing, .explicit(offset: offset), keys, sequence: sequence)
    }

    private static func make(
        _ cipher: RecordCipher,
        isSealing: Bool,
        _ form: Form,
        _ keys: TrafficSecrets.Keys,
        sequence: UInt64
    ) -> RecordProtection? {
        guard keys.key.count == cipher.keySize, let implementation = cipher.implementation,
            let context = EVP_CIPHER_CTX_new()
        else { return nil }
        var made = RecordProtection(cipher, context, isSealing: isSealing, form, sequence: sequence)
        guard made.install(keys.key, keys.vector, implementation) else { return nil }
        return made
    }

    deinit { EVP_CIPHER_CTX_free(context) }

    private mutating func install(
        _ key: UnsafeRawBufferPointer,
        _ vector: UnsafeRawBufferPointer,
        _ implementation: OpaquePointer?
    ) -> Bool {
        for index in vector.indices { self.vector[index] = vector[index] }
        let key = key.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return EVP_CipherInit_ex2(context, implementation, key, nil, isSealing ? 1 : 0, nil) == 1
    }

    /// Goes on under the next secret (RFC 8446 §7.2), which takes the place of the present one, and its keys (§7.3).
    mutating func update(_ secret: UnsafeMutableRawBufferPointer) -> Bool {
        guard let schedule = KeyDerivation.schedule(forSecretOf: secret.count) else { return false }
        sequence = 0
        let isNext = withUnsafeTemporaryAllocation(byteCount: secret.count, alignment: 8) { next in
            defer { OPENSSL_cleanse(next.baseAddress, next.count) }
            guard schedule.expand(secret: UnsafeRawBufferPointer(secret), label: "traffic upd", into: next) else {
                return false
            }
            secret.copyMemory(from: UnsafeRawBufferPointer(next))
            return true
        }
        return isNext
            && Self.withKeys(of: UnsafeRawBufferPointer(secret), cipher) { install($0.key, $0.vector, nil) }
    }

    /// Whether the key has protected as many records as it should.
    var isWorn: Bool { sequence >= cipher.mostRecords }

    // MARK: nonce and what is authenticated besides

    /// Sets the nonce of the next record, and has the library authenticate its head.
    private func begin(_ header: UnsafePointer<UInt8>, explicit: UInt64, plainCount: Int) -> Bool {
        var nonce = vector
        let counter: UInt64
        switch form {
        case .modern: counter = sequence
        case .explicit: counter = explicit
        }
        for index in 0..<8 { nonce[4 + index] ^= UInt8(truncatingIfNeeded: counter >> (56 - 8 * UInt64(index))) }
        let isSet = nonce.span.withUnsafeBufferPointer {
            EVP_CipherInit_ex2(context, nil, nil, $0.baseAddress, -1, nil) == 1
        }
        guard isSet else { return false }
        var count: CInt = 0
        switch form {
        case .modern: return EVP_CipherUpdate(context, nil, &count, header, CInt(RecordHeader.size)) == 1
        case .explicit:
            var data = InlineArray<13, UInt8>(repeating: 0)
            for index in 0..<8 { data[index] = UInt8(truncatingIfNeeded: sequence >> (56 - 8 * UInt64(index))) }
            for index in 0..<3 { data[8 + index] = header[index] }
            data[11] = UInt8(truncatingIfNeeded: plainCount >> 8)
            data[12] = UInt8(truncatingIfNeeded: plainCount)
            return data.span.withUnsafeBufferPointer {
                EVP_CipherUpdate(context, nil, &count, $0.baseAddress, CInt($0.count)) == 1
            }
        }
    }

    // MARK: sealing

    /// Bytes that a record is longer than what it carries.
    var overhead: Int {
        switch form {
        case .modern: RecordHeader.size + 1 + RecordCipher.tagSize
        case .explicit: RecordHeader.size + Self.explicitSize + RecordCipher.tagSize
        }
    }

    /// Writes a record.
    ///
    /// - Parameters:
    ///   - bytes: 16,384 at most.
    ///   - room: has space for as many and `overhead`.
    /// - Returns: how many bytes were written; nil when the library fails or sequence numbers are used up.
    mutating func seal(_ type: UInt8, _ bytes: UnsafeBufferPointer<UInt8>, into room: UnsafeMutablePointer<UInt8>)
        -> Int?
    {
        guard sequence < .max else { return nil }
        let total = bytes.count + overhead
        let length = total - RecordHeader.size
        room[1] = UInt8(RecordHeader.version >> 8)
        room[2] = UInt8(truncatingIfNeeded: RecordHeader.version)
        room[3] = UInt8(truncatingIfNeeded: length >> 8)
        room[4] = UInt8(truncatingIfNeeded: length)
        var body = room + RecordHeader.size
        switch form {
        case .modern:
            room[0] = RecordType.applicationData
            guard begin(room, explicit: 0, plainCount: 0), add(bytes, then: type, at: body) else { return nil }
            body += bytes.count + 1
        case .explicit(let offset):
            room[0] = type
            let explicit = offset &+ sequence
            for index in 0..<8 { body[index] = UInt8(truncatingIfNeeded: explicit >> (56 - 8 * UInt64(index))) }
            body += Self.explicitSize
            guard begin(room, explicit: explicit, plainCount: bytes.count), crypt(bytes, into: body) else { return nil }
            body += bytes.count
        }
        var count: CInt = 0
        guard EVP_CipherFinal_ex(context, body, &count) == 1,
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CInt(RecordCipher.tagSize), body) == 1
        else { return nil }
        sequence &+= 1
        return total
    }

    /// A record; empty when the library fails.
    mutating func sealed(_ type: UInt8, _ content: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: content.count + overhead) { room, count in
            count = content.withUnsafeBufferPointer { content in
                room.baseAddress.flatMap { seal(type, content, into: $0) } ?? 0
            }
        }
    }

    /// Encrypts what is carried and its type behind it; a copy costs less than a second call, up to some length.
    private func add(
        _ bytes: UnsafeBufferPointer<UInt8>,
        then type: UInt8,
        at target: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        let mostCopied = 2048
        if bytes.count <= mostCopied {
            if let source = bytes.baseAddress { target.update(from: source, count: bytes.count) }
            target[bytes.count] = type
            return crypt(UnsafeBufferPointer(start: target, count: bytes.count + 1), into: target)
        }
        guard crypt(bytes, into: target) else { return false }
        target[bytes.count] = type
        return crypt(UnsafeBufferPointer(start: target + bytes.count, count: 1), into: target + bytes.count)
    }

    private func crypt(_ bytes: UnsafeBufferPointer<UInt8>, into target: UnsafeMutablePointer<UInt8>) -> Bool {
        if bytes.isEmpty { return true }
        var count: CInt = 0
        return EVP_CipherUpdate(context, target, &count, bytes.baseAddress, CInt(clamping: bytes.count)) == 1
            && Int(count) == bytes.count
    }

    // MARK: opening

    /// What a record held.
    struct Opened {
        let type: UInt8
        let count: Int
    }

    /// Bytes of plaintext that a record of so many behind its head has at most; nil when it is too short to be one.
    func plainCount(of length: Int) -> Int? {
        let least: Int
        switch form {
        case .modern: least = RecordCipher.tagSize + 1
        case .explicit: least = Self.explicitSize + RecordCipher.tagSize
        }
        guard length >= least else { return nil }
        switch form {
        // With the type.
        case .modern: return length - RecordCipher.tagSize
        case .explicit: return length - least
        }
    }

    /// Opens a record.
    ///
    /// - Parameters:
    ///   - record: with its head, and of a length that `plainCount` has found right.
    ///   - room: has space for `plainCount` bytes.
    /// - Returns: nil when it is not authentic; what is in `room` then means nothing. The type of nothing but padding is 0.
    mutating func open(_ record: Span<UInt8>, into room: UnsafeMutablePointer<UInt8>) -> Opened? {
        record.withUnsafeBufferPointer { open($0, into: room) }
    }

    /// What a record held, by itself; nil when it is not authentic.
    mutating func opened(_ record: [UInt8]) -> (type: UInt8, content: [UInt8])? {
        var found: Opened?
        let content = [UInt8](unsafeUninitializedCapacity: record.count) { room, count in
            found = room.baseAddress.flatMap { open(record.span, into: $0) }
            count = found?.count ?? 0
        }
        return found.map { ($0.type, content) }
    }

    private mutating func open(_ record: UnsafeBufferPointer<UInt8>, into room: UnsafeMutablePointer<UInt8>) -> Opened?
    {
        guard sequence < .max, let head = record.baseAddress,
            let plainCount = plainCount(of: record.count - RecordHeader.size)
        else { return nil }
        var body = head + RecordHeader.size
        var explicit: UInt64 = 0
        if case .explicit = form {
            for index in 0..<Self.explicitSize { explicit = explicit << 8 | UInt64(body[index]) }
            body += Self.explicitSize
        }
        let tag = UnsafeMutablePointer(mutating: body + plainCount)
        var count: CInt = 0
        guard begin(head, explicit: explicit, plainCount: plainCount),
            crypt(UnsafeBufferPointer(start: body, count: plainCount), into: room),
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CInt(RecordCipher.tagSize), tag) == 1,
            EVP_CipherFinal_ex(context, room + plainCount, &count) == 1
        else { return nil }
        sequence &+= 1
        guard case .modern = form else { return Opened(type: head[0], count: plainCount) }
        // Type, then zeros (RFC 8446 §5.4).
        var end = plainCount
        while end > 0, room[end - 1] == 0 { end -= 1 }
        return end == 0 ? Opened(type: 0, count: 0) : Opened(type: room[end - 1], count: end - 1)
    }
}
