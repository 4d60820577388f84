import COpenSSL
import Glibc

/// Has the library derive the keys of TLS 1.3 with `KeySchedule`: an algorithm "TLS13-KDF" of our own, in a provider
/// (provider(7)) that is asked before the library's.
///
/// Everything else stays the library's. Where only validated modules may be used, the library does not ask it: it does
/// not claim to be one.
public enum KeyScheduleProvider {
    /// From now on, in a process of one thread that has made no context yet.
    ///
    /// - Returns: whether keys are derived here; if not, the library goes on to do it.
    @discardableResult
    public static func install() -> Bool {
        // The library keeps it to the end of the process.
        Machine.shared = Machine()
        // The library's own providers stay as the system's configuration, or the lack of one, has them.
        guard OSSL_PROVIDER_add_builtin(nil, "everyhop", begin) == 1,
            OSSL_PROVIDER_try_load(nil, "everyhop", 1) != nil
        else {
            ERR_clear_error()
            return false
        }
        // Only now: whoever is loaded first is asked first, and looking for a hash loads the library's own.
        guard Machine.shared?.findHashes() == true,
            let algorithm = EVP_KDF_fetch(nil, OSSL_KDF_NAME_TLS1_3_KDF, nil)
        else { return false }
        defer { EVP_KDF_free(algorithm) }
        guard let name = OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(algorithm)) else { return false }
        return strcmp(name, "everyhop") == 0
    }

    private static let begin:
        @convention(c) (
            OpaquePointer?, UnsafePointer<OSSL_DISPATCH>?, UnsafeMutablePointer<UnsafePointer<OSSL_DISPATCH>?>?,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> CInt = { _, _, functions, _ in
            guard let machine = Machine.shared else { return 0 }
            functions?.pointee = UnsafePointer(machine.provider)
            return 1
        }
}

/// What the provider consists of: tables for the library, a schedule for each hash, and one derivation at a time.
private final class Machine {
    nonisolated(unsafe) static var shared: Machine?

    let provider: UnsafeMutablePointer<OSSL_DISPATCH>
    let algorithms: UnsafeMutablePointer<OSSL_ALGORITHM>
    let settable: UnsafeMutablePointer<OSSL_PARAM>
    private(set) var sha256: KeySchedule?
    private(set) var sha384: KeySchedule?
    /// One that is not in use, so that most derivations allocate nothing.
    var spare: Derivation?

    init() {
        provider = .allocate(capacity: 2)
        algorithms = .allocate(capacity: 2)
        settable = .allocate(capacity: 1)
        provider.initialize(repeating: OSSL_DISPATCH(), count: 2)
        algorithms.initialize(repeating: OSSL_ALGORITHM(), count: 2)
        settable.initialize(to: OSSL_PARAM())
        let functions = UnsafeMutablePointer<OSSL_DISPATCH>.allocate(capacity: 7)
        functions.initialize(repeating: OSSL_DISPATCH(), count: 7)
        Self.fill(functions)
        algorithms[0] = OSSL_ALGORITHM(
            algorithm_names: Self.immortal("TLS13-KDF"),
            property_definition: Self.immortal("provider=everyhop"),
            implementation: UnsafePointer(functions),
            algorithm_description: Self.immortal("HKDF of TLS 1.3")
        )
        let query: Query = { _, operation, mayForget in
            mayForget?.pointee = 0
            guard operation == OSSL_OP_KDF, let machine = Machine.shared else { return nil }
            return UnsafePointer(machine.algorithms)
        }
        provider[0] = OSSL_DISPATCH(
            function_id: OSSL_FUNC_PROVIDER_QUERY_OPERATION,
            function: unsafeBitCast(query, to: Function.self)
        )
    }

    func findHashes() -> Bool {
        sha256 = KeySchedule(hash: "SHA2-256")
        sha384 = KeySchedule(hash: "SHA2-384")
        return sha256 != nil && sha384 != nil
    }

    private static func immortal(_ text: StaticString) -> UnsafePointer<CChar> {
        UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    // MARK: what the library calls (provider-kdf(7))

    private typealias Function = @convention(c) () -> Void
    private typealias Query =
        @convention(c) (
            UnsafeMutableRawPointer?, CInt, UnsafeMutablePointer<CInt>?
        ) -> UnsafePointer<OSSL_ALGORITHM>?
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

    private static func fill(_ functions: UnsafeMutablePointer<OSSL_DISPATCH>) {
        let make: Make = { _ in
            let derivation = Machine.shared?.spare.take() ?? Derivation()
            return Unmanaged.passRetained(derivation).toOpaque()
        }
        let free: Drop = { raw in
            guard let raw else { return }
            let derivation = Unmanaged<Derivation>.fromOpaque(raw).takeRetainedValue()
            derivation.reset()
            Machine.shared?.spare = derivation
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
            guard let raw, let key, let machine = Machine.shared else { return 0 }
            let room = UnsafeMutableRawBufferPointer(start: key, count: count)
            return Unmanaged<Derivation>.fromOpaque(raw)._withUnsafeGuaranteedRef { derivation in
                guard derivation.take(parameters),
                    let schedule = derivation.isSHA384 ? machine.sha384 : machine.sha256
                else { return 0 }
                return derivation.derive(with: schedule, into: room) ? 1 : 0
            }
        }
        let settable: Settable = { _, _ in Machine.shared.map { UnsafePointer($0.settable) } }
        functions[0] = OSSL_DISPATCH(
            function_id: OSSL_FUNC_KDF_NEWCTX,
            function: unsafeBitCast(make, to: Function.self)
        )
        functions[1] = OSSL_DISPATCH(
            function_id: OSSL_FUNC_KDF_FREECTX,
            function: unsafeBitCast(free, to: Function.self)
        )
        functions[2] = OSSL_DISPATCH(
            function_id: OSSL_FUNC_KDF_RESET,
            function: unsafeBitCast(reset, to: Function.self)
        )
        functions[3] = OSSL_DISPATCH(
            function_id: OSSL_FUNC_KDF_SET_CTX_PARAMS,
            function: unsafeBitCast(set, to: Function.self)
        )
        functions[4] = OSSL_DISPATCH(
            function_id: OSSL_FUNC_KDF_DERIVE,
            function: unsafeBitCast(derive, to: Function.self)
        )
        functions[5] = OSSL_DISPATCH(
            function_id: OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS,
            function: unsafeBitCast(settable, to: Function.self)
        )
    }
}
