/// The arithmetic of a group in which two parties agree on 32 bytes by private keys of 32 bytes (RFC 8446 §7.4.2).
protocol AgreementCurve: AnyObject {
    /// Bytes of a public key.
    var publicSize: Int { get }
    /// What the library says of keys of this group: the bits of the order, and the most bytes that an operation gives.
    var facts: (bits: CInt, mostBytes: CInt) { get }

    /// Makes a private key.
    func makePrivateKey(_ key: UnsafeMutableRawPointer) -> Bool

    /// Whether `publicSize` bytes may be another's public key.
    func accepts(_ publicKey: UnsafeRawPointer) -> Bool

    /// What a private key makes of another's public key, of the group's generator, or of both.
    ///
    /// - Parameters:
    ///   - privateKey: 32 bytes.
    ///   - publicKey: written: the private key's own public key.
    ///   - other: the other's public key.
    ///   - secret: written: the 32 bytes that both agree on.
    /// - Returns: false when the other's key agrees with nobody.
    func multiply(
        _ privateKey: UnsafeRawPointer,
        publicKey: UnsafeMutableRawPointer?,
        other: UnsafeRawPointer?,
        secret: UnsafeMutableRawPointer?
    ) -> Bool
}
