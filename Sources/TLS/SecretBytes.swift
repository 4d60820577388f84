internal import COpenSSL
import Glibc

/// A secret in memory of its own: never copied by assignment, kept out of swap where that is allowed, and overwritten when
/// it is dropped.
public struct SecretBytes: ~Copyable {
    private let memory: UnsafeMutableRawBufferPointer

    /// How many bytes it has.
    public var count: Int { memory.count }

    /// Zeros, to be filled.
    init(zeros count: Int) {
        memory = .allocate(byteCount: max(1, count), alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        _ = mlock(memory.baseAddress, memory.count)
    }

    /// Takes a copy, and overwrites where it came from.
    public init(taking bytes: inout [UInt8]) {
        self.init(zeros: bytes.count)
        let target = memory
        bytes.withUnsafeMutableBytes {
            target.copyMemory(from: UnsafeRawBufferPointer($0))
            OPENSSL_cleanse($0.baseAddress, $0.count)
        }
        bytes = []
    }

    /// Random bytes of OpenSSL's generator for secrets.
    public init(random count: Int) throws(TLSError) {
        self.init(zeros: count)
        guard RAND_priv_bytes(memory.bindMemory(to: UInt8.self).baseAddress, CInt(truncatingIfNeeded: count)) == 1
        else {
            throw TLSError.libraryFailure("random bytes")
        }
    }

    /// Lends the bytes to `body`; they must not outlive it.
    public borrowing func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(memory))
    }

    /// Lends the bytes to whatever fills them.
    borrowing func fill<R>(_ body: (UnsafeMutablePointer<UInt8>?, Int) -> R) -> R {
        body(memory.bindMemory(to: UInt8.self).baseAddress, memory.count)
    }

    deinit {
        OPENSSL_cleanse(memory.baseAddress, memory.count)
        _ = munlock(memory.baseAddress, memory.count)
        memory.deallocate()
    }
}
