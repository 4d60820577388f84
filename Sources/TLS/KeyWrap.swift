internal import COpenSSL

/// Secrets that are kept under other secrets: AES-256-GCM under a key that is made of a passphrase or of random bytes.
public enum KeyWrap {
    /// What guessing one passphrase costs (RFC 7914).
    public struct Cost: Equatable, Sendable {
        /// Doubles time and memory.
        public let logN: Int
        /// Times 128 bytes times 2^logN is the memory.
        public let blockSize: Int
        /// Multiplies time.
        public let parallelism: Int

        /// 128 MiB and about half a second.
        public static let standard = Cost(uncheckedLogN: 17, blockSize: 8, parallelism: 1)
        /// The memory that opening a secret may take; a file that asks for more is refused.
        public static let mostMemory = 1 << 30

        /// A cost within bounds; nil when it is too little to protect, or more than this program gives.
        public init?(logN: Int, blockSize: Int, parallelism: Int) {
            guard (14...23).contains(logN), (1...32).contains(blockSize), (1...16).contains(parallelism),
                (128 * blockSize) << logN <= Self.mostMemory
            else { return nil }
            self.init(uncheckedLogN: logN, blockSize: blockSize, parallelism: parallelism)
        }

        private init(uncheckedLogN: Int, blockSize: Int, parallelism: Int) {
            self.logN = uncheckedLogN
            self.blockSize = blockSize
            self.parallelism = parallelism
        }
    }

    /// The secret does not open it, or it was changed; the two cannot be told apart.
    public struct NotOpened: Error, Equatable, Sendable, CustomStringConvertible {
        /// It was not opened.
        public init() {}

        /// What the user reads.
        public var description: String { "the secret is not the right one, or what it opens was changed" }
    }

    /// Bytes of salt.
    public static let saltCount = 32
    private static let nonceCount = 12
    private static let tagCount = 16

    /// Random bytes that need not be secret.
    public static func salt() throws(TLSError) -> [UInt8] {
        var bytes: [UInt8] = Array(repeating: 0, count: saltCount)
        guard RAND_bytes(&bytes, CInt(saltCount)) == 1 else { throw TLSError.libraryFailure("random bytes") }
        return bytes
    }

    /// A key made of a passphrase (scrypt).
    public static func key(
        passphrase: borrowing SecretBytes,
        salt: [UInt8],
        cost: Cost
    ) throws(TLSError) -> SecretBytes {
        let key = SecretBytes(zeros: 32)
        let result = passphrase.withBytes { secret in
            key.fill { bytes, count in
                EVP_PBE_scrypt(
                    secret.bindMemory(to: CChar.self).baseAddress,
                    secret.count,
                    salt,
                    salt.count,
                    UInt64(1) << UInt64(cost.logN),
                    UInt64(cost.blockSize),
                    UInt64(cost.parallelism),
                    UInt64(Cost.mostMemory) * 2,
                    bytes,
                    count
                )
            }
        }
        guard result == 1 else { throw TLSError.libraryFailure("scrypt") }
        return key
    }

    /// A key made of random bytes (HKDF with SHA-256, RFC 5869).
    ///
    /// - Parameter purpose: keys for different purposes have nothing to do with each other.
    public static func key(
        random secret: borrowing SecretBytes,
        salt: [UInt8],
        purpose: String,
        count: Int = 32
    ) throws(TLSError) -> SecretBytes {
        let key = SecretBytes(zeros: count)
        let purpose = Array(purpose.utf8)
        let result = secret.withBytes { bytes in
            key.fill { target, count in
                everyhop_hkdf(
                    bytes.baseAddress,
                    bytes.count,
                    salt,
                    salt.count,
                    purpose,
                    purpose.count,
                    target,
                    count
                )
            }
        }
        guard result == 1 else { throw TLSError.libraryFailure("HKDF") }
        return key
    }

    /// Encrypts a secret; nonce, ciphertext and tag.
    ///
    /// - Parameter context: bytes that have to be the same when it is opened.
    public static func seal(
        _ secret: borrowing SecretBytes,
        under key: borrowing SecretBytes,
        context: [UInt8]
    ) throws(TLSError) -> [UInt8] {
        var sealed: [UInt8] = Array(repeating: 0, count: nonceCount + secret.count + tagCount)
        let result = key.withBytes { key in
            secret.withBytes { secret in
                sealed.withUnsafeMutableBufferPointer {
                    everyhop_seal(
                        key.baseAddress,
                        context,
                        context.count,
                        secret.baseAddress,
                        secret.count,
                        $0.baseAddress
                    )
                }
            }
        }
        guard result == 1 else { throw TLSError.libraryFailure("AES-256-GCM") }
        return sealed
    }

    /// Decrypts what `seal` made; nothing of it is given out before all of it is verified.
    public static func open(
        _ sealed: [UInt8],
        under key: borrowing SecretBytes,
        context: [UInt8]
    ) throws(NotOpened) -> SecretBytes {
        let count = sealed.count - nonceCount - tagCount
        guard count > 0, count <= 4096, key.count == 32 else { throw NotOpened() }
        let secret = SecretBytes(zeros: count)
        let result = key.withBytes { key in
            secret.fill { bytes, count in
                everyhop_open(key.baseAddress, context, context.count, sealed, count, bytes)
            }
        }
        everyhop_forget_errors()
        guard result == 1 else { throw NotOpened() }
        return secret
    }
}
