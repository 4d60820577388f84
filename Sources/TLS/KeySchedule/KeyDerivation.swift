import COpenSSL
import Glibc

/// "TLS13-KDF" as the library asks for it (provider-kdf(7)): a schedule for each hash, and one derivation at a time.
enum KeyDerivation {
    /// What one thread derives with.
    final class Tools {
        let sha256 = KeySchedule(.sha256)
        let sha384 = KeySchedule(.sha384)
        /// What handshakes of our own need besides; made when the first one does.
        fileprivate(set) lazy var transcript256 = Transcript(.sha256)
        fileprivate(set) lazy var transcript384 = Transcript(.sha384)
        fileprivate(set) lazy var curve = Curve25519()
        /// One that is not in use, so that most derivations allocate nothing.
        fileprivate var spare: Derivation?

        func schedule(_ hash: KeySchedule.Hash?) -> KeySchedule? {
            switch hash {
            case .sha256: sha256
            case .sha384: sha384
            case nil: nil
            }
        }
    }

    /// Where each thread has its tools, which go when it ends.
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key) { raw in
            if let raw { Unmanaged<Tools>.fromOpaque(raw).release() }
        }
        return key
    }()

    private static var tools: Tools {
        if let raw = pthread_getspecific(key) { return Unmanaged<Tools>.fromOpaque(raw).takeUnretainedValue() }
        let tools = Tools()
        pthread_setspecific(key, Unmanaged.passRetained(tools).toOpaque())
        return tools
    }

    /// Finds the hashes; false when the library lacks one.
    static func prepare() -> Bool { tools.sha256 != nil && tools.sha384 != nil }

    /// The schedule by a hash, for this thread; nil for no hash, or one that the library lacks.
    static func schedule(_ hash: KeySchedule.Hash?) -> KeySchedule? {
        tools.schedule(hash)
    }

    /// A transcript by a hash for as long as one call lasts, for this thread; nil when the library lacks it.
    static func transcript(_ hash: KeySchedule.Hash) -> Transcript? {
        hash == .sha256 ? tools.transcript256 : tools.transcript384
    }

    /// X25519 for this thread; nil when the library lacks it.
    static var curve: Curve25519? { tools.curve }

    /// The schedule by the hash that secrets of so many bytes come from.
    static func schedule(forSecretOf count: Int) -> KeySchedule? {
        switch count {
        case 32: schedule(.sha256)
        case 48: schedule(.sha384)
        default: nil
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
            let tools = KeyDerivation.tools
            let derivation = tools.spare.take() ?? Derivation(with: tools)
            return Unmanaged.passRetained(derivation).toOpaque()
        }
        let free: Drop = { raw in
            guard let raw else { return }
            let derivation = Unmanaged<Derivation>.fromOpaque(raw).takeRetainedValue()
            derivation.reset()
            derivation.tools?.spare = derivation
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
                guard derivation.take(parameters), let schedule = derivation.tools?.schedule(derivation.hash)
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
