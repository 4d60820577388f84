import COpenSSL

/// The group x25519 of TLS (RFC 8446 §4.2.7) as the library is told of it (provider-base(7), "TLS-GROUP").
///
/// It is announced as a key encapsulation, which on the wire is the same: what a server encapsulates is its own public
/// key, and the secret is what X25519 gives. So one operation does what took the library five objects. Up to TLS 1.2 the
/// library asks for a key exchange, which the algorithm offers as well. It has a name of its own: looking "X25519" up
/// costs the library a search through all kinds of keys that it ever had.
enum KeyAgreement {
    static let name: StaticString = "everyhop-X25519"
    /// OSSL_KEYMGMT_SELECT_KEYPAIR, a macro of macros, which Swift imports or not as it likes.
    static let pair = OSSL_KEYMGMT_SELECT_PRIVATE_KEY | OSSL_KEYMGMT_SELECT_PUBLIC_KEY

    nonisolated(unsafe) private(set) static var curve: Curve25519?

    /// Finds the library's curve; false when there is none, and then nothing is announced.
    static func prepare() -> Bool {
        if curve == nil { curve = Curve25519() }
        return curve != nil
    }

    typealias Listener = @convention(c) (UnsafePointer<OSSL_PARAM>?, UnsafeMutableRawPointer?) -> CInt

    static func announce(to listener: Listener, _ argument: UnsafeMutableRawPointer?) -> CInt {
        // A context is made after the provider was loaded; only then may the library's provider be looked at.
        guard prepare() else { return 1 }
        var (identifier, strength, isEncapsulation): (CUnsignedInt, CUnsignedInt, CUnsignedInt) = (0x001D, 128, 1)
        // No DTLS; TLS from 1.0 to whatever there is.
        var (oldest, newest, oldestDatagram, newestDatagram): (CInt, CInt, CInt, CInt) = (TLS1_VERSION, 0, -1, -1)
        return withUnsafeTemporaryAllocation(of: OSSL_PARAM.self, capacity: 11) { list in
            list[0] = text("tls-group-name", "x25519")
            list[1] = text("tls-group-name-internal", "X25519")
            list[2] = text("tls-group-alg", name)
            list[3] = OSSL_PARAM_construct_uint(("tls-group-id" as StaticString).immortal, &identifier)
            list[4] = OSSL_PARAM_construct_uint(("tls-group-sec-bits" as StaticString).immortal, &strength)
            list[5] = OSSL_PARAM_construct_uint(("tls-group-is-kem" as StaticString).immortal, &isEncapsulation)
            list[6] = OSSL_PARAM_construct_int(("tls-min-tls" as StaticString).immortal, &oldest)
            list[7] = OSSL_PARAM_construct_int(("tls-max-tls" as StaticString).immortal, &newest)
            list[8] = OSSL_PARAM_construct_int(("tls-min-dtls" as StaticString).immortal, &oldestDatagram)
            list[9] = OSSL_PARAM_construct_int(("tls-max-dtls" as StaticString).immortal, &newestDatagram)
            list[10] = OSSL_PARAM_construct_end()
            return listener(list.baseAddress, argument)
        }
    }

    private static func text(_ key: StaticString, _ value: StaticString) -> OSSL_PARAM {
        OSSL_PARAM_construct_utf8_string(key.immortal, value.immortal, 0)
    }
}
