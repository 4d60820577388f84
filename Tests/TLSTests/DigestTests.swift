import TLS
import Testing

@Suite("Digests") struct DigestTests {
    private func hexadecimal(_ bytes: [UInt8]?) -> String {
        (bytes ?? []).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    @Test func `the standards' own examples`() {
        let message = Array("abc".utf8)
        #expect(hexadecimal(Digest.md5(message)) == "900150983cd24fb0d6963f7d28e17f72")
        #expect(hexadecimal(Digest.sha1(message)) == "a9993e364706816aba3e25717850c26c9cd0d89d")
        let password = Array("password".utf8)
        let salt = Array("salt".utf8)
        #expect(
            hexadecimal(Digest.pbkdf2(password: password, salt: salt, rounds: 4096))
                == "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"
        )
        #expect(Digest.pbkdf2(password: password, salt: salt, rounds: 0) == nil)
        #expect(Digest.pbkdf2(password: [], salt: salt, rounds: 1)?.count == 32)
    }
}
