import COpenSSL
import Glibc

/// How TLS derives keys with one hash: HKDF-Extract and HKDF-Expand-Label in 1.3 (RFC 8446 §7.1, RFC 5869), P_hash in 1.2.
///
/// A handshake derives twenty keys. The library makes a dozen objects for each and looks every algorithm up by its name;
/// here one state of a hash serves all of them. *Ownership:* owns the state; for one thread.
final class KeySchedule {
    /// Bytes of a digest, and of a pseudorandom key.
    let size: Int
    private let blockSize: Int
    private let library: LibraryHash

    /// The largest digest and block among the hashes of TLS 1.3.
    private static let largestDigest = 48
    private static let largestBlock = 128

    /// The hashes of TLS 1.3's suites, and of the better ones of 1.2.
    enum Hash {
        case sha256, sha384

        /// - Returns: nil for a name of any other.
        init?(named name: UnsafePointer<CChar>) {
            if strcasecmp(name, "SHA2-256") == 0 || strcasecmp(name, "SHA256") == 0 {
                self = .sha256
            } else if strcasecmp(name, "SHA2-384") == 0 || strcasecmp(name, "SHA384") == 0 {
                self = .sha384
            } else {
                return nil
            }
        }
    }

    let hash: Hash

    /// - Returns: nil when the library does not have it.
    init?(_ hash: Hash) {
        self.hash = hash
        guard let library = LibraryHash(hash) else { return nil }
        self.library = library
        (size, blockSize) = (library.size, library.blockSize)
        guard 1...Self.largestDigest ~= size, size...Self.largestBlock ~= blockSize else { return nil }
    }

    /// HKDF-Extract.
    ///
    /// - Parameter key: `size` bytes are written here.
    func extract(
        salt: UnsafeRawBufferPointer,
        secret: UnsafeRawBufferPointer,
        into key: UnsafeMutableRawBufferPointer
    ) -> Bool {
        key.count >= size && authenticate(salt, secret, UnsafeRawBufferPointer(start: nil, count: 0), into: key)
    }

    /// HKDF-Expand-Label.
    ///
    /// - Parameters:
    ///   - prefix: what labels begin with: "tls13 ".
    ///   - context: a transcript's digest, or nothing.
    ///   - key: filled.
    func expand(
        secret: UnsafeRawBufferPointer,
        prefix: UnsafeRawBufferPointer,
        label: UnsafeRawBufferPointer,
        context: UnsafeRawBufferPointer,
        into key: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let labelCount = prefix.count + label.count
        guard labelCount <= 255, context.count <= 255, key.count <= 255 * size else { return false }
        // struct HkdfLabel: length (2), label with its length, context with its length; then HKDF's counter.
        let count = 4 + labelCount + context.count
        return withUnsafeTemporaryAllocation(byteCount: Self.largestDigest + count + 1, alignment: 8) { room in
            let info = UnsafeMutableRawBufferPointer(rebasing: room[Self.largestDigest...])
            info[0] = UInt8(truncatingIfNeeded: key.count >> 8)
            info[1] = UInt8(truncatingIfNeeded: key.count)
            info[2] = UInt8(labelCount)
            Self.copy(prefix, to: info, at: 3)
            Self.copy(label, to: info, at: 3 + prefix.count)
            info[3 + labelCount] = UInt8(context.count)
            Self.copy(context, to: info, at: 4 + labelCount)
            let block = UnsafeMutableRawBufferPointer(rebasing: room[..<size])
            defer { OPENSSL_cleanse(block.baseAddress, block.count) }
            var written = 0
            var counter: UInt8 = 0
            while written < key.count {
                counter &+= 1
                info[count] = counter
                let before = UnsafeRawBufferPointer(rebasing: block[..<(written == 0 ? 0 : size)])
                guard authenticate(secret, before, UnsafeRawBufferPointer(info), into: block) else { return false }
                let part = min(size, key.count - written)
                Self.copy(UnsafeRawBufferPointer(rebasing: block[..<part]), to: key, at: written)
                written += part
            }
            return true
        }
    }

