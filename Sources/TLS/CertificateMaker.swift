import COpenSSL
import Glibc

/// Makes keys, certificates and requests: what IIS Manager's Server Certificates page does.
public enum CertificateMaker {
    /// What kind of key to make.
    public enum KeyKind: String, Sendable, CaseIterable {
        /// ECDSA on P-256: small and fast.
        case ecdsa
        /// RSA with 2048 bits, for clients that know nothing else.
        case rsa
    }

    /// A certificate and its key, both as PEM.
    public struct Issued: Sendable {
        /// The certificate alone.
        public let certificatePEM: [UInt8]
        /// PKCS#8, not encrypted.
        public let keyPEM: [UInt8]
    }

    /// Seconds in a day.
    private static let day: Int64 = 86_400

    /// Makes a certificate that is its own authority.
    ///
    /// - Parameters:
    ///   - names: DNS names and IP addresses, the first of them also as the common name.
    ///   - validFrom: days from now that its time begins, usually 0.
    ///   - days: how long it is valid.
    public static func selfSigned(
        names: [String],
        key kind: KeyKind = .ecdsa,
        validFrom: Int = 0,
        days: Int = 397
    ) throws(CertificateError) -> Issued {
        let key = try makeKey(kind)
        let certificate = try build(names, key, validFrom, days, isAuthority: false, issuer: nil)
        return Issued(certificatePEM: try certificate.pem(), keyPEM: try key.pem())
    }

    /// Makes an authority that can sign other certificates.
    ///
    /// - Parameter parent: the authority above it; without one, it is a root.
    public static func authority(
        name: String,
        by parent: Issued? = nil,
        days: Int = 3650
    ) throws(CertificateError) -> Issued {
        let key = try makeKey(.ecdsa)
        var issuer: (certificate: X509Certificate, key: PrivateKey)?
        if let parent {
            issuer = (try X509Certificate.read(pem: parent.certificatePEM)[0], try PrivateKey(pem: parent.keyPEM))
        }
        let certificate = try build([name], key, 0, days, isAuthority: true, issuer: issuer)
        return Issued(certificatePEM: try certificate.pem(), keyPEM: try key.pem())
    }

    /// Makes the certificate that proves to an authority who is served here: TLS-ALPN-01 (RFC 8737 §3).
    ///
    /// - Parameter digest: SHA-256 of the key authorization.
    public static func challenge(name: String, digest: [UInt8]) throws(CertificateError) -> Issued {
        let key = try makeKey(.ecdsa)
        let value = ([0x04, UInt8(truncatingIfNeeded: digest.count)] + digest).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
        let identifier = "critical,DER:" + value.joined(separator: ":")
        let certificate = try build([name], key, 0, 7, isAuthority: false, issuer: nil, acmeIdentifier: identifier)
        return Issued(certificatePEM: try certificate.pem(), keyPEM: try key.pem())
    }

    /// Makes a certificate that `authority` signs.
    public static func issue(
        names: [String],
        by authority: Issued,
        key kind: KeyKind = .ecdsa,
        validFrom: Int = 0,
        days: Int = 397
    ) throws(CertificateError) -> Issued {
        let key = try makeKey(kind)
        let issuer = try X509Certificate.read(pem: authority.certificatePEM)[0]
        let issuerKey = try PrivateKey(pem: authority.keyPEM)
        let certificate = try build(names, key, validFrom, days, isAuthority: false, issuer: (issuer, issuerKey))
        return Issued(certificatePEM: try certificate.pem(), keyPEM: try key.pem())
    }

    /// Makes a key and a request for an authority to sign (PKCS#10).
    ///
    /// - Parameter hasCommonName: whether the first name stands in the subject, too.
    /// - Returns: the request as PEM in `certificatePEM`, and the key.
    public static func request(
        names: [String],
        key kind: KeyKind = .ecdsa,
        hasCommonName: Bool = true
    ) throws(CertificateError) -> Issued {
        let key = try makeKey(kind)
        guard let request = X509_REQ_new() else { throw .library("out of memory") }
        defer { X509_REQ_free(request) }
        guard X509_REQ_set_pubkey(request, key.raw) == 1, let subject = X509_REQ_get_subject_name(request) else {
            throw .fromQueue("the request")
        }
        if hasCommonName { try setCommonName(subject, names) }
        guard everyhop_request_add_names(request, try alternativeNames(names)) == 1,
            X509_REQ_sign(request, key.raw, EVP_sha256()) > 0
        else { throw .fromQueue("the request") }
        return Issued(
            certificatePEM: try PEMWriter.write { PEM_write_bio_X509_REQ($0, request) },
            keyPEM: try key.pem()
        )
    }

