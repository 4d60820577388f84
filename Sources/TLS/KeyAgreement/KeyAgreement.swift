import COpenSSL

/// Groups of TLS (RFC 8446 §4.2.7) as the library is told of them (provider-base(7), "TLS-GROUP").
///
/// They are announced as key encapsulations, which on the wire is the same: what a server encapsulates is its own public
/// key, and the secret is what both agree on. So one operation does what took the library five objects. Up to TLS 1.2
/// the library asks for a key exchange, which the algorithms offer as well. They have names of their own: looking
/// "X25519" up costs the library a search through all kinds of keys that it ever had.
///
/// P-384 stays the library's, which offers elliptic curves to servers of TLS 1.2 only where it finds a group
/// of its own.
enum KeyAgreement {
    /// OSSL_KEYMGMT_SELECT_KEYPAIR, a macro of macros, which Swift imports or not as it likes.
    static let pair = OSSL_KEYMGMT_SELECT_PRIVATE_KEY | OSSL_KEYMGMT_SELECT_PUBLIC_KEY

    /// A group by its names: of the algorithm here, in TLS, and in the library.
    struct Group {
        let name: StaticString
        let tlsName: StaticString
        let libraryName: StaticString
        let identifier: CUnsignedInt
    }

    static let x25519 = Group(name: "everyhop-X25519", tlsName: "x25519", libraryName: "X25519", identifier: 0x001D)
    static let p256 = Group(name: "everyhop-P-256", tlsName: "secp256r1", libraryName: "prime256v1", identifier: 0x0017)

    nonisolated(unsafe) private(set) static var curve25519: Curve25519?
    nonisolated(unsafe) private(set) static var curve256: PrimeCurve256?

    /// Finds the library's curves; false when one is missing, which then is not announced.
    @discardableResult
    static func prepare() -> Bool {
        if curve25519 == nil { curve25519 = Curve25519() }
        if curve256 == nil { curve256 = PrimeCurve256() }
        return curve25519 != nil && curve256 != nil
    }

    typealias Listener = @convention(c) (UnsafePointer<OSSL_PARAM>?, UnsafeMutableRawPointer?) -> CInt

    static func announce(to listener: Listener, _ argument: UnsafeMutableRawPointer?) -> CInt {
        // A context is made after the provider was loaded; only then may the library's provider be looked at.
        prepare()
        if curve25519 != nil, announce(x25519, to: listener, argument) != 1 { return 0 }
        return curve256 == nil ? 1 : announce(p256, to: listener, argument)
    }

    private static func announce(_ group: Group, to listener: Listener, _ argument: UnsafeMutableRawPointer?) -> CInt {
        var (identifier, strength, isEncapsulation): (CUnsignedInt, CUnsignedInt, CUnsignedInt) = (
            group.identifier, 128, 1
        )
        // No DTLS; TLS from 1.0 to whatever there is.
        var (oldest, newest, oldestDatagram, newestDatagram): (CInt, CInt, CInt, CInt) = (TLS1_VERSION, 0, -1, -1)
        return withUnsafeTemporaryAllocation(of: OSSL_PARAM.self, capacity: 11) { list in
            list[0] = text("tls-group-name", group.tlsName)
            list[1] = text("tls-group-name-internal", group.libraryName)
            list[2] = text("tls-group-alg", group.name)
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