    /// HKDF-Expand-Label of TLS 1.3; without a context, where none is said.
    func expand(
        secret: UnsafeRawBufferPointer,
        label: StaticString,
        context: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        into key: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let prefix: StaticString = "tls13 "
        return expand(
            secret: secret,
            prefix: UnsafeRawBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount),
            label: UnsafeRawBufferPointer(start: label.utf8Start, count: label.utf8CodeUnitCount),
            context: context,
            into: key
        )
    }

    /// P_hash of TLS 1.2 (RFC 5246 §5).
    ///
    /// - Parameters:
    ///   - secret: no longer than the hash's block.
    ///   - seed: begins with the label.
    ///   - key: filled.
    /// - Returns: false for a longer secret.
    func pseudorandom(
        secret: UnsafeRawBufferPointer,
        seed: UnsafeRawBufferPointer,
        into key: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        return withUnsafeTemporaryAllocation(byteCount: 3 * Self.largestDigest, alignment: 8) { room in
            defer { OPENSSL_cleanse(room.baseAddress, room.count) }
            // A(i) and A(i + 1) take turns.
            var state = UnsafeMutableRawBufferPointer(rebasing: room[..<size])
            var next = UnsafeMutableRawBufferPointer(rebasing: room[size..<(2 * size)])
            let block = UnsafeMutableRawBufferPointer(rebasing: room[(2 * size)..<(3 * size)])
            guard authenticate(secret, seed, none, into: state) else { return false }
            var written = 0
            while written < key.count {
                guard authenticate(secret, UnsafeRawBufferPointer(state), seed, into: block) else { return false }
                let part = min(size, key.count - written)
                Self.copy(UnsafeRawBufferPointer(rebasing: block[..<part]), to: key, at: written)
                written += part
                guard written < key.count else { break }
                guard authenticate(secret, UnsafeRawBufferPointer(state), none, into: next) else { return false }
                swap(&state, &next)
            }
            return true
        }
    }

    /// The digest of a message.
    func digest(_ message: UnsafeRawBufferPointer, into digest: UnsafeMutableRawBufferPointer) -> Bool {
        digest.count >= size && begin() && add(message) && finish(digest)
    }

    /// The digest of nothing.
    func digestOfNothing(into digest: UnsafeMutableRawBufferPointer) -> Bool {
        digest.count >= size && begin() && finish(digest)
    }

    /// HMAC (RFC 2104) of two pieces.
    private func authenticate(
        _ key: UnsafeRawBufferPointer,
        _ first: UnsafeRawBufferPointer,
        _ second: UnsafeRawBufferPointer,
        into code: UnsafeMutableRawBufferPointer
    ) -> Bool {
        // Keys of the schedule are digests; longer ones would have to be hashed first.
        guard key.count <= blockSize, code.count >= size else { return false }
        return withUnsafeTemporaryAllocation(byteCount: Self.largestBlock + Self.largestDigest, alignment: 8) { room in
            defer { OPENSSL_cleanse(room.baseAddress, room.count) }
            let pad = UnsafeMutableRawBufferPointer(rebasing: room[..<blockSize])
            let inner = UnsafeMutableRawBufferPointer(rebasing: room[blockSize..<(blockSize + size)])
            pad.initializeMemory(as: UInt8.self, repeating: 0)
            Self.copy(key, to: pad, at: 0)
            Self.combine(pad, 0x3636_3636_3636_3636)
            guard begin(), add(UnsafeRawBufferPointer(pad)), add(first), add(second), finish(inner) else {
                return false
            }
            Self.combine(pad, 0x3636_3636_3636_3636 ^ 0x5C5C_5C5C_5C5C_5C5C)
            return begin() && add(UnsafeRawBufferPointer(pad)) && add(UnsafeRawBufferPointer(inner)) && finish(code)
        }
    }

    /// Exclusive or of each eight bytes of a block; byte by byte, it would be an eighth of what a derivation costs.
    private static func combine(_ block: UnsafeMutableRawBufferPointer, _ pattern: UInt64) {
        block.withMemoryRebound(to: UInt64.self) { words in
            for index in words.indices { words[index] ^= pattern }
        }
    }

    private func begin() -> Bool { library.begin() }

    private func add(_ bytes: UnsafeRawBufferPointer) -> Bool { library.add(bytes) }

    private func finish(_ digest: UnsafeMutableRawBufferPointer) -> Bool { library.finish(digest) }

    private static func copy(_ bytes: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer, at offset: Int)
    {
        UnsafeMutableRawBufferPointer(rebasing: target[offset..<(offset + bytes.count)]).copyMemory(from: bytes)
    }
}
