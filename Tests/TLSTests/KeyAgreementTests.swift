import COpenSSL
import Glibc
import Testing

@testable import TLS

/// The library's arithmetic without EVP around it.
@Suite("Agreement by X25519 and P-256") struct KeyAgreementTests {
    private func bytes(_ text: String) -> [UInt8] {
        stride(from: 0, to: text.count, by: 2).compactMap { offset in
            let start = text.index(text.startIndex, offsetBy: offset)
            return UInt8(text[start..<text.index(start, offsetBy: 2)], radix: 16)
        }
    }

    /// A public key, and with another's public key the secret; nil where that is refused.
    private func multiply(_ own: [UInt8], _ other: [UInt8]?) throws -> (publicKey: [UInt8], secret: [UInt8])? {
        multiply(try #require(Curve25519()), own, other)
    }

    private func multiply(
        _ curve: any AgreementCurve,
        _ own: [UInt8],
        _ other: [UInt8]?
    ) -> (publicKey: [UInt8], secret: [UInt8])? {
        var publicKey = [UInt8](repeating: 0, count: curve.publicSize)
        var secret = [UInt8](repeating: 0, count: 32)
        let isDone = publicKey.withUnsafeMutableBytes { publicKey in
            secret.withUnsafeMutableBytes { secret in
                own.withUnsafeBytes { own in
                    (other ?? []).withUnsafeBytes { other in
                        own.baseAddress.map {
                            curve.multiply(
                                $0,
                                publicKey: publicKey.baseAddress,
                                other: other.count == curve.publicSize ? other.baseAddress : nil,
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

    // MARK: P-256

    @Test func `the example of RFC 5903`() throws {
        let curve = try #require(PrimeCurve256())
        let initiator = bytes("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433")
        let its = bytes(
            "04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c37725811805271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f"
                + "58389e0577b8990bb3"
        )
        let responder = bytes("c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53")
        let secret = bytes("d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de")
        let result = try #require(multiply(curve, responder, its))
        #expect(result.secret == secret)
        let back = try #require(multiply(curve, initiator, result.publicKey))
        #expect(back.publicKey == its && back.secret == secret)
    }

    @Test func `whoever makes keys of P-256 agrees`() throws {
        let curve = try #require(PrimeCurve256())
        func key() -> [UInt8] {
            var key = [UInt8](repeating: 0, count: 32)
            #expect(key.withUnsafeMutableBytes { $0.baseAddress.map(curve.makePrivateKey) } == true)
            return key
        }
        for _ in 0..<20 {
            let (one, other) = (key(), key())
            let its = try #require(multiply(curve, other, nil)).publicKey
            let first = try #require(multiply(curve, one, its))
            #expect(multiply(curve, other, first.publicKey)?.secret == first.secret)
        }
    }

    /// What is no point on the curve, or is not written as TLS writes points (RFC 8446 §4.2.8.2).
    @Test func `what is no point of P-256 is refused`() throws {
        let curve = try #require(PrimeCurve256())
        var own = [UInt8](repeating: 0, count: 32)
        own[31] = 7
        let point = try #require(multiply(curve, own, nil)).publicKey
        #expect(point.withUnsafeBytes { $0.baseAddress.map(curve.accepts) } == true)
        let zeros = [UInt8](repeating: 0, count: 64)
        var wrong = [[4] + zeros, [0] + zeros, [4] + [UInt8](repeating: 0xFF, count: 64)]
        // Another's y, and the right one in the forms that are not for TLS: hybrid, and compressed with a tail.
        wrong += [
            point.prefix(64) + [point[64] ^ 1], [6 | point[64] & 1] + point.dropFirst(),
            [2 | point[64] & 1] + point.dropFirst(),
        ]
        for bytes in wrong {
            #expect(bytes.withUnsafeBytes { $0.baseAddress.map(curve.accepts) } == false)
            #expect(multiply(curve, own, bytes) == nil)
        }
        #expect(multiply(curve, own, point) != nil)
        ERR_clear_error()
    }
}
