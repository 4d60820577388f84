import COpenSSL
import Glibc

/// What protects a connection's traffic, as the handshake derives it: the secrets of TLS 1.3 (RFC 8446 §7.1), the key block
/// of TLS 1.2 (RFC 5246 §6.3).
///
/// Our provider (`KeyDerivation`, `PseudorandomFunction`) sees them pass by, and puts them into those that are `collecting`
/// on its thread. *Ownership:* owns the memory, and wipes it.
final class TrafficSecrets {
    /// Whose traffic a secret protects.
    enum Side { case client, server }

    /// What is kept of one side: where it begins in `memory`, and how much of each is there.
    private struct Place {
        let secret: Int
        var secretCount = 0
        var keyCount = 0
        var hasVector = false
        /// Records that the library had written when the secret became known.
        var recordsBefore = 0

        /// The longest secret is a digest by SHA-384, the longest key one of AES-256.
        static let longestSecret = 48
        static let longestKey = 32
        static let size = longestSecret + longestKey + 16

        init(at start: Int) { secret = start }

        var key: Int { secret + Self.longestSecret }
        var vector: Int { key + Self.longestKey }
    }

    private var client = Place(at: 0)
    private var server = Place(at: Place.size)
    private static let block = 2 * Place.size
    /// Two keys of AES-256 and two vectors of 12 bytes, of which only the salts are used.
    private static let longestBlock = 88
    private var blockCount = 0
    private let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: TrafficSecrets.block + TrafficSecrets.longestBlock,
        alignment: 8
    )
    /// Records that the library has written so far.
    private var recordsWritten = 0
    /// Records behind the word that all that follows is encrypted (RFC 5246 §7.1): Finished, in as many as its sender likes.
    private(set) var encrypted = (written: UInt64(0), read: UInt64(0))

    deinit {
        OPENSSL_cleanse(memory.baseAddress, memory.count)
        memory.deallocate()
    }

    // MARK: collecting

    /// Those that what is derived on this thread goes to.
    static var collecting: TrafficSecrets? {
        guard let raw = pthread_getspecific(key) else { return nil }
        return Unmanaged<TrafficSecrets>.fromOpaque(raw).takeUnretainedValue()
    }

    /// Collects what `body` has the library derive.
    func collect<R>(_ body: () -> R) -> R {
        pthread_setspecific(Self.key, Unmanaged.passUnretained(self).toOpaque())
        defer { pthread_setspecific(Self.key, nil) }
        return body()
    }

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key, nil)
        return key
    }()

    /// Something has been derived: a secret of traffic (RFC 8446 §7.1), or key and vector of one (§7.3).
    func look(at label: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer, _ result: UnsafeRawBufferPointer) {
        switch label.count {
        case 2 where Self.spells(label, "iv"), 3 where Self.spells(label, "key"):
            let isKey = label.count == 3
            keep(result, isKey: isKey, of: secret, in: &client)
            keep(result, isKey: isKey, of: secret, in: &server)
        case 12 where Self.spells(label, "c ap traffic"): keep(result, in: &client)
        case 12 where Self.spells(label, "s ap traffic"): keep(result, in: &server)
        default: break
        }
    }

    private static func spells(_ label: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard let bytes = label.baseAddress else { return false }
        return memcmp(bytes, text.utf8Start, label.count) == 0
    }

    /// The secret of one side's traffic, from a handshake of our own.
    func keep(_ secret: UnsafeRawBufferPointer, of side: Side) {
        switch side {
        case .client: keep(secret, in: &client)
        case .server: keep(secret, in: &server)
        }
    }

    private func keep(_ secret: UnsafeRawBufferPointer, in place: inout Place) {
        guard secret.count <= Place.longestSecret else { return }
        copy(secret, to: place.secret)
        place.secretCount = secret.count
        place.keyCount = 0
        place.hasVector = false
        place.recordsBefore = recordsWritten
    }

    private func keep(
        _ result: UnsafeRawBufferPointer,
        isKey: Bool,
        of secret: UnsafeRawBufferPointer,
        in place: inout Place
    ) {
        guard place.secretCount > 0, secret.count == place.secretCount,
            let known = memory.baseAddress?.advanced(by: place.secret), let start = secret.baseAddress,
            memcmp(known, start, secret.count) == 0
        else { return }
        if isKey, result.count <= Place.longestKey {
            copy(result, to: place.key)
            place.keyCount = result.count
        } else if !isKey, result.count == RecordCipher.nonceSize {
            copy(result, to: place.vector)
            place.hasVector = true
        }
    }

    private func copy(_ bytes: UnsafeRawBufferPointer, to start: Int) {
        UnsafeMutableRawBufferPointer(rebasing: memory[start...]).copyMemory(from: bytes)
    }

    private func bytes(_ start: Int, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[start..<(start + count)])
    }

    /// The key block has been derived ("key expansion").
    func keepBlock(_ block: UnsafeRawBufferPointer) {
        guard block.count <= Self.longestBlock else { return }
        copy(block, to: Self.block)
        blockCount = block.count
    }

    /// Has the records of a connection counted: those under the keys of its traffic take sequence numbers.
    func countRecords(of ssl: OpaquePointer) {
        SSL_set_msg_callback(ssl) { isWritten, _, kind, header, _, _, owner in
            guard kind == SSL3_RT_HEADER, let owner, let header else { return }
            let type = header.load(as: UInt8.self)
            Unmanaged<TrafficSecrets>.fromOpaque(owner)._withUnsafeGuaranteedRef {
                $0.count(type, isWritten: isWritten == 1)
            }
        }
        SSL_ctrl(ssl, SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, Unmanaged.passUnretained(self).toOpaque())
    }

    private func count(_ type: UInt8, isWritten: Bool) {
        let isFirst = type == RecordType.changeCipherSpec
        if isWritten {
            recordsWritten &+= 1
            encrypted.written = isFirst ? 0 : encrypted.written &+ 1
        } else {
            encrypted.read = isFirst ? 0 : encrypted.read &+ 1
        }
    }

    // MARK: what was collected

    /// What protects one direction.
    struct Keys {
        let key: UnsafeRawBufferPointer
        /// The vector of TLS 1.3, or the salt of AES-GCM in TLS 1.2 (RFC 5288 §3).
        let vector: UnsafeRawBufferPointer
    }

    private func place(of side: Side) -> Place { side == .client ? client : server }

    /// Key and vector of one side in TLS 1.3; nil when they were not seen.
    func keys(of side: Side) -> Keys? {
        let place = place(of: side)
        guard place.keyCount > 0, place.hasVector else { return nil }
        return Keys(key: bytes(place.key, place.keyCount), vector: bytes(place.vector, RecordCipher.nonceSize))
    }

    /// The secret that the next ones come from (RFC 8446 §7.2); nil when it was not seen.
    func secret(of side: Side) -> UnsafeMutableRawBufferPointer? {
        let place = place(of: side)
        guard place.secretCount > 0 else { return nil }
        return UnsafeMutableRawBufferPointer(rebasing: memory[place.secret..<(place.secret + place.secretCount)])
    }

    /// How many records the library has written under the secret of its side.
    func recordsWritten(as side: Side) -> UInt64 { UInt64(clamping: recordsWritten - place(of: side).recordsBefore) }

    /// Key and salt of one side out of the key block; nil when it was not seen.
    func keys(of side: Side, keySize: Int) -> Keys? {
        let saltSize = 4
        // The library asks for more than it uses.
        guard blockCount >= 2 * (keySize + saltSize) else { return nil }
        let index = side == .client ? 0 : 1
        return Keys(
            key: bytes(Self.block + index * keySize, keySize),
            vector: bytes(Self.block + 2 * keySize + index * saltSize, saltSize)
        )
    }

    /// Wipes what traffic needs no more once it goes on: all but the secrets.
    func forgetKeys() {
        for start in [client.key, server.key] {
            OPENSSL_cleanse(memory.baseAddress?.advanced(by: start), Place.size - Place.longestSecret)
        }
        OPENSSL_cleanse(memory.baseAddress?.advanced(by: Self.block), Self.longestBlock)
    }
}
