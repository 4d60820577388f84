import COpenSSL

/// One agreement in a group, as a key exchange (provider-keyexch(7)) and as a key encapsulation (provider-kem(7)).
final class Agreement {
    private var key: AgreementKey?
    private var peer: AgreementKey?

    /// One that is not in use, so that most agreements allocate nothing.
    nonisolated(unsafe) private static var spare: Agreement?

    /// What this side's private key and the other's public key give.
    private func derive(into secret: UnsafeMutableRawPointer) -> Bool {
        guard let key, key.isPrivate, let peer, peer.isPublic, key.curve === peer.curve else { return false }
        return key.curve.multiply(key.privateKey, publicKey: nil, other: peer.publicKey, secret: secret)
    }

    /// Makes a key, tells its public half, and forgets the private one.
    private func encapsulate(_ share: UnsafeMutableRawPointer, _ secret: UnsafeMutableRawPointer) -> Bool {
        guard let key, key.isPublic else { return false }
        return withUnsafeTemporaryAllocation(byteCount: AgreementKey.size, alignment: 8) { own in
            guard let start = own.baseAddress else { return false }
            defer { OPENSSL_cleanse(start, own.count) }
            return key.curve.makePrivateKey(start)
                && key.curve.multiply(start, publicKey: share, other: key.publicKey, secret: secret)
        }
    }

    private func decapsulate(_ share: UnsafeRawBufferPointer, _ secret: UnsafeMutableRawPointer) -> Bool {
        guard let key, key.isPrivate, share.count == key.curve.publicSize, let start = share.baseAddress else {
            return false
        }
        return key.curve.multiply(key.privateKey, publicKey: nil, other: start, secret: secret)
    }

    // MARK: what the library calls

    private typealias Raw = AgreementKey.Raw
    private typealias Count = UnsafeMutablePointer<Int>
    private typealias Make = @convention(c) (Raw?) -> Raw?
    private typealias Drop = @convention(c) (Raw?) -> Void
    private typealias Begin = @convention(c) (Raw?, Raw?, UnsafePointer<OSSL_PARAM>?) -> CInt
    private typealias SetPeer = @convention(c) (Raw?, Raw?) -> CInt
    private typealias Derive = @convention(c) (Raw?, Raw?, Count?, Int) -> CInt
    private typealias Encapsulate = @convention(c) (Raw?, Raw?, Count?, Raw?, Count?) -> CInt
    private typealias Decapsulate = @convention(c) (Raw?, Raw?, Count?, UnsafeRawPointer?, Int) -> CInt

    private static func of(_ raw: Raw?) -> Agreement? {
        raw.map { Unmanaged<Agreement>.fromOpaque($0).takeUnretainedValue() }
    }

    private static let make: Make = { _ in Unmanaged.passRetained(Agreement.spare.take() ?? Agreement()).toOpaque() }

    private static let free: Drop = { raw in
        guard let raw else { return }
        let agreement = Unmanaged<Agreement>.fromOpaque(raw).takeRetainedValue()
        (agreement.key, agreement.peer) = (nil, nil)
        Agreement.spare = agreement
    }

    private static let begin: Begin = { raw, key, _ in
        guard let agreement = Agreement.of(raw), let key = AgreementKey.of(key) else { return 0 }
        agreement.key = key
        return 1
    }

    static let exchangeFunctions: FunctionTable = {
        let setPeer: SetPeer = { raw, peer in
            guard let agreement = Agreement.of(raw), let peer = AgreementKey.of(peer) else { return 0 }
            agreement.peer = peer
            return 1
        }
        let derive: Derive = { raw, secret, count, room in
            guard let agreement = Agreement.of(raw), let count else { return 0 }
            count.pointee = AgreementKey.size
            guard let secret else { return 1 }
            return room >= AgreementKey.size && agreement.derive(into: secret) ? 1 : 0
        }
        return FunctionTable([
            (OSSL_FUNC_KEYEXCH_NEWCTX, unsafeBitCast(make, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEYEXCH_FREECTX, unsafeBitCast(free, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEYEXCH_INIT, unsafeBitCast(begin, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEYEXCH_SET_PEER, unsafeBitCast(setPeer, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEYEXCH_DERIVE, unsafeBitCast(derive, to: FunctionTable.Function.self)),
        ])
    }()

    /// Both are asked twice: first for the sizes.
    static let encapsulationFunctions: FunctionTable = {
        let encapsulate: Encapsulate = { raw, share, shareCount, secret, secretCount in
            guard let agreement = Agreement.of(raw), let key = agreement.key else { return 0 }
            shareCount?.pointee = key.curve.publicSize
            secretCount?.pointee = AgreementKey.size
            guard let share else { return 1 }
            guard let secret else { return 0 }
            return agreement.encapsulate(share, secret) ? 1 : 0
        }
        let decapsulate: Decapsulate = { raw, secret, secretCount, share, shareCount in
            guard let agreement = Agreement.of(raw) else { return 0 }
            secretCount?.pointee = AgreementKey.size
            guard let secret else { return 1 }
            return agreement.decapsulate(UnsafeRawBufferPointer(start: share, count: shareCount), secret) ? 1 : 0
        }
        return FunctionTable([
            (OSSL_FUNC_KEM_NEWCTX, unsafeBitCast(make, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEM_FREECTX, unsafeBitCast(free, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEM_ENCAPSULATE_INIT, unsafeBitCast(begin, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEM_ENCAPSULATE, unsafeBitCast(encapsulate, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEM_DECAPSULATE_INIT, unsafeBitCast(begin, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEM_DECAPSULATE, unsafeBitCast(decapsulate, to: FunctionTable.Function.self)),
        ])
    }()
}
