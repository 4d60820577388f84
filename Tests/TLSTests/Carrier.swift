import COpenSSL

@testable import TLS

/// Who carries a connection's traffic, and in which version.
struct Carrier: CaseIterable, CustomStringConvertible, Sendable {
    let version: CInt
    /// Our own records on both sides, or the library's.
    let isOwn: Bool
    /// Whether the server's handshake is our own too.
    let shakesHands: Bool

    static let allCases = [TLS1_2_VERSION, TLS1_3_VERSION].flatMap { version in
        [(true, true), (true, false), (false, false)].map { Carrier(version: version, isOwn: $0.0, shakesHands: $0.1) }
    }

    static let own13 = Carrier(version: TLS1_3_VERSION, isOwn: true, shakesHands: true)

    var description: String {
        let owner = isOwn ? "our own" : "the library's"
        let version = version == TLS1_3_VERSION ? "1.3" : "1.2"
        return "\(owner) records of TLS \(version)\(shakesHands ? " behind our own handshake" : "")"
    }
}

/// Has the connections of a context carried by our own records: in a worker the provider sees the keys, here the library's
/// log of them tells (SSL_CTX_set_keylog_callback(3)).
func revealKeys(of context: OpaquePointer) {
    SSL_CTX_set_keylog_callback(context) { ssl, line in
        guard let ssl, let line, let secrets = TrafficSecrets.collecting else { return }
        let words = String(cString: line).split(separator: " ")
        guard words.count == 3 else { return }
        let secret = bytes(ofHexadecimal: words[2])
        switch words[0] {
        case "CLIENT_TRAFFIC_SECRET_0": reveal(secret, "c ap traffic", of: ssl, to: secrets)
        case "SERVER_TRAFFIC_SECRET_0": reveal(secret, "s ap traffic", of: ssl, to: secrets)
        case "CLIENT_RANDOM": revealBlock(master: secret, of: ssl, to: secrets)
        default: break
        }
    }
}

func revealKeys(of table: ServerNameTable) {
    revealKeys(of: table.base.raw)
    if let context = table.context(for: nil) { revealKeys(of: context.handle.raw) }
}

func bytes(ofHexadecimal text: some StringProtocol) -> [UInt8] {
    let digits = Array(text.utf8).map { UInt8($0 > 0x60 ? $0 - 0x57 : $0 > 0x40 ? $0 - 0x37 : $0 - 0x30) }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// What the key schedule does with a secret of traffic.
private func reveal(_ secret: [UInt8], _ label: String, of ssl: OpaquePointer, to secrets: TrafficSecrets) {
    look(secrets, label, [], secret)
    guard let cipher = RecordCipher(of: SSL_get_pending_cipher(ssl)) else { return }
    for (name, count) in [("key", cipher.keySize), ("iv", RecordCipher.nonceSize)] {
        look(secrets, name, secret, expand(secret, name == "key" ? "key" : "iv", count))
    }
}

func look(_ secrets: TrafficSecrets, _ label: String, _ secret: [UInt8], _ result: [UInt8]) {
    label.bytes.withUnsafeBytes { label in
        secret.withUnsafeBytes { secret in
            result.withUnsafeBytes { secrets.look(at: label, secret, $0) }
        }
    }
}

/// HKDF-Expand-Label without a context.
func expand(_ secret: [UInt8], _ label: StaticString, _ count: Int) -> [UInt8] {
    var key = [UInt8](repeating: 0, count: count)
    let schedule = KeySchedule(secret.count == 48 ? .sha384 : .sha256)
    let isDone = secret.withUnsafeBytes { secret in
        key.withUnsafeMutableBytes { schedule?.expand(secret: secret, label: label, into: $0) }
    }
    return isDone == true ? key : []
}

/// The key block of TLS 1.2 (RFC 5246 §6.3); empty when the library does not tell the suite.
func keyBlock(master: [UInt8], of ssl: OpaquePointer) -> [UInt8] {
    guard let suite = SSL_get_pending_cipher(ssl) ?? SSL_get_current_cipher(ssl),
        let digest = SSL_CIPHER_get_handshake_digest(suite)
    else { return [] }
    var randoms = [UInt8](repeating: 0, count: 64)
    randoms.withUnsafeMutableBufferPointer {
        guard let start = $0.baseAddress else { return }
        SSL_get_server_random(ssl, start, 32)
        SSL_get_client_random(ssl, start + 32, 32)
    }
    let seed = "key expansion".bytes + randoms
    var block = [UInt8](repeating: 0, count: 72)
    let schedule = KeySchedule(EVP_MD_get_type(digest) == NID_sha384 ? .sha384 : .sha256)
    _ = master.withUnsafeBytes { master in
        seed.withUnsafeBytes { seed in
            block.withUnsafeMutableBytes { schedule?.pseudorandom(secret: master, seed: seed, into: $0) }
        }
    }
    return block
}

private func revealBlock(master: [UInt8], of ssl: OpaquePointer, to secrets: TrafficSecrets) {
    keyBlock(master: master, of: ssl).withUnsafeBytes { secrets.keepBlock($0) }
}
