/// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS from the client's side (RFC 5802, RFC 7677), without a user name: PostgreSQL has
/// it already.
struct ScramExchange: Sendable {
    /// So many rounds of PBKDF2 at most: a server chooses them, and the client pays.
    static let mostRounds = 1_000_000

    private let password: [UInt8]
    /// The beginning that says what of channel binding there is (RFC 5802 §7, gs2-header).
    private let header: [UInt8]
    private let binding: [UInt8]
    private let nonce: [UInt8]
    private var expectedProof: [UInt8]?

    /// - Parameters:
    ///   - binding: `tls-server-end-point`; nil when it is not known.
    ///   - isOffered: whether the server offers to bind.
    init?(_ password: [UInt8], binding: [UInt8]?, isOffered: Bool, _ hashing: any LoginHashing) {
        guard let random = hashing.random(18) else { return nil }
        self.password = password
        self.binding = isOffered ? binding ?? [] : []
        header = Array((isOffered ? "p=tls-server-end-point,," : binding == nil ? "n,," : "y,,").utf8)
        nonce = Base64Text.encode(random)
    }

    private var bareFirst: [UInt8] { Array("n=,r=".utf8) + nonce }

    /// The client's first message.
    var first: [UInt8] { header + bareFirst }

    /// The client's final message; nil when the server's first one is malformed.
    mutating func answer(_ server: [UInt8], _ hashing: any LoginHashing) -> [UInt8]? {
        guard expectedProof == nil else { return nil }
        let parts = server.split(separator: 0x2C, omittingEmptySubsequences: false)
        guard parts.count >= 3, parts[0].starts(with: Array("r=".utf8)), parts[1].starts(with: Array("s=".utf8)),
            parts[2].starts(with: Array("i=".utf8))
        else { return nil }
        let both = Array(parts[0].dropFirst(2))
        // The server adds to the client's nonce; a replayed one is another's.
        guard both.count > nonce.count, both.starts(with: nonce), both.count <= 1024,
            let salt = Base64Text.decode(parts[1].dropFirst(2)), !salt.isEmpty, salt.count <= 1024,
            let rounds = Self.number(parts[2].dropFirst(2)), (1...Self.mostRounds).contains(rounds)
        else { return nil }
        let final = Array("c=".utf8) + Base64Text.encode(header + binding) + Array(",r=".utf8) + both
        let message = bareFirst + [0x2C] + server + [0x2C] + final
        guard let salted = hashing.pbkdf2(password: password, salt: salt, rounds: rounds),
            let clientKey = hashing.hmac(key: salted, Array("Client Key".utf8)),
            let storedKey = hashing.sha256(clientKey),
            let signature = hashing.hmac(key: storedKey, message), signature.count == clientKey.count,
            let serverKey = hashing.hmac(key: salted, Array("Server Key".utf8)),
            let proof = hashing.hmac(key: serverKey, message)
        else { return nil }
        expectedProof = Array("v=".utf8) + Base64Text.encode(proof)
        return final + Array(",p=".utf8) + Base64Text.encode(zip(clientKey, signature).map { $0 ^ $1 })
    }

    /// Whether the server's final message proves that it knows the password's verifier.
    func isProof(_ server: [UInt8]) -> Bool {
        guard let expectedProof else { return false }
        return server == expectedProof || server.starts(with: expectedProof + [0x2C])
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        guard (1...7).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
}

/// Base64 (RFC 4648 §4), as SCRAM writes it.
enum Base64Text {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let piece = bytes[start..<min(start + 3, bytes.count)]
            let bits = piece.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - piece.count))
            for index in 0..<4 {
                text.append(index <= piece.count ? alphabet[bits >> (18 - 6 * index) & 63] : 0x3D)
            }
        }
        return text
    }

    /// nil for what is no Base64, or has spare bits.
    static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var digits = text
        while digits.last == 0x3D, text.count - digits.count < 2 { digits = digits.dropLast() }
        var bytes: [UInt8] = []
        var bits = 0
        var count = 0
        for digit in digits {
            guard let value = alphabet.firstIndex(of: digit) else { return nil }
            bits = (bits << 6 | value) & 0xFFFF
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> count))
        }
        return bits & ((1 << count) - 1) == 0 ? bytes : nil
    }
}
