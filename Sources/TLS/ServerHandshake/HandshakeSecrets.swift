import COpenSSL

/// Secrets of one handshake, each as long as the suite's digest or the session's secret; wiped when they go.
///
/// *Ownership:* owns the memory; for one thread.
final class HandshakeSecrets {
    /// What there is room for.
    enum Slot: Int, CaseIterable {
        /// What both have agreed on.
        case shared
        /// The stages of the key schedule (RFC 8446 §7.1), and what lies between them.
        case early, handshake, master, derived
        /// What protects the handshake, and then the traffic.
        case clientHandshake, serverHandshake, clientTraffic, serverTraffic
        /// What keys of Finished are expanded to, and what the client has to prove.
        case finishedKey, expected
        /// What the next session begins with.
        case resumption
        /// A digest of the transcript; no secret.
        case digest
        /// One of nothing, or of what comes next; no secret.
        case otherDigest
    }

    /// A digest by SHA-384, a master secret of TLS 1.2.
    static let longest = 48
    private let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Slot.allCases.count * HandshakeSecrets.longest,
        alignment: 16
    )

    /// Our key of X25519, in the library's secure heap, from `makeKey` to `agree`.
    private var privateKey: UnsafeMutableRawPointer?

    init() { memory.initializeMemory(as: UInt8.self, repeating: 0) }

    deinit {
        forgetKey()
        OPENSSL_cleanse(memory.baseAddress, memory.count)
        memory.deallocate()
    }

    /// The first bytes of a place.
    func room(_ slot: Slot, _ count: Int) -> UnsafeMutableRawBufferPointer {
        let start = slot.rawValue * Self.longest
        return UnsafeMutableRawBufferPointer(rebasing: memory[start..<(start + min(count, Self.longest))])
    }

    /// The same, to be read.
    func bytes(_ slot: Slot, _ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(room(slot, count)) }

    // MARK: agreement

    /// Makes a key of X25519; its public half, or nil when the library fails.
    func makeKey() -> [UInt8]? {
        forgetKey()
        guard let own = CRYPTO_secure_malloc(Curve25519.size, nil, 0) else { return nil }
        privateKey = own
        let bytes = own.assumingMemoryBound(to: UInt8.self)
        guard let curve = KeyDerivation.curve, RAND_priv_bytes(bytes, CInt(Curve25519.size)) == 1 else { return nil }
        var key = [UInt8](repeating: 0, count: Curve25519.size)
        let isDone = key.withUnsafeMutableBytes { key in
            key.baseAddress.map { curve.multiply(own, publicKey: $0) } ?? false
        }
        return isDone ? key : nil
    }

    /// Leaves in `shared` what both agree on, and forgets the key; false for a key of theirs that agrees on nothing.
    func agree(with key: ArraySlice<UInt8>) -> Bool {
        defer { forgetKey() }
        let shared = room(.shared, Curve25519.size)
        guard key.count == Curve25519.size, let own = privateKey, let curve = KeyDerivation.curve else { return false }
        return key.withUnsafeBytes { key in
            guard let key = key.baseAddress, let secret = shared.baseAddress else { return false }
            return curve.multiply(own, other: key, secret: secret)
        }
    }

    private func forgetKey() {
        CRYPTO_secure_clear_free(privateKey, Curve25519.size, nil, 0)
        privateKey = nil
    }
}
