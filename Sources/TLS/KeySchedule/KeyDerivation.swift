import COpenSSL

/// "TLS13-KDF" as the library asks for it (provider-kdf(7)): a schedule for each hash, and one derivation at a time.
enum KeyDerivation {
    nonisolated(unsafe) private static var sha256: KeySchedule?
    nonisolated(unsafe) private static var sha384: KeySchedule?
    /// One that is not in use, so that most derivations allocate nothing.
    nonisolated(unsafe) private static var spare: Derivation?

    /// Finds the hashes; false when the library lacks one.
    static func prepare() -> Bool {
        if sha256 == nil { sha256 = KeySchedule(.sha256) }
        if sha384 == nil { sha384 = KeySchedule(.sha384) }
        return sha256 != nil && sha384 != nil
    }

    static func schedule(_ hash: KeySchedule.Hash?) -> KeySchedule? {
        switch hash {
        case .sha256: sha256
        case .sha384: sha384
        case nil: nil
        }
    }

    private typealias Make = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    private typealias Drop = @convention(c) (UnsafeMutableRawPointer?) -> Void
    private typealias Set = @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<OSSL_PARAM>?) -> CInt
    private typealias Derive =
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafeMutablePointer<UInt8>?, Int, UnsafePointer<OSSL_PARAM>?
        ) -> CInt
    private typealias Settable =
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafeMutableRawPointer?
        ) -> UnsafePointer<OSSL_PARAM>?

    private static let settable = ParameterList([])

    static let functions: FunctionTable = {
        let make: Make = { _ in
            let derivation = KeyDerivation.spare.take() ?? Derivation()
            return Unmanaged.passRetained(derivation).toOpaque()
        }
        let free: Drop = { raw in
            guard let raw else { return }
            let derivation = Unmanaged<Derivation>.fromOpaque(raw).takeRetainedValue()
            derivation.reset()
            KeyDerivation.spare = derivation
        }
        let reset: Drop = { raw in
            guard let raw else { return }
            Unmanaged<Derivation>.fromOpaque(raw)._withUnsafeGuaranteedRef { $0.reset() }
        }
        let set: Set = { raw, parameters in
            guard let raw else { return 0 }
            return Unmanaged<Derivation>.fromOpaque(raw)._withUnsafeGuaranteedRef { $0.take(parameters) ? 1 : 0 }
        }
        let derive: Derive = { raw, key, count, parameters in
            guard let raw, let key else { return 0 }
            let room = UnsafeMutableRawBufferPointer(start: key, count: count)
            return Unmanaged<Derivation>.fromOpaque(raw)._withUnsafeGuaranteedRef { derivation in
                guard derivation.take(parameters), let schedule = KeyDerivation.schedule(derivation.hash)
                else { return 0 }
                return derivation.derive(with: schedule, into: room) ? 1 : 0
            }
        }
        let settable: Settable = { _, _ in KeyDerivation.settable.start }
        return FunctionTable([
            (OSSL_FUNC_KDF_NEWCTX, unsafeBitCast(make, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KDF_FREECTX, unsafeBitCast(free, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KDF_RESET, unsafeBitCast(reset, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KDF_SET_CTX_PARAMS, unsafeBitCast(set, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KDF_DERIVE, unsafeBitCast(derive, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, unsafeBitCast(settable, to: FunctionTable.Function.self)),
        ])
    }()
}
