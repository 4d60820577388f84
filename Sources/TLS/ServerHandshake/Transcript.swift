import COpenSSL

/// The digest of a handshake's messages so far (RFC 8446 §4.4.1).
///
/// *Ownership:* owns two of the library's hash contexts; for one thread.
final class Transcript {
    /// Bytes of a digest.
    let size: Int
    private let context: OpaquePointer
    /// Where a digest is finished while `context` goes on.
    private let copy: OpaquePointer

    /// - Returns: nil when the library does not have the hash.
    init?(_ hash: KeySchedule.Hash) {
        guard let digest = EVP_MD_fetch(nil, hash == .sha256 ? "SHA2-256" : "SHA2-384", nil) else { return nil }
        defer { EVP_MD_free(digest) }
        guard let context = EVP_MD_CTX_new(), let copy = EVP_MD_CTX_new() else { return nil }
        (self.context, self.copy) = (context, copy)
        size = Int(EVP_MD_get_size(digest))
        guard EVP_DigestInit_ex(context, digest, nil) == 1 else { return nil }
    }

    deinit {
        EVP_MD_CTX_free(context)
        EVP_MD_CTX_free(copy)
    }

    /// Begins anew.
    func begin() -> Bool { EVP_DigestInit_ex(context, nil, nil) == 1 }

    func add(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.withContiguousStorageIfAvailable { add(UnsafeRawBufferPointer($0)) } ?? add(Array(bytes))
    }

    func add(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.isEmpty || EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1
    }

    /// The digest so far; `target` has room for `size` bytes.
    func digest(into target: UnsafeMutableRawBufferPointer) -> Bool {
        guard target.count >= size, EVP_MD_CTX_copy_ex(copy, context) == 1 else { return false }
        return EVP_DigestFinal_ex(copy, target.baseAddress?.assumingMemoryBound(to: UInt8.self), nil) == 1
    }
}
