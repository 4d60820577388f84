import COpenSSL

/// OpenSSL's FIPS provider, for those who may use validated cryptography only.
public enum FIPS {
    /// Why the provider cannot be used.
    public struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// What the library says.
        public let description: String
    }

    /// Whether this process uses approved algorithms of the provider only.
    public static var isOn: Bool { EVP_default_properties_is_fips_enabled(nil) == 1 }

    /// From here on this process uses approved algorithms of the provider only; there is no way back.
    ///
    /// - Throws: when there is no such provider, or its self-test fails. Nothing is changed then but that the library's
    ///   own algorithms may be gone: the process must not go on.
    public static func demand() throws(Failure) {
        if isOn { return }
        // The base provider reads and writes keys and certificates, without any cryptography.
        for name in ["fips", "base"] where OSSL_PROVIDER_load(nil, name) == nil {
            throw Failure(description: TLSError.libraryFailure("OpenSSL's provider \"\(name)\"").description)
        }
        guard EVP_default_properties_enable_fips(nil, 1) == 1 else {
            throw Failure(description: TLSError.libraryFailure("approved algorithms only").description)
        }
    }

    /// What does this process's cryptography, such as `OpenSSL FIPS Provider 3.0.8`, or `OpenSSL 3.0.19`.
    public static var module: String {
        var text = [CChar](repeating: 0, count: 128)
        guard isOn, everyhop_provider_name("fips", &text, text.count) == 1 else {
            return OpenSSL_version(OPENSSL_VERSION).map { String(cString: $0) } ?? "OpenSSL"
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
