import COpenSSL

/// Which versions, suites and groups are spoken.
public enum TLSPolicy: Sendable {
    /// NIST SP 800-52 r2: TLS 1.3, and TLS 1.2 with ephemeral keys and AES-GCM only.
    case nist80052r2
    /// TLS 1.3 only.
    case modern
    /// Whatever a server of 2008 may speak: TLS 1.0, RSA key exchange, CBC, SHA-1, short keys. Towards servers only,
    /// and only with a pin: it keeps a passive listener out, and the pin everybody else.
    case legacy

    func apply(to context: OpaquePointer, isServer: Bool) throws(TLSError) {
        if self == .legacy, FIPS.isOn { throw .library("nothing obsolete is spoken under FIPS") }
        everyhop_ctx_set_options(context, isServer ? 1 : 0)
        everyhop_ctx_set_mode(
            context,
            Int(
                SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS
                    // Certificates are sent as configured; searching a chain for each handshake would only cost time.
                    | SSL_MODE_NO_AUTO_CHAIN
            )
        )
        // 112 bits everywhere: no RSA below 2048, no SHA-1, whatever the system's openssl.cnf says.
        SSL_CTX_set_security_level(context, self == .legacy ? 0 : 2)
        // Servers that never learned of RFC 5746; renegotiation stays off.
        if self == .legacy { everyhop_ctx_allow_legacy_servers(context) }
        guard everyhop_ctx_set_versions(context, oldestVersion, TLS1_3_VERSION) == 1 else {
            throw .libraryFailure("TLS versions")
        }
        guard SSL_CTX_set_ciphersuites(context, suites) == 1 else { throw .libraryFailure("TLS 1.3 suites") }
        guard SSL_CTX_set_cipher_list(context, oldSuites) == 1 else { throw .libraryFailure("TLS 1.2 suites") }
        guard Self.setGroups(Self.groups.map { $0.name }, in: context) else { throw .libraryFailure("groups") }
    }
}

extension TLSPolicy {
    /// The groups that everybody knows, the preferred one first, as the library numbers and as it names them.
    ///
    /// X25519 is not among those that NIST approves (SP 800-56A r3), so the FIPS provider does not have it.
    static var groups: [(number: CInt, name: String)] {
        let approved = [(NID_X9_62_prime256v1, "P-256"), (NID_secp384r1, "P-384")]
        return FIPS.isOn ? approved : [(NID_X25519, "X25519")] + approved
    }

    /// Offers these groups, the preferred one first; before them the post-quantum ones, if the library knows them.
    ///
    /// From 3.5 on, a star marks a group that a key is sent for. There is one for a hybrid and one for a classical group:
    /// a server that knows the latter only need not ask for a second hello.
    static func setGroups(_ names: [String], in context: OpaquePointer) -> Bool {
        let starred = names.prefix(1).map { "*" + $0 } + names.dropFirst()
        let hybrids = FIPS.isOn ? ["*SecP256r1MLKEM768"] : ["*X25519MLKEM768", "SecP256r1MLKEM768"]
        for list in [hybrids + starred, hybrids.prefix(1) + starred, names] {
            if everyhop_ctx_set_groups(context, list.joined(separator: ":")) == 1 { return true }
            ERR_clear_error()
        }
        return false
    }

    /// Groups that the library prefers to all of those, where it knows them (from 3.5 on), as TLS numbers them:
    /// SecP256r1MLKEM768 and X25519MLKEM768.
    static let newerGroups: [UInt16] = OpenSSL_version_num() >= 0x3050_0000 ? [0x11EB, 0x11EC] : []

    private var oldestVersion: CInt {
        switch self {
        case .nist80052r2: TLS1_2_VERSION
        case .modern: TLS1_3_VERSION
        case .legacy: TLS1_VERSION
        }
    }

    /// The suites of TLS 1.2 and before.
    private var oldSuites: String {
        let approved = CipherSuite.older.map { $0.name }.joined(separator: ":")
        return self == .legacy ? approved + ":ECDHE+AES:DHE+AES:kRSA+AES:!aNULL:@SECLEVEL=0" : approved
    }

    /// The suites of TLS 1.3.
    ///
    /// AES-128 first: faster than AES-256, and as strong as the rest of the handshake.
    var modernSuites: [CipherSuite] {
        self == .modern && !FIPS.isOn ? CipherSuite.modern + [.chacha20] : CipherSuite.modern
    }

    private var suites: String { modernSuites.map { $0.name }.joined(separator: ":") }

    /// Puts a connection under this policy that was made from a context with another one: SSL_set_SSL_CTX(3) takes
    /// over certificates and the suites of TLS 1.2, but neither versions nor the suites of TLS 1.3.
    ///
    /// - Returns: whether the library took it.
    func apply(toConnection ssl: OpaquePointer) -> Bool {
        everyhop_set_versions(ssl, oldestVersion, TLS1_3_VERSION) == 1 && SSL_set_ciphersuites(ssl, suites) == 1
    }
}

/// A version of TLS, for servers that must not speak an older or a newer one.
public enum TLSVersion: String, Sendable, CaseIterable {
    /// RFC 2246.
    case tls10 = "1.0"
    /// RFC 4346.
    case tls11 = "1.1"
    /// RFC 5246.
    case tls12 = "1.2"
    /// RFC 8446.
    case tls13 = "1.3"

    var raw: CInt {
        switch self {
        case .tls10: TLS1_VERSION
        case .tls11: TLS1_1_VERSION
        case .tls12: TLS1_2_VERSION
        case .tls13: TLS1_3_VERSION
        }
    }
}

/// Owns one SSL_CTX.
final class ContextHandle {
    let raw: OpaquePointer

    init(isServer: Bool, _ policy: TLSPolicy) throws(TLSError) {
        guard let raw = SSL_CTX_new(isServer ? TLS_server_method() : TLS_client_method()) else {
            throw .libraryFailure("a TLS context")
        }
        self.raw = raw
        try policy.apply(to: raw, isServer: isServer)
    }

    deinit { SSL_CTX_free(raw) }
}

/// Places in OpenSSL's objects for values of ours; claimed once per process.
enum ExtraData {
    static let contextOwner = everyhop_ctx_ex_index()
    static let endpoint = everyhop_ssl_ex_index()
}
