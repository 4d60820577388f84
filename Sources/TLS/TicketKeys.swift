import COpenSSL
import Glibc

/// The keys of stateless session tickets (RFC 5077, RFC 8446 §4.6.1): made by the master, shared by all workers, so
/// that a session resumes whichever worker answers.
///
/// *Ownership:* contexts hold it; `replace` changes it for all of them at once. It holds secrets.
public final class TicketKeys {
    private static let size = MemoryLayout<everyhop_ticket_key>.size
    /// The current key and the ones before it.
    private static let most = 3

    private(set) var keys: [everyhop_ticket_key]

    /// Makes one random key.
    public init() throws(TLSError) { keys = [try Self.random()] }

    /// Reads keys that another process encoded, or a file of 80-byte keys, the current one first; nil when the length
    /// is not a whole number of keys.
    public init?(decoding bytes: [UInt8]) {
        keys = []
        guard replace(decoding: bytes) else { return nil }
    }

    /// The keys for another process of this program.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        for key in keys { withUnsafeBytes(of: key) { bytes.append(contentsOf: $0) } }
        return bytes
    }

    /// Secrets for something else that all workers have to agree on, one of each key, the current one first; they tell
    /// nothing about the keys.
    public func secrets(for purpose: StaticString) -> [[UInt8]] {
        let message = purpose.withUTF8Buffer { Array($0) }
        return keys.compactMap { key in
            var bytes = withUnsafeBytes(of: key) { Array($0) }
            defer { bytes.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
            return MessageCode.sha256(key: bytes, message)
        }
    }

    /// Takes other keys; false, changing nothing, when the bytes are not keys.
    public func replace(decoding bytes: [UInt8]) -> Bool {
        guard !bytes.isEmpty, bytes.count % Self.size == 0, bytes.count / Self.size <= 16 else { return false }
        cleanse()
        keys = (0..<bytes.count / Self.size).map { index in
            bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index * Self.size, as: everyhop_ticket_key.self) }
        }
        return true
    }

    /// Makes a new current key; tickets of the two before it still open.
    public func rotate() throws(TLSError) {
        let rotated = [try Self.random()] + keys.prefix(Self.most - 1)
        cleanse()
        keys = rotated
    }

    deinit { cleanse() }

    /// Overwrites the keys, so that memory given back does not hold them.
    private func cleanse() {
        keys.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
    }

    private static func random() throws(TLSError) -> everyhop_ticket_key {
        var key = everyhop_ticket_key()
        let made = withUnsafeMutableBytes(of: &key) {
            RAND_bytes($0.bindMemory(to: UInt8.self).baseAddress, CInt(clamping: $0.count))
        }
        guard made == 1 else { throw .libraryFailure("no randomness") }
        return key
    }
}
