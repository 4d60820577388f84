import COpenSSL
import Glibc

/// A key of a group as the library holds it (provider-keymgmt(7)): public, or both halves.
///
/// *Ownership:* owns memory of the secure heap, where there is one, that is wiped when freed.
final class AgreementKey {
    /// Bytes of a private key, and of what two parties agree on.
    static let size = 32

    let curve: any AgreementCurve
    private let memory: UnsafeMutableRawPointer
    private(set) var isPrivate = false
    private(set) var isPublic = false

    /// - Returns: nil when there is no such group, or no memory.
    init?(_ curve: (any AgreementCurve)?) {
        guard let curve, let memory = CRYPTO_secure_zalloc(Self.size + curve.publicSize, nil, 0) else { return nil }
        self.curve = curve
        self.memory = memory
    }

    deinit { CRYPTO_secure_clear_free(memory, Self.size + curve.publicSize, nil, 0) }

    var privateKey: UnsafeMutableRawPointer { memory }
    var publicKey: UnsafeMutableRawPointer { memory + Self.size }

    /// Makes both halves.
    func generate() -> Bool {
        guard curve.makePrivateKey(privateKey),
            curve.multiply(privateKey, publicKey: publicKey, other: nil, secret: nil)
        else { return false }
        (isPrivate, isPublic) = (true, true)
        return true
    }

    private func copy(_ other: AgreementKey, _ selection: CInt) {
        if selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY != 0, other.isPrivate {
            privateKey.copyMemory(from: other.privateKey, byteCount: Self.size)
            isPrivate = true
        }
        if selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY != 0, other.isPublic {
            publicKey.copyMemory(from: other.publicKey, byteCount: curve.publicSize)
            isPublic = true
        }
    }

    /// All keys have the same parameters; a group of its own is what the algorithm is.
    private func has(_ selection: CInt) -> Bool {
        if selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY != 0, !isPrivate { return false }
        return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY == 0 || isPublic
    }

    private func matches(_ other: AgreementKey, _ selection: CInt) -> Bool {
        guard selection & KeyAgreement.pair != 0 else { return true }
        return curve === other.curve && isPublic && other.isPublic
            && CRYPTO_memcmp(publicKey, other.publicKey, curve.publicSize) == 0
    }

    private func answer(_ questions: UnsafeMutablePointer<OSSL_PARAM>) -> Bool {
        guard Self.answer("bits", curve.facts.bits, questions), Self.answer("security-bits", 128, questions),
            Self.answer("max-size", curve.facts.mostBytes, questions)
        else { return false }
        guard let question = OSSL_PARAM_locate(questions, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY) else { return true }
        return isPublic && OSSL_PARAM_set_octet_string(question, publicKey, curve.publicSize) == 1
    }

    private static func answer(_ name: StaticString, _ number: CInt, _ questions: UnsafeMutablePointer<OSSL_PARAM>)
        -> Bool
    {
        guard let question = OSSL_PARAM_locate(questions, name.immortal) else { return true }
        return OSSL_PARAM_set_int(question, number) == 1
    }

