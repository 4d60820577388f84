import COpenSSL

/// Why a certificate or key could not be read or made.
public enum CertificateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// No certificate in the file.
    case noCertificate
    /// No private key in the file, or one that needs a password.
    case noKey
    /// The key belongs to another certificate.
    case keyMismatch
    /// The PKCS#12 file is damaged, or the password is wrong.
    case badPFX
    /// No revocation list in the file.
    case noRevocationList
    /// A name that is neither a DNS name nor an IP address.
    case invalidName(String)
    /// The library refused.
    case library(String)

    /// What the user reads.
    public var description: String {
        switch self {
        case .noCertificate: "no PEM certificate in it"
        case .noKey: "no PEM private key in it (a key with a password cannot be used)"
        case .keyMismatch: "the private key does not belong to the certificate"
        case .badPFX: "not a PKCS#12 file, or the password is wrong"
        case .noRevocationList: "no PEM revocation list in it"
        case .invalidName(let name): "\"\(name)\" is neither a DNS name nor an IP address"
        case .library(let text): text
        }
    }

    static func fromQueue(_ what: String) -> CertificateError {
        .library(TLSError.libraryFailure(what).description)
    }
}

/// What a certificate says, in values.
public struct CertificateFacts: Equatable, Sendable {
    /// The subject, as `CN=...`.
    public let subject: String
    /// The issuer, as `CN=...`.
    public let issuer: String
    /// The serial number in hexadecimal.
    public let serial: String
    /// Valid from, in seconds since 1970.
    public let notBefore: Int64
    /// Valid until, in seconds since 1970.
    public let notAfter: Int64
    /// The DNS names that it is for.
    public let names: [String]
    /// The IP addresses that it is for.
    public let addresses: [String]
    /// Such as `ECDSA P-256`, `RSA 2048` or `ED25519`.
    public let keyType: String
    /// What the key is worth, in bits of a symmetric key; 112 is the least that NIST allows.
    public let securityBits: Int
    /// What it is signed with, such as `ecdsa-with-SHA256`.
    public let signature: String
    /// The pin of its key.
    public let pin: PublicKeyPin
    /// SHA-256 of the whole certificate, in hexadecimal.
    public let fingerprint: String
    /// Whether it is signed with its own key.
    public let isSelfSigned: Bool

    /// Reads every certificate of a PEM file, in its order.
    public static func read(pem: [UInt8]) throws(CertificateError) -> [CertificateFacts] {
        let chain = try X509Certificate.read(pem: pem)
        return try chain.map { certificate throws(CertificateError) in try certificate.facts() }
    }

    /// Whether the certificate is for `host` (RFC 9525 §6).
    ///
    /// What counts are DNS names, wildcards for one label (`*.example.org`), and addresses; the subject's common name
    /// does not.
    public func covers(_ host: String) -> Bool {
        if let address = AddressText.canonical(host) { return addresses.contains(address) }
        let host = host.lowercased()
        return names.contains { Self.matches($0.lowercased(), host) }
    }

    /// A wildcard stands for the whole leftmost label, and only below a name of two labels: `*.org` is nobody's.
    private static func matches(_ name: String, _ host: String) -> Bool {
        if name == host { return true }
        guard name.hasPrefix("*."), let dot = host.firstIndex(of: "."), dot != host.startIndex else { return false }
        let parent = name.dropFirst()
        return host[dot...] == parent && parent.dropFirst().contains(".")
    }
}

/// Owns one X509.
final class X509Certificate {
    let raw: OpaquePointer

    init(owning raw: OpaquePointer) { self.raw = raw }

    deinit { X509_free(raw) }

    /// The certificate in DER; nil when the library fails.
    func encoded() -> [UInt8]? {
        var encoded: UnsafeMutablePointer<UInt8>?
        let length = i2d_X509(raw, &encoded)
        guard length > 0, let encoded else { return nil }
        defer { everyhop_free(encoded) }
        return Array(UnsafeBufferPointer(start: encoded, count: Int(length)))
    }

    static func read(pem: [UInt8]) throws(CertificateError) -> [X509Certificate] {
        let list = try MemoryReader.read(pem) { bio in
            var list: [X509Certificate] = []
            while let raw = PEM_read_bio_X509(bio, nil, nil, nil) { list.append(X509Certificate(owning: raw)) }
            return list
        }
        ERR_clear_error()
        guard !list.isEmpty else { throw .noCertificate }
        return list
    }

