import COpenSSL
import Glibc

/// The keys of stateless session tickets (RFC 5077, RFC 8446 §4.6.1): made by the master, shared by all workers, so
/// that a session resumes whichever worker answers.
///
/// They lie in OpenSSL's secure heap and are overwritten when they are replaced.
///
/// *Ownership:* contexts hold it; `replace` changes it for all of them at once. `TLSLibrary.prepare` has to come first.
public final class TicketKeys {
    private static let size = MemoryLayout<everyhop_ticket_key>.size
    /// The current key and the ones before it.
    private static let kept = 3
    /// As many as a file may have.
    private static let most = 16

    /// Room for all that there may ever be, so that a replacement needs none.
    private let memory: UnsafeMutablePointer<everyhop_ticket_key>
    /// How many there are; what follows them is zero.
    private var count = 0
    /// Made of each key: a key and a name for tickets of handshakes of our own.
    private let own: UnsafeMutablePointer<UInt8>
    private var hasOwn = false

    /// What a ticket of a handshake of our own is sealed with.
    struct Own {
        static let nameSize = 16
        static let keySize = 32
        /// A code makes a key, another one a name, which is shorter.
        static let size = keySize + MessageCode.size
        let name: UnsafeRawBufferPointer
        let key: UnsafeRawBufferPointer
    }

    /// Makes one random key.
    public init() throws(TLSError) {
        guard let (memory, own) = Self.allocate() else {
            throw .libraryFailure("no memory for session ticket keys")
        }
        (self.memory, self.own) = (memory, own)
        try rotate()
    }

    /// Reads keys that another process encoded, or a file of 80-byte keys, the current one first; nil when the length
    /// is not a whole number of keys.
    public init?(decoding bytes: [UInt8]) {
        guard let (memory, own) = Self.allocate() else { return nil }
        (self.memory, self.own) = (memory, own)
        guard replace(decoding: bytes) else { return nil }
    }

    deinit {
        CRYPTO_secure_clear_free(memory, Self.most * Self.size, nil, 0)
        CRYPTO_secure_clear_free(own, Self.most * Own.size, nil, 0)
    }

    /// Zeros for as many keys as there may be, and for what is made of them.
    private static func allocate() -> (UnsafeMutablePointer<everyhop_ticket_key>, UnsafeMutablePointer<UInt8>)? {
        guard let memory = CRYPTO_secure_zalloc(most * size, nil, 0) else { return nil }
        guard let own = CRYPTO_secure_zalloc(most * Own.size, nil, 0) else {
            CRYPTO_secure_free(memory, nil, 0)
            return nil
        }
        return (
            memory.bindMemory(to: everyhop_ticket_key.self, capacity: most),
            own.bindMemory(to: UInt8.self, capacity: most * Own.size)
        )
    }

    /// Lends what tickets of our own are sealed with, the current key's first; it must not outlive `body`.
    func lendOwn<R>(_ body: ([Own]) -> R) -> R {
        body(
            (0..<(hasOwn ? count : 0)).map { index in
                let start = own + index * Own.size
                return Own(
                    name: UnsafeRawBufferPointer(start: start + Own.keySize, count: Own.nameSize),
                    key: UnsafeRawBufferPointer(start: start, count: Own.keySize)
                )
            }
        )
    }

    /// Derives what tickets of our own are sealed with, where it stays: keys have one use each.
    ///
    /// Without it, which only a library without SHA-256 leaves so, nothing is sealed and nothing opens.
    private func deriveOwn() {
        hasOwn = (0..<count).allSatisfy { index in
            let target = own + index * Own.size
            return derive(index, "seal of tickets", into: target)
                && derive(index, "name of tickets", into: target + Own.keySize)
        }
    }

    private func derive(_ index: Int, _ purpose: StaticString, into target: UnsafeMutablePointer<UInt8>) -> Bool {
        let count = purpose.utf8CodeUnitCount
        return HMAC(EVP_sha256(), memory + index, CInt(Self.size), purpose.utf8Start, count, target, nil) != nil
    }

    /// Lends the keys, the current one first; they must not outlive `body`.
    func withKeys<R>(_ body: (UnsafePointer<everyhop_ticket_key>, CInt) -> R) -> R {
        body(memory, CInt(truncatingIfNeeded: count))
    }

    /// The keys for another process of this program.
    public func encoded() -> [UInt8] { Array(UnsafeRawBufferPointer(start: memory, count: count * Self.size)) }

    /// Secrets for something else that all workers have to agree on, one of each key, the current one first; they tell
    /// nothing about the keys.
    public func secrets(for purpose: StaticString) -> [[UInt8]] {
        let message = purpose.withUTF8Buffer { Array($0) }
        return (0..<count).compactMap { index in
            var bytes = Array(UnsafeRawBufferPointer(start: memory + index, count: Self.size))
            defer { bytes.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
            return MessageCode.sha256(key: bytes, message)
        }
    }

    /// Takes other keys; false, changing nothing, when the bytes are not keys.
    public func replace(decoding bytes: [UInt8]) -> Bool {
        let number = bytes.count / Self.size
        guard (1...Self.most).contains(number), bytes.count % Self.size == 0 else { return false }
        bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(start: memory, count: bytes.count).copyMemory(from: $0) }
        forget(after: number)
        return true
    }

    /// Makes a new current key; tickets of the two before it still open.
    public func rotate() throws(TLSError) {
        var key = everyhop_ticket_key()
        defer { withUnsafeMutableBytes(of: &key) { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        let made = withUnsafeMutableBytes(of: &key) {
            RAND_priv_bytes($0.bindMemory(to: UInt8.self).baseAddress, CInt(clamping: $0.count))
        }
        guard made == 1 else { throw .libraryFailure("no randomness") }
        let older = min(count, Self.kept - 1)
        (memory + 1).update(from: memory, count: older)
        memory[0] = key
        forget(after: older + 1)
    }

    /// Overwrites what follows so many keys.
    private func forget(after number: Int) {
        OPENSSL_cleanse(memory + number, (Self.most - number) * Self.size)
        OPENSSL_cleanse(own + number * Own.size, (Self.most - number) * Own.size)
        count = number
        deriveOwn()
    }
}