    /// Takes the public key that another has sent.
    private func take(_ parameters: UnsafePointer<OSSL_PARAM>) -> Bool {
        guard let encoded = OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY) else { return true }
        guard encoded.pointee.data_type == CUnsignedInt(OSSL_PARAM_OCTET_STRING),
            encoded.pointee.data_size == curve.publicSize,
            let bytes = encoded.pointee.data,
            curve.accepts(bytes)
        else { return false }
        publicKey.copyMemory(from: bytes, byteCount: curve.publicSize)
        OPENSSL_cleanse(privateKey, Self.size)
        (isPrivate, isPublic) = (false, true)
        return true
    }

    // MARK: what the library calls

    typealias Raw = UnsafeMutableRawPointer
    private typealias Make = @convention(c) (Raw?) -> Raw?
    private typealias Drop = @convention(c) (Raw?) -> Void
    private typealias Has = @convention(c) (Raw?, CInt) -> CInt
    private typealias Match = @convention(c) (Raw?, Raw?, CInt) -> CInt
    private typealias Copy = @convention(c) (Raw?, CInt) -> Raw?
    private typealias Get = @convention(c) (Raw?, UnsafeMutablePointer<OSSL_PARAM>?) -> CInt
    private typealias Set = @convention(c) (Raw?, UnsafePointer<OSSL_PARAM>?) -> CInt
    private typealias Listed = @convention(c) (Raw?) -> UnsafePointer<OSSL_PARAM>?
    private typealias ListedFor = @convention(c) (Raw?, Raw?) -> UnsafePointer<OSSL_PARAM>?
    private typealias Begin = @convention(c) (Raw?, CInt, UnsafePointer<OSSL_PARAM>?) -> Raw?
    private typealias Generate = @convention(c) (Raw?, Raw?, Raw?) -> Raw?

    /// The key behind what the library holds, which goes on to own it.
    static func of(_ raw: Raw?) -> AgreementKey? {
        raw.map { Unmanaged<AgreementKey>.fromOpaque($0).takeUnretainedValue() }
    }

    private static func handOver(_ key: AgreementKey?) -> Raw? { key.map { Unmanaged.passRetained($0).toOpaque() } }

    private static let answers = ParameterList([
        ("bits", CUnsignedInt(OSSL_PARAM_INTEGER)), ("security-bits", CUnsignedInt(OSSL_PARAM_INTEGER)),
        ("max-size", CUnsignedInt(OSSL_PARAM_INTEGER)),
        ("encoded-pub-key", CUnsignedInt(OSSL_PARAM_OCTET_STRING)),
    ])
    private static let settable = ParameterList([
        ("encoded-pub-key", CUnsignedInt(OSSL_PARAM_OCTET_STRING))
    ])
    private static let generator = ParameterList([("group", CUnsignedInt(OSSL_PARAM_UTF8_STRING))])

    static let x25519 = functions(
        make: { _ in AgreementKey.handOver(AgreementKey(KeyAgreement.curve25519)) },
        generate: { _, selection, _ in AgreementKey.handOver(AgreementKey.made(KeyAgreement.curve25519, selection)) }
    )
    static let p256 = functions(
        make: { _ in AgreementKey.handOver(AgreementKey(KeyAgreement.curve256)) },
        generate: { _, selection, _ in AgreementKey.handOver(AgreementKey.made(KeyAgreement.curve256, selection)) }
    )

    /// Making a key: all there is to be known beforehand is whether it shall have halves.
    private static func made(_ curve: (any AgreementCurve)?, _ selection: CInt) -> AgreementKey? {
        guard let key = AgreementKey(curve) else { return nil }
        return selection & KeyAgreement.pair == 0 || key.generate() ? key : nil
    }

    /// What is the same for all groups, beside what is not.
    private static func functions(make: Make, generate: Begin) -> FunctionTable {
        let free: Drop = { raw in raw.map { Unmanaged<AgreementKey>.fromOpaque($0).release() } }
        let has: Has = { AgreementKey.of($0)?.has($1) == true ? 1 : 0 }
        let match: Match = { one, other, selection in
            guard let one = AgreementKey.of(one), let other = AgreementKey.of(other) else { return 0 }
            return one.matches(other, selection) ? 1 : 0
        }
        let copy: Copy = { raw, selection in
            guard let from = AgreementKey.of(raw), let to = AgreementKey(from.curve) else { return nil }
            to.copy(from, selection)
            return AgreementKey.handOver(to)
        }
        let get: Get = { raw, questions in
            guard let key = AgreementKey.of(raw), let questions else { return 0 }
            return key.answer(questions) ? 1 : 0
        }
        let set: Set = { raw, parameters in
            guard let key = AgreementKey.of(raw) else { return 0 }
            return parameters.map(key.take) ?? true ? 1 : 0
        }
        let gettable: Listed = { _ in AgreementKey.answers.start }
        let settable: Listed = { _ in AgreementKey.settable.start }
        return FunctionTable(
            [
                (OSSL_FUNC_KEYMGMT_NEW, unsafeBitCast(make, to: FunctionTable.Function.self)),
                (OSSL_FUNC_KEYMGMT_FREE, unsafeBitCast(free, to: FunctionTable.Function.self)),
                (OSSL_FUNC_KEYMGMT_HAS, unsafeBitCast(has, to: FunctionTable.Function.self)),
                (OSSL_FUNC_KEYMGMT_MATCH, unsafeBitCast(match, to: FunctionTable.Function.self)),
                (OSSL_FUNC_KEYMGMT_DUP, unsafeBitCast(copy, to: FunctionTable.Function.self)),
                (OSSL_FUNC_KEYMGMT_GET_PARAMS, unsafeBitCast(get, to: FunctionTable.Function.self)),
                (OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, unsafeBitCast(gettable, to: FunctionTable.Function.self)),
                (OSSL_FUNC_KEYMGMT_SET_PARAMS, unsafeBitCast(set, to: FunctionTable.Function.self)),
                (OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, unsafeBitCast(settable, to: FunctionTable.Function.self)),
            ] + generation(generate)
        )
    }

    /// What is made in the end stands for the making as well.
    private static func generation(_ begin: Begin) -> [(number: CInt, function: FunctionTable.Function)] {
        let set: Set = { _, _ in 1 }
        let settable: ListedFor = { _, _ in AgreementKey.generator.start }
        let generate: Generate = { raw, _, _ in AgreementKey.handOver(AgreementKey.of(raw)) }
        let end: Drop = { raw in raw.map { Unmanaged<AgreementKey>.fromOpaque($0).release() } }
        return [
            (OSSL_FUNC_KEYMGMT_GEN_INIT, unsafeBitCast(begin, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, unsafeBitCast(set, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, unsafeBitCast(settable, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEYMGMT_GEN, unsafeBitCast(generate, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KEYMGMT_GEN_CLEANUP, unsafeBitCast(end, to: FunctionTable.Function.self)),
        ]
    }
}
