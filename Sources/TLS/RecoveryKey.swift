internal import COpenSSL

/// A secret that people keep on paper: 256 random bits and 20 bits against slips of the pen, as 14 groups of 4 letters
/// and digits.
public enum RecoveryKey {
    /// Why a text is none.
    public enum Mistake: Error, Equatable, Sendable, CustomStringConvertible {
        /// It is too short or too long.
        case length(Int)
        /// It has a character that no such key has.
        case character(Character)
        /// It is mistyped somewhere.
        case checksum

        /// What the user reads.
        public var description: String {
            switch self {
            case .length(let count): "a recovery key has 56 letters and digits, this one has \(count)"
            case .character(let character): "'\(character)' is in no recovery key"
            case .checksum: "the recovery key is mistyped: its last four characters do not fit"
            }
        }
    }

    private static let secretCount = 32
    private static let symbolCount = 52
    private static let checkCount = 4
    /// Crockford's: no I, L, O and U.
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    /// Makes a new one.
    public static func make() throws(TLSError) -> SecretBytes { try SecretBytes(random: secretCount) }

    /// The text to be printed; the caller overwrites it when it is done.
    public static func text(_ secret: borrowing SecretBytes) -> [UInt8] {
        var symbols = secret.withBytes { spelled($0, count: symbolCount) }
        defer { clear(&symbols) }
        symbols += secret.withBytes(check)
        var text: [UInt8] = []
        text.reserveCapacity(symbols.count * 2)
        for (index, symbol) in symbols.enumerated() {
            if index > 0, index.isMultiple(of: 4) { text.append(0x2D) }
            text.append(symbol)
        }
        return text
    }

    /// Reads one as people type it: any case, any spaces and dashes, O for 0, I and L for 1.
    public static func read(_ text: [UInt8]) throws(Mistake) -> SecretBytes {
        var values: [UInt8] = []
        values.reserveCapacity(text.count)
        defer { clear(&values) }
        for byte in text {
            switch byte {
            case 0x20, 0x2D, 0x0A, 0x0D, 0x09: continue
            default: values.append(try value(of: byte))
            }
        }
        guard values.count == symbolCount + checkCount else { throw .length(values.count) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(secretCount + 1)
        var (bits, pending): (UInt32, UInt32) = (0, 0)
        for value in values.prefix(symbolCount) {
            pending = (pending << 5 | UInt32(value)) & 0xFFF
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: pending >> bits))
            }
        }
        guard pending & ((1 << bits) - 1) == 0, bytes.count == secretCount else { throw .checksum }
        let secret = SecretBytes(taking: &bytes)
        let expected = secret.withBytes(check)
        guard values.suffix(checkCount).map({ alphabet[Int($0)] }) == expected else { throw .checksum }
        return secret
    }

    private static func value(of byte: UInt8) throws(Mistake) -> UInt8 {
        let upper = (0x61...0x7A).contains(byte) ? byte &- 0x20 : byte
        switch upper {
        case 0x4F: return 0
        case 0x49, 0x4C: return 1
        default:
            guard let index = alphabet.firstIndex(of: upper) else {
                throw .character(byte < 0x80 ? Character(UnicodeScalar(byte)) : "?")
            }
            return UInt8(index)
        }
    }

    private static func check(_ secret: UnsafeRawBufferPointer) -> [UInt8] {
        var digest: [UInt8] = Array(repeating: 0, count: 32)
        let label = Array("everyhop recovery key".utf8)
        var bytes = label + secret
        defer { clear(&bytes) }
        _ = EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil)
        return digest.withUnsafeBytes { spelled($0, count: checkCount) }
    }

    private static func spelled(_ bytes: UnsafeRawBufferPointer, count: Int) -> [UInt8] {
        (0..<count).map { index in
            let bit = index * 5
            let pair = UInt32(bytes[bit / 8]) << 8 | (bit / 8 + 1 < bytes.count ? UInt32(bytes[bit / 8 + 1]) : 0)
            return alphabet[Int(pair >> UInt32(11 - bit % 8)) & 31]
        }
    }

    /// Overwrites a copy of a secret.
    public static func clear(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
        bytes = []
    }
}
