import COpenSSL

/// X25519 (RFC 7748 §5) by the library's own functions, without the objects and searches of EVP around each.
///
/// They are asked of the provider that the library itself would use (provider-keyexch(7)). The library makes public keys
/// by arithmetic on another curve in portable C; the ladder that it has in assembler for agreement does it faster.
///
/// *Ownership:* owns an agreement and two keys of the library's; for one thread.
final class Curve25519: AgreementCurve {
    /// Bytes of a private key, of a public one and of what two parties agree on.
    static let size = 32

    let publicSize = size
    let facts = (bits: CInt(253), mostBytes: CInt(size))

    // OSSL_PKEY_PARAM_…, of which Swift would make a copy for each call.
    private static let privateName: StaticString = "priv"
    private static let publicName: StaticString = "pub"
    private static let encodedName: StaticString = "encoded-pub-key"

    private typealias MakeKey = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    private typealias Free = @convention(c) (UnsafeMutableRawPointer?) -> Void
    private typealias Import = @convention(c) (UnsafeMutableRawPointer?, CInt, UnsafePointer<OSSL_PARAM>?) -> CInt
    private typealias Set = @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<OSSL_PARAM>?) -> CInt
    private typealias Begin =
        @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, UnsafePointer<OSSL_PARAM>?) -> CInt
    private typealias SetPeer = @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> CInt
    private typealias Derive =
        @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, UnsafeMutablePointer<Int>?, Int) -> CInt

    private let provider: UnsafeMutableRawPointer?
    private let makeKey: MakeKey
    private let freeKey: Free
    private let importKey: Import
    private let setKey: Set
    private let begin: Begin
    private let setPeer: SetPeer
    private let derive: Derive
    private let freeAgreement: Free
    private let agreement: UnsafeMutableRawPointer
    private let peer: UnsafeMutableRawPointer
    private let base: UnsafeMutableRawPointer

    /// - Returns: nil when the library's own provider does not offer X25519 as expected.
    init?() {
        guard let fetched = EVP_KEYMGMT_fetch(nil, "X25519", "provider=default") else { return nil }
        // The library keeps its default provider, and what it offers, to the end of the process.
        defer { EVP_KEYMGMT_free(fetched) }
        guard let owner = EVP_KEYMGMT_get0_provider(fetched),
            let keys = FunctionTable.find(OSSL_OP_KEYMGMT, "X25519", of: owner),
            let exchange = FunctionTable.find(OSSL_OP_KEYEXCH, "X25519", of: owner),
            let makeKey = FunctionTable.find(OSSL_FUNC_KEYMGMT_NEW, in: keys, as: MakeKey.self),
            let freeKey = FunctionTable.find(OSSL_FUNC_KEYMGMT_FREE, in: keys, as: Free.self),
            let importKey = FunctionTable.find(OSSL_FUNC_KEYMGMT_IMPORT, in: keys, as: Import.self),
            let setKey = FunctionTable.find(OSSL_FUNC_KEYMGMT_SET_PARAMS, in: keys, as: Set.self),
            let make = FunctionTable.find(OSSL_FUNC_KEYEXCH_NEWCTX, in: exchange, as: MakeKey.self),
            let free = FunctionTable.find(OSSL_FUNC_KEYEXCH_FREECTX, in: exchange, as: Free.self),
            let begin = FunctionTable.find(OSSL_FUNC_KEYEXCH_INIT, in: exchange, as: Begin.self),
            let setPeer = FunctionTable.find(OSSL_FUNC_KEYEXCH_SET_PEER, in: exchange, as: SetPeer.self),
            let derive = FunctionTable.find(OSSL_FUNC_KEYEXCH_DERIVE, in: exchange, as: Derive.self)
        else { return nil }
        provider = OSSL_PROVIDER_get0_provider_ctx(owner)
        guard let agreement = make(provider) else { return nil }
        guard let peer = makeKey(provider), let base = makeKey(provider) else { return nil }
        (self.makeKey, self.freeKey, self.importKey, self.setKey) = (makeKey, freeKey, importKey, setKey)
        (self.begin, self.setPeer, self.derive, freeAgreement) = (begin, setPeer, derive, free)
        (self.agreement, self.peer, self.base) = (agreement, peer, base)
        // The base point is 9 (RFC 7748 §4.1).
        var nine = [UInt8](repeating: 0, count: Self.size)
        nine[0] = 9
        let isSet = nine.withUnsafeMutableBytes { nine in
            Self.withParameter(Self.publicName, nine.baseAddress) {
                importKey(base, OSSL_KEYMGMT_SELECT_PUBLIC_KEY, $0) == 1
                    && importKey(peer, OSSL_KEYMGMT_SELECT_PUBLIC_KEY, $0) == 1
            }
        }
        guard isSet else { return nil }
    }

    deinit {
        freeAgreement(agreement)
        freeKey(peer)
        freeKey(base)
    }

    func makePrivateKey(_ key: UnsafeMutableRawPointer) -> Bool {
        RAND_priv_bytes(key.assumingMemoryBound(to: UInt8.self), CInt(Self.size)) == 1
    }

    /// Any bytes may (RFC 7748 §5): one of low order is seen when the secret would be zero.
    func accepts(_ publicKey: UnsafeRawPointer) -> Bool { true }

    /// A point of low order agrees with nobody: the secret would be zero (RFC 8446 §7.4.2).
    func multiply(
        _ privateKey: UnsafeRawPointer,
        publicKey: UnsafeMutableRawPointer? = nil,
        other: UnsafeRawPointer? = nil,
        secret: UnsafeMutableRawPointer? = nil
    ) -> Bool {
        guard let key = makeKey(provider) else { return false }
        defer { freeKey(key) }
        guard load(privateKey, into: key), begin(agreement, key, nil) == 1 else { return false }
        if let publicKey {
            guard setPeer(agreement, base) == 1, finish(publicKey) else { return false }
        }
        guard let other, let secret else { return true }
        let isSet = Self.withParameter(Self.encodedName, UnsafeMutableRawPointer(mutating: other)) {
            setKey(peer, $0) == 1
        }
        return isSet && setPeer(agreement, peer) == 1 && finish(secret)
    }

    /// A key without its public half would have that computed at once: it is told another's, which nobody asks it for.
    private func load(_ privateKey: UnsafeRawPointer, into key: UnsafeMutableRawPointer) -> Bool {
        withUnsafeTemporaryAllocation(of: OSSL_PARAM.self, capacity: 3) { list in
            let bytes = UnsafeMutableRawPointer(mutating: privateKey)
            list[0] = OSSL_PARAM_construct_octet_string(Self.privateName.immortal, bytes, Self.size)
            list[1] = OSSL_PARAM_construct_octet_string(Self.publicName.immortal, bytes, Self.size)
            list[2] = OSSL_PARAM_construct_end()
            return importKey(key, KeyAgreement.pair, list.baseAddress) == 1
        }
    }

    private func finish(_ result: UnsafeMutableRawPointer) -> Bool {
        var count = Self.size
        return derive(agreement, result, &count, Self.size) == 1 && count == Self.size
    }

    private static func withParameter(
        _ name: StaticString,
        _ bytes: UnsafeMutableRawPointer?,
        _ body: (UnsafePointer<OSSL_PARAM>?) -> Bool
    ) -> Bool {
        withUnsafeTemporaryAllocation(of: OSSL_PARAM.self, capacity: 2) { list in
            list[0] = OSSL_PARAM_construct_octet_string(name.immortal, bytes, size)
            list[1] = OSSL_PARAM_construct_end()
            return body(list.baseAddress)
        }
    }
}
