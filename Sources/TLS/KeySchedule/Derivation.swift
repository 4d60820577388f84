import COpenSSL
import Glibc

/// One derivation as the library asks for it: its parameters (EVP_KDF-TLS13_KDF(7)) in memory that is wiped afterwards.
final class Derivation {
    private enum Mode { case none, extract, expand }

    /// A piece of `memory`: where it begins, how much fits, and how much is there; nil when it was not given.
    private struct Piece {
        let offset: Int
        let capacity: Int
        var count: Int?

        init(_ offset: Int, _ capacity: Int) {
            self.offset = offset
            self.capacity = capacity
        }
    }

    /// Those of its thread, which outlive it.
    unowned(unsafe) let tools: KeyDerivation.Tools?
    private(set) var hash: KeySchedule.Hash?
    private var mode = Mode.none
    // The longest secret is that of an 8192-bit finite field.
    private var secret = Piece(0, 1024)
    private var salt = Piece(1024, 64)
    private var prefix = Piece(1088, 64)
    private var label = Piece(1152, 256)
    private var context = Piece(1408, 64)
    private static let size = 1472
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: Derivation.size, alignment: 8)

    init(with tools: KeyDerivation.Tools? = nil) { self.tools = tools }

    deinit {
        reset()
        memory.deallocate()
    }

    /// Forgets everything.
    func reset() {
        for piece in [secret, salt, prefix, label, context] {
            if let count = piece.count { OPENSSL_cleanse(memory.baseAddress?.advanced(by: piece.offset), count) }
        }
        secret.count = nil
        salt.count = nil
        prefix.count = nil
        label.count = nil
        context.count = nil
        mode = .none
        hash = nil
    }

    /// Takes a list of parameters that ends with one without a name; false when one of them cannot be used.
    func take(_ parameters: UnsafePointer<OSSL_PARAM>?) -> Bool {
        guard var parameter = parameters else { return true }
        while let key = parameter.pointee.key {
            guard take(key, parameter) else { return false }
            parameter += 1
        }
        return true
    }

    private func take(_ key: UnsafePointer<CChar>, _ parameter: UnsafePointer<OSSL_PARAM>) -> Bool {
        if strcmp(key, OSSL_KDF_PARAM_KEY) == 0 { return store(parameter, &secret) }
        if strcmp(key, OSSL_KDF_PARAM_LABEL) == 0 { return store(parameter, &label) }
        if strcmp(key, OSSL_KDF_PARAM_PREFIX) == 0 { return store(parameter, &prefix) }
        if strcmp(key, OSSL_KDF_PARAM_DATA) == 0 { return store(parameter, &context) }
        if strcmp(key, OSSL_KDF_PARAM_SALT) == 0 { return store(parameter, &salt) }
        if strcmp(key, OSSL_KDF_PARAM_DIGEST) == 0 { return takeHash(parameter) }
        if strcmp(key, OSSL_KDF_PARAM_MODE) == 0 { return takeMode(parameter) }
        return true
    }

    private func takeHash(_ parameter: UnsafePointer<OSSL_PARAM>) -> Bool {
        guard let name = parameter.pointee.data?.assumingMemoryBound(to: CChar.self) else { return false }
        hash = KeySchedule.Hash(named: name)
        return hash != nil
    }

    private func takeMode(_ parameter: UnsafePointer<OSSL_PARAM>) -> Bool {
        var number: CInt = -1
        guard OSSL_PARAM_get_int(parameter, &number) == 1 else { return false }
        switch number {
        case EVP_KDF_HKDF_MODE_EXTRACT_ONLY: mode = .extract
        case EVP_KDF_HKDF_MODE_EXPAND_ONLY: mode = .expand
        default: return false
        }
        return true
    }

    private func store(_ parameter: UnsafePointer<OSSL_PARAM>, _ piece: inout Piece) -> Bool {
        let count = parameter.pointee.data_size
        guard parameter.pointee.data_type == CUnsignedInt(OSSL_PARAM_OCTET_STRING), count <= piece.capacity else {
            return false
        }
        if count > 0 {
            guard let data = parameter.pointee.data else { return false }
            memory.baseAddress?.advanced(by: piece.offset).copyMemory(from: data, byteCount: count)
        }
        piece.count = count
        return true
    }

    private func bytes(_ piece: Piece) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[piece.offset..<(piece.offset + (piece.count ?? 0))])
    }

    /// Fills `key`.
    ///
    /// Extracting, the salt is a secret that "derived" is expanded of first (RFC 8446 §7.1); nothing stands for zeros.
    func derive(with schedule: KeySchedule, into key: UnsafeMutableRawBufferPointer) -> Bool {
        guard hash == schedule.hash else { return false }
        switch mode {
        case .none: return false
        case .expand:
            guard secret.count != nil, label.count != nil else { return false }
            let isDone = schedule.expand(
                secret: bytes(secret),
                prefix: bytes(prefix),
                label: bytes(label),
                context: bytes(context),
                into: key
            )
            if isDone { TrafficSecrets.collecting?.look(at: bytes(label), bytes(secret), UnsafeRawBufferPointer(key)) }
            return isDone
        case .extract:
            guard key.count == schedule.size else { return false }
            return withUnsafeTemporaryAllocation(byteCount: 3 * schedule.size, alignment: 8) { room in
                defer { OPENSSL_cleanse(room.baseAddress, room.count) }
                let size = schedule.size
                let zeros = UnsafeMutableRawBufferPointer(rebasing: room[..<size])
                let derived = UnsafeMutableRawBufferPointer(rebasing: room[size..<(2 * size)])
                let nothing = UnsafeMutableRawBufferPointer(rebasing: room[(2 * size)...])
                zeros.initializeMemory(as: UInt8.self, repeating: 0)
                derived.initializeMemory(as: UInt8.self, repeating: 0)
                if salt.count != nil {
                    let isExpanded =
                        schedule.digestOfNothing(into: nothing)
                        && schedule.expand(
                            secret: bytes(salt),
                            prefix: bytes(prefix),
                            label: bytes(label),
                            context: UnsafeRawBufferPointer(nothing),
                            into: derived
                        )
                    guard isExpanded else { return false }
                }
                return schedule.extract(
                    salt: UnsafeRawBufferPointer(derived),
                    secret: secret.count == nil ? UnsafeRawBufferPointer(zeros) : bytes(secret),
                    into: key
                )
            }
        }
    }
}
