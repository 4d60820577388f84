import COpenSSL

/// A hash of the library's by the functions of its own provider (provider-digest(7)), without what EVP does around each call.
///
/// A handshake hashes some two hundred short pieces, for which EVP_DigestInit_ex(3) alone takes as long as the hashing does.
/// *Ownership:* owns the library's state; for one thread.
final class LibraryHash {
    private typealias Make = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    private typealias Copy = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    private typealias Free = @convention(c) (UnsafeMutableRawPointer?) -> Void
    private typealias Begin = @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<OSSL_PARAM>?) -> CInt
    private typealias Add = @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<UInt8>?, Int) -> CInt
    private typealias Finish =
        @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int>?, Int) -> CInt

    /// What the library's provider offers; found once, and kept to the end of the process, as the library does.
    private struct Functions: @unchecked Sendable {
        let size: Int
        let blockSize: Int
        let provider: UnsafeMutableRawPointer?
        let make: Make
        let copy: Copy
        let free: Free
        let begin: Begin
        let add: Add
        let finish: Finish

        /// - Returns: nil when it is not offered as expected.
        init?(_ name: String) {
            guard let fetched = EVP_MD_fetch(nil, name, "provider=default") else { return nil }
            defer { EVP_MD_free(fetched) }
            guard let owner = EVP_MD_get0_provider(fetched),
                let table = FunctionTable.find(OSSL_OP_DIGEST, name, of: owner),
                let make = FunctionTable.find(OSSL_FUNC_DIGEST_NEWCTX, in: table, as: Make.self),
                let copy = FunctionTable.find(OSSL_FUNC_DIGEST_DUPCTX, in: table, as: Copy.self),
                let free = FunctionTable.find(OSSL_FUNC_DIGEST_FREECTX, in: table, as: Free.self),
                let begin = FunctionTable.find(OSSL_FUNC_DIGEST_INIT, in: table, as: Begin.self),
                let add = FunctionTable.find(OSSL_FUNC_DIGEST_UPDATE, in: table, as: Add.self),
                let finish = FunctionTable.find(OSSL_FUNC_DIGEST_FINAL, in: table, as: Finish.self)
            else { return nil }
            size = Int(EVP_MD_get_size(fetched))
            blockSize = Int(EVP_MD_get_block_size(fetched))
            provider = OSSL_PROVIDER_get0_provider_ctx(owner)
            (self.make, self.copy, self.free) = (make, copy, free)
            (self.begin, self.add, self.finish) = (begin, add, finish)
        }
    }

    private static let sha256 = Functions("SHA2-256")
    private static let sha384 = Functions("SHA2-384")

    private let functions: Functions
    private let state: UnsafeMutableRawPointer

    /// - Returns: nil when the library's own provider does not offer the hash.
    init?(_ hash: KeySchedule.Hash) {
        guard let functions = hash == .sha256 ? Self.sha256 : Self.sha384,
            let state = functions.make(functions.provider)
        else { return nil }
        self.functions = functions
        self.state = state
    }

    deinit { functions.free(state) }

    /// Bytes of a digest.
    var size: Int { functions.size }
    /// Bytes that it is computed over at a time.
    var blockSize: Int { functions.blockSize }

    func begin() -> Bool { functions.begin(state, nil) == 1 }

    func add(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.isEmpty || functions.add(state, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count) == 1
    }

    /// Writes the digest; the next thing to do is to begin anew.
    func finish(_ digest: UnsafeMutableRawBufferPointer) -> Bool { finish(state, digest) }

    /// Writes the digest so far, and can go on.
    func peek(_ digest: UnsafeMutableRawBufferPointer) -> Bool {
        guard let copy = functions.copy(state) else { return false }
        defer { functions.free(copy) }
        return finish(copy, digest)
    }

    private func finish(_ state: UnsafeMutableRawPointer, _ digest: UnsafeMutableRawBufferPointer) -> Bool {
        var count = 0
        let target = digest.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return digest.count >= size && functions.finish(state, target, &count, size) == 1 && count == size
    }
}
