import COpenSSL

/// Secrets of one handshake, each as long as the suite's digest or the session's secret; wiped when they go.
///
/// *Ownership:* owns the memory.
final class HandshakeSecrets {
    /// What there is room for.
    enum Slot: Int, CaseIterable {
        /// The X25519 key of ours, and what both have agreed on.
        case privateKey, shared
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

    init() { memory.initializeMemory(as: UInt8.self, repeating: 0) }

    deinit {
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
}
