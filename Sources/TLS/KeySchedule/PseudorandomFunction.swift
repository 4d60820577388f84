import COpenSSL
import Glibc

/// "TLS1-PRF" as the library asks for it: the pseudorandom function of TLS 1.2 (RFC 5246 §5), five times a handshake.
///
/// Nothing is kept between calls. What is not said in one, or needs another hash than those of TLS 1.2's suites, such as
/// the function of TLS 1.0, is left to the library.
enum PseudorandomFunction {
    /// Label and randoms, or label and a transcript's digest; longer ones are the library's.
    private static let longestSeed = 160
    /// The label of the key block (RFC 5246 §6.3).
    private static let keyExpansion = Array("key expansion".utf8)

    /// What one call says.
    private struct Request {
        var schedule: KeySchedule?
        var secret: UnsafeRawBufferPointer?
        var seedCount = 0

        /// Reads the parameters, and puts what seeds there are one behind the other; nil when it is not for us.
        init?(_ parameters: UnsafePointer<OSSL_PARAM>, seed: UnsafeMutableRawBufferPointer) {
            var parameter = parameters
            while let key = parameter.pointee.key {
                if strcmp(key, "digest") == 0 {
                    guard let name = parameter.pointee.data else { return nil }
                    let hash = KeySchedule.Hash(named: name.assumingMemoryBound(to: CChar.self))
                    schedule = KeyDerivation.schedule(hash)
                } else if strcmp(key, "secret") == 0 {
                    secret = UnsafeRawBufferPointer(start: parameter.pointee.data, count: parameter.pointee.data_size)
                } else if strcmp(key, "seed") == 0 {
                    let piece = UnsafeRawBufferPointer(
                        start: parameter.pointee.data,
                        count: parameter.pointee.data_size
                    )
                    guard piece.count <= seed.count - seedCount else { return nil }
                    UnsafeMutableRawBufferPointer(rebasing: seed[seedCount..<(seedCount + piece.count)])
                        .copyMemory(from: piece)
                    seedCount += piece.count
                } else if strcmp(key, "properties") != 0 {
                    return nil
                }
                parameter += 1
            }
        }
    }

    private static func derive(_ parameters: UnsafePointer<OSSL_PARAM>?, _ key: UnsafeMutableRawBufferPointer) -> Bool {
        guard let parameters else { return false }
        let isDone = withUnsafeTemporaryAllocation(byteCount: longestSeed, alignment: 8) { seed in
            guard let request = Request(parameters, seed: seed), let schedule = request.schedule,
                let secret = request.secret
            else { return false }
            let whole = UnsafeRawBufferPointer(rebasing: seed[..<request.seedCount])
            guard schedule.pseudorandom(secret: secret, seed: whole, into: key) else { return false }
            if whole.starts(with: Self.keyExpansion) {
                TrafficSecrets.collecting?.keepBlock(UnsafeRawBufferPointer(key))
            }
            return true
        }
        return isDone || leave(parameters, key)
    }

    private static func leave(_ parameters: UnsafePointer<OSSL_PARAM>, _ key: UnsafeMutableRawBufferPointer) -> Bool {
        guard let algorithm = EVP_KDF_fetch(nil, OSSL_KDF_NAME_TLS1_PRF, "provider=default") else { return false }
        defer { EVP_KDF_free(algorithm) }
        guard let context = EVP_KDF_CTX_new(algorithm) else { return false }
        defer { EVP_KDF_CTX_free(context) }
        let room = key.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return EVP_KDF_derive(context, room, key.count, parameters) == 1
    }

    private typealias Make = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    private typealias Drop = @convention(c) (UnsafeMutableRawPointer?) -> Void
    private typealias Derive =
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafeMutablePointer<UInt8>?, Int, UnsafePointer<OSSL_PARAM>?
        ) -> CInt

    static let functions: FunctionTable = {
        // The library wants something to hold.
        let make: Make = { provider in provider ?? UnsafeMutableRawPointer(bitPattern: 1) }
        let drop: Drop = { _ in }
        let derive: Derive = { _, key, count, parameters in
            guard let key else { return 0 }
            let room = UnsafeMutableRawBufferPointer(start: key, count: count)
            return PseudorandomFunction.derive(parameters, room) ? 1 : 0
        }
        return FunctionTable([
            (OSSL_FUNC_KDF_NEWCTX, unsafeBitCast(make, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KDF_FREECTX, unsafeBitCast(drop, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KDF_RESET, unsafeBitCast(drop, to: FunctionTable.Function.self)),
            (OSSL_FUNC_KDF_DERIVE, unsafeBitCast(derive, to: FunctionTable.Function.self)),
        ])
    }()
}
