/// The digest of a handshake's messages so far (RFC 8446 §4.4.1).
///
/// *Ownership:* owns the state of a hash; for one thread.
final class Transcript {
    /// Bytes of a digest.
    var size: Int { library.size }
    private let library: LibraryHash

    /// - Returns: nil when the library does not have the hash.
    init?(_ hash: KeySchedule.Hash) {
        guard let library = LibraryHash(hash), library.begin() else { return nil }
        self.library = library
    }

    /// Begins anew.
    func begin() -> Bool { library.begin() }

    func add(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.withContiguousStorageIfAvailable { library.add(UnsafeRawBufferPointer($0)) } ?? add(Array(bytes))
    }

    /// The digest so far; `target` has room for `size` bytes.
    func digest(into target: UnsafeMutableRawBufferPointer) -> Bool { library.peek(target) }
}
