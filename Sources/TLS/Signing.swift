import COpenSSL

/// How a key signs; each can be checked with the program `openssl` alone.
public enum SignatureKind: String, Sendable, CaseIterable {
    /// Ed25519 over the bytes themselves (RFC 8032).
    case ed25519 = "Ed25519"
    /// ECDSA over SHA-256, in DER.
    case ecdsa = "ECDSA with SHA-256"
    /// RSASSA-PKCS1-v1_5 over SHA-256.
    case rsa = "RSA with SHA-256"
    /// RSASSA-PSS over SHA-256.
    case pss = "RSA-PSS with SHA-256"

    /// The command that checks a signature beside its file.
    public func command(file: String, publicKey: String) -> String {
        switch self {
        case .ed25519: "openssl pkeyutl -verify -rawin -pubin -inkey \(publicKey) -in \(file) -sigfile \(file).sig"
        case .ecdsa, .rsa: "openssl dgst -sha256 -verify \(publicKey) -signature \(file).sig \(file)"
        case .pss:
            "openssl dgst -sha256 -sigopt rsa_padding_mode:pss -verify \(publicKey) -signature \(file).sig \(file)"
        }
    }

    init?(of key: OpaquePointer) {
        switch EVP_PKEY_get0_type_name(key).map({ String(cString: $0) }) {
        case "ED25519": self = .ed25519
        case "EC" where EVP_PKEY_get_bits(key) >= 256: self = .ecdsa
        case "RSA" where EVP_PKEY_get_bits(key) >= 2048: self = .rsa
        case "RSA-PSS" where EVP_PKEY_get_bits(key) >= 2048: self = .pss
        case nil, .some: return nil
        }
    }

    /// The digest that is named to OpenSSL; Ed25519 has its own.
    fileprivate var digest: OpaquePointer? { self == .ed25519 ? nil : EVP_sha256() }
}

/// A private key that signs files.
///
/// *Ownership:* owns the key.
public final class SigningKey {
    private let key: PrivateKey
    /// How it signs.
    public let kind: SignatureKind
    /// The public half, as PEM.
    public let publicPEM: [UInt8]

    /// Makes an Ed25519 key; under FIPS, where OpenSSL 3.0 does not have that, an ECDSA one.
    public static func make() throws(CertificateError) -> SigningKey {
        if FIPS.isOn { return try SigningKey(CertificateMaker.makeKey(.ecdsa)) }
        guard let context = EVP_PKEY_CTX_new_from_name(nil, "ED25519", nil) else { throw .fromQueue("making a key") }
        defer { EVP_PKEY_CTX_free(context) }
        var raw: OpaquePointer?
        guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_generate(context, &raw) == 1, let raw else {
            throw .fromQueue("making a key")
        }
        return try SigningKey(PrivateKey(owning: raw))
    }

    /// Reads a PEM file; of several keys the first.
    ///
    /// - Throws: when it holds no key without a password, or one that is too short or of another kind.
    public convenience init(pem: [UInt8]) throws(CertificateError) { try self.init(PrivateKey(pem: pem)) }

    private init(_ key: PrivateKey) throws(CertificateError) {
        guard let kind = SignatureKind(of: key.raw) else { throw .library(PublicKey.accepted) }
        self.key = key
        self.kind = kind
        publicPEM = try PEMWriter.write { PEM_write_bio_PUBKEY($0, key.raw) }
    }

    /// The key itself: PKCS#8, PEM, not encrypted.
    public func pem() throws(CertificateError) -> [UInt8] { try key.pem() }

    /// Signs `bytes`.
    public func sign(_ bytes: [UInt8]) throws(CertificateError) -> [UInt8] {
        guard let context = EVP_MD_CTX_new() else { throw .library("out of memory") }
        defer { EVP_MD_CTX_free(context) }
        var count = 0
        guard EVP_DigestSignInit(context, nil, kind.digest, nil, key.raw) == 1,
            EVP_DigestSign(context, nil, &count, bytes, bytes.count) == 1
        else { throw .fromQueue("signing") }
        var signature = [UInt8](repeating: 0, count: count)
        guard EVP_DigestSign(context, &signature, &count, bytes, bytes.count) == 1 else { throw .fromQueue("signing") }
        return Array(signature.prefix(count))
    }
}

/// A public key that checks signatures.
///
/// *Ownership:* owns the key.
public final class PublicKey {
    static let accepted = "the key is not Ed25519, ECDSA with 256 bits or more, or RSA with 2048 bits or more"

    private let raw: OpaquePointer
    /// How it signs.
    public let kind: SignatureKind
    /// SHA-256 of the key, written as a pin is.
    public let fingerprint: PublicKeyPin

    /// Reads a PEM file that begins with `BEGIN PUBLIC KEY`.
    public init(pem: [UInt8]) throws(CertificateError) {
        let read = try MemoryReader.read(pem) { PEM_read_bio_PUBKEY($0, nil, { _, _, _, _ in 0 }, nil) }
        ERR_clear_error()
        guard let read else { throw .library("no PEM public key in it") }
        guard let kind = SignatureKind(of: read) else {
            EVP_PKEY_free(read)
            throw .library(Self.accepted)
        }
        guard let fingerprint = Self.fingerprint(read) else {
            EVP_PKEY_free(read)
            throw .fromQueue("the public key")
        }
        raw = read
        self.kind = kind
        self.fingerprint = fingerprint
    }

    deinit { EVP_PKEY_free(raw) }

    /// Whether `signature` is this key's over `bytes`.
    public func verifies(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
        guard let context = EVP_MD_CTX_new() else { return false }
        defer {
            EVP_MD_CTX_free(context)
            ERR_clear_error()
        }
        return EVP_DigestVerifyInit(context, nil, kind.digest, nil, raw) == 1
            && EVP_DigestVerify(context, signature, signature.count, bytes, bytes.count) == 1
    }

    private static func fingerprint(_ key: OpaquePointer) -> PublicKeyPin? {
        var encoded: UnsafeMutablePointer<UInt8>?
        let length = i2d_PUBKEY(key, &encoded)
        guard length > 0, let encoded else { return nil }
        defer { everyhop_free(encoded) }
        let bytes = UnsafeBufferPointer(start: encoded, count: Int(length)).map { $0 }
        return PublicKeyPin(digest: SHA256.digest(bytes))
    }
}
