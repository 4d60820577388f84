import COpenSSL
import Testing

@testable import TLS

@Suite("Certificates and keys") struct CertificateTests {
    private func facts(_ issued: CertificateMaker.Issued) throws -> CertificateFacts {
        try #require(try CertificateFacts.read(pem: issued.certificatePEM).first)
    }

    @Test(arguments: CertificateMaker.KeyKind.allCases)
    func `a self-signed certificate says what was asked for`(_ kind: CertificateMaker.KeyKind) throws {
        let names = ["portal.example.org", "*.example.org", "203.0.113.7", "2001:db8::7"]
        let made = try CertificateMaker.selfSigned(names: names, key: kind, days: 30)
        let facts = try facts(made)
        #expect(facts.subject == "CN = portal.example.org")
        #expect(facts.issuer == facts.subject)
        #expect(facts.isSelfSigned)
        #expect(facts.names == ["portal.example.org", "*.example.org"])
        #expect(facts.addresses == ["203.0.113.7", "2001:db8::7"])
        #expect(facts.keyType == (kind == .rsa ? "RSA 2048" : "ECDSA P-256"))
        #expect(facts.notAfter - facts.notBefore == 30 * 86_400 + 3600)
        #expect(facts.serial.count == 32 && facts.fingerprint.count == 64)
        #expect(try ServerIdentity(chainPEM: made.certificatePEM, keyPEM: made.keyPEM).facts == facts)
    }

    @Test func `two certificates have two serial numbers and two keys`() throws {
        let one = try facts(CertificateMaker.selfSigned(names: ["a"]))
        let two = try facts(CertificateMaker.selfSigned(names: ["a"]))
        #expect(one.serial != two.serial)
        #expect(one.pin != two.pin)
    }

    @Test(arguments: [
        "", "a b", "x,DNS:evil", "a\nb", "é.example", "a*b.example", "*.", "127.0.0.1\0,DNS:evil", "a\0b",
        "10.0.0.0/8",
    ])
    func `a name that is none is refused`(_ name: String) {
        #expect(throws: CertificateError.invalidName(name)) { try CertificateMaker.selfSigned(names: [name]) }
        #expect(throws: CertificateError.invalidName(name)) { try CertificateMaker.request(names: ["good", name]) }
    }

    @Test func `no names, and more than a hundred years, are refused`() {
        #expect(throws: CertificateError.invalidName("")) { try CertificateMaker.selfSigned(names: []) }
        for days in [-1, 36_501, Int.max] {
            #expect(throws: CertificateError.self) { try CertificateMaker.selfSigned(names: ["a"], days: days) }
            #expect(throws: CertificateError.self) {
                try CertificateMaker.selfSigned(names: ["a"], validFrom: days + (days < 0 ? -40_000 : 0))
            }
        }
    }

    @Test func `a long name stands whole among the alternative names`() throws {
        let name = String(repeating: "long-label.", count: 8) + "example.org"
        let facts = try facts(CertificateMaker.selfSigned(names: [name]))
        #expect(facts.names == [name])
        #expect(facts.subject.utf8.count == 5 + 64)
    }

    @Test func `a key of another certificate is refused, and so is a missing part`() throws {
        let one = try CertificateMaker.selfSigned(names: ["a"])
        let two = try CertificateMaker.selfSigned(names: ["a"])
        #expect(throws: CertificateError.keyMismatch) {
            try ServerIdentity(chainPEM: one.certificatePEM, keyPEM: two.keyPEM)
        }
        #expect(throws: CertificateError.noCertificate) { try ServerIdentity(chainPEM: [], keyPEM: one.keyPEM) }
        #expect(throws: CertificateError.noKey) { try ServerIdentity(chainPEM: one.certificatePEM, keyPEM: []) }
        #expect(throws: CertificateError.noKey) {
            try ServerIdentity(chainPEM: one.certificatePEM, keyPEM: one.certificatePEM)
        }
    }

    @Test func `no bent PEM or DER does more than fail`() throws {
        let made = try CertificateMaker.selfSigned(names: ["a.example.org", "10.0.0.1"])
        var state: UInt64 = 1
        func random(_ below: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % below
        }
        for round in 0..<2000 {
            var bent = made.certificatePEM
            // Inside the Base64, so that the DER below it is bent.
            for _ in 0...random(3) { bent[28 + random(bent.count - 60)] = Array("ABab01+/".utf8)[random(8)] }
            if round % 10 == 0 { bent.removeLast(random(bent.count)) }
            if let list = try? CertificateFacts.read(pem: bent) {
                for facts in list {
                    _ = facts.covers("a.example.org")
                    let printable = facts.names.allSatisfy { $0.utf8.allSatisfy { (0x21...0x7E).contains($0) } }
                    #expect(printable)
                }
            }
            _ = try? ServerIdentity(chainPEM: bent, keyPEM: made.keyPEM)
            #expect(ERR_peek_error() == 0)
        }
    }

    // MARK: pins

    @Test func `a pin is read back from its text, and from no other`() throws {
        let pin = try facts(CertificateMaker.selfSigned(names: ["a"])).pin
        #expect(PublicKeyPin(pin.description) == pin)
        #expect(pin.description.hasPrefix("sha256/") && pin.description.utf8.count == 51)
        let zero = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        #expect(PublicKeyPin(zero)?.digest == [UInt8](repeating: 0, count: 32))
        for text in [
            "", "sha256/", String(zero.dropLast()), zero + "=", "SHA256" + zero.dropFirst(6), String(zero.dropFirst(7)),
            "sha1/" + zero.dropFirst(7), " " + zero, zero + " ",
            // Bits behind the last byte, white space, another alphabet, a digest of 31 or 33 bytes.
            "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
            "sha256/ AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "sha256/-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
            "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "sha256/éAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ] {
            #expect(PublicKeyPin(text) == nil, "\(text)")
        }
        #expect(PublicKeyPin(digest: [1, 2, 3]) == nil)
    }

    @Test func `a new certificate for the same key has the same pin`() throws {
        let root = try Authority()
        let request = try CertificateMaker.request(names: ["a"])
        #expect(request.certificatePEM.starts(with: "-----BEGIN CERTIFICATE REQUEST-----".utf8))
        let folder = try Workbench()
        try folder.write("ca.pem", root.pem + root.issued.keyPEM)
        try folder.write("a.csr", request.certificatePEM)
        var pins: [PublicKeyPin] = []
        for serial in ["1", "2"] {
            try folder.openssl([
                "x509", "-req", "-in", "a.csr", "-CA", "ca.pem", "-set_serial", serial, "-out", "a.pem",
            ])
            pins.append(try CertificateFacts.read(pem: try folder.read("a.pem"))[0].pin)
        }
        #expect(pins[0] == pins[1])
    }
}
