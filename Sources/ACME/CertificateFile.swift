/// A certificate with its issuers and its key in one file, so that no crash leaves two that do not belong together.
public struct CertificateFile: Equatable, Sendable {
    /// More certificates than these are no chain.
    private static let mostCertificates = 10

    /// The certificates as PEM, the first being the server's.
    public let chainPEM: [UInt8]
    /// The key as PEM.
    public let keyPEM: [UInt8]

    /// Takes both.
    public init(chainPEM: [UInt8], keyPEM: [UInt8]) {
        self.chainPEM = chainPEM
        self.keyPEM = keyPEM
    }

    /// Takes a file apart; what is neither a certificate nor a private key is left out.
    public init(_ bytes: [UInt8]) {
        chainPEM = Self.certificates(in: bytes)
        keyPEM = Self.blocks(in: bytes) { $0.hasSuffix("PRIVATE KEY") }.joined().map { $0 }
    }

    /// The whole file.
    public var bytes: [UInt8] { chainPEM + keyPEM }

    /// The certificates alone.
    static func certificates(in bytes: [UInt8]) -> [UInt8] {
        blocks(in: bytes) { $0 == "CERTIFICATE" }.prefix(mostCertificates).joined().map { $0 }
    }

    /// Every whole block whose label is wanted, each with its lines (RFC 7468 §2).
    private static func blocks(in bytes: [UInt8], _ isWanted: (Substring) -> Bool) -> [[UInt8]] {
        var blocks: [[UInt8]] = []
        var block: [UInt8] = []
        var label: Substring?
        for line in bytes.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }) {
            let text = String(decoding: line, as: UTF8.self)
            if text.hasPrefix("-----BEGIN "), text.hasSuffix("-----") {
                label = text.dropFirst(11).dropLast(5)
                block = []
            }
            guard let open = label else { continue }
            block += line + [0x0A]
            guard text == "-----END \(open)-----" else { continue }
            if isWanted(open) { blocks.append(block) }
            label = nil
        }
        return blocks
    }
}
