import COpenSSL
import Glibc

/// Has the library ask us for what each handshake needs and its own way makes dear, by a provider (provider(7)) that is
/// asked before the library's: the keys (`KeySchedule`) and the agreement by X25519 and P-256 (`KeyAgreement`).
///
/// The cryptography stays the library's. Where only validated modules may be used, the library does not ask this one: it
/// does not claim to be one.
public enum LibraryProvider {
    private static let name: StaticString = "everyhop"

    /// From now on, in a process of one thread that has made no context yet.
    ///
    /// - Parameter library: the library context; nil is the one that everything else uses.
    /// - Returns: whether keys are derived here; if not, the library goes on to do it.
    @discardableResult
    public static func install(in library: OpaquePointer? = nil) -> Bool {
        // The library's own providers stay as the system's configuration, or the lack of one, has them.
        guard OSSL_PROVIDER_add_builtin(library, name.immortal, begin) == 1,
            OSSL_PROVIDER_try_load(library, name.immortal, 1) != nil
        else {
            ERR_clear_error()
            return false
        }
        // Only now: whoever is loaded first is asked first, and looking for a hash loads the library's own.
        guard KeyDerivation.prepare(), isAsked(library) else { return false }
        // What is missing here is told of no more: the group is the library's then.
        if !KeyAgreement.prepare() { ERR_clear_error() }
        return true
    }

    private static func isAsked(_ library: OpaquePointer?) -> Bool {
        guard let algorithm = EVP_KDF_fetch(library, OSSL_KDF_NAME_TLS1_3_KDF, nil) else { return false }
        defer { EVP_KDF_free(algorithm) }
        guard let name = OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(algorithm)) else { return false }
        return strcmp(name, self.name.immortal) == 0
    }

    // MARK: what the library calls (provider-base(7))

    private typealias Query =
        @convention(c) (
            UnsafeMutableRawPointer?, CInt, UnsafeMutablePointer<CInt>?
        ) -> UnsafePointer<OSSL_ALGORITHM>?
    private typealias Capabilities =
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafePointer<CChar>?, KeyAgreement.Listener?, UnsafeMutableRawPointer?
        ) -> CInt

    private static let begin:
        @convention(c) (
            OpaquePointer?, UnsafePointer<OSSL_DISPATCH>?, UnsafeMutablePointer<UnsafePointer<OSSL_DISPATCH>?>?,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> CInt = { _, _, functions, _ in
            functions?.pointee = LibraryProvider.functions.start
            return 1
        }

    private static let functions: FunctionTable = {
        let query: Query = { _, operation, mayForget in
            mayForget?.pointee = 0
            switch operation {
            case OSSL_OP_KDF: return LibraryProvider.derivation
            case OSSL_OP_KEYMGMT: return LibraryProvider.keys
            case OSSL_OP_KEYEXCH: return LibraryProvider.exchange
            case OSSL_OP_KEM: return LibraryProvider.encapsulation
            default: return nil
            }
        }
        let capabilities: Capabilities = { _, kind, listener, argument in
            guard let kind, strcasecmp(kind, "TLS-GROUP") == 0, let listener else { return 0 }
            return KeyAgreement.announce(to: listener, argument)
        }
        return FunctionTable([
            (OSSL_FUNC_PROVIDER_QUERY_OPERATION, unsafeBitCast(query, to: FunctionTable.Function.self)),
            (OSSL_FUNC_PROVIDER_GET_CAPABILITIES, unsafeBitCast(capabilities, to: FunctionTable.Function.self)),
        ])
    }()

    nonisolated(unsafe) private static let derivation = list([
        ("TLS13-KDF", KeyDerivation.functions), ("TLS1-PRF", PseudorandomFunction.functions),
    ])
    nonisolated(unsafe) private static let keys = list([
        (KeyAgreement.x25519.name, AgreementKey.x25519), (KeyAgreement.p256.name, AgreementKey.p256),
    ])
    nonisolated(unsafe) private static let exchange = list([
        (KeyAgreement.x25519.name, Agreement.exchangeFunctions), (KeyAgreement.p256.name, Agreement.exchangeFunctions),
    ])
    nonisolated(unsafe) private static let encapsulation = list([
        (KeyAgreement.x25519.name, Agreement.encapsulationFunctions),
        (KeyAgreement.p256.name, Agreement.encapsulationFunctions),
    ])

    private static func list(_ entries: [(name: StaticString, functions: FunctionTable)]) -> UnsafePointer<
        OSSL_ALGORITHM
    > {
        let list = UnsafeMutablePointer<OSSL_ALGORITHM>.allocate(capacity: entries.count + 1)
        list.initialize(repeating: OSSL_ALGORITHM(), count: entries.count + 1)
        for (index, entry) in entries.enumerated() {
            list[index] = OSSL_ALGORITHM(
                algorithm_names: UnsafePointer(entry.name.immortal),
                property_definition: UnsafePointer(("provider=everyhop" as StaticString).immortal),
                implementation: entry.functions.start,
                algorithm_description: nil
            )
        }
        return UnsafePointer(list)
    }
}
