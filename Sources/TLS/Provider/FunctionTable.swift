import COpenSSL

/// What a provider offers for one algorithm: numbered functions (OSSL_DISPATCH(3)), as the library keeps them.
///
/// *Ownership:* lives, unchanged, to the end of the process, as whoever is told of it expects.
struct FunctionTable: @unchecked Sendable {
    typealias Function = @convention(c) () -> Void

    let start: UnsafePointer<OSSL_DISPATCH>

    /// - Parameter functions: each cast from its own type; what the numbers mean is said in `core_dispatch.h`.
    init(_ functions: [(number: CInt, function: Function)]) {
        let table = UnsafeMutablePointer<OSSL_DISPATCH>.allocate(capacity: functions.count + 1)
        table.initialize(repeating: OSSL_DISPATCH(), count: functions.count + 1)
        for (index, entry) in functions.enumerated() {
            table[index] = OSSL_DISPATCH(function_id: entry.number, function: entry.function)
        }
        start = UnsafePointer(table)
    }

    /// The table of an algorithm among those of a provider of the library's own; nil when it has none of that name.
    static func find(_ operation: CInt, _ name: String, of provider: OpaquePointer) -> UnsafePointer<OSSL_DISPATCH>? {
        var mayForget: CInt = 0
        guard var algorithm = OSSL_PROVIDER_query_operation(provider, operation, &mayForget) else { return nil }
        while let names = algorithm.pointee.algorithm_names {
            if String(cString: names).split(separator: ":").contains(where: { $0 == name }) {
                return algorithm.pointee.implementation
            }
            algorithm += 1
        }
        return nil
    }

    /// The function of a number in a table of the library's own.
    static func find<F>(_ number: CInt, in table: UnsafePointer<OSSL_DISPATCH>, as type: F.Type) -> F? {
        var entry = table
        while entry.pointee.function_id != 0 {
            if entry.pointee.function_id == number, let function = entry.pointee.function {
                return unsafeBitCast(function, to: type)
            }
            entry += 1
        }
        return nil
    }
}

/// A list of what can be set or asked (OSSL_PARAM(3)), without values; it lives, unchanged, to the end of the process.
struct ParameterList: @unchecked Sendable {
    let start: UnsafePointer<OSSL_PARAM>

    init(_ entries: [(name: StaticString, type: UInt32)]) {
        let list = UnsafeMutablePointer<OSSL_PARAM>.allocate(capacity: entries.count + 1)
        list.initialize(repeating: OSSL_PARAM(), count: entries.count + 1)
        for (index, entry) in entries.enumerated() {
            list[index].key = UnsafePointer(entry.name.immortal)
            list[index].data_type = entry.type
            list[index].return_size = Int(bitPattern: UInt.max)
        }
        start = UnsafePointer(list)
    }
}

extension StaticString {
    /// The text as C has it: to the end of the process.
    var immortal: UnsafeMutablePointer<CChar> {
        UnsafeMutablePointer(mutating: UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self))
    }
}