    func pem() throws(CertificateError) -> [UInt8] {
        let raw = self.raw
        return try PEMWriter.write { PEM_write_bio_X509($0, raw) }
    }

    func facts() throws(CertificateError) -> CertificateFacts {
        guard let pin = PublicKeyPin(of: raw) else { throw .fromQueue("the certificate's key") }
        var digest = [UInt8](repeating: 0, count: 32)
        X509_digest(raw, EVP_sha256(), &digest, nil)
        let names = subjectAlternativeNames()
        // An unreadable extension or signature leaves an error, of which no connection may be accused.
        defer { everyhop_forget_errors() }
        return CertificateFacts(
            subject: Self.text(X509_get_subject_name(raw)),
            issuer: Self.text(X509_get_issuer_name(raw)),
            serial: serial(),
            notBefore: Self.seconds(X509_get0_notBefore(raw)),
            notAfter: Self.seconds(X509_get0_notAfter(raw)),
            names: names.names,
            addresses: names.addresses,
            keyType: keyType(),
            securityBits: X509_get0_pubkey(raw).map { Int(EVP_PKEY_get_security_bits($0)) } ?? 0,
            signature: OBJ_nid2ln(X509_get_signature_nid(raw)).map { String(cString: $0) } ?? "unknown",
            pin: pin,
            fingerprint: Self.hexadecimal(digest),
            isSelfSigned: X509_self_signed(raw, 1) == 1
        )
    }

    private func keyType() -> String {
        guard let key = X509_get0_pubkey(raw) else { return "unknown" }
        let name = EVP_PKEY_get0_type_name(key).map { String(cString: $0) } ?? "unknown"
        let bits = EVP_PKEY_get_bits(key)
        switch name {
        case "EC":
            var curve = [CChar](repeating: 0, count: 64)
            var length = 0
            guard EVP_PKEY_get_group_name(key, &curve, curve.count, &length) == 1 else { return "ECDSA \(bits)" }
            switch String(decoding: curve.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) {
            case "prime256v1": return "ECDSA P-256"
            case "secp384r1": return "ECDSA P-384"
            case "secp521r1": return "ECDSA P-521"
            case let other: return "ECDSA \(other)"
            }
        case "RSA", "RSA-PSS", "DSA": return "\(name) \(bits)"
        default: return name
        }
    }

    private func serial() -> String {
        guard let number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(raw), nil) else { return "" }
        defer { BN_free(number) }
        guard let text = BN_bn2hex(number) else { return "" }
        defer { everyhop_free(text) }
        return String(cString: text)
    }

    private func subjectAlternativeNames() -> (names: [String], addresses: [String]) {
        guard let list = X509_get_ext_d2i(raw, NID_subject_alt_name, nil, nil) else { return ([], []) }
        let stack = OpaquePointer(list)
        defer { everyhop_names_free(stack) }
        var names: [String] = []
        var addresses: [String] = []
        for index in 0..<everyhop_names_count(stack) {
            guard let name = everyhop_name(stack, index) else { continue }
            let type = name.pointee.type
            guard type == GEN_DNS || type == GEN_IPADD, let string = name.pointee.d.ia5 else { continue }
            let bytes = UnsafeBufferPointer(
                start: ASN1_STRING_get0_data(string),
                count: Int(ASN1_STRING_length(string))
            )
            if type == GEN_DNS {
                names.append(Self.visible(bytes))
            } else if let address = AddressText.write(Array(bytes)) {
                addresses.append(address)
            }
        }
        return (names, addresses)
    }

    /// A DNS name is printable ASCII; a certificate of a stranger can say anything, and this ends in logs.
    private static func visible(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
        String(decoding: bytes.map { (0x21...0x7E).contains($0) ? $0 : 0x3F }, as: UTF8.self)
    }

    static func text(_ name: OpaquePointer?) -> String {
        guard let name, let bio = BIO_new(BIO_s_mem()) else { return "" }
        defer { BIO_free(bio) }
        everyhop_print_name(bio, name)
        return String(decoding: PEMWriter.bytes(of: bio), as: UTF8.self)
    }

    static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var days: CInt = 0
        var seconds: CInt = 0
        guard let epoch = ASN1_TIME_set(nil, 0) else { return 0 }
        defer { ASN1_TIME_free(epoch) }
        guard ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 else { return 0 }
        return Int64(days) * 86_400 + Int64(seconds)
    }

    static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
