internal import COpenSSL
internal import CSigner
public import Platform

/// Private keys that another process holds: this one has their public halves, and asks for each signature.
///
/// A handshake waits for its signature, and with it the process: a quarter of a second at most. Once a signer has not
/// answered in that time, handshakes fail without waiting, until it says something or there is another.
public enum RemoteKeys {
    /// Makes such keys possible.
    static func install() throws(CertificateError) {
        guard everyhop_signer_install() == 1 else { throw .fromQueue("the provider of keys that are held elsewhere") }
    }

    /// Asks over this `MessageSocket` from now on.
    public static func ask(_ socket: consuming FileDescriptor?) {
        if let socket { everyhop_signer_use(socket.release()) }
    }

    /// Waits until the signer has said that it is there, so that nobody's handshake has to; false when it has not in time.
    ///
    /// What nobody asks over, and one that is gone, is not waited for.
    ///
    /// - Parameter milliseconds: the longest wait.
    public static func awaitSigner(milliseconds: Int32) -> Bool { everyhop_signer_await(milliseconds) == 1 }

    /// How many signatures were made, and how many were not.
    public static var counts: (made: Int, failed: Int) {
        var made: UInt64 = 0
        var failed: UInt64 = 0
        everyhop_signer_counts(&made, &failed)
        return (Int(clamping: made), Int(clamping: failed))
    }
}

extension PrivateKey {
    /// The key of a certificate, held elsewhere.
    convenience init(heldElsewhere certificate: X509Certificate) throws(CertificateError) {
        try RemoteKeys.install()
        var encoded: UnsafeMutablePointer<UInt8>?
        guard let key = X509_get0_pubkey(certificate.raw) else { throw .fromQueue("the certificate's key") }
        let length = i2d_PUBKEY(key, &encoded)
        guard length > 0, let encoded else { throw .fromQueue("the certificate's key") }
        defer { everyhop_free(encoded) }
        guard let made = everyhop_remote_key(encoded, Int(length)) else {
            throw .fromQueue("a key of this kind cannot be held by the signer")
        }
        self.init(owning: made, isHeldElsewhere: true)
    }
}
