import COpenSSL
import Glibc
import Testing

@testable import TLS

/// What the library asks our provider for, beside what it does by itself; one at a time, as in a worker.
@Suite("The provider asked before the library's", .serialized) struct LibraryProviderTests {
    /// Which side, or which sides, have the provider.
    enum Side: CaseIterable { case client, server, both }

    @Test(
        arguments: Side.allCases,
        [
            (TLS1_2_VERSION, "x25519"), (TLS1_3_VERSION, "x25519"), (TLS1_2_VERSION, "secp256r1"),
            (TLS1_3_VERSION, "secp256r1"),
        ]
    )
    func `handshakes with the library's own groups`(side: Side, kind: (version: CInt, group: String)) throws {
        let ours = try Library(isOurs: true)
        let theirs = try Library(isOurs: false)
        let (version, group) = kind
        let server = try Peer(side == .client ? theirs : ours, isServer: true, version: version, group: group)
        let client = try Peer(side == .server ? theirs : ours, isServer: false, version: version, group: group)
        for _ in 0..<3 {
            let pair = try Handshake(client, server)
            try pair.run()
            #expect(pair.group == group)
            #expect(try pair.exchange(Array("hello".utf8)) == Array("hello".utf8))
        }
    }

    @Test(arguments: [("ECDHE-ECDSA-AES128-GCM-SHA256", 16), ("ECDHE-ECDSA-AES256-GCM-SHA384", 32)])
    func `the keys of each suite of TLS 1.2 are seen`(suite: String, keySize: Int) throws {
        let library = try Library(isOurs: true)
        let server = try Peer(library, isServer: true, version: TLS1_2_VERSION)
        let client = try Peer(library, isServer: false, version: TLS1_2_VERSION)
        #expect(SSL_CTX_set_cipher_list(client.context, suite) == 1)
        let secrets = TrafficSecrets()
        let pair = try Handshake(client, server)
        try secrets.collect { Result { try pair.run() } }.get()
        for side in [TrafficSecrets.Side.client, .server] {
            let keys = try #require(secrets.keys(of: side, keySize: keySize))
            #expect(keys.key.count == keySize && keys.vector.count == 4)
        }
    }

    @Test(arguments: [(KeyAgreement.x25519, "X25519", 253, 32, 32), (KeyAgreement.p256, "EC", 256, 72, 65)])
    func `the provider is asked, and says what the library would say`(
        group: KeyAgreement.Group,
        library: String,
        bits: CInt,
        size: CInt,
        publicSize: Int
    ) throws {
        let ours = try Library(isOurs: true)
        let fetched = try #require(EVP_KEYMGMT_fetch(ours.context, group.name.immortal, nil))
        EVP_KEYMGMT_free(fetched)
        for (library, name) in [
            (ours, String(cString: group.name.immortal)), (try Library(isOurs: false), library),
        ] {
            let context = try #require(EVP_PKEY_CTX_new_from_name(library.context, name, nil))
            defer { EVP_PKEY_CTX_free(context) }
            var key: OpaquePointer?
            #expect(EVP_PKEY_keygen_init(context) == 1)
            if publicSize == 65 { #expect(EVP_PKEY_CTX_set_group_name(context, "prime256v1") == 1) }
            #expect(EVP_PKEY_keygen(context, &key) == 1)
            defer { EVP_PKEY_free(key) }
            #expect(EVP_PKEY_get_bits(key) == bits && EVP_PKEY_get_security_bits(key) == 128)
            #expect(EVP_PKEY_get_size(key) == size)
            var encoded: UnsafeMutablePointer<UInt8>?
            #expect(EVP_PKEY_get1_encoded_public_key(key, &encoded) == publicSize)
            // One byte less is no key.
            #expect(EVP_PKEY_set1_encoded_public_key(key, encoded, publicSize - 1) != 1)
            CRYPTO_free(encoded, nil, 0)
        }
        ERR_clear_error()
    }

    /// What the library's own "TLS1-PRF" gives, or ours through the same door.
    private func pseudorandom(_ hash: String, _ secret: [UInt8], _ seeds: [[UInt8]], _ count: Int, of provider: String)
        throws
        -> [UInt8]?
    {
        let library = try Library(isOurs: provider == "everyhop")
        let algorithm = try #require(EVP_KDF_fetch(library.context, OSSL_KDF_NAME_TLS1_PRF, "provider=\(provider)"))
        defer { EVP_KDF_free(algorithm) }
        let context = try #require(EVP_KDF_CTX_new(algorithm))
        defer { EVP_KDF_CTX_free(context) }
        let names = [strdup("digest"), strdup("secret"), strdup("seed")]
        let texts = ([Array(hash.utf8)] + [secret] + seeds).map { bytes in
            let room = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count + 1, alignment: 1)
            room.copyBytes(from: bytes + [0])
            return (room, bytes.count)
        }
        defer {
            for name in names { free(name) }
            for text in texts { text.0.deallocate() }
        }
        var list = [OSSL_PARAM_construct_utf8_string(names[0], texts[0].0.baseAddress, 0)]
        list.append(OSSL_PARAM_construct_octet_string(names[1], texts[1].0.baseAddress, texts[1].1))
        for text in texts.dropFirst(2) {
            list.append(OSSL_PARAM_construct_octet_string(names[2], text.0.baseAddress, text.1))
        }
        list.append(OSSL_PARAM_construct_end())
        var key = [UInt8](repeating: 0, count: count)
        let isDone = EVP_KDF_derive(context, &key, key.count, list) == 1
        ERR_clear_error()
        return isDone ? key : nil
    }

    // The last two are left to the library: a secret longer than a block, and the hash of TLS 1.0.
    @Test(arguments: [("SHA256", 48), ("SHA2-384", 48), ("SHA256", 32), ("SHA256", 66), ("MD5-SHA1", 48)])
    func `the pseudorandom function gives what the library gives`(hash: String, secretCount: Int) throws {
        func random(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255) } }
        let secret = random(secretCount)
        for count in [1, 12, 32, 33, 48, 72, 128] {
            for seeds in [
                [Array("key expansion".utf8), random(32), random(32)], [random(15)], [random(100), random(100)],
            ] {
                let expected = try #require(try pseudorandom(hash, secret, seeds, count, of: "default"))
                #expect(try pseudorandom(hash, secret, seeds, count, of: "everyhop") == expected)
            }
        }
    }
}
