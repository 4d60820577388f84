import COpenSSL
import Glibc
import Testing

@testable import TLS

/// X25519 by the library's ladder.
@Suite("Agreement by X25519") struct KeyAgreementTests {
    private func bytes(_ text: String) -> [UInt8] {
        stride(from: 0, to: text.count, by: 2).compactMap { offset in
            let start = text.index(text.startIndex, offsetBy: offset)
            return UInt8(text[start..<text.index(start, offsetBy: 2)], radix: 16)
        }
    }

    /// A public key, and with another's public key the secret; nil where that is refused.
    private func multiply(_ own: [UInt8], _ other: [UInt8]?) throws -> (publicKey: [UInt8], secret: [UInt8])? {
        let curve = try #require(Curve25519())
        var (publicKey, secret) = ([UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 32))
        let isDone = publicKey.withUnsafeMutableBytes { publicKey in
            secret.withUnsafeMutableBytes { secret in
                own.withUnsafeBytes { own in
                    (other ?? []).withUnsafeBytes { other in
                        own.baseAddress.map {
                            curve.multiply(
                                $0,
                                publicKey: publicKey.baseAddress,
                                other: other.count == 32 ? other.baseAddress : nil,
                                secret: secret.baseAddress
                            )
                        }
                    }
                }
            }
        }
        ERR_clear_error()
        return isDone == true ? (publicKey, secret) : nil
    }

    @Test func `the examples of RFC 7748`() throws {
        // §6.1: Bob's key, and Alice's public one.
        let bob = bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
        let alice = bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        let result = try #require(try multiply(bob, alice))
        #expect(result.publicKey == bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
        #expect(result.secret == bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"))
        #expect(try multiply(bob, nil)?.publicKey == result.publicKey)
        // §5.2, the first one.
        let scalar = bytes("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
        let point = bytes("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
        let product = bytes("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
        #expect(try multiply(scalar, point)?.secret == product)
    }

    @Test(arguments: [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ])
    func `a point of low order agrees with nobody`(_ point: String) throws {
        let own = (0..<32).map { _ in UInt8.random(in: 0...255) }
        #expect(try multiply(own, bytes(point)) == nil)
        #expect(try multiply(own, nil) != nil)
    }

    @Test func `what a private key gives is what the library makes of it`() throws {
        for _ in 0..<20 {
            let own = (0..<32).map { _ in UInt8.random(in: 0...255) }
            let key = try #require(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nil, own, own.count))
            defer { EVP_PKEY_free(key) }
            var (expected, count) = ([UInt8](repeating: 0, count: 32), 32)
            #expect(EVP_PKEY_get_raw_public_key(key, &expected, &count) == 1)
            #expect(try multiply(own, nil)?.publicKey == expected)
        }
    }
}