    static func makeKey(_ kind: KeyKind) throws(CertificateError) -> PrivateKey {
        let name = kind == .ecdsa ? "EC" : "RSA"
        guard let context = EVP_PKEY_CTX_new_from_name(nil, name, nil) else { throw .fromQueue("making a key") }
        defer { EVP_PKEY_CTX_free(context) }
        var raw: OpaquePointer?
        let isSet =
            EVP_PKEY_keygen_init(context) == 1
            && (kind == .ecdsa
                ? EVP_PKEY_CTX_set_group_name(context, "P-256") : everyhop_generate_key_bits(context, 2048)) == 1
        guard isSet, EVP_PKEY_generate(context, &raw) == 1, let raw else { throw .fromQueue("making a key") }
        return PrivateKey(owning: raw)
    }

    private static func build(
        _ names: [String],
        _ key: PrivateKey,
        _ validFrom: Int,
        _ days: Int,
        isAuthority: Bool,
        issuer: (certificate: X509Certificate, key: PrivateKey)?,
        acmeIdentifier: String? = nil
    ) throws(CertificateError) -> X509Certificate {
        guard (-36_500...36_500).contains(validFrom), (0...36_500).contains(days) else {
            throw .library("a certificate is valid for a hundred years at most")
        }
        guard let raw = X509_new() else { throw .library("out of memory") }
        let certificate = X509Certificate(owning: raw)
        X509_set_version(raw, 2)
        try setSerial(raw)
        // A little in the past, for clocks that run behind.
        let start = Int64(validFrom) * day - (validFrom == 0 ? 3600 : 0)
        guard X509_gmtime_adj(X509_getm_notBefore(raw), CLong(start)) != nil,
            X509_gmtime_adj(X509_getm_notAfter(raw), CLong((Int64(validFrom) + Int64(days)) * day)) != nil,
            X509_set_pubkey(raw, key.raw) == 1, let subject = X509_get_subject_name(raw)
        else { throw .fromQueue("the certificate") }
        try setCommonName(subject, names)
        let signer = issuer?.certificate.raw ?? raw
        guard X509_set_issuer_name(raw, X509_get_subject_name(signer)) == 1 else { throw .fromQueue("the issuer") }
        // RFC 8813 §3: a key of ECDSA cannot encipher keys.
        let isRSA = EVP_PKEY_is_a(key.raw, "RSA") == 1
        let usage = isRSA ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature"
        var extensions: [(CInt, String)] = [
            (NID_basic_constraints, isAuthority ? "critical,CA:TRUE" : "critical,CA:FALSE"),
            (NID_key_usage, isAuthority ? "critical,keyCertSign,cRLSign" : usage),
            (NID_subject_key_identifier, "hash"), (NID_authority_key_identifier, "keyid"),
        ]
        if !isAuthority {
            extensions.append((NID_ext_key_usage, "serverAuth,clientAuth"))
            extensions.append((NID_subject_alt_name, try alternativeNames(names)))
        }
        for (identifier, value) in extensions {
            guard everyhop_certificate_add_extension(raw, signer, identifier, value) == 1 else {
                throw .fromQueue("an extension")
            }
        }
        if let acmeIdentifier, everyhop_certificate_add_acme_identifier(raw, acmeIdentifier) != 1 {
            throw .fromQueue("an extension")
        }
        guard X509_sign(raw, issuer?.key.raw ?? key.raw, EVP_sha256()) > 0 else { throw .fromQueue("signing") }
        return certificate
    }

    private static func setSerial(_ certificate: OpaquePointer) throws(CertificateError) {
        guard let number = BN_new() else { throw .library("out of memory") }
        defer { BN_free(number) }
        // RFC 5280 §4.1.2.2: positive, at most 20 bytes; 127 random bits are never zero in practice.
        guard BN_rand(number, 127, 0, 0) == 1,
            BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nil
        else { throw .fromQueue("the serial number") }
    }

    private static func setCommonName(_ subject: OpaquePointer, _ names: [String]) throws(CertificateError) {
        guard let first = names.first, !first.isEmpty else { throw .invalidName("") }
        // X.520 allows 64 characters; a longer name stands in the alternative names alone.
        let common = Array(first.utf8.prefix(64))
        guard
            X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_FLAG | 1, common, CInt(clamping: common.count), -1, 0)
                == 1
        else { throw .fromQueue("the subject") }
    }

    /// The value of the extension; names are checked first, since the library reads it as a little language.
    private static func alternativeNames(_ names: [String]) throws(CertificateError) -> String {
        try names.map { name throws(CertificateError) in
            if AddressText.isAddress(name) { return "IP:\(name)" }
            let labels = name.hasPrefix("*.") ? name.utf8.dropFirst(2) : name.utf8[...]
            let isName =
                !labels.isEmpty && name.utf8.count <= 253
                && labels.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                        || byte == 0x2D || byte == 0x2E || byte == 0x5F
                }
            guard isName else { throw .invalidName(name) }
            return "DNS:\(name)"
        }.joined(separator: ",")
    }
}
