/// What TLS has a key sign; anything else that somebody wants to have signed is refused.
enum HandshakeMessage: Equatable {
    /// CertificateVerify of TLS 1.3 (RFC 8446 §4.4.3).
    case certificateVerify
    /// ServerKeyExchange of TLS 1.2 (RFC 8422 §5.4).
    case keyExchange
    /// The messages before a client's CertificateVerify of TLS 1.2 (RFC 5246 §7.4.8).
    case transcript

    private static let contexts = ["TLS 1.3, server CertificateVerify", "TLS 1.3, client CertificateVerify"]
    private static let randoms = 64
    private static let namedCurve: UInt8 = 3
    private static let clientHello: UInt8 = 1

    /// What `bytes` are; nil when they are nothing of the kind.
    init?(_ bytes: ArraySlice<UInt8>) {
        if Self.isCertificateVerify(bytes) {
            self = .certificateVerify
        } else if Self.isKeyExchange(bytes) {
            self = .keyExchange
        } else if Self.isTranscript(bytes) {
            self = .transcript
        } else {
            return nil
        }
    }

    /// 64 spaces, a context, a zero, and a hash of 32 or 48 bytes.
    private static func isCertificateVerify(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.prefix(64).count == 64, bytes.prefix(64).allSatisfy({ $0 == 0x20 }) else { return false }
        let rest = bytes.dropFirst(64)
        return contexts.contains { context in
            let head = Array(context.utf8) + [0]
            return rest.starts(with: head) && [32, 48].contains(rest.count - head.count)
        }
    }

    /// Both random values, a named curve, and a point with its length.
    private static func isKeyExchange(_ bytes: ArraySlice<UInt8>) -> Bool {
        let parameters = Array(bytes.dropFirst(randoms))
        guard parameters.count >= 4, parameters[0] == namedCurve else { return false }
        return parameters.count == 4 + Int(parameters[3])
    }

    /// Whole messages of the handshake, a ClientHello first.
    private static func isTranscript(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.first == clientHello else { return false }
        var rest = bytes
        while rest.count >= 4 {
            let length = rest.dropFirst().prefix(3).reduce(0) { $0 << 8 | Int($1) }
            guard rest.count - 4 >= length else { return false }
            rest = rest.dropFirst(4 + length)
        }
        return rest.isEmpty
    }
}
