import COpenSSL

/// PKCS#12 files, as IIS exports them.
public enum PFX {
    /// A certificate with its chain, and its key, both as PEM.
    public struct Parts: Sendable {
        /// The leaf first, then each certificate's issuer; others in the file are left out.
        public let chainPEM: [UInt8]
        /// PKCS#8, not encrypted.
        public let keyPEM: [UInt8]
    }

    /// Opens a file.
    ///
    /// Old Windows encrypts with RC2, which OpenSSL keeps in its "legacy" provider. It is loaded for this file alone,
    /// and not where connections are made.
    ///
    /// - Throws: `badPFX` when the password is wrong or the file damaged, `library` when the password is right and an
    ///   algorithm is missing.
    public static func read(_ bytes: [UInt8], password: [UInt8]) throws(CertificateError) -> Parts {
        guard let library = OSSL_LIB_CTX_new() else { throw .library("out of memory") }
        defer { OSSL_LIB_CTX_free(library) }
        guard let usual = OSSL_PROVIDER_load(library, "default") else { throw .fromQueue("OpenSSL's default provider") }
        defer { OSSL_PROVIDER_unload(usual) }
        let old = OSSL_PROVIDER_load(library, "legacy")
        defer { if let old { OSSL_PROVIDER_unload(old) } }
        ERR_clear_error()
        return try read(bytes, password, library)
    }

    /// Everything that belongs to `library` is gone when this returns.
    private static func read(
        _ bytes: [UInt8],
        _ password: [UInt8],
        _ library: OpaquePointer
    ) throws(CertificateError) -> Parts {
        guard let file = try MemoryReader.read(bytes, { everyhop_read_pfx($0, library) }) else {
            ERR_clear_error()
            throw .badPFX
        }
        defer { PKCS12_free(file) }
        var secret = password.map { CChar(bitPattern: $0) } + [0]
        defer { secret.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        var rawKey: OpaquePointer?
        var rawLeaf: OpaquePointer?
        var others: OpaquePointer?
        let isOpen = PKCS12_parse(file, secret, &rawKey, &rawLeaf, &others) == 1
        defer { if let others { everyhop_chain_free(others) } }
        let key = rawKey.map { PrivateKey(owning: $0) }
        let leaf = rawLeaf.map { X509Certificate(owning: $0) }
        guard isOpen else {
            let isPassword = PKCS12_verify_mac(file, secret, CInt(clamping: password.count)) == 1
            if isPassword { throw .fromQueue("the PKCS#12 file cannot be decrypted") }
            ERR_clear_error()
            throw .badPFX
        }
        guard let leaf else { throw .noCertificate }
        guard let key else { throw .noKey }
        return Parts(chainPEM: try chain(from: leaf, among: others), keyPEM: try key.pem())
    }

    /// The leaf and its issuers in order; the file may hold them in any.
    private static func chain(
        from leaf: X509Certificate,
        among others: OpaquePointer?
    ) throws(CertificateError) -> [UInt8] {
        var rest =
            others.map { stack in (0..<everyhop_chain_count(stack)).compactMap { everyhop_chain_at(stack, $0) } } ?? []
        var pem = try leaf.pem()
        var last = leaf.raw
        while let next = rest.firstIndex(where: { X509_check_issued($0, last) == X509_V_OK }) {
            last = rest.remove(at: next)
            X509_up_ref(last)
            pem += try X509Certificate(owning: last).pem()
        }
        everyhop_forget_errors()
        return pem
    }
}
