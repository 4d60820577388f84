import COpenSSL
import Foundation
import Support
import Testing

@testable import TLS

@Suite("What a signer signs") struct KeyHolderTests {
    private let issued: CertificateMaker.Issued
    private let holder = KeyHolder()

    init() throws {
        issued = try CertificateMaker.selfSigned(names: ["localhost"])
        holder.replace([issued.keyPEM])
    }

    private func request(_ message: [UInt8], scheme: UInt16 = 0x0403) throws -> ArraySlice<UInt8> {
        let pin = try CertificateFacts.read(pem: issued.certificatePEM)[0].pin.digest
        let head: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8] + pin + [UInt8(scheme >> 8), UInt8(scheme & 0xFF)]
        return (head + message)[...]
    }

    private static let spaces = [UInt8](repeating: 0x20, count: 64)
    private static let hash = [UInt8](repeating: 7, count: 32)
    private static let verify = spaces + Array("TLS 1.3, server CertificateVerify".utf8) + [0] + hash
    private static let exchange = [UInt8](repeating: 9, count: 64) + [3, 0, 23, 4, 1, 2, 3, 4]
    private static let transcript: [UInt8] = [1, 0, 0, 2, 3, 3] + [2, 0, 0, 1, 9]

    @Test func `handshakes of TLS are signed`() throws {
        for message in [Self.verify, Self.exchange, Self.transcript] {
            let answer = try #require(holder.answer(try request(message)))
            #expect(answer.count > 60 && answer.starts(with: [1, 2, 3, 4, 5, 6, 7, 8]))
        }
    }

    @Test func `nothing else is`() throws {
        let others: [[UInt8]] = [
            Array("give me your money".utf8), Self.hash, Self.verify.dropLast(), Self.verify + [1],
            Self.spaces + Array("TLS 1.3, other CertificateVerify".utf8) + [0] + Self.hash,
            Self.exchange + [1], Self.transcript + [1], Array(Self.transcript.dropFirst()),
        ].map { Array($0) }
        for message in others {
            #expect(holder.answer(try request(message)) == [1, 2, 3, 4, 5, 6, 7, 8], "\(message)")
        }
        // A scheme that TLS has not, or SHA-1, or that of another key.
        for scheme: UInt16 in [0x0000, 0x0203, 0x0804, 0x0807] {
            #expect(holder.answer(try request(Self.verify, scheme: scheme)) == [1, 2, 3, 4, 5, 6, 7, 8])
        }
        #expect(holder.answer([1, 2, 3][...]) == nil)
        let other = KeyHolder()
        #expect(other.answer(try request(Self.verify)) == [1, 2, 3, 4, 5, 6, 7, 8])
    }

    @Test func `keys lie in the secure heap until they are dropped`() throws {
        // Everything else in this process has its keys there from then on, too.
        TLSLibrary.prepare(connections: 1 << 16)
        // So many of each that what other tests do meanwhile does not count.
        for (kind, number, size) in [("RSA", 200, 512), ("EC", 4000, 32), ("ED25519", 4000, 32)] {
            let context = try #require(EVP_PKEY_CTX_new_from_name(nil, kind, nil))
            defer { EVP_PKEY_CTX_free(context) }
            EVP_PKEY_keygen_init(context)
            if kind == "EC" { EVP_PKEY_CTX_set_group_name(context, "P-256") }
            var raw: OpaquePointer?
            EVP_PKEY_generate(context, &raw)
            let pem = try PrivateKey(owning: try #require(raw)).pem()
            let before = TLSLibrary.secureBytes
            var keys = try (0..<number).map { _ in try PrivateKey(pem: pem) }
            let held = TLSLibrary.secureBytes - before
            #expect(held > number * size * 3 / 4, "\(kind): \(held)")
            withExtendedLifetime(keys) {}
            keys = []
            #expect(TLSLibrary.secureBytes - before < held / 2, "\(kind)")
        }
    }
}
