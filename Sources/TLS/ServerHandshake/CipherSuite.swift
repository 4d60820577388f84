/// The suites that are approved, which are those of handshakes of our own, too (RFC 8446 §B.4, RFC 5289).
struct CipherSuite: Equatable {
    let number: UInt16
    let cipher: RecordCipher
    let hash: KeySchedule.Hash
    /// As the library calls it, where it is told and in the log.
    let name: String
    /// How the server proves itself in TLS 1.2; nil in TLS 1.3, where that is not the suite's.
    let proof: ShownIdentity.Kind?

    /// The suites of TLS 1.3, the preferred one first; ChaCha20 where the policy has it.
    static let modern = [
        CipherSuite(0x1301, .aes128, .sha256, "TLS_AES_128_GCM_SHA256"),
        CipherSuite(0x1302, .aes256, .sha384, "TLS_AES_256_GCM_SHA384"),
    ]
    static let chacha20 = CipherSuite(0x1303, .chacha20, .sha256, "TLS_CHACHA20_POLY1305_SHA256")
    /// The suites of TLS 1.2, the preferred one first.
    static let older = [
        CipherSuite(0xC02B, .aes128, .sha256, "ECDHE-ECDSA-AES128-GCM-SHA256", .ecdsa),
        CipherSuite(0xC02F, .aes128, .sha256, "ECDHE-RSA-AES128-GCM-SHA256", .rsa),
        CipherSuite(0xC02C, .aes256, .sha384, "ECDHE-ECDSA-AES256-GCM-SHA384", .ecdsa),
        CipherSuite(0xC030, .aes256, .sha384, "ECDHE-RSA-AES256-GCM-SHA384", .rsa),
    ]

    private init(
        _ number: UInt16,
        _ cipher: RecordCipher,
        _ hash: KeySchedule.Hash,
        _ name: String,
        _ proof: ShownIdentity.Kind? = nil
    ) {
        self.number = number
        self.cipher = cipher
        self.hash = hash
        self.name = name
        self.proof = proof
    }

    static func == (one: CipherSuite, other: CipherSuite) -> Bool { one.number == other.number }
}
