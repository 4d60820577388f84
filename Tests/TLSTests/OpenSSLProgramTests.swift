import COpenSSL
import Glibc
import Testing

@testable import TLS

/// What we make, read by the `openssl` program, and the other way round.
@Suite("Against the openssl program") struct OpenSSLProgramTests {
    private let bench: Workbench

    init() throws { bench = try Workbench() }

    @Test(arguments: CertificateMaker.KeyKind.allCases)
    func `a request is valid and carries the names`(_ kind: CertificateMaker.KeyKind) throws {
        let names = ["portal.example.org", "203.0.113.7"]
        let request = try CertificateMaker.request(names: names, key: kind)
        try bench.write("a.csr", request.certificatePEM)
        try bench.write("a.key", request.keyPEM)
        let text = try bench.openssl(["req", "-in", "a.csr", "-verify", "-noout", "-text"])
        #expect(text.contains("verify OK"))
        #expect(text.contains("DNS:portal.example.org, IP Address:203.0.113.7"))
        #expect(text.contains("CN = portal.example.org"))
        #expect(text.contains(kind == .rsa ? "2048 bit" : "NIST CURVE: P-256"))
        #expect(try bench.openssl(["pkey", "-in", "a.key", "-check", "-noout"]).contains("Key is valid"))
        #expect(
            try bench.openssl(["pkey", "-in", "a.key", "-pubout"])
                == bench.openssl(["req", "-in", "a.csr", "-pubkey", "-noout"])
        )
    }

    @Test func `a chain that we make verifies, for its name and purpose alone`() throws {
        let root = try Authority()
        let middle = try Authority("Middle", under: root)
        let leaf = try CertificateMaker.issue(names: ["app.internal"], by: middle.issued)
        try bench.write("root.pem", root.pem)
        try bench.write("middle.pem", middle.pem)
        try bench.write("leaf.pem", leaf.certificatePEM)
        let verify = ["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "middle.pem"]
        for purpose in ["sslserver", "sslclient"] {
            #expect(
                try bench.openssl(verify + ["-purpose", purpose, "-verify_hostname", "app.internal", "leaf.pem"])
                    == "leaf.pem: OK\n"
            )
        }
        #expect(throws: Workbench.Failed.self) {
            try bench.openssl(verify + ["-verify_hostname", "b.internal", "leaf.pem"])
        }
    }

    @Test func `pin, fingerprint, serial and dates are what the program prints`() throws {
        let made = try CertificateMaker.selfSigned(names: ["a.example.org"])
        let facts = try CertificateFacts.read(pem: made.certificatePEM)[0]
        try bench.write("a.pem", made.certificatePEM)
        let printed = try bench.openssl(["x509", "-in", "a.pem", "-noout", "-fingerprint", "-sha256", "-serial"])
        let digits = printed.filter { $0 != ":" }.lowercased()
        #expect(digits.contains("fingerprint=\(facts.fingerprint)\n"))
        #expect(digits.contains("serial=\(facts.serial.lowercased())\n"))
        try bench.openssl(["x509", "-in", "a.pem", "-noout", "-pubkey", "-out", "a.pub"])
        try bench.openssl(["pkey", "-pubin", "-in", "a.pub", "-outform", "DER", "-out", "a.der"])
        try bench.openssl(["dgst", "-sha256", "-binary", "-out", "a.digest", "a.der"])
        #expect(try bench.read("a.digest") == facts.pin.digest)
        #expect(abs(Int64(time(nil)) - 3600 - facts.notBefore) < 60)
        #expect(abs(Int64(time(nil)) + 397 * 86_400 - facts.notAfter) < 60)
    }

    @Test(arguments: [
        ("ec", "ec_paramgen_curve:P-384", "ECDSA P-384"), ("rsa", "rsa_keygen_bits:3072", "RSA 3072"),
        ("ed25519", "", "ED25519"),
    ])
    func `keys of other kinds are named and serve`(_ algorithm: String, _ option: String, _ name: String) throws {
        let choice = option.isEmpty ? [] : ["-pkeyopt", option]
        try bench.openssl(["genpkey", "-algorithm", algorithm] + choice + ["-out", "k.pem"])
        try bench.openssl([
            "req", "-x509", "-key", "k.pem", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:app.internal", "-out",
            "c.pem",
        ])
        let identity = try ServerIdentity(chainPEM: try bench.read("c.pem"), keyPEM: try bench.read("k.pem"))
        #expect(identity.facts.keyType == name)
        let link = try Link.open(try makeClient(pins: [identity.facts.pin]), try makeTable([identity]))
        #expect(link.clientFacts?.pinMatched == true)
    }

    @Test func `RSA below 2048 bits is refused even when it is pinned`() throws {
        try bench.openssl([
            "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", "k.pem", "-subj", "/CN=x", "-out", "c.pem",
        ])
        let identity = try ServerIdentity(chainPEM: try bench.read("c.pem"), keyPEM: try bench.read("k.pem"))
        #expect(throws: TLSError.self) { try makeTable([identity]) }
        // A server that does not care: our client does.
        let open = try ServerNameTable(policy: .nist80052r2)
        let binding = try makeBinding([])
        for context in [open.base, binding.handle] { SSL_CTX_set_security_level(context.raw, 0) }
        try identity.install(in: binding.handle.raw)
        open.add(binding, host: nil)
        let client = try makeClient(pins: [identity.facts.pin])
        let refused = TLSError.verification(.other("the server's key is too weak for this policy"))
        #expect(try Link(client, open).shakeHands().client == refused)
        // To look at it is allowed.
        #expect(try Link(try ClientContext.inspecting(name: nil), open).shakeHands().isDone)
    }

    @Test func `the common name alone is no name, and a client's certificate is no server's`() throws {
        for (extra, expected) in [
            ("basicConstraints=critical,CA:FALSE", VerificationFailure.wrongName(expected: "app.internal", seen: [])),
            ("extendedKeyUsage=clientAuth", .other("unsuitable certificate purpose")),
        ] {
            try bench.openssl([
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k.pem",
                "-subj", "/CN=app.internal", "-addext", extra, "-out", "c.pem",
            ])
            let pem = try bench.read("c.pem")
            let identity = try ServerIdentity(chainPEM: pem, keyPEM: try bench.read("k.pem"))
            #expect(!identity.facts.covers("app.internal"))
            let client = try ClientContext(
                trust: .init(authoritiesPEM: pem, pins: []),
                name: "app.internal",
                policy: .nist80052r2,
                alpn: []
            )
            #expect(try Link(client, try makeTable([identity])).shakeHands().client == .verification(expected))
        }
    }

    // MARK: PKCS#12

    /// A file of the program's, with the chain out of order and a stranger in it.
    private func exportPFX(_ options: [String], password: String) throws -> (
        pfx: [UInt8], leaf: CertificateMaker.Issued
    ) {
        let root = try Authority()
        let middle = try Authority("Middle", under: root)
        let leaf = try CertificateMaker.issue(names: ["portal.example.org"], by: middle.issued, key: .rsa)
        try bench.write("leaf.pem", leaf.certificatePEM)
        try bench.write("leaf.key", leaf.keyPEM)
        try bench.write("chain.pem", root.pem + (try Authority("Stranger").pem) + middle.pem)
        try bench.openssl(
            ["pkcs12", "-export", "-in", "leaf.pem", "-inkey", "leaf.key", "-certfile", "chain.pem", "-out", "a.pfx"]
                + ["-passout", "pass:\(password)"] + options
        )
        return (try bench.read("a.pfx"), leaf)
    }

    @Test(
        arguments: [
            ([], "secret"), ([], ""), ([], "p\u{E4}ss w\u{F6}rd"),
            // What Windows writes: 3DES, and before that RC2 with 40 bits, which is in OpenSSL's legacy provider.
            (["-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"], "secret"),
            (["-legacy"], "secret"),
        ] as [([String], String)]
    )
    func `a PKCS#12 file gives the leaf, its chain in order, and the key`(_ options: [String], _ password: String)
        throws
    {
        let (pfx, leaf) = try exportPFX(options, password: password)
        let parts = try PFX.read(pfx, password: password.bytes)
        #expect(
            try CertificateFacts.read(pem: parts.chainPEM).map { $0.subject }
                == ["CN = portal.example.org", "CN = Middle", "CN = Test Root"]
        )
        let identity = try ServerIdentity(pfx: pfx, password: password.bytes)
        #expect(identity.facts == (try CertificateFacts.read(pem: leaf.certificatePEM)[0]))
        #expect(parts.keyPEM == leaf.keyPEM)
        let link = try Link.open(try makeClient(pins: [identity.facts.pin]), try makeTable([identity]))
        #expect(link.clientFacts?.pinMatched == true)
        #expect(ERR_peek_error() == 0)
    }

    @Test func `a wrong password, and a file that is none, are told`() throws {
        let (pfx, _) = try exportPFX([], password: "secret")
        #expect(throws: CertificateError.badPFX) { try PFX.read(pfx, password: "Secret".bytes) }
        #expect(throws: CertificateError.badPFX) { try PFX.read(pfx, password: []) }
        #expect(throws: CertificateError.badPFX) { try PFX.read([], password: []) }
        for cut in stride(from: 0, to: pfx.count, by: 97) {
            #expect(throws: CertificateError.badPFX) { try PFX.read(Array(pfx.prefix(cut)), password: "secret".bytes) }
        }
        #expect(ERR_peek_error() == 0)
    }

    @Test func `a PKCS#12 file without a key, or without a certificate, is told apart`() throws {
        _ = try exportPFX([], password: "secret")
        try bench.openssl(["pkcs12", "-export", "-nokeys", "-in", "leaf.pem", "-out", "b.pfx", "-passout", "pass:x"])
        #expect(throws: CertificateError.self) { try PFX.read(try bench.read("b.pfx"), password: "x".bytes) }
        try bench.openssl([
            "pkcs12", "-export", "-nocerts", "-inkey", "leaf.key", "-out", "c.pfx", "-passout", "pass:x",
        ])
        #expect(throws: CertificateError.noCertificate) { try PFX.read(try bench.read("c.pfx"), password: "x".bytes) }
    }

    @Test func `a key with a password is no key, and nothing asks for it on the terminal`() throws {
        let made = try CertificateMaker.selfSigned(names: ["a"])
        try bench.write("a.key", made.keyPEM)
        try bench.openssl(["pkey", "-in", "a.key", "-aes256", "-passout", "pass:x", "-out", "b.key"])
        #expect(throws: CertificateError.noKey) {
            try ServerIdentity(chainPEM: made.certificatePEM, keyPEM: try bench.read("b.key"))
        }
    }

    @Test func `an old key file of its own form is read`() throws {
        try bench.openssl(["ecparam", "-name", "prime256v1", "-genkey", "-out", "k.pem"])
        try bench.openssl(["req", "-x509", "-key", "k.pem", "-subj", "/CN=a", "-out", "c.pem"])
        // EC PARAMETERS stand before the key here.
        #expect(String(decoding: try bench.read("k.pem"), as: UTF8.self).contains("BEGIN EC PARAMETERS"))
        _ = try ServerIdentity(chainPEM: try bench.read("c.pem"), keyPEM: try bench.read("k.pem"))
    }
}
