import Platform
import Support
import TLS
import Testing

@Suite("Signing") struct SigningTests {
    private let bytes = Array("what was seen\n".utf8)

    @Test func `SHA-256 is as FIPS 180-4 says`() {
        #expect(SHA256.hexadecimal([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            SHA256.hexadecimal(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )
        #expect(SHA256.base64([]) == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
    }

    @Test(arguments: [
        (["-algorithm", "ED25519"], SignatureKind.ed25519),
        (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], .ecdsa),
        (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], .ecdsa),
        (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], .rsa),
        (["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], .pss),
    ])
    func `OpenSSL verifies what a key of any kind signs, by the command that is told`(
        options: [String],
        kind: SignatureKind
    ) throws {
        let folder = try TemporaryFolder()
        let file = "\(folder.path)/key.pem"
        #expect(try Shell.run(["openssl", "genpkey", "-quiet", "-out", file] + options, merged: true).status == 0)
        let key = try SigningKey(pem: try File.read(file))
        #expect(key.kind == kind)
        let signature = try key.sign(bytes)
        let publicFile = try folder.write("key.pub", key.publicPEM)
        let data = try folder.write("data", bytes)
        try folder.write("data.sig", signature)
        let command = kind.command(file: data, publicKey: publicFile).split(separator: " ").map(String.init)
        #expect(try Shell.run(command, merged: true).status == 0)
        try folder.write("data", bytes + [0])
        #expect(try Shell.run(command, merged: true).status != 0)

        let publicKey = try PublicKey(pem: key.publicPEM)
        #expect(publicKey.kind == kind && publicKey.verifies(signature, of: bytes))
        #expect(!publicKey.verifies(signature, of: bytes + [0]))
        #expect(!publicKey.verifies(signature.map { $0 ^ 1 }, of: bytes))
        #expect(!publicKey.verifies([], of: bytes))
        #expect(!publicKey.verifies(signature + [0], of: bytes) || kind == .ecdsa)
    }

    @Test func `a key that is made is Ed25519, and a file holds it`() throws {
        let key = try SigningKey.make()
        #expect(key.kind == .ed25519)
        let signature = try key.sign([])
        #expect(signature.count == 64)
        let again = try SigningKey(pem: try key.pem())
        #expect(try again.sign([]) == signature && again.publicPEM == key.publicPEM)
        #expect(try PublicKey(pem: SigningKey.make().publicPEM).verifies(signature, of: []) == false)
    }

    @Test(arguments: [
        ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], ["-algorithm", "X25519"],
        ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp224r1"],
    ])
    func `weak keys and those that cannot sign are refused`(options: [String]) throws {
        let pem = try Shell.run(["openssl", "genpkey", "-quiet"] + options).output
        #expect(throws: CertificateError.self) { try SigningKey(pem: pem) }
    }

    @Test func `what is no key, or needs a password, is refused`() throws {
        let locked = try Shell.run([
            "openssl", "genpkey", "-quiet", "-algorithm", "ED25519", "-aes256", "-pass", "pass:x",
        ])
        for pem in [[], Array("nonsense".utf8), locked.output, try SigningKey.make().publicPEM] {
            #expect(throws: CertificateError.noKey) { try SigningKey(pem: pem) }
        }
        #expect(throws: CertificateError.self) { try PublicKey(pem: try SigningKey.make().pem()) }
        #expect(throws: CertificateError.self) { try PublicKey(pem: []) }
    }
}
